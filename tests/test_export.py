"""Files of all formats: exact round trips, hand-checked tables and subtitles, clear refusals."""

import csv
import io
import json
import math
import random
import re

import pytest
from trajectory_examples import TIMES, a_target, an_event, two_targets

from modeling_semtrack.export import FORMATS, dumps, export_trajectories, from_semtrack, load_trajectories
from modeling_semtrack.trajectory import InteractionEvent, SemanticTrajectory


def shown(text):
    """Cues of a subtitle file as (start, end, lines)."""
    blocks = [block.split("\n") for block in text.split("\n\n") if block]
    assert [block[0] for block in blocks] == [str(number + 1) for number in range(len(blocks))]
    return [(*block[1].split(" --> "), block[2:]) for block in blocks]


# JSON


def test_json_round_trip_is_exact(tmp_path):
    trajectories = two_targets()
    path = export_trajectories(trajectories, tmp_path / "out.JSON")
    assert load_trajectories(path) == trajectories
    data = json.loads(path.read_text(encoding="utf-8"))
    assert (data["format"], data["version"]) == ("semtrack-trajectories", 1)
    assert load_trajectories(export_trajectories([], tmp_path / "none.json")) == []


def test_json_keeps_names_of_any_script(tmp_path):
    trajectories = [a_target(category="собака 🐕")]
    path = export_trajectories(trajectories, tmp_path / "out.json")
    assert load_trajectories(path) == trajectories
    assert "собака 🐕" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "not a JSON file of trajectories: Expecting value"),
        ('{"trajectories": [NaN]}', "NaN is not a number of JSON"),
        ("[]", "must hold .* got None"),
        ('{"videos": [], "images": []}', "read annotation layouts with from_coco or from_semtrack"),
        ('{"format": "semtrack-trajectories", "version": 2, "trajectories": []}', "'version': 2"),
        (
            '{"format": "semtrack-trajectories", "version": 1, "trajectories": [{"target_id": 1}]}',
            r"trajectory 0 is damaged: .*missing fields \['category'",
        ),
        (
            '{"format": "semtrack-trajectories", "version": 1, "trajectories": [7]}',
            "trajectory 0 is damaged",
        ),
    ],
)
def test_a_file_that_is_no_trajectory_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "odd.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        load_trajectories(path)
    assert "odd.json" in str(caught.value) and "\n" not in str(caught.value)


# CSV


def test_csv_has_a_table_of_events_and_a_table_of_frames(tmp_path):
    trajectories = two_targets()
    path = export_trajectories(trajectories, tmp_path / "out.csv")
    assert path == tmp_path / "out.csv"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.csv", "out_track.csv"]
    events = list(csv.DictReader(path.open(encoding="utf-8", newline="")))
    assert list(events[0]) == (
        "target subject interaction object start_time end_time start_frame end_frame score".split()
    )
    assert [(row["target"], row["interaction"], row["object"]) for row in events] == [
        ("1", "chase", "ball"),
        ("1", "bark at", "person"),
        ("1", "chase", "ball"),
        ("2", "sit", ""),
    ]
    assert (float(events[0]["start_time"]), float(events[0]["end_time"])) == (TIMES[2], TIMES[7])

    rows = list(csv.DictReader((tmp_path / "out_track.csv").open(encoding="utf-8", newline="")))
    assert list(rows[0]) == ["target", "frame", "time", "x", "y", "w", "h", "presence"]
    assert len(rows) == 20 + 13
    for row, frame in zip(rows, trajectories[0].frames, strict=False):
        assert (int(row["frame"]), float(row["time"])) == (frame.frame_index, frame.time)
        cells = [row[name] for name in "xywh"]
        assert cells == [""] * 4 if frame.box is None else tuple(map(float, cells)) == frame.box
        assert float(row["presence"]) == frame.presence


def test_csv_quotes_names_with_commas_and_quotes():
    name = 'hold, then "drop"'
    text = dumps([a_target(events=[an_event(name, 0, 1)])], "csv")
    assert list(csv.DictReader(io.StringIO(text, newline="")))[0]["interaction"] == name


# SRT


def test_srt_has_one_cue_for_each_set_of_events():
    """push [1, 3), follow [2, 4), a second target's wave [2.5, 5) and, after a pause, sit [6, 6.5)."""

    def event(name, object, start, end):
        return InteractionEvent("x", name, object, start, end, int(start * 10), int(end * 10), 0.5)

    first = a_target(category=None, events=[event("push", "box", 1.0, 3.0), event("follow", "person", 2.0, 4.0)])
    second = a_target(7, "person", [event("wave", None, 2.5, 5.0), event("sit", None, 6.0, 6.5004)])
    assert shown(dumps([first, second], "srt")) == [
        ("00:00:01,000", "00:00:02,000", ["target 1: push box"]),
        ("00:00:02,000", "00:00:02,500", ["target 1: push box, follow person"]),
        ("00:00:02,500", "00:00:03,000", ["target 1: push box, follow person", "person 7: wave"]),
        ("00:00:03,000", "00:00:04,000", ["target 1: follow person", "person 7: wave"]),
        ("00:00:04,000", "00:00:05,000", ["person 7: wave"]),
        ("00:00:06,000", "00:00:06,500", ["person 7: sit"]),
    ]


