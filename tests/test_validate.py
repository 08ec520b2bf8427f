"""What the checks of annotations find, and what they leave alone."""

import json

import numpy as np
import pytest
from PIL import Image
from video_files import encode

from dataset_script.contradictions import exclude_each_other, excludes_its_reverse
from dataset_script.duplicates import check_near_duplicates, check_split_names, glimpse, picture_hash
from dataset_script.findings import Finding, in_words, runs
from dataset_script.layout_checks import check_layout, mended
from dataset_script.record_checks import check_record
from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord
from dataset_script.sources.semtrack import read_semtrack, write_semtrack
from dataset_script.spelling import check_spelling, spelling_key
from dataset_script.validate import Validation, to_report, to_table

BOX = (10.0, 5.0, 20.0, 10.0)


def make_video(*events, boxes=None, length=20, **changes):
    """A video of 64x48 pixels with tracks 1 (person) and 2 (dog), by default seen in every frame."""
    boxes = {1: dict.fromkeys(range(length), BOX), 2: dict.fromkeys(range(length), BOX)} | (boxes or {})
    names = {1: "person", 2: "dog"}
    fields = {
        "video_id": "v",
        "file_name": "v.mp4",
        "width": 64,
        "height": 48,
        "fps": 10.0,
        "num_frames": length,
        "targets": [TargetRecord(number, names[number], boxes[number], number == 1) for number in boxes],
        "interactions": [InteractionRecord(*event) for event in events],
        "prompt": None,
        "source": "test",
    }
    return VideoRecord(**(fields | changes))


def found(record):
    """(severity, check) of what is found in a record."""
    return [(finding.severity, finding.check) for finding in check_record(record)]


def test_a_sound_record_gives_nothing():
    assert found(make_video((1, "approach", 2, 0, 5), (1, "push", 2, 5, 20))) == []


# One video


def test_boxes_that_stick_out_are_an_error_with_the_worst_frame():
    boxes = {1: {0: BOX, 1: (-3.0, 5.0, 20.0, 10.0), 2: (50.0, 5.0, 20.0, 10.0)}}
    (finding,) = check_record(make_video(boxes=boxes))
    assert (finding.severity, finding.check, finding.where) == ("error", "box outside", "track 1, frames 1-2")
    assert "in frame 2 [50, 5, 20, 10] sticks out by 6 pixels" in finding.message


def test_a_pixel_of_rounding_is_not_outside():
    assert found(make_video(boxes={1: dict.fromkeys(range(20), (-1.0, 0.0, 66.0, 49.0))})) == []


def test_a_hole_in_a_track_is_a_warning_and_keyframes_are_an_error():
    assert found(make_video(boxes={1: dict.fromkeys([0, 1, 2, 7, 8], BOX)})) == [("warning", "track with holes")]
    assert found(make_video(boxes={1: dict.fromkeys([0, 5, 10, 15], BOX)})) == [("error", "track with holes")]


def test_a_hole_in_frames_that_are_marked_as_not_annotated_is_none():
    frames = (0, 5, 10, 15)
    boxes = {number: dict.fromkeys(frames, BOX) for number in (1, 2)}
    assert found(make_video((1, "push", 2, 0, 16), boxes=boxes, annotated_frames=frames)) == []
    del boxes[2][5]
    assert found(make_video(boxes=boxes, annotated_frames=frames)) == [("warning", "track with holes")]


def test_who_is_never_there_during_an_interaction_is_an_error_and_who_leaves_a_warning():
    absent = make_video((1, "push", 2, 10, 20), boxes={2: dict.fromkeys(range(10), BOX)})
    assert found(absent) == [("error", "absent during interaction")]
    (finding,) = check_record(make_video((2, "push", 1, 5, 15), boxes={2: dict.fromkeys(range(10), BOX)}))
    assert finding.severity == "warning" and finding.where == "2 push 1 [5, 15), frames 10-14"
    assert finding.message == "its subject, track 2, has no box in 5 of 10 frames"


def test_labels_of_whole_clips_without_any_box_are_left_alone():
    assert found(make_video((1, "push", 2, 0, 20), boxes={1: {}, 2: {}})) == []


def test_the_same_event_twice_is_an_error_and_an_overlap_of_the_same_a_warning():
    event = (1, "push", 2, 0, 10)
    assert found(make_video(event, event)) == [("error", "duplicate event")]
    assert found(make_video(event, (1, "push", 2, 5, 15))) == [("warning", "overlapping event")]
    assert found(make_video(event, (1, "push", 2, 10, 15), (2, "push", 1, 0, 10))) == []


