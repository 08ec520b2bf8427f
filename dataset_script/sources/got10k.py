"""GOT-10k: 10,000 videos of one moving object each, 563 object and 87 motion classes.

Home page: http://got-10k.aitestunion.com. Licence: CC BY-NC-SA 4.0.
Citation: Huang et al., "GOT-10k: A Large High-Diversity Benchmark for Generic Object Tracking in the Wild",
TPAMI 2021.

Folder, after the archives are unpacked::

    data_dir/train/GOT-10k_Train_000001/00000001.jpg ...    9,335 videos, 10 frames per second
                                        groundtruth.txt     x,y,w,h per frame
                                        absence.label       1 where the target is absent, one line per frame
                                        cover.label, cut_by_image.label
                                        meta_info.ini       [METAINFO] object_class, motion_class, resolution, ...
    data_dir/val/GOT-10k_Val_000001/...                     180 videos
    data_dir/test/GOT-10k_Test_000001/...                   180 videos; the first frame's box only, no labels
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dataset_script.records import VideoRecord

from .frames import FrameInfo, list_images
from .otb import read_boxes
from .reading import Broken, SourceError, contents, find_splits, read_each
from .sequences import absent_where, read_section, sequence_record

SOURCE = "got10k"
FOLDERS = {"train": ("train",), "validation": ("val",), "test": ("test",)}
TOLD = ("url", "motion_class", "major_class", "root_class", "motion_adverb")  # go into the metadata


def read_got10k(data_dir: str | Path, split: str | None = None, broken: list[Broken] | None = None
                ) -> Iterator[VideoRecord]:  # fmt: skip
    """Streams the videos, by split and name; interactions are not annotated.

    Args:
        data_dir: The folder; see above.
        split: ``"train"``, ``"validation"``, ``"test"``, or None for all that are there. Of a test video
            only the first frame is annotated.
        broken: None to raise at the first broken video, or the list that collects them.

    Raises:
        SourceError: If the folder is not GOT-10k, or (with ``broken`` None) a video is broken.
        ValueError: If there is no split of that name.
    """
    root = Path(data_dir)
    for name, folder in find_splits(root, split, FOLDERS, "the videos of GOT-10k").items():
        videos = sorted(path for path in folder.glob("GOT-10k_*") if path.is_dir())
        if not videos:
            raise SourceError(folder, f"expected folders GOT-10k_*, found {contents(folder)}; unpack the archives")
        yield from read_each(videos, lambda video, name=name: _record(video, root, name), broken, lambda video: video)


def _record(folder: Path, root: Path, split: str) -> VideoRecord:
    boxes = absent_where(read_boxes(folder / "groundtruth.txt"), folder / "absence.label")
    meta_path = folder / "meta_info.ini"
    meta = read_section(meta_path, "METAINFO") if meta_path.is_file() else {}
    info = FrameInfo(*_resolution(meta, meta_path), len(list_images(folder)), None) if "resolution" in meta else None
    return sequence_record(
        folder.name,
        folder,
        root,
        {1: (meta.get("object_class"), boxes)},
        source=SOURCE,
        info=info,
        fps=_rate(meta, meta_path),
        metadata={"split": split, **{key: meta[key] for key in TOLD if key in meta}},
    )


def _resolution(meta: Mapping[str, str], path: Path) -> tuple[int, int]:
    found = re.fullmatch(r"\((\d+), *(\d+)\)", meta["resolution"])
    if found is None:
        raise SourceError(f"'{path}', resolution", f"expected (width, height), got {meta['resolution']!r}")
    return int(found[1]), int(found[2])


def _rate(meta: Mapping[str, str], path: Path) -> float | None:
    text = meta.get("anno_fps")
    if text is None:
        return None
    found = re.fullmatch(r"([\d.]+) *Hz", text)
    if found is None:
        raise SourceError(f"'{path}', anno_fps", f"expected a rate like 10Hz, got {text!r}")
    return float(found[1])
