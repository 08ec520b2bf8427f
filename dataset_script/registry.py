"""Names of the sources, and how each is read; a reader's module is imported when it is asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from dataset_script.records import VideoRecord
from dataset_script.sources.reading import Broken

Reader = Callable[..., Iterator[VideoRecord]]


class Source(NamedTuple):
    """What is known of a source without reading it.

    Attributes:
        function: Name of its reader in ``dataset_script.sources.<source>``.
        splits: Splits that it publishes, where every video is in one of them; else empty.
        videos: Folder that file names are relative to, seen from the source's folder.
        parts: Whether its records are those of other sources, each in a folder of that name.
    """

    function: str
    splits: tuple[str, ...] = ()
    videos: str = "."
    parts: bool = False


SOURCES: dict[str, Source] = {
    "semtrack": Source("read_semtrack_folder"),
    "vidvrd": Source("read_vidvrd", ("train", "test"), "videos"),
    "vidor": Source("read_vidor", ("train", "validation"), "video"),
    "vidstg": Source("read_vidstg", ("train", "validation", "test"), "vidor/video"),
    "tao": Source("read_tao", ("train", "validation", "test"), "frames"),
    "got10k": Source("read_got10k", ("train", "validation", "test")),
    "ilsvrc_vid": Source("read_ilsvrc_vid", ("train", "validation"), "Data/VID"),
    "ava": Source("read_ava", ("train", "validation"), "videos"),
    "hacs": Source("read_hacs", ("train", "validation", "test"), "videos"),
    "yfcc100m": Source("read_yfcc100m", ("train", "validation", "test"), parts=True),
    "bensmot": Source("read_bensmot", ("train", "test")),
    "lasot": Source("read_lasot"),
    "trackingnet": Source("read_trackingnet", ("train", "test")),
    "otb": Source("read_otb"),
    "mot": Source("read_mot"),
    "ut_interaction": Source("read_ut_interaction"),
}
COMMON = ("data_dir", "split", "broken")


def source_named(name: str) -> Source:
    """The source of this name.

    Raises:
        ValueError: If there is none.
    """
    if name not in SOURCES:
        raise ValueError(f"source must be one of {', '.join(sorted(SOURCES))}, got {name!r}")
    return SOURCES[name]


def reader(name: str) -> Reader:
    """The function that reads a source: ``read(data_dir, split=None, broken=None, **options)``.

    Raises:
        ValueError: If there is no source of that name.
    """
    source = source_named(name)
    return getattr(import_module(f"dataset_script.sources.{name}"), source.function)


def read_records(source: str, data_dir: str | Path, split: str | None = None, broken: list[Broken] | None = None,
                 **options: Any) -> Iterator[VideoRecord]:  # fmt: skip
    """Streams the records of a source, in a fixed order.

    Args:
        source: A key of :data:`SOURCES`.
        data_dir: The folder that its reader expects.
        split: A split that the source publishes, or None for everything that is there.
        broken: None to raise at the first broken entry, or the list that collects them.
        options: Further arguments of this source's reader, for example ``fps`` of ``"semtrack"``.

    Raises:
        ValueError: If there is no such source, its reader knows no such option, or its files are not what
            they should be.
    """
    read = reader(source)
    known = [name for name in inspect.signature(read).parameters if name not in COMMON]
    unknown = sorted(set(options) - set(known))
    if unknown:
        takes = f"its options are {', '.join(known)}" if known else "it has none"
        raise ValueError(f"source '{source}' has no option {', '.join(unknown)}: {takes}")
    return read(data_dir, split=split, broken=broken, **options)