def test_opposites_at_the_same_time_contradict_and_one_after_the_other_do_not():
    assert found(make_video((1, "approach", 2, 0, 10), (1, "move_away", 2, 4, 12))) == [
        ("error", "contradicting events")
    ]
    assert found(make_video((1, "approach", 2, 0, 10), (1, "move away", 2, 9, 20))) == [
        ("warning", "contradicting events")
    ]
    assert found(make_video((1, "approach", 2, 0, 10), (1, "move away", 2, 10, 20))) == []
    assert found(make_video((1, "approach", 2, 0, 10), (2, "move away", 1, 0, 10))) == []


def test_what_only_one_side_can_do_contradicts_its_reverse():
    assert found(make_video((1, "larger", 2, 0, 10), (2, "larger", 1, 0, 10))) == [("error", "contradicting events")]
    assert found(make_video((1, "hug", 2, 0, 10), (2, "hug", 1, 0, 10))) == []


@pytest.mark.parametrize(
    "one, other, excluded",
    [
        ("towards", "away", True),
        ("walk_left", "walk_right", True),
        ("Move Away", "approach", True),
        ("walk_left", "run_right", False),
        ("push", "push", False),
        ("stand_front", "stand_behind", True),
    ],
)
def test_the_table_of_opposites(one, other, excluded):
    assert exclude_each_other(one, other) is exclude_each_other(other, one) is excluded


def test_place_names_of_vidvrd_are_one_way():
    assert excludes_its_reverse("stand_above") and not excludes_its_reverse("next_to")


# The rows of a file


@pytest.fixture
def rows(tmp_path):
    """The content of a sound SemTrack file with two events."""
    write_semtrack([make_video((1, "push", 2, 0, 10), (1, "hug", 2, 10, 20))], tmp_path / "a.json")
    return json.loads((tmp_path / "a.json").read_text())


def test_a_written_file_is_sound(rows):
    assert list(check_layout(rows)) == []


@pytest.mark.parametrize(
    "damage, check, where",
    [
        (lambda d: d["annotations"][3].update(category_id=2), "category drift", "track 1, frame 3"),
        (lambda d: d["annotations"][3].update(bbox=[1, 2, 0, 4]), "box without area", "track 1, frame 3"),
        (lambda d: d["annotations"][3].update(image_id=1), "two boxes in one frame", "track 1, frame 0"),
        (lambda d: d["annotations"][3].update(image_id=99), "dangling id", "annotations[3]"),
        (lambda d: d["videos"][0].update(num_frames=19), "frame past the end", "track 1, frame 19"),
        (lambda d: d["events"][0].update(end_frame=21), "interval outside", "track 1 push [0, 21)"),
        (lambda d: d["events"][0].update(start_frame=10), "interval outside", "track 1 push [10, 10)"),
        (lambda d: d["events"][0].update(subject_track_id=7), "dangling id", "events[0]"),
        (lambda d: d["tracks"].append(d["tracks"][0]), "repeated id", "tracks[] id 1"),
        (lambda d: d["interactions"].pop(0), "unnamed interaction", "interaction id 0"),
        (lambda d: d["images"][0].pop("frame_index"), "missing field", "rows of the file"),
    ],
)
def test_a_damaged_row_is_found_with_its_place(rows, damage, check, where):
    damage(rows)
    assert (check, where) in [(finding.check, finding.where) for finding in check_layout(rows)]


def test_mending_clips_cuts_and_drops_and_touches_nothing_else(rows, tmp_path):
    rows["annotations"][0]["bbox"] = [-4, 40, 10, 20]
    rows["annotations"][1]["bbox"] = [100, 0, 10, 10]  # wholly outside
    rows["events"][1]["end_frame"] = 99
    rows["events"].append(dict(rows["events"][0]))
    before = json.dumps(rows)
    whole, changes = mended(rows)
    assert json.dumps(rows) == before, "the input is not changed"
    assert changes == {"boxes clipped": 1, "intervals cut": 1, "repeated events dropped": 1}
    assert whole["annotations"][0]["bbox"] == [0, 40, 6, 8]
    assert whole["annotations"][1:] == rows["annotations"][1:]
    assert [(e["start_frame"], e["end_frame"]) for e in whole["events"]] == [(0, 10), (10, 20)]
    (tmp_path / "b.json").write_text(json.dumps(whole))
    assert len(read_semtrack(tmp_path / "b.json")[0].interactions) == 2


# Names


def test_names_that_differ_only_in_how_they_are_written_share_a_key():
    assert len({spelling_key(n) for n in ("hand-shake", "Hand_Shakes", "handshake", "handShake")}) == 1
    assert len({spelling_key(n) for n in ("baby", "babies")}) == 1
    assert spelling_key("glass") == "glass" and spelling_key("bus") == "bus"


def test_spellings_across_sources_are_warned_of_with_their_sources():
    names = {"interaction": {"toward": {"vidvrd"}, "towards": {"vidor"}, "away": {"vidor"}}, "category": {}}
    (finding,) = check_spelling(names)
    assert finding.message.startswith("'toward' (vidvrd), 'towards' (vidor) are the same but for case")


