"""COCO and SemTrack layouts: written as published, read back exactly, real files read as labelled."""

import dataclasses
import json
import random

import pytest
from trajectory_examples import TIMES, a_target, an_event, two_targets

from modeling_semtrack.export import dumps, from_coco, from_semtrack, to_coco, to_semtrack

# COCO


def test_coco_layout(shared_data):
    """Every field that the published CocoVID sample needs to be read is there, with its type."""
    sample = json.loads((shared_data / "annotations/cocovid/ann.json").read_text())
    ours = json.loads(dumps(two_targets(), "coco", video="sub/clip.mp4"))
    optional = {"occluded", "truncated", "ignore", "is_vid_train_frame", "visibility"}
    for name in ("videos", "images", "annotations", "categories"):
        for key, value in sample[name][0].items():
            if key not in optional:
                assert isinstance(ours[name][0][key], int if key == "iscrowd" else type(value)), (name, key)


def test_coco_boxes_by_hand():
    data = to_coco([a_target(end=3, hidden=(1,))], video="sub/clip.mp4")
    assert [(image["id"], image["frame_id"], image["time"]) for image in data["images"]] == [
        (1, 0, TIMES[0]),
        (2, 1, TIMES[1]),
        (3, 2, TIMES[2]),
    ]
    assert data["images"][2]["file_name"] == "sub/clip/000002.jpg"
    assert data["categories"] == [{"id": 1, "name": "dog"}]
    first, second = data["annotations"]
    assert (first["image_id"], second["image_id"]) == (1, 3)
    assert second == {
        "id": 2,
        "image_id": 3,
        "video_id": 1,
        "track_id": 1,
        "instance_id": 1,
        "category_id": 1,
        "bbox": [12.1, 20.2, 30.3, 40.4],
        "area": 30.3 * 40.4,
        "iscrowd": 0,
        "score": 0.902,
    }


def test_coco_round_trip_is_exact_but_for_events():
    trajectories = two_targets()
    expected = [dataclasses.replace(trajectory, events=[]) for trajectory in trajectories]
    assert from_coco(json.loads(dumps(trajectories, "coco"))) == expected


def test_reads_the_published_cocovid_sample(shared_data):
    data = json.loads((shared_data / "annotations/cocovid/ann.json").read_text())
    with pytest.raises(ValueError, match="'dummy_video' has neither times of images nor fps; pass fps="):
        from_coco(data)
    trajectories = from_coco(data, fps=10.0)
    boxes = sum(frame.box is not None for trajectory in trajectories for frame in trajectory.frames)
    assert boxes == len(data["annotations"])
    assert (trajectories[0].width, trajectories[0].height) == (512, 256)
    assert trajectories[0].category == "car"
    assert trajectories[0].frames[0].time == trajectories[0].frames[0].frame_index / 10.0


# SemTrack


def test_semtrack_by_hand():
    """One event in frames 1 and 2 of 4, with the object seen in frame 2."""
    event = an_event("push", 1, 3, "box", 0.75, boxes=[(2, (5.0, 6.0, 7.0, 8.0))])
    data = to_semtrack([a_target(end=4, events=[event], hidden=(3,))], video="sub/clip.mp4")
    assert data["interactions"] == [{"id": 0, "name": "push"}]
    assert data["categories"] == [{"id": 1, "name": "box"}, {"id": 2, "name": "dog"}]
    (video,) = data["videos"]
    assert (video["name"], video["file_name"], video["lang"]) == ("sub/clip", "sub/clip.mp4", "")
    assert (video["width"], video["height"]) == (640, 360)
    assert [image["frame_index"] for image in data["images"]] == [0, 1, 2, 3]
    assert [(track["id"], track["category_id"]) for track in data["tracks"]] == [(1, 2), (2, 1)]
    keys = "image_id track_id category_id main_object relation_sub_category_id relation_obj_category_id".split()
    assert [[annotation[key] for key in keys] for annotation in data["annotations"]] == [
        [1, 1, 2, 1, -1, -1],
        [2, 1, 2, 1, 0, -1],
        [3, 1, 2, 1, 0, -1],
        [3, 2, 1, 0, -1, 0],
    ]
    assert data["annotations"][3]["bbox"] == [5.0, 6.0, 7.0, 8.0]


