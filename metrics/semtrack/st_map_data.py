"""A truth and its predictions in the SemTrack layout, checked against each other and numbered from 0."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .st_map_rows import NO_RELATION, NO_VIDEO, BoxTable, Relations, Row, table_of

MAX_DETECTIONS = 300  # predicted boxes per image; the rest, those with the lowest scores, are left out
NAMES_SHOWN = 3  # in error messages
MISSING = -1


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes with indices in place of ids.

    Attributes:
        image: int64 ``[N]``, index of :attr:`Scenes.image_video`.
        track: int64 ``[N]``, index of the track; one id in two videos is two tracks.
        category: int64 ``[N]``, index of :attr:`Scenes.categories`.
        boxes: float64 ``[N, 4]``, xywh in pixels.
        scores: float64 ``[N]``.
        main: int64 ``[N]``, 0 or 1.
        subject: Interactions of which the box is the subject.
        object: Interactions of which the box is the object.
        track_id: int64 ``[T]``, id of each track.
        track_video: int64 ``[T]``, index of the video.
        track_category: int64 ``[T]``, category of the track's first box.
        track_first: int64 ``[T]``, the track's first box.
    """

    image: np.ndarray
    track: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    main: np.ndarray
    subject: Relations
    object: Relations
    track_id: np.ndarray
    track_video: np.ndarray
    track_category: np.ndarray
    track_first: np.ndarray


@dataclass(frozen=True, eq=False)
class Scenes:
    """What is scored: videos, their images, the classes and the true boxes.

    Attributes:
        categories: Names of all classes.
        image_video: int64 ``[I]``, index of each image's video; -1 if the video is left out.
        image_time: int64 ``[I]``, ascending with the video, then with the frame.
        image_count: int64 ``[V]``, images per video.
        negative: bool ``[V, C]``, classes that are known to be absent.
        not_exhaustive: bool ``[V, C]``, classes of which not every object is annotated.
        truth: The true boxes.
    """

    categories: Sequence[str]
    image_video: np.ndarray
    image_time: np.ndarray
    image_count: np.ndarray
    negative: np.ndarray
    not_exhaustive: np.ndarray
    truth: Boxes

    @cached_property
    def positive(self) -> np.ndarray:
        """bool ``[V, C]``, classes of which a video shows an object."""
        shown = np.zeros_like(self.negative)
        shown[self.truth.track_video, self.truth.track_category] = True
        return shown

    @cached_property
    def evaluated(self) -> np.ndarray:
        """int64: classes that some video shows, in the order of the truth's list."""
        return np.flatnonzero(self.positive.any(axis=0))


def read_scenes(
    truth: Mapping[str, Any], predictions: Iterable[Row] | BoxTable, keep_last_of_a_name: bool
) -> tuple[Scenes, Boxes]:
    """Checks both sides and brings them into the order in which they are scored.

    Args:
        truth: The SemTrack layout: ``videos``, ``images``, ``categories``, ``annotations`` and, if known,
            ``interactions``.
        predictions: Boxes, see :func:`table_of`.
        keep_last_of_a_name: Of videos with the same last part of the name and the same text, score the last one
            only.

    Returns:
        The truth and the predicted boxes.

    Raises:
        ValueError: If a list or field is missing, an id is given twice or points nowhere, a track has two boxes
            in one image, or a value does not fit.
    """
    layout = _Layout(truth)
    videos = layout.videos_in_order(keep_last_of_a_name)
    true, predicted = table_of(layout.rows("annotations"), False), table_of(predictions, True)
    if not len(true):
        raise ValueError("the truth has no annotations, so there is nothing to score")
    for table in (true, predicted):
        layout.check(table)
    image_video, image_time = layout.images_in_order(videos)
    names = list(layout.categories)
    scenes = Scenes(
        categories=[str(layout.categories[key]["name"]) for key in names],
        image_video=image_video,
        image_time=image_time,
        image_count=np.bincount(image_video[image_video >= 0], minlength=len(videos)),
        negative=layout.class_table(videos, "neg_category_ids"),
        not_exhaustive=layout.class_table(videos, "not_exhaustive_category_ids"),
        truth=layout.index(true, np.arange(len(true)), image_video),
    )
    return scenes, layout.index(predicted, _at_most_per_image(predicted), image_video)


