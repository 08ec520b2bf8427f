"""YFCC100M: what Flickr knows of each video (author, title, tags, place, licence), joined to VidOR and TAO.

Home: https://multimediacommons.wordpress.com/yfcc100m-core-dataset/. Licence: each video has the Creative Commons
licence that its row names; attribution needs author and page, which the row holds too.

YFCC100M annotates no boxes; VidOR and part of TAO do, on its videos. VidOR names a video by its YFCC100M
identifier, TAO by its hash. Folder::

    data_dir/yfcc100m_dataset            or .bz2, or parts yfcc100m_dataset-0.bz2 to -9.bz2
    data_dir/vidor/                      see vidor.py
    data_dir/tao/                        see tao.py; one of the two is enough

The table has 100 million rows of 25 columns, tab-separated, texts percent-encoded. It is streamed once per call, and
only the rows of the wanted videos are kept, about a kilobyte each.

Thomee et al.: YFCC100M: The New Data in Multimedia Research. Communications of the ACM 59(2), 2016.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from dataset_script.records import VideoRecord

from . import tao, vidor
from .reading import (
    Broken,
    Cell,
    SourceError,
    contents,
    expect_files,
    expect_folder,
    find_splits,
    integer,
    listed,
    name,
    number,
    parse_row,
    pick_splits,
    read_each,
    read_rows,
    tolerating,
)

SOURCE = "yfcc100m"
WHAT = "the table of YFCC100M"
SPLITS = ("train", "validation", "test")
TAO_FOLDER = "/YFCC100M/"  # part of a TAO video's name
TAO_PREFIX = "v_"  # before the hash, as the last part of a TAO video's name
VIDEO = "1"


def _optional(parse: Cell) -> Cell:
    return lambda text: parse(text) if text else None


def _texts(text: str) -> list[str]:
    return [unquote_plus(tag) for tag in text.split(",") if tag]


def _marker(text: str) -> str:
    if text not in ("0", VIDEO):
        raise ValueError("expected 0 (photo) or 1 (video)")
    return {"0": "photo", VIDEO: "video"}[text]


COLUMNS: Mapping[str, Cell] = {
    "line": integer(0),
    "id": name,
    "hash": name,
    "user_id": name,
    "user": unquote_plus,
    "date_taken": str,
    "date_uploaded": str,
    "device": unquote_plus,
    "title": unquote_plus,
    "description": unquote_plus,
    "tags": _texts,
    "machine_tags": _texts,
    "longitude": _optional(number(-180, 180)),
    "latitude": _optional(number(-90, 90)),
    "accuracy": _optional(integer(0)),
    "page": str,
    "download": str,
    "license": str,
    "license_url": str,
    "server": str,
    "farm": str,
    "secret": str,
    "secret_original": str,
    "extension": str,
    "kind": _marker,
}
KEYS = slice(1, 3)  # columns that name a video: identifier and hash
INTERNAL = frozenset({"line", "server", "farm", "secret", "secret_original"})  # how Flickr stores it


def read_yfcc100m(data_dir: str | Path, split: str | None = None,
                  broken: list[Broken] | None = None) -> Iterator[VideoRecord]:  # fmt: skip
    """Yields the records of VidOR and TAO on videos of YFCC100M, each with its row of the table.

    Args:
        data_dir: The folder; see above.
        split: ``"train"``, ``"validation"``, ``"test"`` as VidOR and TAO split them, or None for all.
        broken: None to raise on the first broken video, or the list that collects them.

    Raises:
        SourceError: If the table or both annotated sets are missing, or (with ``broken`` None) a video is
            broken or has no row.
    """
    pick_splits(split, dict.fromkeys(SPLITS))
    folder = expect_folder(data_dir, WHAT)
    sets = _sets(folder, split)
    rows = read_yfcc_rows(folder, _wanted(sets, split), broken)
    yield from join_yfcc100m(_annotated(sets, split, broken), rows, broken)


def _sets(folder: Path, split: str | None) -> dict[str, Path]:
    """The annotated sets that are there and have the split."""
    there = {module: folder / module.SOURCE for module in (vidor, tao) if (folder / module.SOURCE).is_dir()}
    if not there:
        raise SourceError(folder, f"expected a folder vidor/ or tao/, found {contents(folder)}")
    splits = {module: find_splits(path, None, module.PLACES, module.WHAT) for module, path in there.items()}
    sets = {module.SOURCE: path for module, path in there.items() if split in (None, *splits[module])}
    if not sets:
        found = sorted({name for some in splits.values() for name in some})
        raise SourceError(folder, f"expected the split {split!r} of VidOR or TAO, found {listed(found)}")
    return sets


def _wanted(sets: Mapping[str, Path], split: str | None) -> Iterator[str]:
    """What names the videos of the annotated sets in the table."""
    if vidor.SOURCE in sets:
        yield from (path.stem for some in vidor.vidor_files(sets[vidor.SOURCE], split).values() for path in some)
    if tao.SOURCE in sets:
        yield from (yfcc_key(name) for name in tao.video_names(sets[tao.SOURCE], split) if TAO_FOLDER in name)


def _annotated(sets: Mapping[str, Path], split: str | None,
               broken: list[Broken] | None) -> Iterator[VideoRecord]:  # fmt: skip
    if vidor.SOURCE in sets:
        yield from vidor.read_vidor(sets[vidor.SOURCE], split, broken)
    if tao.SOURCE in sets:
        records = tao.read_tao(sets[tao.SOURCE], split, broken)
        yield from (record for record in records if TAO_FOLDER in record.video_id)


def join_yfcc100m(records: Iterable[VideoRecord], rows: Mapping[str, Mapping[str, Any]],
                  broken: list[Broken] | None = None) -> Iterator[VideoRecord]:  # fmt: skip
    """Yields the records with their rows under ``metadata["yfcc100m"]``.

    Args:
        records: Records of videos that are in YFCC100M; their ``source`` and the rest stay as they are.
        rows: Rows by identifier and by hash, as :func:`read_yfcc_rows` gives them.
        broken: None to raise on the first record without a row, or the list that collects them.

    Raises:
        SourceError: If a record has no row and ``broken`` is None.
    """

    def join(record: VideoRecord) -> VideoRecord:
        key = yfcc_key(record.video_id)
        if key not in rows:
            raise SourceError(f"video '{record.video_id}'", f"points nowhere: the table has no row of {key!r}")
        return replace(record, metadata={**record.metadata, SOURCE: dict(rows[key])})

    return read_each(records, join, broken, lambda record: f"video '{record.video_id}'")


def yfcc_key(video_id: str) -> str:
    """What names a VidOR video (its identifier) or a TAO video (its hash) in YFCC100M."""
    return video_id.rsplit("/", 1)[-1].removeprefix(TAO_PREFIX)


def read_yfcc_rows(data_dir: str | Path, wanted: Iterable[str],
                   broken: list[Broken] | None = None) -> dict[str, dict[str, Any]]:  # fmt: skip
    """The rows of some videos, by identifier or hash, whichever was asked for; what has no row is left out.

    Args:
        data_dir: The folder with the table, or its parts.
        wanted: Identifiers and hashes.
        broken: None to raise on the first wanted row that does not fit, or the list that collects them.

    Returns:
        Per row the plain values of these columns: ``id``, ``hash``, ``user_id``, ``user``, ``date_taken``,
        ``date_uploaded``, ``device``, ``title``, ``description``, ``tags``, ``machine_tags``, ``longitude``,
        ``latitude``, ``accuracy``, ``page``, ``download``, ``license``, ``license_url``, ``extension``, ``kind``.

    Raises:
        SourceError: If there is no table, or (with ``broken`` None) a row has too few columns or a wanted one
            does not fit them.
    """
    missing, found = set(wanted), {}
    paths = expect_files(data_dir, "yfcc100m_dataset*", WHAT)
    for row in chain.from_iterable(read_rows(path, delimiter="\t", quoted=False) for path in paths):
        keys = missing.intersection(row.cells[KEYS])
        if keys or len(row.cells) < KEYS.stop:
            with tolerating(broken, row.where):
                values = parse_row(row, COLUMNS)
                kept = {column: cell for column, cell in values.items() if column not in INTERNAL}
                found.update(dict.fromkeys(keys, kept))
            missing -= keys
        if not missing:
            break
    return found
