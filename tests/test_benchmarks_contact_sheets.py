"""The list of clips, the sheets and the figure of failures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import tiny_model, tiny_processor
from training_files import moving, red_frame

from benchmarks.contact_sheets import (
    LIST,
    Click,
    Failure,
    contact_sheet,
    failure_figure,
    grid,
    overlap,
    read_clicks,
    said,
    track_clip,
)
from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord
from modeling_semtrack.annotation_sheet import COLUMNS, GAP, TILE_WIDTH
from modeling_semtrack.trajectory import InteractionEvent, SemanticTrajectory, TrackedFrame
from modeling_semtrack.video import VideoReader, VideoWriter


def test_the_list_names_twelve_clips_and_clicks_inside_them(shared_data):
    clicks = read_clicks(LIST)
    assert len({click.clip for click in clicks}) == 12
    for click in clicks:
        with VideoReader(shared_data / "clips" / click.clip) as reader:
            assert 0 <= click.point[0] < reader.width and 0 <= click.point[1] < reader.height


def test_a_line_that_is_no_click_is_named(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("# comment\n\na.mp4 10 20 a red ball\nb.mp4 ten 20 dog\n")
    with pytest.raises(ValueError, match="line 4: expected 'clip x y what', got 'b.mp4 ten 20 dog'"):
        read_clicks(path)
    path.write_text("# comment\n\na.mp4 10 20 a red ball\n")
    assert read_clicks(path) == [Click("a.mp4", (10.0, 20.0), "a red ball")]


def test_a_sheet_shows_frames_from_the_first_to_the_last_and_a_timeline(tmp_path):
    boxes = moving(15)
    with VideoWriter(tmp_path / "clip.mp4", 25.0, preset="ultrafast") as writer:
        for index, box in enumerate(boxes):
            writer.write(red_frame(box, seed=1), index / 25)
    click = Click("clip.mp4", (12.0, 20.0), "ball")
    trajectory, tiles = track_clip(tiny_model(), tiny_processor(), tmp_path / "clip.mp4", click, most=14)
    assert len(trajectory.frames) == 14 and trajectory.category == "ball"
    assert (tiles[0][0], tiles[-1][0], len(tiles)) == (0, 13, 12)
    sheet = contact_sheet(click, trajectory, tiles)
    frames_alone = grid([tile for _, _, tile in tiles], [("x",)] * len(tiles))
    assert sheet.width == frames_alone.width and sheet.height > frames_alone.height + 50


def test_pictures_fill_rows_of_equal_size():
    tiles = [Image.new("RGB", (TILE_WIDTH, 50), (number, 0, 0)) for number in range(COLUMNS + 1)]
    image = np.asarray(grid(tiles, [("a", "b")] * len(tiles)))
    reds = {int(value) for value in np.unique(image[..., 0][(image[..., 1] == 0) & (image[..., 2] == 0)])}
    assert reds == set(range(COLUMNS + 1)), "every tile is in the picture"


def a_failure():
    truth = {index: (20.0, 20.0, 30.0, 40.0) for index in range(10)}
    record = VideoRecord(
        video_id="one", file_name="one.mp4", width=120, height=90, fps=10.0, num_frames=10,
        targets=[TargetRecord(1, "person", truth, True), TargetRecord(2, "ball", {0: (1.0, 1.0, 5.0, 5.0)}, False)],
        interactions=[InteractionRecord(1, "kick", 2, 0, 6)], prompt=None, source="test",
    )  # fmt: skip
    frames = [TrackedFrame(index, index / 10, (60.0, 20.0, 30.0, 40.0), 0.9) for index in range(10)]
    event = InteractionEvent("person", "push", None, 0.0, 0.5, 0, 5, 0.6)
    return record, SemanticTrajectory(1, "person", {}, 120, 90, frames, [event]), truth


def test_a_failure_tells_what_is_wrong_and_what_is_right():
    record, trajectory, _ = a_failure()
    assert said(record, 1, trajectory, 4, 0.0) == ("IoU 0.00, 0.4 s", "does: kick; said: push")
    assert said(record, 1, trajectory, 8, 0.0) == ("IoU 0.00, 0.8 s", "does: nothing; said: nothing")


def test_the_figure_draws_the_true_box_and_leaves_its_inputs_alone():
    record, trajectory, truth = a_failure()
    image = np.zeros((90, 120, 3), dtype=np.uint8)
    moment = Failure(0.0, image, 4, trajectory, truth[4], ("IoU 0.00", "does: kick; said: push"))
    figure = np.asarray(failure_figure([moment]))
    scale = TILE_WIDTH / 120
    left, top = GAP + round(20 * scale), GAP + round(20 * scale)
    edge = figure[top : top + 2, left : left + 80]
    assert (edge == 255).all(axis=-1).any(), "white dashes along the upper edge of the true box"
    assert not image.any()


def test_a_target_that_is_not_seen_overlaps_nothing():
    assert overlap(None, (0.0, 0.0, 4.0, 4.0)) == 0.0
    assert overlap((0.0, 0.0, 4.0, 4.0), (0.0, 0.0, 4.0, 4.0)) == 1.0


def test_the_list_lies_beside_its_command():
    assert Path(LIST).name == "contact_sheets.txt"