@pytest.mark.parametrize(
    ("start", "end", "line"),
    [
        (3599.9996, 3723.0045, "01:00:00,000 --> 01:02:03,004"),
        (-0.04, 0.5, "00:00:00,000 --> 00:00:00,500"),
        (360000.0, 360001.0, "100:00:00,000 --> 100:00:01,000"),
    ],
)
def test_srt_times(start, end, line):
    event = InteractionEvent("dog", "sit", None, start, end, 0, 1, 0.5)
    assert dumps([a_target(events=[event])], "srt") == f"1\n{line}\ndog 1: sit\n\n"


def test_srt_joins_what_reads_the_same_and_drops_what_is_too_short_to_show():
    pieces = [(0.0, 1.0), (0.5, 0.5001), (1.0, 2.0)]
    events = [InteractionEvent("dog", "sit\n\ndown", None, a, b, i, i + 1, 0.5) for i, (a, b) in enumerate(pieces)]
    cues = shown(dumps([a_target(events=events)], "srt"))
    assert cues == [("00:00:00,000", "00:00:02,000", ["dog 1: sit down"])]


def test_srt_cues_never_overlap_and_show_exactly_what_is_active():
    rng = random.Random(5)
    events = []
    for number in range(30):
        start = rng.randrange(0, 40) / 4
        end = start + rng.randrange(1, 12) / 4
        events.append(InteractionEvent("dog", f"act{number}", None, start, end, 0, 1, 0.5))
    cues = shown(dumps([a_target(events=events)], "srt"))
    assert all(before[1] <= after[0] for before, after in zip(cues, cues[1:], strict=False))
    for probe in (0.125 + quarter / 4 for quarter in range(60)):
        stamp = f"00:00:{probe:06.3f}".replace(".", ",")
        lines = [cue[2][0] for cue in cues if cue[0] <= stamp < cue[1]]
        active = {event.interaction for event in events if event.start_time <= probe < event.end_time}
        assert len(lines) <= 1
        assert set(re.findall(r"act\d+", lines[0] if lines else "")) == active


def test_srt_without_events_is_empty(tmp_path):
    assert export_trajectories([a_target()], tmp_path / "out.srt").read_text() == ""


# Refusals


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_written_whole_and_leaves_nothing_else(tmp_path, format):
    path = export_trajectories(two_targets(), tmp_path / "out.file", format)
    assert path.read_bytes().decode("utf-8") == dumps(two_targets(), format)
    others = {file.name for file in tmp_path.iterdir()} - {"out.file"}
    assert others == ({"out_track.csv"} if format == "csv" else set())


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_never_written(tmp_path, format, number):
    trajectory = a_target()
    trajectory.frames[3] = trajectory.frames[3]._replace(presence=number)
    (tmp_path / "out.file").write_text("before")
    with pytest.raises(ValueError, match=f"must be finite, got .*{number} in frame 3 of target 1"):
        export_trajectories([trajectory], tmp_path / "out.file", format)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("out.file", "before")]


def test_a_prompt_that_json_does_not_have_is_refused(tmp_path):
    for value in (math.nan, {1, 2}):
        with pytest.raises(ValueError, match="a value that JSON does not have"):
            export_trajectories([a_target(prompt={"point": value})], tmp_path / "out.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("out.txt", None, "suffix of 'out.txt'; use .json, .csv or .srt"),
        ("out", None, "suffix of 'out'"),
        ("out.coco", None, "name the format .one of json, csv, srt, coco, semtrack"),
        ("out.json", "xml", "format must be one of json, csv, srt, coco, semtrack, got 'xml'"),
    ],
)
def test_an_unknown_format_is_refused(tmp_path, name, format, message):
    with pytest.raises(ValueError, match=message):
        export_trajectories([a_target()], tmp_path / name, format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS[1:])
def test_trajectories_of_several_videos_do_not_go_into_one_file(format):
    with pytest.raises(ValueError, match=r"distinct target ids .* got target ids \[1, 1\]"):
        dumps([a_target(), a_target()], format)
    with pytest.raises(ValueError, match=r"sizes \[\(320, 360\), \(640, 360\)\]"):
        dumps([a_target(), a_target(2, width=320)], format)
    later = a_target(2)
    later.frames[4] = later.frames[4]._replace(time=99.0)
    with pytest.raises(ValueError, match="frame 4 is at 99.0 s for target 2"):
        dumps([a_target(), later], format)


@pytest.mark.parametrize("format", FORMATS)
def test_no_trajectory_and_a_trajectory_without_frames_give_valid_files(format):
    for trajectories in ([], [SemanticTrajectory(1, None, {}, 640, 360)]):
        text = dumps(trajectories, format)
        if format in ("coco", "semtrack"):
            assert json.loads(text)["annotations"] == []
            assert from_semtrack(json.loads(text)) == []


def test_a_single_trajectory_instead_of_a_list_is_refused():
    with pytest.raises(ValueError, match=r"pass \[trajectory\]"):
        dumps(a_target(), "json")
