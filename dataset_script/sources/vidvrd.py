"""ImageNet-VidVRD: 1,000 videos of ImageNet VID with 35 object classes and 132 predicates.

Home: https://xdshang.github.io/docs/imagenet-vidvrd.html; files also at
https://huggingface.co/datasets/shangxd/imagenet-vidvrd. Licence: none is stated for the annotations (the helper
code is MIT); the videos are ImageNet's, for non-commercial research.

Folder, after ``vidvrd-annotations.zip`` and ``vidvrd-videos-part*.zip`` are unpacked::

    data_dir/train/ILSVRC2015_train_*.json     800 videos
    data_dir/test/ILSVRC2015_train_*.json      200 videos
    data_dir/videos/ILSVRC2015_train_*.mp4     what a record's file_name is relative to

Relations of the training videos are annotated in short segments, so one that lasts stands there several times.

Shang, Ren, Guo, Zhang, Chua: Video Visual Relation Detection. ACM Multimedia 2017.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dataset_script.records import VideoRecord

from .reading import Broken, expect_files, find_splits
from .relation_files import read_relation_files

SOURCE = "vidvrd"
WHAT = "the annotations of ImageNet-VidVRD, one JSON file per video"
PLACES = {name: (name, f"annotations/{name}", f"vidvrd-dataset/{name}") for name in ("train", "test")}


def read_vidvrd(data_dir: str | Path, split: str | None = None,
                broken: list[Broken] | None = None) -> Iterator[VideoRecord]:  # fmt: skip
    """Yields the videos, by split and file name, one file in memory at a time.

    Args:
        data_dir: The folder; see above.
        split: ``"train"``, ``"test"``, or None for all that are there.
        broken: None to raise on the first broken video or relation, or the list that collects them.

    Raises:
        SourceError: If the folder is not VidVRD, or (with ``broken`` None) a video is broken.
    """
    for name, folder in find_splits(data_dir, split, PLACES, WHAT).items():
        yield from read_relation_files(expect_files(folder, "*.json", WHAT), SOURCE, name, broken)
