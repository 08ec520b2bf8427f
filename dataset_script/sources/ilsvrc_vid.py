"""ILSVRC2015 VID (ImageNet video object detection): tracks of 30 animals and vehicles, boxes in every frame.

Home: https://image-net.org/challenges/LSVRC/2015/. Licence: ImageNet's terms of access, for non-commercial
research and education.

Folder, after ``ILSVRC2015_VID.tar.gz`` is unpacked (``ILSVRC2016`` and later hand out the same videos)::

    data_dir/Annotations/VID/train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000/000000.xml   3,862 videos
    data_dir/Annotations/VID/val/ILSVRC2015_val_00000000/000000.xml                                   555 videos
    data_dir/Data/VID/train/.../000000.JPEG     what a record's file_name (a folder) is relative to: Data/VID/

One small XML file per frame, its name the frame's index. The test videos are published without annotation.
``xmax`` and ``ymax`` name the last pixel inside the box, as in the challenge's evaluation code: a box is
``xmax - xmin + 1`` wide. Frames without a file count as not annotated. Interactions are not annotated (None), nor
does anything tell the frame rate: the nominal one of the videos, about 30, stands in for it.

Russakovsky et al.: ImageNet Large Scale Visual Recognition Challenge. IJCV 2015.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from dataset_script.records import Box, TargetRecord, VideoRecord

from .reading import Broken, SourceError, contents, find_splits, listed, read_each

SOURCE = "ilsvrc_vid"
WHAT = "the annotations of ILSVRC VID, <video>/<frame>.xml"
PLACES = {"train": ("Annotations/VID/train",), "validation": ("Annotations/VID/val",)}
DEPTHS = {"train": "*/*", "validation": "*"}  # the training videos are dealt into four folders
NOMINAL_FPS = 30.0
CATEGORIES = {
    "n02691156": "airplane",
    "n02419796": "antelope",
    "n02131653": "bear",
    "n02834778": "bicycle",
    "n01503061": "bird",
    "n02924116": "bus",
    "n02958343": "car",
    "n02402425": "cattle",
    "n02084071": "dog",
    "n02121808": "domestic_cat",
    "n02503517": "elephant",
    "n02118333": "fox",
    "n02510455": "giant_panda",
    "n02342885": "hamster",
    "n02374451": "horse",
    "n02129165": "lion",
    "n01674464": "lizard",
    "n02484322": "monkey",
    "n03790512": "motorcycle",
    "n02324045": "rabbit",
    "n02509815": "red_panda",
    "n02411705": "sheep",
    "n01726692": "snake",
    "n02355227": "squirrel",
    "n02129604": "tiger",
    "n04468005": "train",
    "n01662784": "turtle",
    "n04530566": "watercraft",
    "n02062744": "whale",
    "n02391049": "zebra",
}


def read_ilsvrc_vid(data_dir: str | Path, split: str | None = None, broken: list[Broken] | None = None,
                    fps: float = NOMINAL_FPS) -> Iterator[VideoRecord]:  # fmt: skip
    """Yields the videos, by split and folder, one video in memory at a time.

    Args:
        data_dir: The folder that holds ``Annotations`` and ``Data``; see above.
        split: ``"train"``, ``"validation"``, or None for all that are there.
        broken: None to raise on the first broken video, or the list that collects them.
        fps: Frame rate of the records.

    Raises:
        SourceError: If the folder is not ILSVRC VID, or (with ``broken`` None) a video is broken.
    """
    for name, folder in find_splits(data_dir, split, PLACES, WHAT).items():
        videos = sorted(path for path in folder.glob(DEPTHS[name]) if path.is_dir())
        if not videos:
            raise SourceError(folder, f"expected {WHAT}, found {contents(folder)}; unpack the archive again")
        read = partial(_read_video, root=folder.parent, split=name, fps=fps)
        yield from read_each(videos, read, broken, lambda video: video)


def _read_video(folder: Path, root: Path, split: str, fps: float) -> VideoRecord:
    boxes: dict[int, dict[int, Box]] = defaultdict(dict)
    categories: dict[int, str] = {}
    sizes: dict[tuple[int, int], Path] = {}
    files = {_frame_index(path): path for path in sorted(folder.glob("*.xml"))}
    if not files:
        raise SourceError(folder, f"expected a file <frame>.xml per frame, found {contents(folder)}")
    for frame, path in sorted(files.items()):
        tree = _parse(path)
        sizes.setdefault((_number(tree, "size/width", path), _number(tree, "size/height", path)), path)
        for element in tree.iterfind("object"):
            track = _number(element, "trackid", path)
            boxes[track][frame] = _box(element, path)
            name = _category(element, path)
            if categories.setdefault(track, name) != name:
                raise SourceError(path, f"expected track {track} to stay a {categories[track]}, got {name}")
    if len(sizes) > 1:
        raise SourceError(list(sizes.values())[1], f"expected frames of one size, got {listed(sizes)}")
    ((width, height),) = sizes
    return VideoRecord(
        video_id=folder.name,
        file_name=folder.relative_to(root).as_posix(),
        width=width,
        height=height,
        fps=fps,
        num_frames=max(files) + 1,
        targets=[TargetRecord(track, categories[track], boxes[track], main=False) for track in sorted(boxes)],
        interactions=None,
        prompt=None,
        source=SOURCE,
        metadata={"split": split, "nominal_fps": True},
        annotated_frames=tuple(sorted(files)),
    )


def _frame_index(path: Path) -> int:
    if not path.stem.isdecimal():
        raise SourceError(path, "expected a frame's index as name, such as 000012.xml; remove or rename the file")
    return int(path.stem)


def _parse(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        place = "'{}', line {}, column {}".format(path, *error.position)
        raise SourceError(place, "not complete XML: the file is cut short or damaged, unpack it again") from error


def _number(element: ElementTree.Element, tag: str, path: Path) -> int:
    text = element.findtext(tag)
    try:
        return int(text or "")
    except ValueError:
        raise SourceError(path, f"expected a whole number in <{tag}> of <{element.tag}>, got {text!r}") from None


def _category(element: ElementTree.Element, path: Path) -> str:
    synset = element.findtext("name")
    if synset not in CATEGORIES:
        raise SourceError(path, f"name {synset!r} points nowhere: expected a WordNet id such as n02084071 (dog)")
    return CATEGORIES[synset]


def _box(element: ElementTree.Element, path: Path) -> Box:
    left, top, right, bottom = (_number(element, f"bndbox/{side}", path) for side in ("xmin", "ymin", "xmax", "ymax"))
    return left, top, right - left + 1, bottom - top + 1
