"""Tables as folders that ``load_dataset(folder)`` reads without this project: Parquet, and VideoFolder."""

from __future__ import annotations

import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from datasets import Dataset, DatasetDict
from datasets.info import DatasetInfo, DatasetInfosDict
from huggingface_hub import DatasetCard, DatasetCardData

from dataset_script import media
from dataset_script.rows import FEATURES, is_frame_folder
from dataset_script.sources.frames import list_images

SHARD_BYTES = 500_000_000  # of videos in one Parquet file
PACKED_SUFFIX = ".mkv"  # the container of packed frames


def export_parquet(dataset: Dataset | DatasetDict, folder: str | Path, shard_bytes: int = SHARD_BYTES) -> None:
    """Writes ``data/<split>-<number>-of-<count>.parquet`` with the videos inside.

    Args:
        dataset: Rows of :data:`dataset_script.rows.FEATURES`, as :func:`dataset_script.load_semtrack` gives
            them; a single `Dataset` becomes the split that it is, or ``"train"``.
        folder: What to create; it appears complete or not at all.
        shard_bytes: Bytes of videos after which a new file begins; one file's videos are in memory at a time.

    Raises:
        FileExistsError: If the folder is there already.
        OutputError: If the images of a folder of frames cannot be packed.
    """
    with _new_folder(folder) as temporary:
        (temporary / "data").mkdir()
        for split, rows in _splits(dataset).items():
            pieces = list(_pieces(rows, shard_bytes))
            for number, (start, stop) in enumerate(pieces):
                piece = rows.select(range(start, stop)).map(
                    lambda row: {"video": None if row["video"] is None else {"path": None, "bytes": _bytes(row)}},
                    features=FEATURES,
                    keep_in_memory=True,
                    writer_batch_size=8,
                )
                piece.to_parquet(str(temporary / "data" / f"{split}-{number:05d}-of-{len(pieces):05d}.parquet"))


def export_video_folder(dataset: Dataset | DatasetDict, folder: str | Path) -> None:
    """Writes ``<split>/<number>_<id>.mp4`` and ``<split>/metadata.parquet``; `README.md` tells the type of the videos.

    Args:
        dataset: See :func:`export_parquet`; every row must hold its video.
        folder: What to create; it appears complete or not at all.

    Raises:
        FileExistsError: If the folder is there already.
        ValueError: If a row holds no video.
        OutputError: If the images of a folder of frames cannot be packed.
    """
    with _new_folder(folder) as temporary:
        for split, rows in _splits(dataset).items():
            (temporary / split).mkdir()
            names = [_write_video(row, temporary / split, number) for number, row in enumerate(rows)]
            # Not JSON: there a column without a value in one split would have another type than in the others.
            table = rows.remove_columns("video").add_column("file_name", names)
            table.to_parquet(str(temporary / split / "metadata.parquet"))
        _write_card(temporary / "README.md")


def pack_frames(folder: str | Path, fps: float, path: str | Path) -> None:
    """Puts the images of a folder into one Matroska video, as they are: nothing is decoded, nothing lost.

    Args:
        folder: Images of one format and size, in the order of
            :func:`dataset_script.sources.frames.list_images`.
        fps: Frames per second.
        path: The video, with the suffix ``.mkv``.

    Raises:
        OutputError: If there are no images, they differ in format, or the format does not fit a video.
    """
    images = list_images(folder)
    kinds = {image.suffix.lower().replace(".jpeg", ".jpg") for image in images}
    if len(kinds) != 1:
        raise media.OutputError(f"cannot pack '{folder}': expected images of one format, got {sorted(kinds) or 'none'}")
    tick = 1 / Fraction(fps).limit_denominator(100_000)
    try:
        with av.open(str(images[0])) as first, av.open(str(path), "w") as container:
            stream = container.add_stream_from_template(first.streams.video[0])
            stream.time_base = tick
            for index, image in enumerate(images):
                packet = av.Packet(image.read_bytes())
                packet.stream, packet.time_base = stream, tick
                packet.pts = packet.dts = index
                packet.duration, packet.is_keyframe = 1, True
                container.mux(packet)
    except (av.error.FFmpegError, ValueError) as error:
        raise media.OutputError(f"cannot pack the images of '{folder}' into a video: {error}") from error


def _splits(dataset: Dataset | DatasetDict) -> dict[str, Dataset]:
    return dict(dataset) if isinstance(dataset, DatasetDict) else {str(dataset.split or "train"): dataset}


@contextmanager
def _new_folder(folder: str | Path) -> Iterator[Path]:
    """A temporary folder that gets its name when the block ends well, and is removed otherwise."""
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"'{folder}' is there already; name another folder or remove it")
    temporary = folder.with_name(f".{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _pieces(rows: Dataset, shard_bytes: int) -> Iterator[tuple[int, int]]:
    """Consecutive rows whose videos have up to `shard_bytes` bytes together (or one row)."""
    start = total = 0
    for number, row in enumerate(rows.select_columns(["video"])):
        size = _size(row["video"])
        if number > start and total + size > shard_bytes:
            yield start, number
            start, total = number, 0
        total += size
    if start < len(rows):
        yield start, len(rows)


def _size(video: Mapping[str, Any] | None) -> int:
    if video is None:
        return 0
    if is_frame_folder(video):
        return sum(image.stat().st_size for image in list_images(video["path"]))
    return len(video["bytes"]) if video["bytes"] is not None else Path(video["path"]).stat().st_size


def _bytes(row: Mapping[str, Any]) -> bytes:
    """The video of a row as the bytes of one file."""
    if row["video"]["bytes"] is not None:
        return row["video"]["bytes"]
    if not is_frame_folder(row["video"]):
        return Path(row["video"]["path"]).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / f"frames{PACKED_SUFFIX}"
        pack_frames(row["video"]["path"], row["fps"], packed)
        return packed.read_bytes()


def _write_video(row: Mapping[str, Any], folder: Path, number: int) -> str:
    """Writes a row's video into the folder, and gives its name there."""
    if row["video"] is None:
        raise ValueError(f"row '{row['video_id']}' holds no video; a VideoFolder needs them (videos=True)")
    plain_id = re.sub(r"[^\w-]+", "_", row["video_id"])[-80:]
    stem = f"{number:06d}_{plain_id}"
    if row["video"]["bytes"] is not None:
        suffix = Path(row["video_file"]).suffix or ".mp4"
        (folder / f"{stem}{suffix}").write_bytes(row["video"]["bytes"])
    elif is_frame_folder(row["video"]):
        suffix = PACKED_SUFFIX
        pack_frames(row["video"]["path"], row["fps"], folder / f"{stem}{suffix}")
    else:
        suffix = Path(row["video"]["path"]).suffix
        shutil.copyfile(row["video"]["path"], folder / f"{stem}{suffix}")
    return f"{stem}{suffix}"


def _write_card(path: Path) -> None:
    """A card whose front matter tells the types of the columns: by default `load_dataset` decodes videos."""
    told, card = DatasetCardData(), DatasetCardData()
    DatasetInfosDict({"default": DatasetInfo(features=FEATURES)}).to_dataset_card_data(told)
    card.configs = [{"config_name": "default", "features": told.dataset_info["features"]}]
    DatasetCard(f"---\n{card.to_yaml()}\n---\n").save(path)
