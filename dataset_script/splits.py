"""Which videos train, validate and test: by video, never by clip, and the same in every run.

A split that a source publishes stands. Any other video is placed by a hash of where it comes from, so that it
falls into the same split in every source that contains it. Sources contradict each other, though: VidSTG
validates on videos that VidOR trains on, ImageNet-VidVRD tests on videos of ILSVRC's training set. Who uses
several sources together settles that once (:func:`common_splits`, :func:`write_splits`) and loads each of
them with the file: a video that any of them holds back for testing is a test video in all of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from dataset_script import media
from dataset_script.records import VideoRecord
from dataset_script.sources.reading import SourceError, read_json

SPLITS = ("train", "validation", "test")  # from the least to the most reserved
PUBLISHED_NAMES = {"train": "train", "training": "train", "val": "validation", "validation": "validation",
                   "test": "test", "testing": "test"}  # fmt: skip
HASHED_SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}

YOUTUBE = r"([\w-]{11})"
# Where a video comes from, told by its name, its path or its address: (collection, pattern of the id there).
ORIGINS = tuple(
    (collection, re.compile(pattern))
    for collection, pattern in (
        ("ilsvrc", r"\b(ILSVRC\d{4}_(?:train|val|test)_\d{8})"),
        ("yfcc100m", r"\bYFCC100M/(?:v_)?([0-9a-f]+)"),
        ("youtube", rf"\bAVA/{YOUTUBE}(?=_scene|[./]|$)"),
        ("youtube", rf"\bHACS/(?:[^ ]*?v_)?{YOUTUBE}(?=_scene|[./]|$)"),
        ("youtube", rf"\byoutu(?:\.be/|be\.com/watch\?v=){YOUTUBE}"),
        ("lasot", r"\bLaSOT/([\w-]+-\d+)"),
        ("mot16", r"\bMOT1[67]-(\d+)"),  # MOT17 has the videos of MOT16, three times
    )
)
# Sources whose ids are those of another collection, and what of the id is that.
COLLECTIONS = {
    "vidor": ("yfcc100m", r".*"),
    "vidstg": ("yfcc100m", r".*"),
    "ava": ("youtube", r".*"),
    "hacs": ("youtube", r".*"),
    "trackingnet": ("youtube", rf"{YOUTUBE}_\d+"),
    "bensmot": ("youtube", rf".*/{YOUTUBE}_\d+"),
}


def video_key(record: VideoRecord) -> str:
    """Where a video comes from: ``"<collection>:<id there>"``, equal in all sources that contain it.

    A record that is a part of a video (a clip, a sentence about it) names that as ``metadata["video"]`` or
    ``["sequence"]``. TAO knows a video of YFCC100M by its hash, VidOR by its number; where a record holds its
    row of YFCC100M's table, the number counts.
    """
    row = record.metadata.get("yfcc100m")
    if row:
        return f"yfcc100m:{row['id']}"
    name = str(record.metadata.get("video") or record.metadata.get("sequence") or record.video_id)
    told = f"{name} {record.file_name} {record.metadata.get('url', '')}"
    for collection, pattern in ORIGINS:
        found = pattern.search(told)
        if found:
            return f"{collection}:{found[1]}"
    collection, pattern = COLLECTIONS.get(record.source, (record.source, r".*"))
    found = re.fullmatch(pattern, name)
    return f"{collection}:{found[found.re.groups]}" if found else f"{record.source}:{name}"


def published_split(record: VideoRecord) -> str | None:
    """The split that the source names (``metadata["split"]``), or None.

    Raises:
        ValueError: If the name is none that is known.
    """
    name = record.metadata.get("split")
    if name is None:
        return None
    if str(name).lower() not in PUBLISHED_NAMES:
        raise ValueError(f"video '{record.video_id}': split must be one of {list(PUBLISHED_NAMES)}, got {name!r}")
    return PUBLISHED_NAMES[str(name).lower()]


def hashed_split(key: str) -> str:
    """The split of a video that nobody placed: 80 % train, 10 % validation, 10 % test by a hash of its key."""
    place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64
    for split, share in HASHED_SHARES.items():
        if place < share:
            return split
        place -= share
    return SPLITS[-1]


def split_of(record: VideoRecord, settled: Mapping[str, str] | None = None) -> str:
    """The split of a video: the settled one, or else the published one, or else the hashed one.

    Args:
        record: The video.
        settled: Splits by :func:`video_key`, from :func:`common_splits`.
    """
    key = video_key(record)
    if settled and key in settled:
        return settled[key]
    return published_split(record) or hashed_split(key)


def common_splits(records: Iterable[VideoRecord]) -> dict[str, str]:
    """One split for each video of several sources: the most reserved one that any of them publishes for it.

    Args:
        records: The records of all sources that are used together. Those of ``"yfcc100m"`` among them make
            known which videos TAO and VidOR share.

    Returns:
        Split by :func:`video_key`, sorted by key.
    """
    published: dict[str, str | None] = {}
    numbers: dict[str, str] = {}  # of YFCC100M's videos, by hash
    for record in records:
        key, split = video_key(record), published_split(record)
        row = record.metadata.get("yfcc100m")
        if row:
            numbers[f"yfcc100m:{row['hash']}"] = key
        published[key] = _most_reserved(published.get(key), split)
    for key, number in numbers.items():
        published[key] = published[number] = _most_reserved(published.get(key), published[number])
    return {key: split or hashed_split(numbers.get(key, key)) for key, split in sorted(published.items())}


def _most_reserved(one: str | None, other: str | None) -> str | None:
    return max(one, other, key=lambda split: SPLITS.index(split) if split else -1)


def write_splits(splits: Mapping[str, str], path: str | Path) -> None:
    """Writes splits by video key as JSON, for ``load_semtrack(..., splits=path)``."""
    with media.atomic_path(path) as temporary:
        temporary.write_text(json.dumps(dict(splits), indent=0, ensure_ascii=False), encoding="utf-8")


def read_splits(path: str | Path) -> dict[str, str]:
    """Inverse of :func:`write_splits`.

    Raises:
        SourceError: If the file is missing, is no JSON object, or names a split that is none.
    """
    splits = read_json(path)
    for key, split in splits.items():
        if split not in SPLITS:
            raise SourceError(Path(path), f"{key!r} must be in one of {list(SPLITS)}, got {split!r}")
    return splits
