"""LaSOT: 1,400 long videos (2,500 frames on average) of one object each, 70 classes, with a sentence.

Home page: http://vision.cs.stonybrook.edu/~lasot (and https://huggingface.co/datasets/l-lt/LaSOT). For
research; the videos come from YouTube under Creative Commons licences.
Citation: Fan et al., "LaSOT: A High-quality Benchmark for Large-scale Single Object Tracking", CVPR 2019.

Folder, after the archives are unpacked (videos may also lie in the folder itself, without the classes)::

    data_dir/airplane/airplane-1/img/00000001.jpg ...    30 frames per second
                                 groundtruth.txt         x,y,w,h per frame
                                 full_occlusion.txt      0,0,1,... in one line: 1 where the target is hidden
                                 out_of_view.txt         likewise, where it is out of the frame
                                 nlp.txt                 a sentence about the target
    data_dir/testing_set.txt                             names of the 280 test videos; all others are for training
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dataset_script.names import read_names
from dataset_script.records import VideoRecord

from .otb import read_boxes
from .reading import Broken, SourceError, contents, expect_folder, pick_splits, read_each
from .sequences import absent_where, sequence_record

SOURCE = "lasot"
FPS = 30.0
SPLITS = ("train", "test")
TEST_LIST = "testing_set.txt"


def read_lasot(data_dir: str | Path, split: str | None = None, broken: list[Broken] | None = None
               ) -> Iterator[VideoRecord]:  # fmt: skip
    """Streams the videos by name; a frame without the target has no box, interactions are not annotated.

    Args:
        data_dir: The folder; see above.
        split: ``"train"`` or ``"test"``, which need ``testing_set.txt``, or None for all.
        broken: None to raise at the first broken video, or the list that collects them.

    Raises:
        SourceError: If the folder is not LaSOT or the list of test videos is missing but needed, or (with
            ``broken`` None) a video is broken.
        ValueError: If there is no split of that name.
    """
    pick_splits(split, dict.fromkeys(SPLITS))
    what = "the videos of LaSOT (<class>/<class>-<number>/groundtruth.txt)"
    root = expect_folder(data_dir, what)
    truths = sorted([*root.glob("*/groundtruth.txt"), *root.glob("*/*/groundtruth.txt")])
    if not truths:
        raise SourceError(root, f"expected {what}, found {contents(root)}; give the folder that holds them")
    tests = _tests(root, split)
    videos = [path.parent for path in truths if split in (None, _split(path.parent, tests))]
    yield from read_each(videos, lambda video: _record(video, root, _split(video, tests)), broken, lambda video: video)


def _tests(root: Path, split: str | None) -> set[str] | None:
    path = root / TEST_LIST
    if path.is_file():
        return read_names(path)
    if split is not None:
        why = f"splits need {TEST_LIST}, found {contents(root)}; take it from LaSOT's home page, or read all videos"
        raise SourceError(root, why)
    return None


def _split(video: Path, tests: set[str] | None) -> str | None:
    if tests is None:
        return None
    return "test" if video.name in tests else "train"


def _record(video: Path, root: Path, split: str | None) -> VideoRecord:
    boxes = read_boxes(video / "groundtruth.txt")
    boxes = absent_where(boxes, video / "full_occlusion.txt", video / "out_of_view.txt")
    sentence = video / "nlp.txt"
    return sequence_record(
        video.name,
        video / "img",
        root,
        {1: (video.name.rpartition("-")[0] or None, boxes)},
        source=SOURCE,
        fps=FPS,
        prompt=(sentence.read_text(encoding="utf-8-sig").strip() or None) if sentence.is_file() else None,
        metadata={} if split is None else {"split": split},
    )
