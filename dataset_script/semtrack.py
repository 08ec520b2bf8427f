"""The `datasets` builder of semantic tracking data: a configuration per source, and one of synthetic videos.

:func:`dataset_script.loading.load_semtrack` is the usual way in. With `datasets` 3 this file also works as a
script: ``load_dataset("dataset_script/semtrack.py", "vidor", data_dir=..., trust_remote_code=True)``.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from dataset_script import media
from dataset_script.record_stream import RecordStream, contents_hash
from dataset_script.records import VideoRecord
from dataset_script.registry import SOURCES
from dataset_script.rows import FEATURES, record_to_row
from dataset_script.sources.reading import Broken
from dataset_script.splits import SPLITS, hashed_split, read_splits

logger = logging.getLogger(__name__)

SYNTHETIC = "synthetic"
SKIPPED_FILE = "skipped.json"  # beside the prepared tables
SKIPPED_SHOWN = 5  # in the log


@dataclass
class SemTrackBuilderConfig(datasets.BuilderConfig):
    """What to load; `name` is the source, `data_dir` its folder.

    Attributes:
        videos: Whether rows hold their video: the path of the file or folder of frames, or the rendered bytes
            of a synthetic one. False gives annotations alone.
        video_dir: Folder that file names are relative to; None takes the source's own place in `data_dir`.
        splits: JSON file of splits by video key that overrule the source's, see :mod:`dataset_script.splits`.
        skip_broken: Passes over broken entries and missing videos, and lists them, instead of raising.
        num_shards: Parts into which a split is cut for the workers of a streaming loader; costs a pass over the
            annotations, and each part is found by reading what comes before it.
        count: Number of synthetic videos.
        seed: Seed of the first synthetic video; the next ones count up.
        options: Further arguments of the source's reader, or of
            :class:`dataset_script.synthetic.SyntheticConfig`.
    """

    videos: bool = True
    video_dir: str | None = None
    splits: str | None = None
    skip_broken: bool = False
    num_shards: int = 1
    count: int = 100
    seed: int = 0
    options: dict[str, Any] | None = None

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """The name of the cache: the arguments, and the state of the annotation files, so that none is stale."""
        places = [place for place in (self.data_dir, self.splits) if place and self.name != SYNTHETIC]
        state = ",".join(contents_hash(Path(place)) for place in places)
        return super().create_config_id({**config_kwargs, "state": state} if state else config_kwargs, custom_features)

    def stream(self) -> RecordStream:
        """The records of the source.

        Raises:
            ValueError: If an argument does not fit the source.
        """
        if not self.data_dir:
            raise ValueError(f"source '{self.name}' needs data_dir=...: the folder that holds it")
        return RecordStream(
            source=self.name,
            data_dir=Path(self.data_dir),
            videos=self.videos,
            video_dir=None if self.video_dir is None else Path(self.video_dir),
            settled=read_splits(self.splits) if self.splits else {},
            options=self.options or {},
        )


class SemTrackDataset(datasets.GeneratorBasedBuilder):
    """Rows of :data:`dataset_script.rows.FEATURES`, one per video, in the order of the source.

    The order does not depend on the number of processes. Every split is one of ``train``, ``validation`` and
    ``test``; a split without videos is left out (a stream cannot know, and gives an empty one).

    Attributes:
        skipped: What `skip_broken` passed over: known once the data set is prepared; in a stream, what the
            iterations of this process have met so far.
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = SemTrackBuilderConfig
    BUILDER_CONFIGS = [
        SemTrackBuilderConfig(name=name, version=datasets.Version("1.0.0")) for name in (*SOURCES, SYNTHETIC)
    ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.skipped: list[Broken] = []
        self._num_shards = self.config.num_shards

    def download_and_prepare(self, *args: Any, num_proc: int | None = None, **kwargs: Any) -> None:
        """Writes the tables to the cache, in `num_proc` processes; see :class:`datasets.DatasetBuilder`."""
        self._num_shards = max(num_proc or 1, self.config.num_shards)
        super().download_and_prepare(*args, num_proc=num_proc, **kwargs)
        if self.config.skip_broken:
            self.skipped = _keep_skipped(Path(self.cache_dir) / SKIPPED_FILE, self.skipped)
            _log_skipped(self.config.name, self.skipped)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description="Videos with targets, their boxes over time, and timed interactions.",
            features=FEATURES,
            homepage="https://sutdcv.github.io/SemTrack",
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        if self.config.name == SYNTHETIC:
            parts = self._synthetic_parts()
        elif dl_manager.is_streaming and self._num_shards == 1:
            parts = {split: [(0, None)] for split in self.config.stream().splits}
        else:
            self.skipped = []
            counts = self.config.stream().count(self.skipped if self.config.skip_broken else None)
            parts = {split: _ranges(count, self._num_shards) for split, count in counts.items()}
        return [
            datasets.SplitGenerator(split, gen_kwargs={"split": split, "parts": some, "live": dl_manager.is_streaming})
            for split, some in parts.items()
        ]

    def _synthetic_parts(self) -> dict[str, list[tuple[int, int]]]:
        """A part for each video: the seed, and the one after it."""
        if self.config.count < 1:
            raise ValueError(f"count must be at least 1, got {self.config.count}")
        parts: dict[str, list[tuple[int, int]]] = {split: [] for split in SPLITS}
        for seed in range(self.config.seed, self.config.seed + self.config.count):
            parts[hashed_split(f"{SYNTHETIC}:{seed}")].append((seed, seed + 1))
        return {split: some for split, some in parts.items() if some}

    def _generate_examples(self, split: str, parts: list[tuple[int, int | None]],
                           live: bool) -> Iterator[tuple[str, dict[str, Any]]]:  # fmt: skip
        """Rows of the parts of a split; `live` in a stream, where nobody has counted what is broken."""
        for start, stop in parts:
            rows = self._synthetic_rows if self.config.name == SYNTHETIC else self._source_rows
            for row in rows(split, start, stop, live):
                yield row["video_id"], row

    def _source_rows(self, split: str, start: int, stop: int | None, live: bool) -> Iterator[dict[str, Any]]:
        broken: list[Broken] | None = [] if self.config.skip_broken else None
        for record, path in self.config.stream().read(split, start, stop, broken):
            yield record_to_row(record, None if path is None else {"path": str(path), "bytes": None})
        if live and broken:
            new = [entry for entry in broken if entry not in self.skipped]
            self.skipped += new
            _log_skipped(self.config.name, new)

    def _synthetic_rows(self, split: str, start: int, stop: int, live: bool) -> Iterator[dict[str, Any]]:
        from dataset_script.synthetic import SyntheticConfig, generate_video  # needs scikit-image

        config = SyntheticConfig(**(self.config.options or {}))
        for seed in range(start, stop):
            record, frames = generate_video(config, seed)
            record.metadata["split"] = split
            video = {"path": None, "bytes": _encoded(record, frames)} if self.config.videos else None
            yield record_to_row(record, video)


def _ranges(count: int, parts: int) -> list[tuple[int, int]]:
    """``range(count)`` cut into up to `parts` consecutive pieces of about the same length."""
    edges = [count * number // parts for number in range(parts + 1)]
    return [(start, stop) for start, stop in zip(edges, edges[1:]) if start < stop]


def _encoded(record: VideoRecord, frames: Iterator[Any]) -> bytes:
    """The frames as the bytes of an MP4 file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        with media.VideoWriter(path, record.fps) as writer:
            for index, frame in enumerate(frames):
                writer.write(frame, index / record.fps)
        return path.read_bytes()


def _keep_skipped(path: Path, skipped: list[Broken]) -> list[Broken]:
    """Writes what was skipped beside the tables, or reads it there if they were prepared before."""
    if path.is_file():
        return [Broken(*entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    with media.atomic_path(path) as temporary:
        temporary.write_text(json.dumps(skipped, ensure_ascii=False), encoding="utf-8")
    return skipped


def _log_skipped(source: str, skipped: list[Broken]) -> None:
    if skipped:
        shown = "; ".join(f"{entry.where}: {entry.why}" for entry in skipped[:SKIPPED_SHOWN])
        more = f"; and {len(skipped) - SKIPPED_SHOWN} more" if len(skipped) > SKIPPED_SHOWN else ""
        logger.warning("skipped %d broken entries of '%s': %s%s", len(skipped), source, shown, more)
