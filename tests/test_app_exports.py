"""What visitors take away can be read again, and the code does the same run again."""

import csv
import json
import shlex

import pytest
from app_clips import BOX, colour_clip
from tiny_models import tiny_model, tiny_processor

from modeling_semtrack import app_actions, cli
from modeling_semtrack.app_actions import Demo
from modeling_semtrack.app_exports import as_command_line, as_python, write_files
from modeling_semtrack.app_state import Prompt, Visit
from modeling_semtrack.app_video import Limits
from modeling_semtrack.checkpoint import load_checkpoint
from modeling_semtrack.export import from_coco, load_trajectories
from modeling_semtrack.video import VideoReader

FRAMES = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a video and a model, as a visitor has them at home."""
    folder = tmp_path_factory.mktemp("home")
    colour_clip(folder, FRAMES, "my clip.mp4")
    model = tiny_model(presence_threshold=0.01)
    model.save_pretrained(folder / "model")
    tiny_processor().save_pretrained(folder / "model")
    return folder


@pytest.fixture
def demo(folder):
    demo = Demo(*load_checkpoint(folder / "model"))
    yield demo
    demo.visitors.close("one")


def tracked(demo, visit):
    *_, last = demo.track(visit)
    return last.visit


def ran(code, folder, monkeypatch):
    """The trajectories that a visitor's code makes in their own folder."""
    monkeypatch.chdir(folder)
    names = {}
    exec(code, names)
    return names["trajectories"]


def test_all_files_can_be_read_again(demo, folder, tmp_path):
    visit = tracked(demo, demo.open("one", folder / "my clip.mp4").with_prompt(Prompt(1, 4, BOX, "dog")))
    files = {path.name.removeprefix("my_clip_"): path for path in write_files(visit, tmp_path)}
    assert set(files) == {
        "trajectory.json",
        "events.csv",
        "events_track.csv",
        "subtitles.srt",
        "coco.json",
        "semtrack.json",
        "timeline.png",
        "annotated.mp4",
    }
    assert load_trajectories(files["trajectory.json"]) == list(visit.trajectories)
    assert from_coco(json.loads(files["coco.json"].read_text()))[0].frames[0].box == pytest.approx(BOX)
    with files["events_track.csv"].open() as table:
        assert len(list(csv.DictReader(table))) == FRAMES - 4
    with VideoReader(files["annotated.mp4"]) as video, VideoReader(folder / "my clip.mp4") as source:
        assert [frame.time for frame in video] == [frame.time for frame in source]
    with pytest.raises(ValueError, match="press Track first"):
        write_files(Visit("one", visit.clip), tmp_path)


def test_only_the_window_is_rendered_and_run_again(demo, folder, tmp_path, monkeypatch):
    demo.limits = Limits(frames=10)
    visit = tracked(demo, demo.open("one", folder / "my clip.mp4").with_prompt(Prompt(1, 0, BOX)))
    video = next(path for path in write_files(visit, tmp_path) if path.suffix == ".mp4")
    with VideoReader(video) as reader:
        assert sum(1 for _ in reader) == 10
    found = ran(as_python(visit, "model"), folder, monkeypatch)
    assert [t.to_dict() for t in found] == [t.to_dict() for t in visit.trajectories]


def test_python_code_of_one_target_does_the_same_run(demo, folder, monkeypatch):
    visit = tracked(demo, demo.open("one", folder / "my clip.mp4").with_prompt(Prompt(1, 4, BOX, "dog")))
    code = as_python(visit, "model")
    assert "pipeline(" in code
    assert [t.to_dict() for t in ran(code, folder, monkeypatch)] == [t.to_dict() for t in visit.trajectories]


def test_python_code_of_everything_else_does_the_same_run(demo, folder, monkeypatch):
    """Several targets, a correction, backwards, and what was taught."""
    visit = demo.open("one", folder / "my clip.mp4").with_prompt(Prompt(2, 0, (60.0, 70.0, 12.0, 12.0)))
    visit = visit.with_prompt(Prompt(1, 4, BOX, "dog")).with_prompt(Prompt(1, 15, (20.0, 40.0, 12.0, 12.0), "dog"))
    visit = tracked(demo, visit)
    *_, last = demo.track_backwards(visit)
    visit = last.visit
    for frame in (6, 18):
        visit = demo.mark(visit.at(frame), "water plants", None)
    visit, _ = demo.adapt(visit)
    found = ran(as_python(visit, "model"), folder, monkeypatch)
    assert [t.to_dict() for t in found] == [t.to_dict() for t in visit.trajectories]
    assert found[0].frames[0].frame_index == 0


def test_python_code_of_a_stopped_run_stops_there(demo, folder, monkeypatch):
    """Forwards and backwards."""
    monkeypatch.setattr(app_actions, "SHOWN_EVERY", 0.0)  # every step is reported
    monkeypatch.setattr(app_actions, "SHOWN_SHARE", 1.0)
    visit = demo.open("one", folder / "my clip.mp4").with_prompt(Prompt(1, 9, BOX))
    for track in (demo.track, demo.track_backwards):
        run = track(visit)
        for report in run:
            if report.done == 3:
                demo.stop(visit)
        visit = report.visit
    frames = [frame.frame_index for frame in visit.trajectories[0].frames]
    assert 0 < frames[0] < 9 < frames[-1] < FRAMES - 1
    found = ran(as_python(visit, "model"), folder, monkeypatch)
    assert found[0].frames == visit.trajectories[0].frames
    assert "where you stopped" in as_command_line(visit, "model")


def test_the_command_line_does_the_same_run(demo, folder, tmp_path, monkeypatch):
    visit = tracked(demo, demo.open("one", folder / "my clip.mp4").with_prompt(Prompt(1, 4, BOX, "dog")))
    (line,) = as_command_line(visit, "model").splitlines()
    monkeypatch.chdir(folder)
    assert cli.main(shlex.split(line)[1:]) == 0
    (found,) = load_trajectories(folder / "my clip_1.json")
    assert (found.frames, found.events) == (visit.trajectories[0].frames, visit.trajectories[0].events)


def test_the_command_line_says_what_only_python_can_do(demo, folder):
    visit = demo.open("one", folder / "my clip.mp4").with_prompt(Prompt(1, 4, BOX)).with_prompt(Prompt(1, 9, BOX))
    assert as_command_line(visit, "model").startswith("# The command line knows nothing of corrections:")
    assert as_command_line(Visit("one"), "model") == as_python(Visit("one"), "model") == "# Pick a target first."
