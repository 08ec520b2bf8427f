"""TAO: tracks of 833 categories in 2,907 videos of seven data sets, annotated at one frame a second.

Home: https://taodataset.org, https://github.com/TAO-Dataset. Licence: none is stated for the annotations (the code
is MIT); the videos keep the terms of ArgoVerse, AVA, BDD-100k, Charades, HACS, LaSOT and YFCC100M.

Folder::

    data_dir/annotations/train.json, validation.json, test_without_annotations.json
    data_dir/frames/train/YFCC100M/v_<hash>/frame0001.jpg   what a record's file_name is relative to: frames/

The test videos are published without boxes: their records have no targets and no annotated frames. Files with
boxes are read video by video; of such a file only the names of the videos, and where everything else lies, are
in memory.

What TAO does not say: interactions (None), boxes between the annotated frames (see ``annotated_frames``), and
the frame rate, which is the distance between annotated frames. ``num_frames`` reaches to the last annotated one.
TAO is federated, annotators did not look for every category in every video: metadata names the ``absent`` ones,
looked for and not there, and the ``not_exhaustive`` ones, of which there may be more than are annotated.

Dave, Khurana, Tokmakov, Schmid, Ramanan: TAO: A Large-Scale Benchmark for Tracking Any Object. ECCV 2020.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from dataset_script.records import TargetRecord, VideoRecord

from .json_lists import ByVideo, Element, scan_lists
from .reading import Broken, SourceError, find_splits, read_each, tolerating, value

SOURCE = "tao"
WHAT = "the annotations of TAO"
PLACES = {
    "train": ("annotations/train.json", "train.json"),
    "validation": ("annotations/validation.json", "validation.json"),
    "test": ("annotations/test_without_annotations.json", "test_without_annotations.json"),
}
# The file names each category by its first synonym, which for all people is "baby".
NAMES = {"person.n.01": "person"}


def read_tao(data_dir: str | Path, split: str | None = None,
             broken: list[Broken] | None = None) -> Iterator[VideoRecord]:  # fmt: skip
    """Yields the videos, by split and name.

    Args:
        data_dir: The folder; see above.
        split: ``"train"``, ``"validation"``, ``"test"``, or None for all that are there.
        broken: None to raise on the first broken video, or the list that collects them.

    Raises:
        SourceError: If the folder is not TAO, a file is not complete, or (with ``broken`` None) a video is
            broken.
    """
    for name, path in find_splits(data_dir, split, PLACES, WHAT).items():
        file = _File(path, name, broken)
        yield from read_each(file.videos, file.record, broken, file.place)


def video_names(data_dir: str | Path, split: str | None = None) -> Iterator[str]:
    """The names of the videos, without the rest.

    Raises:
        SourceError: If the folder is not TAO or a file is not complete.
    """
    for path in find_splits(data_dir, split, PLACES, WHAT).values():
        for element in scan_lists(path):
            if element.list_name == "videos" and element.begin < element.end:
                yield value(element.value, "name", str, f"'{path}', byte {element.begin}")


class _File:
    """One annotation file: videos and categories whole, images and boxes by where they lie."""

    def __init__(self, path: Path, split: str, broken: list[Broken] | None) -> None:
        self.path, self.split = path, split
        self.images, self.boxes = ByVideo(path), ByVideo(path)  # by video, by image
        self.tracks: dict[int, int] = {}
        self.frames: dict[int, int] = {}
        self.annotated = False
        small = {"videos": ByVideo(path), "categories": ByVideo(path)}
        for element in scan_lists(path):
            if element.list_name in small and element.begin < element.end:
                small[element.list_name].add(None, element.begin, element.end)
            elif element.begin < element.end:
                self._index(element)
        categories = small["categories"].rows(None)
        self.categories = {value(c, "id", int, path): _category(c, path) for c in categories}
        self.videos = sorted(small["videos"].rows(None), key=lambda video: value(video, "name", str, path))
        if not self.videos:
            raise SourceError(path, "expected a list 'videos' as TAO has, found none; is it the right file?")
        self._check_ids(broken)

    def _index(self, element: Element) -> None:
        where = f"'{self.path}', byte {element.begin} ({element.list_name})"
        if element.list_name == "images":
            image = value(element.value, "id", int, where)
            self.frames[image] = value(element.value, "frame_index", int, where)
            self.images.add(value(element.value, "video_id", int, where), element.begin, element.end)
        elif element.list_name == "annotations":
            self.annotated = True
            self.boxes.add(value(element.value, "image_id", int, where), element.begin, element.end)
        elif element.list_name == "tracks":
            self.tracks[value(element.value, "id", int, where)] = value(element.value, "category_id", int, where)

    def _check_ids(self, broken: list[Broken] | None) -> None:
        """Images of no video and boxes of no image belong to no record, so no record would show them."""
        videos = {value(video, "id", int, self.path) for video in self.videos}
        lost = [("image", "video", id_) for id_ in self.images if id_ not in videos]
        lost += [("annotation", "image", id_) for id_ in self.boxes if id_ not in self.frames]
        for kind, field, id_ in lost:
            with tolerating(broken, self.path):
                raise SourceError(self.path, f"an {kind} points nowhere: the file has no {field} {id_}")

    def place(self, video: Mapping[str, Any]) -> str:
        """File and position of a video."""
        return f"'{self.path}', video '{video['name']}'"

    def record(self, video: Mapping[str, Any]) -> VideoRecord:
        """The record of a video."""
        where = self.place(video)
        images = self.images.rows(video["id"])
        frames = sorted(self.frames[image["id"]] for image in images)
        if not frames:
            raise SourceError(where, "expected images of this video, the file has none")
        return VideoRecord(
            video_id=video["name"],
            file_name=video["name"],
            width=value(video, "width", int, where),
            height=value(video, "height", int, where),
            fps=_frame_rate(frames, where),
            num_frames=frames[-1] + 1,
            targets=self._targets(images, where),
            interactions=None,
            prompt=None,
            source=SOURCE,
            metadata=self._metadata(video, where),
            annotated_frames=tuple(frames) if self.annotated else (),
        )

    def _targets(self, images: list[dict[str, Any]], where: str) -> list[TargetRecord]:
        boxes: dict[int, dict[int, Any]] = defaultdict(dict)
        for image in images:
            for row in self.boxes.rows(image["id"]):
                track = value(row, "track_id", int, where)
                boxes[track][self.frames[image["id"]]] = value(row, "bbox", list, where)
        unknown = [track for track in sorted(boxes) if track not in self.tracks]
        if unknown:
            raise SourceError(where, f"an annotation points nowhere: the file has no track {unknown[0]}")
        return [TargetRecord(t, self._name(self.tracks[t], where), boxes[t], main=False) for t in sorted(boxes)]

    def _name(self, category: int, where: str) -> str:
        if category not in self.categories:
            raise SourceError(where, f"points nowhere: the file has no category {category}")
        return self.categories[category]

    def _metadata(self, video: Mapping[str, Any], where: str) -> dict[str, Any]:
        return {
            **video.get("metadata", {}),
            "split": self.split,
            "absent": [self._name(c, where) for c in video.get("neg_category_ids", ())],
            "not_exhaustive": [self._name(c, where) for c in video.get("not_exhaustive_category_ids", ())],
        }


def _category(category: Mapping[str, Any], path: Path) -> str:
    return NAMES.get(category.get("synset", ""), value(category, "name", str, path))


def _frame_rate(frames: list[int], where: str) -> float:
    """Frames between two annotated ones, which are a second apart."""
    if len(frames) < 2:
        raise SourceError(where, "expected two annotated frames or more to tell the frame rate, found one")
    return float(median(later - earlier for earlier, later in pairwise(frames)))