def test_semtrack_has_every_field_of_the_official_layout(shared_data):
    sample = json.loads((shared_data / "ut_interaction/annotations/ut_interaction_set1.json").read_text())
    ours = json.loads(dumps(two_targets(), "semtrack"))
    own = {"metadata", "num_frames"}
    for name in ("videos", "images", "tracks", "categories", "interactions", "annotations"):
        for entry in ours[name]:
            assert set(sample[name][0]) - own <= set(entry), name


def test_semtrack_round_trip_is_exact_for_events_in_turn():
    trajectories = two_targets()
    data = json.loads(dumps(trajectories, "semtrack"))
    assert from_semtrack(data) == trajectories
    assert data["videos"][0]["lang"] == "the dog"


def test_semtrack_round_trip_of_random_events_in_turn():
    rng = random.Random(11)
    for _ in range(40):
        targets = []
        for target_id in rng.sample(range(1, 9), rng.randrange(1, 4)):
            cuts = sorted(rng.sample(range(20), rng.randrange(0, 5) * 2))
            events = []
            for start, end in zip(cuts[::2], cuts[1::2], strict=True):
                where = sorted(rng.sample(range(start, end), rng.randrange(0, end - start + 1)))
                boxes = [(index, (rng.random(), rng.random(), 1.0 + rng.random(), 2.0)) for index in where]
                name = rng.choice(["box", "dog", None]) if boxes else rng.choice(["box", None])
                kind = rng.choice(["push", "pull"])
                subject = f"target {target_id}"
                events.append(an_event(kind, start, end, name, rng.random(), subject, boxes))
            targets.append(a_target(target_id, None, events))
        back = from_semtrack(json.loads(dumps(targets, "semtrack")))
        assert back == sorted(targets, key=lambda target: target.target_id)


def test_semtrack_of_overlapping_events_writes_the_stronger_one_in_each_frame():
    events = [
        an_event("follow", 0, 6, score=0.5),
        an_event("push", 2, 4, "box", 0.75, boxes=[(2, (1, 2, 3, 4))]),
    ]
    trajectory = a_target(events=events, end=8)
    data = to_semtrack([trajectory])
    subject = [a["relation_sub_category_id"] for a in data["annotations"] if a["main_object"]]
    assert subject == [0, 0, 1, 1, 0, 0, -1, -1]
    spans = [(e.interaction, e.start_frame, e.end_frame) for e in from_semtrack(data)[0].events]
    assert spans == [("follow", 0, 2), ("push", 2, 4), ("follow", 4, 6)]


def test_semtrack_object_has_no_relation_where_its_event_is_the_weaker_one():
    boxes = [(index, (1.0, 2.0, 3.0, 4.0)) for index in range(4)]
    events = [an_event("push", 0, 4, "box", 0.25, boxes=boxes), an_event("follow", 2, 4, score=0.5)]
    data = to_semtrack([a_target(events=events, end=4)])
    box = [a["relation_obj_category_id"] for a in data["annotations"] if not a["main_object"]]
    assert box == [1, 1, -1, -1]


def test_semtrack_cuts_an_event_to_the_frames_in_which_the_target_is_visible():
    trajectory = a_target(events=[an_event("push", 2, 10)], hidden=(2, 5, 8, 9), end=12)
    (event,) = from_semtrack(to_semtrack([trajectory]))[0].events
    assert (event.start_frame, event.end_frame) == (3, 8)
    assert (event.start_time, event.end_time) == (TIMES[3], TIMES[8])


def test_reads_the_real_interactions_as_they_were_labelled(shared_data):
    folder = shared_data / "ut_interaction/annotations"
    data = json.loads((folder / "ut_interaction_set1.json").read_text())
    labels = json.loads((folder / "events_set1.json").read_text())
    trajectories = from_semtrack(data)
    assert len(trajectories) == len(labels) == 60
    for trajectory, label in zip(trajectories, labels, strict=True):
        (event,) = trajectory.events
        assert trajectory.target_id == label["subject_track"]
        assert (event.interaction, event.start_frame) == (label["interaction"], label["start_frame"])
        assert event.end_frame == label["end_frame"]
        assert event.end_time == pytest.approx(label["end_frame"] / label["fps"])
        assert event.object == (None if label["object_track"] is None else "person")
        hidden = {i for a, b in label["object_out_of_view"] for i in range(a, b)}
        seen = set(range(event.start_frame, event.end_frame)) - hidden
        assert {index for index, _ in event.object_boxes} == (seen if event.object else set())
    one = from_semtrack(data, video_id=7)
    assert one == [trajectories[6]]
    again = from_semtrack(json.loads(dumps(one, "semtrack")))
    assert again[0].events == one[0].events and again[0].frames == one[0].frames