@pytest.mark.parametrize(
    "one, other, told",
    [
        ("motorcycle", "motocycle", True),
        ("elephant", "elephent", True),
        ("boat", "goat", False),
        ("fountain", "mountain", False),
        ("comply.v.0", "comply.v.01", True),
        ("check.v.01", "check.v.02", False),
    ],
)
def test_a_slip_of_one_letter_is_told_in_long_words_alone(one, other, told):
    assert bool(list(check_spelling({"category": {one: {"a"}, other: {"b"}}}))) is told


def test_the_published_names_of_vidor_and_vidvrd_differ_in_toward(shared_data):
    names = {}
    for source, name in (("vidor", "VidOR_PredClass_spilt_info_v2"), ("vidvrd", "VidVRD_pred_class_spilt_info_v2")):
        data = json.loads((shared_data / "annotations" / source / f"{name}.json").read_text())
        for predicate in data["cls2id"]:
            names.setdefault(predicate, set()).add(source)
    (finding,) = check_spelling({"interaction": names})
    assert "'toward' (vidvrd), 'towards' (vidor)" in finding.message


# Splits


def texture(seed, size=(48, 64)):
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC))


def test_a_picture_hash_survives_size_and_brightness_and_tells_pictures_apart():
    first = picture_hash(texture(0))
    darker = (texture(0, (90, 120)) * 0.7).astype(np.uint8)
    assert np.bitwise_count(first ^ picture_hash(darker)) <= 6
    assert np.bitwise_count(first ^ picture_hash(texture(1))) > 20
    assert picture_hash(np.full((48, 64, 3), 90, np.uint8)) is None


def test_a_copy_in_another_size_and_codec_is_found_in_the_other_split(tmp_path):
    frames = [texture(seed) for seed in range(8)]
    larger = [texture(seed, (96, 128)) for seed in range(8)]
    one = glimpse(encode(tmp_path / "one.mp4", frames), 8)
    copy = glimpse(encode(tmp_path / "copy.avi", larger, "mjpeg", "yuvj420p"), 8)
    other = glimpse(encode(tmp_path / "other.mp4", [texture(seed) for seed in range(20, 28)]), 8)
    hashes = {"train": {"one": one.hashes}, "test": {"copy": copy.hashes, "other": other.hashes}}
    (finding,) = check_near_duplicates(hashes)
    assert (finding.severity, finding.video_id) == ("warning", "one") and "'copy' of test" in finding.message
    assert list(check_near_duplicates({"train": {"one": one.hashes, "copy": copy.hashes}})) == []


def test_a_video_in_two_splits_is_an_error():
    (finding,) = check_split_names({"train": {"a", "b"}, "test": {"b"}})
    assert (finding.severity, finding.video_id, finding.where) == ("error", "b", "test and train")


# The whole


def test_a_validation_joins_records_set_and_videos(tmp_path):
    encode(tmp_path / "v.mp4", [texture(seed) for seed in range(4)])
    check = Validation(videos=tmp_path)
    check.add(make_video(), "train")
    check.add(make_video(metadata={"split": "test"}))
    check.add(make_video(video_id="gone", file_name="gone.mp4"), "train")
    check.add(make_video(video_id="odd", metadata={"split": "minitrain"}))
    told = {(finding.check, finding.video_id) for finding in check.finish()}
    assert told == {
        ("video too short", "v"),
        ("video missing", "gone"),
        ("split name", "odd"),
        ("video in two splits", "test:v"),
    }
    assert [finding.severity for finding in check.findings] == ["error"] * 4
    assert check.statistics.total["videos"] == 4


def test_the_report_counts_and_the_table_shortens():
    findings = [Finding("error", "box outside", f"v{i}", "track 1", "what") for i in range(9)]
    findings.append(Finding("warning", "spelling", "", "category names", "which"))
    report = to_report(findings, 9, data=["a.json"])
    assert (report["errors"], report["warnings"], report["videos"], report["data"]) == (9, 1, 9, ["a.json"])
    assert report["checks"]["box outside"] == {"errors": 9, "warnings": 0} and len(report["findings"]) == 10
    table = to_table(findings, most=2)
    assert "v1" in table and "v2" not in table and "7 more findings" in table


def test_frames_in_words():
    assert in_words([3]) == "frame 3" and in_words([3, 7, 8, 9]) == "frames 3, 7-9"
    assert list(runs([])) == [] and in_words(range(0, 40, 2)).endswith("and 15 more stretches")


def test_ut_interaction_has_no_errors_and_three_objects_that_leave_the_picture(shared_data):
    check = Validation()
    for record in read_semtrack(shared_data / "ut_interaction/annotations/ut_interaction_set1.json"):
        check.add(record)
    told = [(f.severity, f.check, f.video_id) for f in check.finish()]
    assert told == [("warning", "absent during interaction", f"set1/{n}") for n in ("5_1_5", "7_2_5", "23_4_5")]
