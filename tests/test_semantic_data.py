"""Annotated videos of the semantic stage: which are read, which targets are described, and their labels."""

import numpy as np
import pytest
from training_files import a_record, red_box, write_annotated

from dataset_script.records import InteractionRecord, TargetRecord
from dataset_script.semantic_data import AnnotatedVideo, described_targets, label_maps, read_videos, target_events
from modeling_semtrack.loss_semtrack import IGNORE


def boxes(frames=20, x=4.0):
    return {index: (x, 20.0, 14.0, 24.0) for index in range(frames)}


def a_scene(targets, interactions):
    """A record of (track id, category) and (subject, interaction, object)."""
    tracks = [TargetRecord(number, category, boxes(x=4.0 * number), False) for number, category in targets]
    return a_record(targets=tracks, interactions=[InteractionRecord(s, name, o, 4, 12) for s, name, o in interactions])


def ids(videos):
    return [video.record.video_id for video in videos]


@pytest.fixture
def folder(tmp_path):
    records = [
        a_record("a", 4, interactions=[], metadata={"split": "train"}),
        a_record("b", 4, interactions=[], metadata={"split": "validation"}),
        a_record("c", 4, interactions=[]),
        a_record("d", 4, interactions=None),
    ]
    write_annotated(tmp_path, *records)
    return tmp_path


def test_a_split_holds_its_videos_and_those_without_a_split_train(folder):
    """Videos whose interactions nobody annotated belong to no split."""
    file = folder / "annotations.json"
    assert ids(read_videos(file, folder)) == ["a", "c"]
    assert ids(read_videos(file, folder, split="validation")) == ["b"]
    assert ids(read_videos(file, folder, split=None)) == ["a", "b", "c"]


def test_excluded_videos_are_gone_even_if_their_files_are(folder):
    (folder / "exclude.txt").write_text("# held out\na\n")
    (folder / "a.mp4").unlink()
    assert ids(read_videos(folder / "annotations.json", folder, exclude=folder / "exclude.txt")) == ["c"]


def test_a_missing_video_file_is_named(folder):
    (folder / "c.mp4").unlink()
    with pytest.raises(ValueError, match=r"names the video 'c.mp4', which is not in") as error:
        read_videos(folder / "annotations.json", folder)
    assert "\n" not in str(error.value)


def test_frames_come_in_order_with_their_times(tmp_path):
    record = a_record(frames=5, interactions=[])
    write_annotated(tmp_path, record)
    frames = list(AnnotatedVideo(record, tmp_path / record.file_name).frames())
    assert [index for index, _, _ in frames] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose([time for _, time, _ in frames], np.arange(5) / 25, atol=1e-4)
    for index, _, image in frames:
        np.testing.assert_allclose(red_box(image), record.targets[0].boxes[index], atol=2)


def test_label_maps_hold_what_occurs_in_alphabetical_order():
    """Interactions of all videos; classes of objects that something is done to, not of bystanders or actors."""
    first = a_scene([(1, "person"), (2, "dog"), (3, "cat")], [(1, "push", 2), (1, "wave", None)])
    second = a_scene([(1, "person"), (2, "ball"), (3, None)], [(1, "carry", 2), (1, "push", 3)])
    videos = [AnnotatedVideo(record, None) for record in (first, second)]
    expected = ({0: "carry", 1: "push", 2: "wave"}, {0: "ball", 1: "dog"})
    assert label_maps(videos) == label_maps(videos[::-1]) == expected
    assert label_maps([]) == ({}, {})


@pytest.mark.parametrize(
    ("targets", "interactions", "described"),
    [
        ([(1, "person"), (2, "ball"), (3, "dog")], [(1, "push", 2)], [1, 2, 3]),
        ([(1, "person"), (2, "person"), (3, "dog")], [(1, "shake hands", 2)], [1, 3]),
        ([(1, "person"), (2, "person")], [(1, "push", 2), (2, "hit", 1)], [1, 2]),
        ([(1, "person"), (2, "person"), (3, "dog")], [(1, "push", 2)], [1, 2, 3]),
        ([(1, "person"), (2, "dog")], [], [1, 2]),
    ],
    ids=["objects of other kinds", "both sides do it", "both act", "one side does it", "nothing happens"],
)
def test_who_serves_as_an_example_of_doing_nothing(targets, interactions, described):
    """Whether the other side of a handshake was annotated is not known: it is no negative."""
    targets = described_targets(a_scene(targets, interactions), bystanders=9)
    assert sorted(target.track_id for target in targets) == described


def test_of_those_who_do_nothing_the_longest_visible_are_described():
    """Subjects are all described; bystanders would outnumber them."""
    lengths = {1: 5, 2: 8, 3: 20, 4: 12, 5: 3}
    tracks = [TargetRecord(n, f"kind {n}", boxes(length), False) for n, length in lengths.items()]
    waves = [InteractionRecord(subject, "wave", None, 0, 4) for subject in (1, 5)]
    record = a_record(targets=tracks, interactions=waves)
    assert [t.track_id for t in described_targets(record)] == [1, 5, 3]
    assert [t.track_id for t in described_targets(record, bystanders=2)] == [1, 5, 3, 4]
    assert [t.track_id for t in described_targets(record, bystanders=0)] == [1, 5]


def test_targets_without_boxes_are_not_described():
    record = a_record(targets=[TargetRecord(1, "person", {}, True), TargetRecord(2, "dog", boxes(), False)])
    record.interactions = [InteractionRecord(1, "push", 2, 4, 12)]
    assert [t.track_id for t in described_targets(record)] == [2]


def test_events_of_a_target_carry_ids_intervals_and_the_objects_boxes():
    record = a_record()
    person, ball, dog = record.targets
    events = target_events(record, person, {"push": 5, "wave": 1}, {"ball": 2, "dog": 0, "cup": 1})
    assert events == [(5, 2, 4, 12, ball.boxes), (1, 3, 8, 16, {})]  # 3: no object
    assert target_events(record, ball, {}, {}) == target_events(record, dog, {}, {}) == []


def test_an_object_without_a_category_is_not_judged():
    """Label maps cannot hold it; its place still counts."""
    record = a_scene([(1, "person"), (2, None)], [(1, "push", 2)])
    ((_, kind, _, _, places),) = target_events(record, record.targets[0], {"push": 0}, {})
    assert kind == IGNORE and places == record.targets[1].boxes
