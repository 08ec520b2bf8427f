"""Rows of the metric from results and records, and rows as the SemTrack layout."""

import json
from dataclasses import replace

import pytest
from trajectory_examples import a_target, an_event, two_targets

from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord
from dataset_script.sources.semtrack import write_semtrack
from metrics.semtrack.conversion import empty_row, record_to_row, to_row
from metrics.semtrack.layout import to_layout
from metrics.semtrack.rows import pair_rows, read_row


def a_record(interactions=(), **changes):
    """A person (main), a ball and a thing without a name, in 10 frames."""
    targets = [
        TargetRecord(3, "person", {f: (10.0 + f, 20.0, 30.0, 40.0) for f in range(10)}, main=True),
        TargetRecord(5, "ball", {f: (50.0, 20.0 + f, 8.0, 8.0) for f in range(2, 8)}, main=False),
        TargetRecord(8, None, {0: (1.0, 2.0, 3.0, 4.0)}, main=False),
    ]
    fields = {"video_id": "park/1", "file_name": "park/1.mp4", "width": 120, "height": 90, "fps": 25.0}
    fields |= {"num_frames": 10, "prompt": None, "source": "test"}
    return VideoRecord(**(fields | changes), targets=targets, interactions=list(interactions))


def paired(prediction, record):
    return pair_rows([] if prediction is None else [prediction], [record_to_row(record)])


def a_prediction(*events):
    """Two frames of the person of `a_record`, and events."""
    track = {"track_id": 3, "category": "person", "main": True, "score": 0.9}
    track |= {"frames": [0, 1], "boxes": [[10, 20, 30, 40], [11, 20, 30, 40]], "scores": [0.8, 1.0]}
    return {"video_id": "park/1", "num_frames": 10, "fps": 25.0, "tracks": [track], "events": list(events)}


def a_predicted_event(interaction, start, end, score, object="", boxes=(), **changes):
    event = {"subject": 3, "interaction": interaction, "object": object, "object_track": -1}
    event |= {"start_frame": start, "end_frame": end, "score": score}
    return event | {"object_frames": [f for f, _ in boxes], "object_boxes": [b for _, b in boxes]} | changes


class TestResults:
    def test_every_visible_frame_of_a_target_is_a_box_of_its_track(self):
        dog, _ = two_targets()
        track = read_row(to_row("clip", [dog])).tracks[0]
        visible = [frame for frame in dog.frames if frame.box is not None]
        assert track.frames.tolist() == [frame.frame_index for frame in visible]
        assert [tuple(box) for box in track.boxes.tolist()] == [frame.box for frame in visible]
        assert track.scores.tolist() == [frame.presence for frame in visible]
        assert track.score == pytest.approx(sum(track.scores) / len(visible))
        assert (track.track_id, track.category, track.main) == (1, "dog", True)

    def test_events_keep_their_interval_score_and_located_object(self):
        dog, other = two_targets()
        events = read_row(to_row("clip", [dog, other])).events
        assert [(e.subject, e.interaction, e.object) for e in events] == [
            (1, "chase", "ball"),
            (1, "bark at", "person"),
            (1, "chase", "ball"),
            (2, "sit", ""),
        ]
        chase = events[0]
        assert (chase.start_frame, chase.end_frame, chase.score) == (2, 7, 0.8125)
        assert chase.object_frames.tolist() == [2, 3, 4, 5, 6]
        assert chase.object_boxes[2].tolist() == [300.5, 104.25, 20.0, 21.0]

    def test_an_object_that_is_located_at_steps_has_a_box_in_the_frames_between(self):
        """Frames 0, 4 and 8 are steps, 12 was missed but its neighbours are near; 20 to 28 is too far to guess."""
        located = [(f, (10.0 * f, 5.0, 20.0, 20.0)) for f in (0, 4, 8, 16, 20, 32)]
        result = a_target(events=[an_event("push", 0, 20, "box")]).to_dict()
        result["events"][0] |= {"end_frame": 34, "object_boxes": located}
        event = read_row(to_row("clip", [result], num_frames=40)).events[0]
        assert event.object_frames.tolist() == [*range(24), 32, 33]
        lefts = dict(zip(event.object_frames.tolist(), event.object_boxes[:, 0].tolist()))
        assert (lefts[2], lefts[12], lefts[22], lefts[32], lefts[33]) == (20, 120, 200, 320, 320)

    def test_an_object_that_is_located_once_has_one_box(self):
        assert to_row("clip", two_targets())["events"][2]["object_frames"] == [15]

    def test_objects_and_their_dictionaries_give_the_same_row(self):
        results = two_targets()
        assert to_row("clip", results) == to_row("clip", [json.loads(json.dumps(t.to_dict())) for t in results])

    def test_length_and_frame_rate_follow_from_the_frames_unless_given(self):
        row = to_row("clip", [a_target(first=3, end=16)])
        assert (row["num_frames"], row["fps"]) == (16, pytest.approx(12 / (0.04 * 12)))
        row = to_row("clip", [a_target(first=3, end=16)], num_frames=40, fps=30.0)
        assert (row["num_frames"], row["fps"]) == (40, 30.0)

    def test_a_target_that_was_never_seen_is_a_track_without_boxes(self):
        row = to_row("clip", [a_target(hidden=range(20))])
        assert read_row(row).tracks[0].frames.tolist() == []
        assert row["tracks"][0]["score"] == 0.0

    def test_a_video_without_results_needs_its_length_and_rate(self):
        assert to_row("clip", [], num_frames=9, fps=30.0)["tracks"] == []
        with pytest.raises(ValueError, match="'clip': no frame was followed, so num_frames must be given"):
            to_row("clip", [], fps=30.0)
        with pytest.raises(ValueError, match="'clip': fewer than 2 frames were followed, so fps must be given"):
            to_row("clip", [a_target(end=1)])

    def test_two_targets_with_one_id_are_refused(self):
        with pytest.raises(ValueError, match=r"'clip': .* distinct ids, got \[1, 1\]"):
            to_row("clip", [a_target(), a_target()])


