"""The rows of a large table by the value of one column, read from the file when they are wanted."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator
from pathlib import Path

from .reading import Row, SourceError, contents, expect_folder


class RowGroups:
    """Where the rows of each key lie in a comma-separated file; adjacent rows take one entry.

    The file is passed through once, and only keys and positions are kept, so that a table of a million rows
    takes a few megabytes where its rows are sorted, and about a hundred bytes per key at most where not.

    Args:
        path: The file: UTF-8, one row per line.
        column: Index of the column that groups the rows; the ones before it must not be quoted.
        header: Whether the first line names the columns; it is kept in :attr:`header`.

    Attributes:
        header: The first line's cells, or None.

    Raises:
        SourceError: If there is no such file, or a row has too few columns.
    """

    def __init__(self, path: str | Path, column: int = 0, header: bool = False) -> None:
        self._path = Path(path)
        self._spans: dict[str, array] = {}  # line number, first byte, byte after, and again
        if not self._path.is_file():
            folder = expect_folder(self._path.parent, f"the file {self._path.name}")
            raise SourceError(self._path, f"there is no such file; '{folder}' holds {contents(folder)}")
        with self._path.open("rb") as file:
            first = file.readline() if header else b""
            self.header = Row(self._where(1), _cells([first.decode("utf-8-sig")])) if header else None
            self._index(file, len(first), line=1 + header, column=column)

    def _index(self, file: Iterator[bytes], begin: int, line: int, column: int) -> None:
        last = None
        for number, text in enumerate(file, start=line):
            end = begin + len(text)
            cells = text.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").split(b",", column + 1)
            if cells != [b""]:
                if len(cells) <= column:
                    raise SourceError(self._where(number), f"expected {column + 1} columns or more, got {text!r}")
                key = cells[column].decode("utf-8", "replace")
                spans = self._spans.setdefault(key, array("q"))
                if key == last:
                    spans[-1] = end
                else:
                    spans.extend((number, begin, end))
                last = key
            begin = end

    def __iter__(self) -> Iterator[str]:
        """The keys, sorted."""
        return iter(sorted(self._spans))

    def __contains__(self, key: str) -> bool:
        return key in self._spans

    def rows(self, key: str) -> list[Row]:
        """Reads the rows of a key, in the file's order; none where it has none.

        Raises:
            SourceError: If they are not UTF-8 text.
        """
        spans = self._spans.get(key, ())
        rows = []
        with self._path.open("rb") as file:
            for number, begin, end in zip(spans[::3], spans[1::3], spans[2::3], strict=True):
                file.seek(begin)
                rows.extend(self._parse(file.read(end - begin), number))
        return rows

    def _parse(self, lines: bytes, first: int) -> Iterator[Row]:
        try:
            text = lines.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SourceError(self._where(first), "not UTF-8 text; download the file again") from error
        for number, line in enumerate(text.split("\n"), start=first):
            if line.strip():
                yield Row(self._where(number), _cells([line]))

    def _where(self, line: int) -> str:
        return f"'{self._path}', line {line}"


def _cells(line: list[str]) -> list[str]:
    return next(csv.reader(line), [])
