"""What all source adapters need to read published files: one error type, JSON, tables and folders.

An adapter streams: it yields one record at a time and holds no more than one annotation file. A broken
entry (a damaged file, an id that points nowhere, a box without area) raises :class:`SourceError`, or is
noted as :class:`Broken` and passed over where the caller gives a list for it.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeVar

Entry = TypeVar("Entry")
Result = TypeVar("Result")
Cell = Callable[[str], Any]  # turns the text of a cell into its value, ValueError if it cannot

NAMES_SHOWN = 6  # how many names of a folder or list an error message quotes
OPENERS: Mapping[str, Callable[..., Any]] = {".bz2": bz2.open, ".gz": gzip.open}


class SourceError(ValueError):
    """A published file that cannot be read as what it should be.

    Args:
        where: File and position: ``"'train.csv', line 3"``.
        why: The value, what was expected, and the fix.
    """

    def __init__(self, where: str | os.PathLike[str], why: str) -> None:
        self.where, self.why = _quoted(where), why
        super().__init__(self.where, why)

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


class Broken(NamedTuple):
    """An entry that was passed over.

    Attributes:
        where: File and position.
        why: What was wrong with it.
    """

    where: str
    why: str


def read_each(entries: Iterable[Entry], read: Callable[[Entry], Result], broken: list[Broken] | None,
              where: Callable[[Entry], str | os.PathLike[str]]) -> Iterator[Result]:  # fmt: skip
    """Yields ``read(entry)`` for each entry; a broken one raises, or is noted in ``broken`` and passed over.

    Args:
        entries: What to read, for example paths; taken one at a time.
        read: Gives the record of an entry, or raises ``ValueError``.
        broken: None to raise on the first broken entry, or the list that collects them.
        where: Names an entry's file and position, for errors that do not (a record's own checks).

    Raises:
        SourceError: If an entry is broken and ``broken`` is None.
    """
    for entry in entries:
        with tolerating(broken, where(entry)):
            yield read(entry)


@contextmanager
def tolerating(broken: list[Broken] | None, where: str | os.PathLike[str]) -> Iterator[None]:
    """Turns a ``ValueError`` inside the block into a :class:`SourceError`, or into a note in ``broken``.

    Example:
        >>> with tolerating(broken, path):
        ...     events.append(parse(path))
    """
    try:
        try:
            yield
        except ValueError as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(where, str(error)) from error
    except SourceError as fault:
        if broken is None:
            raise
        broken.append(Broken(fault.where, fault.why))


def expect_folder(path: str | os.PathLike[str], what: str) -> Path:
    """The folder, if it is one.

    Args:
        path: The folder.
        what: What it should hold: ``"the annotations of VidOR (<group>/<video>.json)"``.

    Raises:
        SourceError: If it is not a folder; names what was expected and what lies in its place.
    """
    path = Path(path)
    if path.is_dir():
        return path
    if path.exists():
        raise SourceError(path, f"expected a folder with {what}, found a file; give the folder")
    parent = next((p for p in path.absolute().parents if p.is_dir()), Path("/"))
    raise SourceError(path, f"expected a folder with {what}, but there is none; '{parent}' holds {contents(parent)}")


def expect_files(folder: str | os.PathLike[str], pattern: str, what: str) -> list[Path]:
    """The files of a folder that match a glob pattern, sorted by path.

    Raises:
        SourceError: If it is not a folder, or nothing matches; names what was expected and what was found.
    """
    folder = expect_folder(folder, what)
    files = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not files:
        raise SourceError(folder, f"expected {what} ({pattern}), found {contents(folder)}; give the right folder")
    return files


def contents(folder: Path) -> str:
    """The first names in a folder, for an error message."""
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    return listed(names) if names else "nothing"


def listed(names: Collection[Any]) -> str:
    """Names in a line for an error message, the first few and a count."""
    shown = ", ".join(str(name) for name in list(names)[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"


def pick_splits(split: str | None, available: Mapping[str, Result]) -> dict[str, Result]:
    """The wanted splits of a source.

    Args:
        split: One of the names, or None for all.
        available: Where each split lies, by its name (``"train"``, ``"validation"``, ``"test"``); may be empty.

    Raises:
        ValueError: If there is no split of that name.
    """
    if split is None:
        return dict(available)
    if not available:
        raise ValueError(f"this source has no splits: split must be None, got {split!r}")
    if split not in available:
        raise ValueError(f"split must be one of {listed(available)} or None for all, got {split!r}")
    return {split: available[split]}


def find_splits(data_dir: str | os.PathLike[str], split: str | None, places: Mapping[str, Sequence[str]],
                what: str) -> dict[str, Path]:  # fmt: skip
    """Where the wanted splits of a source lie; of several allowed places the first that is there.

    Args:
        data_dir: The folder of the source.
        split: One of the names, or None for all that are there (nobody needs to download them all).
        places: Files or folders in which each split may lie, relative to ``data_dir``.
        what: What is looked for: ``"the annotations of VidOR"``.

    Raises:
        ValueError: If there is no split of that name.
        SourceError: If the folder or the split, or all of them, are missing; says what was found.
    """
    folder = expect_folder(data_dir, what)
    wanted = pick_splits(split, places)
    found = {name: [folder / place for place in some if (folder / place).exists()] for name, some in wanted.items()}
    splits = {name: paths[0] for name, paths in found.items() if paths}
    if not splits:
        expected = " or ".join(place for some in wanted.values() for place in some)
        raise SourceError(folder, f"expected {what} ({expected}), found {contents(folder)}; give the right folder")
    return splits


def open_text(path: str | os.PathLike[str]) -> TextIO:
    """Opens a UTF-8 text file for reading, ``.bz2`` and ``.gz`` decompressed on the fly.

    Raises:
        SourceError: If there is no such file; names what lies in its place.
    """
    path = Path(path)
    if not path.is_file():
        folder = expect_folder(path.parent, f"the file {path.name}")
        raise SourceError(path, f"there is no such file; '{folder}' holds {contents(folder)}")
    return OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8-sig", newline="")


def read_json(path: str | os.PathLike[str], kind: type | tuple[type, ...] = dict) -> Any:
    """The content of a JSON file.

    Args:
        path: The file.
        kind: What its top level must be: ``dict`` or ``list``.

    Raises:
        SourceError: If there is no such file, it is not JSON (names line and column), or its top level
            is something else.
    """
    path = Path(path)
    with open_text(path) as file:
        try:
            data = json.load(file)
        except json.JSONDecodeError as error:
            place = f"'{path}', line {error.lineno}, column {error.colno}"
            why = f"not complete JSON ({error.msg}): the file is cut short or damaged, download it again"
            raise SourceError(place, why) from error
        except UnicodeDecodeError as error:
            place = f"'{path}', byte {error.start}"
            raise SourceError(place, "not UTF-8 text: expected a JSON file, download it again") from error
    if not isinstance(data, kind):
        why = f"expected {_named(kind)} at the top level, got {type(data).__name__}; is it the right file?"
        raise SourceError(path, why)
    return data


def value(data: Any, key: Any, kind: type | tuple[type, ...], where: str | os.PathLike[str]) -> Any:
    """``data[key]``, which must be there and of a kind.

    Args:
        data: A mapping that was read from a file.
        key: The field.
        kind: Its type; ``float`` takes whole numbers too, and no number takes a boolean.
        where: File and position of ``data``.

    Raises:
        SourceError: If ``data`` is no mapping, has no such field, or the field is of another kind.
    """
    if not isinstance(data, Mapping):
        raise SourceError(where, f"expected an object with {key!r}, got {_short(data)}")
    if key not in data:
        raise SourceError(where, f"misses {key!r}; it has {listed(data) or 'no fields'}")
    found, kinds = data[key], kind if isinstance(kind, tuple) else (kind,)
    accepted = (*kinds, int) if float in kinds else kinds
    if not isinstance(found, accepted) or (isinstance(found, bool) and bool not in kinds):
        raise SourceError(where, f"expected {key!r} to be {_named(kind)}, got {_short(found)}")
    return found


class Row(NamedTuple):
    """One line of a table.

    Attributes:
        where: File and line.
        cells: Text of the cells.
    """

    where: str
    cells: list[str]


def read_rows(path: str | os.PathLike[str], *, delimiter: str = ",", quoted: bool = True) -> Iterator[Row]:
    """The rows of a delimited text file, one at a time; empty lines are passed over.

    Args:
        path: The file; ``.bz2`` and ``.gz`` are decompressed on the fly.
        delimiter: What stands between cells.
        quoted: Whether a cell in double quotes may hold the delimiter; False takes quotes as they are.

    Raises:
        SourceError: If there is no such file or it is not text.
    """
    with open_text(path) as file:
        rows = csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
        try:
            for cells in rows:
                if cells:
                    yield Row(f"'{path}', line {rows.line_num}", cells)
        except (csv.Error, UnicodeDecodeError, EOFError, OSError) as error:
            raise SourceError(f"'{path}', after line {rows.line_num}", f"not a readable table: {error}") from error


def parse_row(row: Row, columns: Mapping[str, Cell], short: Collection[int] = ()) -> dict[str, Any]:
    """The values of a row by column.

    Args:
        row: The row.
        columns: Each column's name, in order, and how to read its cells (:func:`number` and alike).
        short: Numbers of cells that a row may have instead; the values of the missing ones are None.

    Raises:
        SourceError: If the row has another number of cells, or a cell does not fit its column, which
            is what a shifted column looks like.
    """
    if len(row.cells) != len(columns) and len(row.cells) not in short:
        why = f"expected {len(columns)} cells ({', '.join(columns)}), got {len(row.cells)}: {_short(row.cells)}"
        raise SourceError(row.where, f"{why}; is a column missing or too many?")
    values: dict[str, Any] = dict.fromkeys(columns)
    for position, ((name, parse), text) in enumerate(zip(columns.items(), row.cells, strict=False), start=1):
        try:
            values[name] = parse(text)
        except ValueError as error:
            place = f"{row.where}, column {position} ({name})"
            raise SourceError(place, f"{error}, got {text!r}; is a column shifted?") from error
    return values


def read_table(path: str | os.PathLike[str], columns: Mapping[str, Cell], *, header: bool = False,
               delimiter: str = ",", quoted: bool = True, short: Collection[int] = (),
               broken: list[Broken] | None = None) -> Iterator[dict[str, Any]]:  # fmt: skip
    """The rows of a delimited text file as values by column, one at a time.

    Args:
        path: The file.
        columns: Each column's name, in order, and how to read its cells.
        header: Whether the first row holds the names of the columns.
        delimiter: See :func:`read_rows`.
        quoted: See :func:`read_rows`.
        short: See :func:`parse_row`.
        broken: None to raise on the first row that does not fit, or the list that collects them.

    Raises:
        SourceError: If there is no such file, the header names other columns, or (with ``broken`` None)
            a row does not fit the columns.
    """
    rows = read_rows(path, delimiter=delimiter, quoted=quoted)
    if header:
        check_header(next(rows, Row(f"'{path}', line 1", [])), columns)
    yield from read_each(rows, lambda row: parse_row(row, columns, short), broken, lambda row: row.where)


def check_header(row: Row, columns: Iterable[str]) -> None:
    """Checks that a table's first row names its columns.

    Raises:
        SourceError: If it names others.
    """
    names = [cell.strip() for cell in row.cells]
    if names != list(columns):
        raise SourceError(row.where, f"expected the header {','.join(columns)}, got {','.join(names) or 'nothing'}")


def number(low: float = float("-inf"), high: float = float("inf")) -> Cell:
    """Reads a cell as a float within ``[low, high]``."""
    return _bounded(float, "a number", low, high)


def integer(low: float = float("-inf"), high: float = float("inf")) -> Cell:
    """Reads a cell as an integer within ``[low, high]``; leading zeros are fine."""
    return _bounded(int, "an integer", low, high)


def name(text: str) -> str:
    """Reads a cell as a text that must not be empty."""
    if not text.strip():
        raise ValueError("expected a name")
    return text.strip()


def _bounded(kind: Callable[[str], float], what: str, low: float, high: float) -> Cell:
    bounds = "" if (low, high) == (float("-inf"), float("inf")) else f" within [{low:g}, {high:g}]"

    def parse(text: str) -> float:
        try:
            result = kind(text)
        except ValueError:
            result = float("nan")
        if not low <= result <= high:  # also if it is not a number
            raise ValueError(f"expected {what}{bounds}")
        return result

    return parse


def _quoted(where: str | os.PathLike[str]) -> str:
    return f"'{where}'" if isinstance(where, os.PathLike) else str(where)


def _named(kind: type | tuple[type, ...]) -> str:
    return " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))


def _short(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 80 else f"{text[:77]}..."
