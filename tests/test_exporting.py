"""Exports that anybody's `load_dataset(folder)` reads back with equal content."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from training_files import a_record, red_frame, write_annotated
from video_files import picture

from dataset_script.exporting import export_parquet, export_video_folder, pack_frames
from dataset_script.rows import FEATURES, open_video, record_to_row, row_to_record
from dataset_script.sources.frames import list_images
from modeling_semtrack.files import OutputError
from modeling_semtrack.video import VideoReader

datasets = pytest.importorskip("datasets")
EXPORTS = {"parquet": export_parquet, "VideoFolder": export_video_folder}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A data set with files, bytes and frame folders as videos, and both exports of it, read back by folder."""
    folder = tmp_path_factory.mktemp("exports")
    train = [a_record("a/ä one", frames=6, file_name="one.mp4", interactions=[]), a_record("two", frames=17)]
    write_annotated(folder / "videos", *train)
    rows = [
        record_to_row(train[0], {"path": str(folder / "videos" / "one.mp4"), "bytes": None}),
        record_to_row(train[1], {"path": None, "bytes": (folder / "videos" / "two.mp4").read_bytes()}),
    ]
    data = datasets.DatasetDict(
        train=datasets.Dataset.from_list(rows, features=FEATURES),
        test=datasets.Dataset.from_list([a_frame_folder(folder / "frames")], features=FEATURES),
    )
    read = {}
    for name, export in EXPORTS.items():
        export(data, folder / name)
        read[name] = datasets.load_dataset(str(folder / name), cache_dir=str(folder / "cache"))
    return data, read, folder


def a_frame_folder(folder):
    """A row of a tracking sequence: JPEG images, interactions unknown, only the first frame annotated."""
    folder.mkdir()
    for index in range(4):
        Image.fromarray(red_frame((4 * index, 9, 20, 20), seed=index)).save(folder / f"{index:04d}.jpg")
    changes = {"targets": [], "interactions": None, "annotated_frames": (0,), "fps": 30000 / 1001}
    record = a_record("frames", frames=4, file_name="frames", width=120, height=90, **changes)
    return record_to_row(record, {"path": str(folder), "bytes": None})


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_reads_back_with_equal_records_and_types(exported, name):
    data, read, _ = exported
    assert {split: len(rows) for split, rows in read[name].items()} == {"train": 2, "test": 1}
    for split in data:
        assert read[name][split].features == FEATURES
        assert [row_to_record(row) for row in read[name][split]] == [row_to_record(row) for row in data[split]]


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_holds_the_videos_byte_by_byte(exported, name):
    _, read, folder = exported
    for row, source in zip(read[name]["train"], ("one.mp4", "two.mp4")):
        video = row["video"]
        held = video["bytes"] or Path(video["path"]).read_bytes()
        assert held == (folder / "videos" / source).read_bytes()


@pytest.mark.parametrize("name", EXPORTS)
def test_a_folder_of_frames_becomes_a_video_of_the_same_images(exported, name):
    _, read, folder = exported
    row = read[name]["test"][0]
    held = row["video"]["bytes"] or Path(row["video"]["path"]).read_bytes()
    assert packets(io.BytesIO(held)) == [path.read_bytes() for path in sorted((folder / "frames").iterdir())]
    with open_video(row) as reader:
        assert [frame.time for frame in reader] == pytest.approx([n * 1001 / 30000 for n in range(4)], abs=1e-3)


def packets(video):
    """The compressed frames of a video."""
    with av.open(video) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_parquet_names_no_path_of_this_machine(exported):
    _, read, folder = exported
    assert all(row["video"]["path"] is None for row in read["parquet"]["train"])
    files = sorted((folder / "parquet" / "data").iterdir())
    assert [file.name for file in files] == ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]
    assert not any(str(folder).encode() in file.read_bytes() for file in files)


def test_exports_stream(exported):
    data, _, folder = exported
    for name in EXPORTS:
        rows = datasets.load_dataset(str(folder / name), split="train", streaming=True)
        assert [row_to_record(row) for row in rows] == [row_to_record(row) for row in data["train"]]


def test_large_splits_are_cut_into_files_in_order(exported, tmp_path):
    data, _, _ = exported
    export_parquet(data["train"], tmp_path / "cut", shard_bytes=1)
    names = sorted(path.name for path in (tmp_path / "cut" / "data").iterdir())
    assert names == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    rows = datasets.load_dataset(str(tmp_path / "cut"), split="train", cache_dir=str(tmp_path / "cache"))
    assert [row["video_id"] for row in rows] == ["a/ä one", "two"]


def test_annotations_without_videos_go_to_parquet_but_not_to_a_video_folder(tmp_path):
    rows = datasets.Dataset.from_list([record_to_row(a_record())], features=FEATURES)
    export_parquet(rows, tmp_path / "parquet")
    (row,) = datasets.load_dataset(str(tmp_path / "parquet"), split="train", cache_dir=str(tmp_path / "cache"))
    assert row["video"] is None and row_to_record(row) == a_record()
    with pytest.raises(ValueError, match="row 'one' holds no video; a VideoFolder needs them"):
        export_video_folder(rows, tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["parquet"]


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS)
def test_nothing_is_overwritten(exported, tmp_path, export):
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileExistsError, match="taken' is there already; name another folder or remove it"):
        export(exported[0], tmp_path / "taken")


def test_images_that_make_no_video_are_refused(tmp_path):
    with pytest.raises(OutputError, match="expected images of one format, got none"):
        pack_frames(tmp_path, 25, tmp_path / "video.mkv")
    Image.fromarray(picture()).save(tmp_path / "0.png")
    Image.fromarray(picture()).save(tmp_path / "1.jpg")
    with pytest.raises(OutputError, match=r"expected images of one format, got \['.jpg', '.png'\]"):
        pack_frames(tmp_path, 25, tmp_path / "video.mkv")


def test_a_real_sequence_packs_without_loss(shared_data, tmp_path):
    """Frames of a tracking sequence as published."""
    folder = sorted((shared_data / "sot").glob("*/img"))[0]
    pack_frames(folder, 25, tmp_path / "video.mkv")
    images = list_images(folder)
    assert packets(str(tmp_path / "video.mkv")) == [image.read_bytes() for image in images]
    with VideoReader(tmp_path / "video.mkv") as packed:
        frame = next(iter(packed))
    first = np.asarray(Image.open(images[0]).convert("RGB")).astype(int)
    assert np.abs(frame.image - first).mean() < 3  # two decoders differ where colours are stored coarsely
