"""VidOR: 10,000 videos of YFCC100M with 80 object classes and 50 predicates (42 actions, 8 positions).

Home: https://xdshang.github.io/docs/vidor.html; files also at https://huggingface.co/datasets/shangxd/vidor.
Licence: CC BY-SA 4.0 (as the Hub page states); each video keeps the Creative Commons licence its author gave it
(``yfcc100m.py`` joins it).

Folder, after ``training-annotation.zip``, ``validation-annotation.zip`` and the video archives are unpacked
(an ``annotation/`` folder around the first two is fine)::

    data_dir/training/0000/2401075277.json     7,000 videos
    data_dir/validation/0001/2793806282.json   835 videos
    data_dir/video/0000/2401075277.mp4         what a record's file_name is relative to

The test videos are published without annotation.

Shang, Di, Xiao, Cao, Yang, Chua: Annotating Objects and Relations in User-Generated Videos. ICMR 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dataset_script.records import VideoRecord

from .reading import Broken, expect_files, find_splits
from .relation_files import read_relation_files, write_relation_file

SOURCE = "vidor"
WHAT = "the annotations of VidOR, <group>/<video>.json"
PLACES = {"train": ("training", "annotation/training"), "validation": ("validation", "annotation/validation")}


def read_vidor(data_dir: str | Path, split: str | None = None,
               broken: list[Broken] | None = None) -> Iterator[VideoRecord]:  # fmt: skip
    """Yields the videos, by split and file name, one file in memory at a time.

    Args:
        data_dir: The folder; see above.
        split: ``"train"``, ``"validation"``, or None for all that are there.
        broken: None to raise on the first broken video or relation, or the list that collects them.

    Raises:
        SourceError: If the folder is not VidOR, or (with ``broken`` None) a video is broken.
    """
    for name, paths in vidor_files(data_dir, split).items():
        yield from read_relation_files(paths, SOURCE, name, broken)


def vidor_files(data_dir: str | Path, split: str | None = None) -> dict[str, list[Path]]:
    """The annotation files by split, sorted; a file's stem is the id of its video, in VidOR and in YFCC100M.

    Raises:
        SourceError: If the folder is not VidOR.
    """
    splits = find_splits(data_dir, split, PLACES, WHAT)
    return {name: expect_files(folder, "*/*.json", WHAT) for name, folder in splits.items()}


def write_vidor(record: VideoRecord, path: str | Path) -> None:
    """Writes a record as a VidOR annotation file; see :func:`.relation_files.write_relation_file`."""
    write_relation_file(record, path)
