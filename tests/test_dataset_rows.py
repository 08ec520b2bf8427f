"""Records survive the trip through a `datasets` table, and videos open from whatever a row holds."""

import numpy as np
import pytest
from PIL import Image
from training_files import a_record
from video_files import picture

from dataset_script.records import TargetRecord, VideoRecord
from dataset_script.rows import FEATURES, open_video, record_to_row, row_to_record
from modeling_semtrack.video import VideoWriter

datasets = pytest.importorskip("datasets")

ROWS = {
    "events": a_record(prompt="the person", metadata={"split": "train", "list": [1, None], "text": "ä"}),
    "nothing happens": a_record(interactions=[]),
    "interactions unknown": a_record(interactions=None),
    "sparse": a_record(
        targets=[
            TargetRecord(7, None, {0: (0.1, 1 / 3, 5, 6), 10: (1, 2, 3, 4)}, False),
            TargetRecord(8, "cat", {}, True),
        ],
        interactions=None,
        annotated_frames=(0, 5, 10),
    ),
    "nothing known": a_record(targets=[], interactions=None, annotated_frames=(), fps=30000 / 1001),
}


@pytest.mark.parametrize("record", ROWS.values(), ids=ROWS)
def test_a_record_comes_back_from_its_row(record):
    assert row_to_record(record_to_row(record)) == record


def test_records_come_back_from_a_table_where_unknown_stays_unknown(tmp_path):
    records = [VideoRecord(**(vars(record) | {"video_id": name})) for name, record in ROWS.items()]
    table = datasets.Dataset.from_list([record_to_row(record) for record in records], features=FEATURES)
    table.save_to_disk(tmp_path / "table")
    rows = list(datasets.load_from_disk(tmp_path / "table"))
    assert [row_to_record(row) for row in rows] == records
    assert [row["interactions"] for row in rows[1:3]] == [[], None]
    assert [row["annotated_frames"] for row in rows[2:]] == [None, [0, 5, 10], []]


def test_the_record_is_not_changed_by_its_row():
    record, same = a_record(), a_record()
    row = record_to_row(record)
    row["targets"][0]["frames"].append(99)
    row["interactions"][0]["interaction"] = "changed"
    assert record == same


def test_a_row_gives_tensors_of_boxes_in_torch_format():
    table = datasets.Dataset.from_list([record_to_row(a_record(frames=20))], features=FEATURES).with_format("torch")
    boxes = table[0]["targets"][0]["boxes"]
    assert tuple(boxes.shape) == (20, 4) and boxes[1].tolist() == [6.0, 20.0, 14.0, 24.0]


def test_a_video_opens_from_bytes_from_a_file_and_from_a_folder_of_frames(tmp_path):
    images = [picture(step) for step in range(3)]
    with VideoWriter(tmp_path / "video.mp4", 30) as writer:
        for image in images:
            writer.write(image)
    (tmp_path / "frames").mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "frames" / f"{index}.png")
    record = a_record(fps=10.0)
    held = (
        {"path": None, "bytes": (tmp_path / "video.mp4").read_bytes()},
        {"path": str(tmp_path / "video.mp4"), "bytes": None},
        {"path": str(tmp_path / "frames"), "bytes": None},
    )
    for video, rate in zip(held, (30, 30, 10)):
        with open_video(record_to_row(record, video)) as reader:
            frames = list(reader)
        assert [frame.time for frame in frames] == pytest.approx([0, 1 / rate, 2 / rate])
        assert all(np.abs(frame.image.astype(int) - image).mean() < 6 for frame, image in zip(frames, images))


def test_a_row_without_video_says_how_to_get_one():
    with pytest.raises(ValueError, match="row 'one' holds no video; load it with videos=True"):
        open_video(record_to_row(a_record()))
