"""Lists of objects in a large JSON file, read one element at a time.

A file in a COCO-like layout is one JSON object of long lists, too large to hold whole. :func:`scan_lists`
passes through it once in a window of a few megabytes and says where each element lies; :class:`ByVideo`
remembers that per video, so that the rows of one video can be read on their own later, however the file
orders them.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from .reading import SourceError

WINDOW = 1 << 20  # bytes read at a time
DELIMITERS = frozenset(" \t\n\r,:]}")
SEPARATORS = re.compile(r"[\s,]*")
MISSING = object()


class Element(NamedTuple):
    """One element of a top-level list, or a whole top-level value that is no list.

    Attributes:
        list_name: Key of the top level.
        value: The element. Texts in it are bytes read as Latin-1: keys and numbers are right, names may
            not be until they are read again as UTF-8.
        begin: Offset of its first byte.
        end: Offset after its last byte.
    """

    list_name: str
    value: Any
    begin: int
    end: int


def scan_lists(path: str | Path, names: set[str] | None = None) -> Iterator[Element]:
    """The elements of all top-level lists of a JSON file, in the file's order.

    Args:
        path: The file.
        names: Collects the keys of the top level, also of empty lists, as they come.

    Raises:
        SourceError: If the file is not a JSON object or breaks off; names the byte.
    """
    with Path(path).open("rb") as file:
        window = _Window(file, Path(path))
        window.begin()
        while window.next() != "}":
            name, _, _ = window.value()
            window.take(":")
            if names is not None:
                names.add(str(name))
            if window.next() != "[":
                yield Element(str(name), *window.value())
                continue
            window.take("[")
            while window.next() != "]":
                yield Element(str(name), *window.value())
            window.take("]")


class ByVideo:
    """Where the rows of each video lie in a JSON file; contiguous rows take one entry.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._spans: dict[Any, array] = {}
        self._last: Any = MISSING

    def add(self, video: Any, begin: int, end: int) -> None:
        """Notes a row, in the file's order."""
        spans = self._spans.setdefault(video, array("q"))
        if video == self._last:
            spans[-1] = end
        else:
            spans.extend((begin, end))
        self._last = video

    def __iter__(self) -> Iterator[Any]:
        return iter(self._spans)

    def rows(self, video: Any) -> list[dict[str, Any]]:
        """Reads the rows of a video from the file; none where it has none.

        Raises:
            SourceError: If they are not UTF-8 text.
        """
        spans = self._spans.get(video, ())
        rows: list[dict[str, Any]] = []
        with self._path.open("rb") as file:
            for begin, end in zip(spans[::2], spans[1::2]):
                file.seek(begin)
                rows.extend(_decoded(file.read(end - begin), self._path, begin))
        return rows


def _decoded(rows: bytes, path: Path, begin: int) -> list[Any]:
    try:
        return json.loads(b"[" + rows + b"]")
    except UnicodeDecodeError as error:
        raise SourceError(f"'{path}', byte {begin + error.start - 1}", "not UTF-8 text; download it again") from error


class _Window:
    """A stretch of the file, one character per byte, and a position in it."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._decoder = json.JSONDecoder()
        self._text, self._base, self._at, self._ended = "", 0, 0, False
        self._refill(WINDOW)
        if self._text.startswith("\xef\xbb\xbf"):
            self._at = 3

    def next(self) -> str:
        """The next character that is not white space or a comma."""
        while True:
            self._at = SEPARATORS.match(self._text, self._at).end()
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                raise self._error("it breaks off: expected more lists or the closing bracket")
            self._refill(WINDOW)

    def begin(self) -> None:
        """Passes over the opening bracket of the file's object."""
        if self.next() != "{":
            start = self._text[self._at : self._at + 20]
            raise SourceError(self._path, f"expected a JSON object of lists, got {start!r}...; is it the right file?")
        self._at += 1

    def take(self, character: str) -> None:
        """Passes over a character that must come next."""
        if self.next() != character:
            raise self._error(f"expected '{character}', got {self._text[self._at : self._at + 20]!r}")
        self._at += 1

    def value(self) -> tuple[Any, int, int]:
        """The JSON value that comes next, with the offsets of its first byte and of the one after it."""
        self.next()
        size = WINDOW
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                complete = self._text[end : end + 1] in DELIMITERS or self._ended  # else a number may go on
            except json.JSONDecodeError as error:
                if self._ended:
                    raise self._error(error.msg, error.pos) from error
                complete = False
            if complete:
                begin, self._at = self._base + self._at, end
                return value, begin, self._base + end
            self._refill(size)
            size *= 2

    def _refill(self, size: int) -> None:
        more = self._file.read(size)
        self._ended = len(more) < size
        self._base += self._at
        self._text, self._at = self._text[self._at :] + more.decode("latin-1"), 0

    def _error(self, why: str, at: int | None = None) -> SourceError:
        place = f"'{self._path}', byte {self._base + (self._at if at is None else at)}"
        return SourceError(place, f"not a complete JSON file ({why}); it is damaged or cut short, download it again")
