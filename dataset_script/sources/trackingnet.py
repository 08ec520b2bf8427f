"""TrackingNet: 30,643 clips of YouTube-BoundingBoxes with one object each, 27 classes.

Home page: https://tracking-net.org. The annotations are for research; the videos belong to their uploaders.
Citation: Müller et al., "TrackingNet: A Large-Scale Dataset and Benchmark for Object Tracking in the Wild",
ECCV 2018.

Folder, after ``frames/*.zip`` is unpacked::

    data_dir/TRAIN_0/anno/-3TIfnTSM6c_2.txt          x,y,w,h per frame, 30 frames per second
             TRAIN_0/frames/-3TIfnTSM6c_2/0.jpg ...
             TRAIN_1 ... TRAIN_11                    30,132 clips
             TEST/anno, TEST/frames                  511 clips; the first frame's box only

The published files do not name an object's class.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dataset_script.records import VideoRecord

from .otb import read_boxes
from .reading import Broken, SourceError, contents, expect_files, expect_folder, pick_splits, read_each
from .sequences import sequence_record

SOURCE = "trackingnet"
FPS = 30.0
FOLDERS = {"train": "TRAIN_*", "test": "TEST"}


def read_trackingnet(data_dir: str | Path, split: str | None = None, broken: list[Broken] | None = None
                     ) -> Iterator[VideoRecord]:  # fmt: skip
    """Streams the clips by folder and name; interactions are not annotated.

    Args:
        data_dir: The folder; see above.
        split: ``"train"``, ``"test"``, or None for what is there. Of a test clip only the first frame is
            annotated.
        broken: None to raise at the first broken clip, or the list that collects them.

    Raises:
        SourceError: If the folder is not TrackingNet, or (with ``broken`` None) a clip is broken.
        ValueError: If there is no split of that name.
    """
    wanted = pick_splits(split, FOLDERS)
    what = f"the clips of TrackingNet ({' and '.join(f'{pattern}/anno' for pattern in wanted.values())})"
    root = expect_folder(data_dir, what)
    parts = [(name, part) for name, pattern in wanted.items() for part in sorted(root.glob(pattern)) if part.is_dir()]
    if not parts:
        raise SourceError(root, f"expected {what}, found {contents(root)}; give the folder that holds them")
    for name, part in parts:
        truths = expect_files(part / "anno", "*.txt", "the boxes of TrackingNet")
        yield from read_each(truths, lambda truth, name=name: _record(truth, root, name), broken, lambda truth: truth)


def _record(truth: Path, root: Path, split: str) -> VideoRecord:
    part = truth.parent.parent
    return sequence_record(
        truth.stem,
        part / "frames" / truth.stem,
        root,
        {1: (None, read_boxes(truth))},
        source=SOURCE,
        fps=FPS,
        metadata={"split": split, "part": part.name},
    )
