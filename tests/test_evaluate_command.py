"""`semtrack evaluate`: a model over annotated videos, from the first true box of every main object to the scores."""

import csv
import json
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image
from tiny_models import INTERACTIONS, noise_frame, tiny_model, tiny_processor
from video_files import encode

from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord
from dataset_script.sources.semtrack import write_semtrack
from metrics.semtrack.rows import pair_rows
from modeling_semtrack import commands_metrics, evaluation
from modeling_semtrack.cli import main
from modeling_semtrack.evaluation import (
    annotated_interactions,
    check_videos,
    comparable,
    evaluate_videos,
    find_video,
    track_record,
)
from modeling_semtrack.session_semtrack import SemTrackSession
from modeling_semtrack.video import VideoError

FRAMES, WIDTH, HEIGHT = 12, 120, 90
EMPTY = '{"video_id": "%s", "num_frames": 12, "fps": 30.0, "tracks": [], "events": []}'
torch.manual_seed(0)
MODEL, PROCESSOR = tiny_model(presence_threshold=1e-9), tiny_processor()  # it always sees its target


def new_session(first_frame):
    return SemTrackSession(MODEL, PROCESSOR, first_frame=first_frame)


def a_record(name, first=0, events=None, **changes):
    """Two main objects, the second from frame 4 on and partly outside the frame, and one that is not."""
    targets = [
        TargetRecord(7, "dog", {f: (30.0 + f, 20.0, 30.0, 40.0) for f in range(first, FRAMES)}, main=True),
        TargetRecord(9, "ball", {f: (100.0, 60.0, 30.0, 40.0) for f in range(max(first, 4), FRAMES)}, main=True),
        TargetRecord(11, "person", {f: (5.0, 5.0, 20.0, 40.0) for f in range(FRAMES)}, main=False),
    ]
    events = [InteractionRecord(7, "chase", 9, 5, 10)] if events is None else events
    fields = {"video_id": name, "file_name": f"{name}.mp4", "width": WIDTH, "height": HEIGHT, "fps": 30.0}
    fields |= {"num_frames": FRAMES, "targets": targets, "interactions": events, "prompt": None, "source": "test"}
    return VideoRecord(**(fields | changes))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model, annotations, and the folder of their videos; read only."""
    folder = tmp_path_factory.mktemp("world")
    MODEL.save_pretrained(folder / "model")
    PROCESSOR.save_pretrained(folder / "model")
    videos = folder / "videos"
    videos.mkdir()
    images = [noise_frame(HEIGHT, WIDTH + 36)[:, 3 * i : 3 * i + WIDTH] for i in range(FRAMES)]
    for name in ("a", "b"):
        encode(videos / f"{name}.mp4", images)
    encode(videos / "short.mp4", images[:5])
    encode(videos / "small.mp4", [image[:60, :80] for image in images])
    (videos / "text.mp4").write_text("no video\n" * 99)
    write_semtrack([a_record("a"), a_record("b", first=2)], folder / "good.json")
    write_semtrack([a_record("a"), a_record("gone"), a_record("b")], folder / "gaps.json")
    write_semtrack([replace(a_record(name), interactions=None) for name in "ab"], folder / "boxes.json")
    return folder


@pytest.fixture
def run(world, capfd, monkeypatch):
    """Runs the command in-process: the exit code, stdout and stderr."""
    monkeypatch.setattr(commands_metrics, "RESAMPLES", 5)

    def run(data, *arguments):
        words = ["--data", world / f"{data}.json", "--videos", world / "videos", "--model", world / "model"]
        capfd.readouterr()
        return main(["evaluate", *map(str, words), *map(str, arguments)]), *capfd.readouterr()

    return run


class TestCommand:
    def test_all_scores_a_table_a_figure_and_the_predictions_are_written(self, run, tmp_path):
        names = {"output": "out.json", "table": "t.csv", "figure": "f.png", "predictions-output": "p.jsonl"}
        code, out, err = run("good", *(word for n, f in names.items() for word in (f"--{n}", tmp_path / f)))
        assert (code, err) == (0, "") and re.fullmatch(r"2 videos: average overlap 0\.\d+, .*accuracy 0\.\d+\n", out)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names.values())
        scores = json.loads((tmp_path / "out.json").read_text())
        assert scores["num_videos"] == 2 and scores["left_out"] == {} and scores["semantic_stride"] == 3
        assert scores["tracking"]["num_targets"] == 4 and 0 < scores["tracking"]["ao"] < 1
        assert {"recognition", "trajectory", "relations", "st_map"} <= set(scores)
        with open(tmp_path / "t.csv", newline="") as file:
            table = list(csv.DictReader(file))
        assert [line["video_id"] for line in table] == ["a", "b"] and table[0]["events"] == "1"
        assert Image.open(tmp_path / "f.png").width > 400
        rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
        assert [row["video_id"] for row in rows] == ["a", "b"]

    def test_without_an_output_stdout_is_the_scores_and_nothing_else(self, run):
        code, out, err = run("good", "--limit", "1", "--mode", "official")
        scores = json.loads(out)
        assert code == 0 and scores["num_videos"] == 1 and scores["mode"] == "official"
        assert re.fullmatch("1 video: .*\n", err)

    def test_intervals_are_given_on_request_but_not_of_st_map(self, run):
        confidence = json.loads(run("good", "--confidence")[1])["confidence"]
        assert len(confidence["intervals"]["tracking/ao"]) == 2
        assert not any(path.startswith("st_map") for path in confidence["intervals"])

    @pytest.mark.parametrize("data, arguments", [("good", ["--semantic-stride", "0"]), ("boxes", [])])
    def test_without_semantics_only_the_tracking_is_scored(self, run, data, arguments):
        code, out, _ = run(data, *arguments)
        scores = json.loads(out)
        assert code == 0 and scores["tracking"]["ao"] > 0
        assert not {"recognition", "trajectory", "relations", "st_map"} & set(scores)

    def test_a_video_that_cannot_be_used_is_named_and_left_out(self, run):
        code, out, err = run("gaps")
        scores = json.loads(out)
        assert code == 1 and scores["num_videos"] == 2 and list(scores["left_out"]) == ["gone"]
        assert "warning: video 'gone' is left out: " in err and "gone.mp4' must name one video" in err
        assert "marked incomplete" not in err

    def test_ctrl_c_scores_and_keeps_what_is_done_and_a_second_run_goes_on(self, run, world, tmp_path, monkeypatch):
        tracked = []

        def track(record, *given):
            tracked.append(record.video_id)
            if len(tracked) == 2:
                raise KeyboardInterrupt
            return track_record(record, *given)

        monkeypatch.setattr(evaluation, "track_record", track)
        code, out, err = run("good", "--predictions-output", tmp_path / "p.jsonl")
        assert code == 1 and json.loads(out)["num_videos"] == 1 and list(json.loads(out)["left_out"]) == ["b"]
        goes_on = f"interrupted: 1 of 2 videos are not tracked and left out; go on with --predictions '{tmp_path}"
        assert goes_on in err
        code, out, err = run("good", "--predictions", tmp_path / "p.jsonl")
        assert (code, tracked) == (0, ["a", "b", "b"]) and json.loads(out)["num_videos"] == 2
        whole = json.loads(run("good")[1])
        assert whole["tracking"] == json.loads(out)["tracking"] and whole["trajectory"] == json.loads(out)["trajectory"]

    def test_ctrl_c_in_the_first_video_ends_the_command(self, run, monkeypatch):
        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(evaluation, "track_record", interrupted)
        assert run("good")[0] == 130

    @pytest.mark.parametrize(
        "lines, message",
        [
            (['{"video_id": "a"'], "line 1: not JSON .*damaged"),
            (["[]"], "p.jsonl', line 1 must be an object with named fields, got list"),
            (['{"video_id": "a"}'], "p.jsonl', video 'a', line 1: .*num_frames"),
            ([EMPTY % "a"] * 2, "line 2: video 'a' has two rows"),
            ([EMPTY % "x", EMPTY % "y"], "holds 2 videos that the annotations do not: x, y"),
        ],
    )
    def test_saved_predictions_that_do_not_fit_are_one_line(self, run, tmp_path, lines, message):
        (tmp_path / "p.jsonl").write_text("\n".join(lines))
        code, out, err = run("good", "--predictions", tmp_path / "p.jsonl")
        assert (code, out) == (2, "") and re.fullmatch(f"semtrack: error: .*{message}.*\n", err)

    def test_events_that_the_data_has_no_word_for_do_not_count_but_are_reported(self, run):
        ignored = json.loads(run("good")[1])["ignored_interactions"]
        assert "chase" not in ignored and set(ignored) <= set(INTERACTIONS.values())

    @pytest.mark.parametrize(
        "arguments, message",
        [
            (["--videos", "WORLD/model"], "none of the 2 videos is in '.*model', for example not 'a.mp4'"),
            (["--data", "WORLD/gone.json"], "no annotation file at '.*gone.json'"),
            (["--figure", "WORLD/figure.mp4"], "the figure must be a file that ends in .png, .*figure.mp4'"),
            (["--output", "WORLD/no_folder/out.json"], "there is no folder '.*no_folder'"),
            (["--output", "WORLD/x", "--table", "WORLD/x"], "--output and --table must be two files"),
            (["--limit", "1", "--confidence"], "--confidence draws videos anew, so it needs at least 2"),
            (["--limit", "0"], "there is no video to evaluate"),
            (["--semantic-stride", "-1"], "semantic_stride must be 0"),
        ],
    )
    def test_bad_input_is_one_line_before_anything_is_tracked(self, run, world, monkeypatch, arguments, message):
        monkeypatch.setattr(commands_metrics, "evaluate_videos", lambda *_: pytest.fail("it was tracked"))
        code, out, err = run("good", *(word.replace("WORLD", str(world)) for word in arguments))
        assert (code, out) == (2, "") and re.fullmatch(f"semtrack: error: .*{message}.*\n", err)


class TestTracking:
    def test_every_main_object_is_followed_from_its_first_true_box_on(self, world):
        record = a_record("b", first=2)
        row = track_record(record, world / "videos" / "b.mp4", new_session)
        assert [(track["track_id"], track["category"], track["frames"][0]) for track in row["tracks"]] == [
            (7, "dog", 2),
            (9, "ball", 4),
        ]
        assert row["tracks"][0]["boxes"][0] == [32.0, 20.0, 30.0, 40.0]
        assert row["tracks"][1]["boxes"][0] == [100.0, 60.0, 20.0, 30.0]  # the part inside the frame
        assert row["tracks"][0]["frames"][:3] == [2, 3, 4]
        assert (row["video_id"], row["num_frames"], row["fps"]) == ("b", FRAMES, 30.0)

    def test_rows_fit_their_references(self, world):
        records = [a_record("a"), a_record("b")]
        found = evaluate_videos(records, world / "videos", new_session)
        assert [pair.reference.video_id for pair in pair_rows(found.predictions, found.references)] == [
            "a",
            "b",
        ]

    def test_frames_past_the_annotated_ones_are_not_read(self, world):
        seen = []
        record = replace(
            a_record("a", events=[]), num_frames=6, targets=[TargetRecord(1, "dog", {0: (9, 9, 9, 9)}, True)]
        )
        row = track_record(record, world / "videos" / "a.mp4", new_session, seen.append)
        assert row["num_frames"] == 6 and seen == list(range(6))

    def test_where_no_object_is_main_all_are_tracked(self, world):
        record = a_record("a")
        record.targets = [replace(target, main=False) for target in record.targets]
        row = track_record(record, world / "videos" / "a.mp4", new_session)
        assert [track["track_id"] for track in row["tracks"]] == [7, 11, 9]

    @pytest.mark.parametrize(
        "name, changes, message",
        [
            ("short", {}, "has 5 frames, its annotations reach frame 11"),
            ("small", {}, "has frames of 80x60 pixels, its annotations are for 120x90"),
            ("text", {}, "text.mp4"),
            ("a", {"targets": [], "interactions": []}, "no main object has a box to start from"),
        ],
    )
    def test_a_video_that_does_not_fit_its_annotations_is_left_out(self, world, name, changes, message):
        records = [a_record(name, **changes), a_record("b")]
        found = evaluate_videos(records, world / "videos", new_session)
        assert message in found.left_out[name]
        assert [row["video_id"] for row in found.predictions] == ["b"]


class TestVideos:
    def test_a_file_name_may_lack_its_suffix(self, tmp_path):
        (tmp_path / "val").mkdir()
        for name in ("clip.1.mp4", "clip.2.mp4", "clip.2.avi"):
            (tmp_path / "val" / name).touch()
        assert find_video(tmp_path, "val/clip.1").name == "clip.1.mp4"
        with pytest.raises(VideoError, match=r"found 2: clip.2.avi, clip.2.mp4"):
            find_video(tmp_path, "val/clip.2")
        with pytest.raises(VideoError, match="found 0"):
            find_video(tmp_path, "val/clip")

    def test_one_video_that_is_there_is_enough_to_begin(self, world):
        check_videos([a_record("gone"), a_record("a")], world / "videos")
        with pytest.raises(ValueError, match="none of the 1 videos"):
            check_videos([a_record("gone")], world / "videos")


class TestComparable:
    ROW = {
        "video_id": "a",
        "tracks": [{"frames": [0, 1, 2, 3], "boxes": ["b0", "b1", "b2", "b3"], "scores": [0.0, 0.1, 0.2, 0.3]}],
        "events": [
            {"interaction": "chase", "object_frames": [1, 2], "object_boxes": ["o1", "o2"]},
            {"interaction": "wave", "object_frames": [], "object_boxes": []},
        ],
    }

    def test_events_with_unknown_interactions_are_counted_and_taken_out(self):
        (row,), ignored = comparable([self.ROW], [a_record("a")], ["chase"])
        assert [event["interaction"] for event in row["events"]] == ["chase"] and ignored == {"wave": 1}
        assert row["tracks"] == self.ROW["tracks"] and len(self.ROW["events"]) == 2

    def test_boxes_in_frames_that_are_not_annotated_are_taken_out(self):
        targets = [TargetRecord(7, "dog", {f: (30.0, 20.0, 30.0, 40.0) for f in (0, 2)}, main=True)]
        record = a_record("a", events=[], targets=targets, annotated_frames=(0, 2))
        (row,), _ = comparable([self.ROW], [record], ["chase"])
        assert row["tracks"] == [{"frames": [0, 2], "boxes": ["b0", "b2"], "scores": [0.0, 0.2]}]
        assert row["events"] == [{"interaction": "chase", "object_frames": [2], "object_boxes": ["o2"]}]

    def test_the_interactions_of_the_data_are_those_of_its_events(self):
        walk = [InteractionRecord(7, "walk", None, 0, 3)]
        assert annotated_interactions([a_record("a"), a_record("b", events=walk)]) == ["chase", "walk"]
        assert annotated_interactions([replace(a_record("a"), interactions=None)]) == []
        with pytest.raises(ValueError, match=r"'b' annotates no interactions while others do \(1 of 2\)"):
            annotated_interactions([a_record("a"), replace(a_record("b"), interactions=None)])