class _Layout:
    """The lists of a truth by id."""

    def __init__(self, truth: Mapping[str, Any]) -> None:
        if not isinstance(truth, Mapping):
            raise ValueError(f"the truth must be an object with lists, got {type(truth).__name__}")
        self._truth = truth
        self.videos = self._by_id("videos", ("name",))
        self.images = self._by_id("images", ("video_id", "frame_index"))
        self.categories = self._by_id("categories", ("name",))
        self.interactions = self._by_id("interactions", ("name",)) if "interactions" in truth else None
        if "tracks" in truth:
            self._by_id("tracks", ())
        _refuse_repeated("categories", "name", [category["name"] for category in self.categories.values()])
        self._merged = {
            part["id"]: key for key, whole in self.categories.items() for part in whole.get("merged", ())
        }  # TAO's way to count several classes as one
        self._image_ids = np.array(list(self.images), dtype=np.int64)
        self._image_videos = np.array([image["video_id"] for image in self.images.values()], dtype=np.int64)
        self._check_images()

    def rows(self, name: str) -> Any:
        """A list of the truth."""
        if name not in self._truth:
            raise ValueError(f"the truth has no list '{name}'; it has {', '.join(self._truth) or 'nothing'}")
        return self._truth[name]

    def _by_id(self, name: str, fields: Collection[str]) -> dict[int, Row]:
        rows = self.rows(name)
        for number, row in enumerate(rows):
            missing = [field for field in ("id", *fields) if field not in row]
            if missing:
                raise ValueError(f"truth {name} row {number}: {missing[0]} is missing, got {row!r}")
            for field in ("id", *(field for field in fields if field != "name")):
                if isinstance(row[field], bool) or not isinstance(row[field], int) or row[field] < 0:
                    raise ValueError(
                        f"truth {name} row {number}: {field} must be a whole number of 0 or more, got {row[field]!r}"
                    )
        _refuse_repeated(name, "id", [row["id"] for row in rows])
        return {row["id"]: row for row in rows}

    def _check_images(self) -> None:
        unknown = dict.fromkeys(video for video in self._image_videos.tolist() if video not in self.videos)
        if unknown:
            raise ValueError(f"truth images name videos that are not in 'videos': {_listed(unknown)}")
        frames = [(image["video_id"], image["frame_index"]) for image in self.images.values()]
        _refuse_repeated("images", "(video_id, frame_index)", frames)

    def videos_in_order(self, keep_last_of_a_name: bool) -> list[int]:
        """Ids of the videos that are scored, in the order of scoring, which breaks ties of equal scores."""
        names = {key: _sequence_name(video) for key, video in self.videos.items()}
        if keep_last_of_a_name:
            return [key for _, key in sorted({name: key for key, name in names.items()}.items())]
        return sorted(names, key=lambda key: names[key])

    def images_in_order(self, videos: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Index of each image's video (-1: not scored), and its place in time."""
        image_video = _positions(np.array(videos, dtype=np.int64), self._image_videos)
        frames = np.array([image["frame_index"] for image in self.images.values()], dtype=np.int64)
        time = np.empty(len(frames), dtype=np.int64)
        time[np.lexsort((frames, image_video))] = np.arange(len(frames))
        return image_video, time

    def class_table(self, videos: Sequence[int], field: str) -> np.ndarray:
        """bool [videos, classes]: which classes a field of the videos lists; unknown ones are passed over."""
        table = np.zeros((len(videos), len(self.categories)), dtype=bool)
        columns = {key: column for column, key in enumerate(self.categories)}
        for row, video in enumerate(videos):
            listed = [columns[key] for key in self.videos[video].get(field, ()) if key in columns]
            table[row, listed] = True
        return table

    def check(self, table: BoxTable) -> None:
        """Checks that the ids of a table's rows are known and fit together."""
        given = table.video != NO_VIDEO
        known = np.isin(table.video, np.array(list(self.videos), dtype=np.int64))
        self._refuse_unknown(table, "videos", table.video, known | ~given)
        images = _positions(self._image_ids, table.image)
        self._refuse_unknown(table, "images", table.image, images != MISSING)
        elsewhere = np.flatnonzero(given & (table.video != self._image_videos[images])) if len(images) else []
        if len(elsewhere):
            row = elsewhere[0]
            raise ValueError(
                f"{table.where(row)}: image_id {table.image[row]} belongs to video {self._image_videos[images[row]]}"
            )
        categories = np.array([*self.categories, *self._merged], dtype=np.int64)
        self._refuse_unknown(table, "categories", table.category, np.isin(table.category, categories))
        self._check_interactions(table)
        _, first, count = np.unique(pair_key(table.image, table.track), return_index=True, return_counts=True)
        if (count > 1).any():
            row = first[count > 1].min()
            raise ValueError(
                f"{table.where(row)}: track {table.track[row]} has more than one box in image {table.image[row]}; "
                "a track has one box per image"
            )

    def _check_interactions(self, table: BoxTable) -> None:
        if self.interactions is None:
            return
        known = np.array([NO_RELATION, *self.interactions], dtype=np.int64)
        for relations in (table.subject, table.object):
            unknown = np.flatnonzero(~np.isin(relations.classes, known))
            if unknown.size:
                row = relations.rows()[unknown[0]]
                raise ValueError(
                    f"{table.where(row)}: interaction {relations.classes[unknown[0]]} is not in the truth's "
                    "'interactions'; -1 is none"
                )

    def _refuse_unknown(self, table: BoxTable, kind: str, ids: np.ndarray, known: np.ndarray) -> None:
        if known.all():
            return
        row = int(np.flatnonzero(~known)[0])
        unknown = dict.fromkeys(ids[~known].tolist())
        raise ValueError(
            f"{table.name} name {kind} that are not in the truth's '{kind}': {_listed(unknown)}; first in "
            f"{table.where(row)}"
        )

    def index(self, table: BoxTable, rows: np.ndarray, image_video: np.ndarray) -> Boxes:
        """Those of some rows that are in videos that are scored, with indices in place of ids."""
        image = _positions(self._image_ids, table.image[rows])
        scored = image_video[image] != MISSING
        rows, image = rows[scored], image[scored]
        order = {key: column for column, key in enumerate(self.categories)}
        columns = {key: order[self._merged.get(key, key)] for key in (*order, *self._merged)}
        places = _positions(np.array(list(columns), dtype=np.int64), table.category[rows])
        category = np.array(list(columns.values()), dtype=np.int64)[places]
        video, track_id = image_video[image], table.track[rows]
        _, first, track = np.unique(pair_key(track_id, video), return_index=True, return_inverse=True)
        return Boxes(
            image=image,
            track=track,
            category=category,
            boxes=table.boxes[rows],
            scores=table.scores[rows],
            main=table.main[rows],
            subject=table.subject.take(rows),
            object=table.object.take(rows),
            track_id=track_id[first],
            track_video=video[first],
            track_category=category[first],
            track_first=first,
        )


def _at_most_per_image(table: BoxTable) -> np.ndarray:
    """The rows image by image, in the order in which images first occur, and of each image the best ones."""
    _, first, image = np.unique(table.image, return_index=True, return_inverse=True)
    order = np.argsort(first[image], kind="stable")
    counts = np.bincount(image, minlength=len(first))
    if (counts > MAX_DETECTIONS).any():
        crowded = counts[image] > MAX_DETECTIONS
        order = np.lexsort((np.where(crowded, -table.scores, 0.0), first[image]))
        place = np.arange(len(order)) - np.searchsorted(first[image][order], first[image][order])
        order = order[place < MAX_DETECTIONS]
    return order


def pair_key(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """int64 ``[N]``: a number for each pair of ``one[i]`` and ``other[i]``; equal pairs have equal numbers."""
    _, rank = np.unique(one, return_inverse=True)
    values, other_rank = np.unique(other, return_inverse=True)
    return rank * len(values) + other_rank


def _sequence_name(video: Row) -> str:
    """Name of a video that is asked about by a text."""
    return f"{str(video['name']).split('/')[-1]}_{str(video.get('lang', '')).replace(' ', '_')}"


def _positions(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of each wanted id in `ids`; -1 where it is not there."""
    if not ids.size:
        return np.full(len(wanted), MISSING)
    order = np.argsort(ids)
    place = order[np.searchsorted(ids, wanted, sorter=order).clip(max=len(ids) - 1)]
    return np.where(ids[place] == wanted, place, MISSING)


def _refuse_repeated(name: str, field: str, values: Sequence[Any]) -> None:
    if len(set(values)) == len(values):
        return
    seen: set[Any] = set()
    repeated = [value for value in values if value in seen or seen.add(value)]
    raise ValueError(f"truth {name}: {field} must be unique, got more than once: {_listed(dict.fromkeys(repeated))}")


def _listed(names: Collection[Any]) -> str:
    """The first few names and a count."""
    shown = ", ".join(str(name) for name in list(names)[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"