class TestRecords:
    def test_all_objects_become_tracks_and_events_point_to_them(self):
        record = a_record([InteractionRecord(3, "kick", 5, 2, 6), InteractionRecord(3, "sit", None, 6, 10)])
        row = read_row(record_to_row(record))
        assert [(t.track_id, t.category, t.main) for t in row.tracks] == [
            (3, "person", True),
            (5, "ball", False),
            (8, "", False),
        ]
        assert row.tracks[1].frames.tolist() == [2, 3, 4, 5, 6, 7]
        kick, sit = row.events
        assert (kick.subject, kick.object, kick.object_track, kick.start_frame, kick.end_frame) == (3, "ball", 5, 2, 6)
        assert (sit.object, sit.object_track) == ("", -1)
        assert row.object_boxes(kick).boxes[0].tolist() == [50.0, 22.0, 8.0, 8.0]

    def test_an_object_without_a_class_name_is_not_no_object(self):
        row = record_to_row(a_record([InteractionRecord(3, "push", 8, 0, 1)]))
        assert row["events"][0]["object"] == "unknown"

    def test_the_truth_of_a_result_is_the_result_itself(self):
        """The record that says what a trajectory says pairs with it frame by frame."""
        result = a_target(3, "person", [an_event("sit", 6, 12, subject="person")], hidden=(4,))
        boxes = {frame.frame_index: frame.box for frame in result.frames if frame.box}
        record = VideoRecord("clip", "clip.mp4", 640, 360, 25.0, 20, [TargetRecord(3, "person", boxes, True)],
                             [InteractionRecord(3, "sit", None, 6, 12)], None, "test")  # fmt: skip
        truth, said = record_to_row(record), to_row("clip", [result])
        for name in ("frames", "boxes", "track_id", "category", "main"):
            assert said["tracks"][0][name] == truth["tracks"][0][name]
        same = ("subject", "interaction", "object", "object_track", "start_frame", "end_frame")
        assert [said["events"][0][n] for n in same] == [truth["events"][0][n] for n in same]

    def test_an_empty_prediction_fits_any_reference(self):
        row = record_to_row(a_record())
        assert read_row(empty_row(row)).tracks == ()