def test_finds_the_object_of_published_files_by_its_relation():
    """Ten images, every fifth frame: the target pushes track 2, waits, pushes it again; 3 is only near."""
    relations = [-1, 0, 0, 0, -1, -1, 0, 0, -1, -1]
    annotations = []
    for number, relation in enumerate(relations):
        for track_id in (1, 2, 3):
            annotations.append(
                {"image_id": number, "video_id": 4, "track_id": track_id, "category_id": min(track_id, 2)}
                | {"bbox": [float(number), float(track_id), 9.0, 9.0], "main_object": int(track_id == 1)}
                | {"relation_sub_category_id": relation if track_id == 1 else -1}
                | {"relation_obj_category_id": relation if track_id < 3 or number == 1 else -1}
            )
    data = {
        "videos": [{"id": 4, "name": "clip", "width": 64, "height": 48, "fps": 10}],
        "images": [{"id": number, "video_id": 4, "frame_index": 5 * number} for number in range(10)],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "box"}],
        "interactions": [{"id": 0, "name": "push"}],
        "annotations": annotations,
    }
    (trajectory,) = from_semtrack(data)
    assert (trajectory.target_id, trajectory.category, len(trajectory.frames)) == (1, "dog", 10)
    first, second = trajectory.events
    assert (first.start_frame, first.end_frame, first.start_time, first.end_time) == (5, 20, 0.5, 2.0)
    assert (second.start_frame, second.end_frame) == (30, 40)
    assert (first.object, second.object) == ("box", "box")
    assert first.object_boxes == tuple((5 * n, (float(n), 2.0, 9.0, 9.0)) for n in (1, 2, 3))
    assert [index for index, _ in second.object_boxes] == [30, 35]


def test_reads_files_without_the_list_of_interactions_under_numbered_names():
    data = to_semtrack([a_target(events=[an_event("push", 0, 3)])])
    del data["interactions"]
    assert from_semtrack(data)[0].events[0].interaction == "interaction 0"


# Refusals


@pytest.mark.parametrize("video", ["/home/me/clip.mp4", r"C:\clips\clip.mp4"])
def test_no_path_of_the_users_machine_is_saved(video):
    with pytest.raises(ValueError, match="video must be a relative file name"):
        dumps([a_target()], "semtrack", video)


def test_an_object_outside_the_tracked_frames_is_refused():
    event = an_event("push", 0, 10, "box", boxes=[(7, (1, 2, 3, 4))])
    with pytest.raises(ValueError, match="'push' must lie in a tracked frame, got frame 7"):
        to_semtrack([a_target(events=[event], end=6)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("images"), "must have videos, images, annotations, categories, got videos"),
        (lambda data: data["annotations"][0].pop("bbox"), "lacks the field 'bbox'"),
        (lambda data: data["annotations"][0].update(image_id=999), "name an image of its video, got 999"),
        (lambda data: data["annotations"][0].update(category_id=9), r"one of \[1\], got 9"),
        (
            lambda data: data["annotations"][0].update(relation_sub_category_id=5),
            r"-1 or one of \[0\], got 5",
        ),
        (lambda data: data["annotations"][0].update(relation_track_id=50), "null or one of .1., got 50"),
    ],
)
def test_a_damaged_layout_is_refused(change, message):
    data = to_semtrack([a_target(events=[an_event("push", 0, 5)])])
    change(data)
    with pytest.raises(ValueError, match=message):
        from_semtrack(data)


def test_an_unknown_video_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"video_id must be one of \[1\], got 3"):
        from_semtrack(to_semtrack([a_target()]), video_id=3)