class TestLayout:
    EVENTS = (
        InteractionRecord(3, "walk", None, 0, 7),
        InteractionRecord(3, "kick", 5, 3, 6),
        InteractionRecord(5, "roll", None, 4, 8),
    )

    def test_the_truth_is_what_the_writer_of_the_data_set_would_write(self, tmp_path):
        record = a_record(self.EVENTS)
        truth, predictions = to_layout(paired(None, record))
        write_semtrack([record], tmp_path / "truth.json")
        written = json.loads((tmp_path / "truth.json").read_text())

        def resolved(data):
            names = {entry["id"]: entry["name"] for entry in data["categories"]}
            relations = {entry["id"]: entry["name"] for entry in data["interactions"]} | {-1: None}
            frames = {image["id"]: image["frame_index"] for image in data["images"]}
            return [
                (frames[a["image_id"]], a["track_id"], names[a["category_id"]], a["bbox"], a["main_object"],
                 relations[a["relation_sub_category_id"]], relations[a["relation_obj_category_id"]])
                for a in data["annotations"]
            ]  # fmt: skip

        assert resolved(truth) == resolved(written)
        assert [image["frame_index"] for image in truth["images"]] == list(range(10))
        assert predictions == []

    def test_predicted_relations_are_listed_best_first(self):
        events = [a_predicted_event("sit", 0, 2, 0.4), a_predicted_event("wave", 1, 5, 0.7)]
        truth, predictions = to_layout(paired(a_prediction(*events), a_record(self.EVENTS)))
        names = {entry["id"]: entry["name"] for entry in truth["interactions"]}
        assert [[names[i] for i in p["relation_sub_category_id"]] for p in predictions] == [["sit"], ["wave", "sit"]]
        assert [p["relation_obj_category_id"] for p in predictions] == [[-1], [-1]]
        assert [(p["score"], p["is_main"], p["bbox"]) for p in predictions][1] == (1.0, 1, [11.0, 20.0, 30.0, 40.0])

    def test_nothing_predicted_is_said_by_the_relation_none(self):
        _, predictions = to_layout(paired(a_prediction(), a_record()))
        assert {tuple(p["relation_sub_category_id"]) for p in predictions} == {(-1,)}

    def test_a_located_object_is_a_track_that_simultaneous_events_share(self):
        box, other = [50.0, 22.0, 8.0, 8.0], [51.0, 22.0, 8.0, 8.0]
        events = [
            a_predicted_event("kick", 2, 4, 0.5, "ball", [(2, box), (3, box)]),
            a_predicted_event("follow", 3, 5, 0.9, "ball", [(3, other)]),
            a_predicted_event("kick", 7, 9, 0.6, "ball", [(7, box)]),
        ]
        truth, predictions = to_layout(paired(a_prediction(*events), a_record(self.EVENTS)))
        names = {entry["id"]: entry["name"] for entry in truth["interactions"]}
        objects = [p for p in predictions if not p["is_main"]]
        assert [(p["track_id"], p["image_id"] - 1, p["bbox"], p["score"]) for p in objects] == [
            (2, 2, box, 0.5),
            (2, 3, other, 0.9),
            (3, 7, box, 0.6),
        ]
        assert [[names[i] for i in p["relation_obj_category_id"]] for p in objects] == [
            ["kick"],
            ["follow", "kick"],
            ["kick"],
        ]

    def test_videos_and_their_tracks_are_kept_apart(self):
        pairs = paired(a_prediction(), a_record(self.EVENTS))
        truth, predictions = to_layout(pairs + pairs)
        assert [video["id"] for video in truth["videos"]] == [1, 2]
        assert len({track["id"] for track in truth["tracks"]}) == len(truth["tracks"]) == 6
        assert len({image["id"] for image in truth["images"]}) == 20
        assert {p["track_id"] for p in predictions} == {1, 2}

    def test_an_event_that_began_later_has_the_frames_that_two_share(self):
        record = replace(a_record(), interactions=list(reversed(self.EVENTS)))
        truth, _ = to_layout(paired(None, record))
        names = {entry["id"]: entry["name"] for entry in truth["interactions"]} | {-1: None}
        person = [names[a["relation_sub_category_id"]] for a in truth["annotations"] if a["track_id"] == 1]
        assert person == ["walk"] * 3 + ["kick"] * 3 + ["walk"] + [None] * 3
