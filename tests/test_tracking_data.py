"""What the tracking stage trains on: all that is given, nothing that is excluded."""

import shutil

import numpy as np
import pytest
from PIL import Image
from training_files import a_record, moving, red_box, write_annotated, write_photos, write_sequence

from dataset_script import tracking_data
from dataset_script.names import read_names
from dataset_script.pairs import PhotoSampler, SequenceSampler
from dataset_script.records import TargetRecord
from dataset_script.semantic_data import described_targets, read_videos
from dataset_script.sources.otb import list_images, read_sequences
from dataset_script.tracking_data import idle_videos, tracking_sampler, without_excluded
from modeling_semtrack.video import VideoWriter


@pytest.fixture
def sequences(tmp_path):
    folder = tmp_path / "sequences"
    for name in ("jump", "run", "walk"):
        write_sequence(folder / name, moving(4))
    return folder


def names_file(tmp_path, text):
    (tmp_path / "names.txt").write_text(text)
    return tmp_path / "names.txt"


def assert_marks(image, box):
    """The red rectangle of a decoded frame; its colour bleeds into the pixels beside it."""
    np.testing.assert_allclose(red_box(image), box, atol=2)


def test_names_are_lines_without_comments(tmp_path):
    path = names_file(tmp_path, "# held out\nwalk\n\n  run fast  # twice\nwalk\n#jump\n")
    assert read_names(path) == {"walk", "run fast"}


def test_excluded_sequences_are_gone(tmp_path, sequences):
    sampler = tracking_sampler(sequences=sequences, exclude=names_file(tmp_path, "walk\njump # held out\n"))
    (part,) = sampler.samplers
    assert [s.name for s in part.sequences] == ["run"] and list(part.frames_of) == ["run"]


def test_without_a_list_nothing_is_excluded(sequences):
    (part,) = tracking_sampler(sequences=sequences).samplers
    assert [s.name for s in part.sequences] == ["jump", "run", "walk"]


def test_a_misspelt_exclusion_is_refused(tmp_path, sequences):
    """It would train on what it is judged by later."""
    with pytest.raises(ValueError, match="do not exist: Walk, wlak; check the spelling") as error:
        without_excluded(read_sequences(sequences), names_file(tmp_path, "wlak\njump\nWalk\n"))
    assert "\n" not in str(error.value)


def test_every_given_source_takes_part(tmp_path, sequences):
    videos = read_videos(write_annotated(tmp_path / "videos", a_record()), tmp_path / "videos")
    sampler = tracking_sampler(write_photos(tmp_path / "photos"), None, sequences, None, videos)
    assert [type(part) for part in sampler.samplers] == [PhotoSampler, SequenceSampler, SequenceSampler]
    np.testing.assert_allclose(sampler.weights, [0.6, 0.3, 0.1])
    with pytest.raises(ValueError, match="nothing to train on: pass images, sequences or videos"):
        tracking_sampler()


def test_sequences_in_video_files_are_unpacked(tmp_path):
    folder = tmp_path / "film"
    first = write_sequence(folder, moving(5))
    with VideoWriter(folder / "film.mp4", 25, crf=5) as writer:
        for path in list_images(folder / "img"):
            writer.write(np.asarray(Image.open(path)))
    shutil.rmtree(folder / "img")
    (part,) = tracking_sampler(sequences=folder).samplers
    assert len(part.frames_of["film"]) == 5
    for image, box in zip(part.frames_of["film"], first.boxes):
        assert_marks(image, box)


def test_tracks_of_videos_keep_their_boxes_and_gaps(tmp_path):
    boxes = {index: (4.0 + 3 * index, 10.0, 16.0, 20.0) for index in (0, 1, 2, 5, 6)}
    record = a_record(frames=8, targets=[TargetRecord(7, "dog", boxes, True)], interactions=[])
    videos = read_videos(write_annotated(tmp_path, record), tmp_path)
    (part,) = tracking_sampler(annotated=videos).samplers
    (track,) = part.sequences
    assert track.boxes.shape == (8, 4) and len(part.frames_of[track.name]) == 8
    assert np.flatnonzero(np.isnan(track.boxes[:, 0])).tolist() == [3, 4, 7]
    for index, box in boxes.items():
        assert tuple(track.boxes[index]) == box
        assert_marks(part.frames_of[track.name][index], box)


def test_tracks_seen_once_and_videos_beyond_the_limit_are_left_out(tmp_path, monkeypatch):
    once = [TargetRecord(1, "dog", {3: (4.0, 4.0, 12.0, 12.0)}, True), a_record().targets[1]]
    records = [a_record("once", targets=once, interactions=[]), a_record("two"), a_record("three")]
    videos = read_videos(write_annotated(tmp_path, *records), tmp_path)
    monkeypatch.setattr(tracking_data, "MOST_FRAMES", 21)
    (part,) = tracking_sampler(annotated=videos).samplers
    assert [(s.frames.stem, len(s.boxes)) for s in part.sequences] == [("once", 20)] + [("two", 20)] * 3


def test_videos_of_two_files_with_one_id_are_not_mixed_up(tmp_path):
    """Each track keeps the frames that it was annotated in."""
    still = [TargetRecord(1, "dog", {index: (60.0, 40.0, 16.0, 20.0) for index in range(6)}, True)]
    for name, record in (
        ("a", a_record("same", 6, interactions=[])),
        ("b", a_record("same", 6, targets=still, interactions=[])),
    ):
        write_annotated(tmp_path / name, record)
    videos = [v for name in "ab" for v in read_videos(tmp_path / name / "annotations.json", tmp_path / name)]
    (part,) = tracking_sampler(annotated=videos).samplers
    assert len(part.sequences) == 4
    for track in (part.sequences[0], part.sequences[3]):
        for image, box in zip(part.frames_of[track.name], track.boxes):
            assert_marks(image, box)


def test_only_annotated_frames_count_so_that_unknown_is_not_absent(tmp_path):
    boxes = {index: (10.0 + index, 20.0, 16.0, 12.0) for index in (2, 3, 5)}
    record = a_record(frames=8, targets=[TargetRecord(7, None, boxes, True)], interactions=None)
    record.annotated_frames = (2, 3, 5)
    videos = read_videos(write_annotated(tmp_path, record), tmp_path, described=False)
    (part,) = tracking_sampler(annotated=videos).samplers
    (track,) = part.sequences
    assert [tuple(box) for box in track.boxes] == list(boxes.values())
    for image, box in zip(part.frames_of[track.name], track.boxes):
        assert_marks(image, box)


def test_large_frames_are_held_small_with_their_boxes(tmp_path, monkeypatch):
    videos = read_videos(write_annotated(tmp_path, a_record()), tmp_path)
    width = videos[0].record.width
    monkeypatch.setattr(tracking_data, "LONGEST_SIDE", width * 3 // 4)
    (part,) = tracking_sampler(annotated=videos).samplers
    track = part.sequences[0]
    assert part.frames_of[track.name][0].shape[1] == width * 3 // 4
    index, box = next(iter(videos[0].record.targets[0].boxes.items()))
    assert tuple(track.boxes[index] * 4 / 3) == pytest.approx(box)


def test_each_source_of_videos_has_its_own_share(tmp_path):
    other = a_record("b")
    other.source = "elsewhere"
    videos = read_videos(write_annotated(tmp_path, a_record("a"), other), tmp_path)
    assert len(tracking_sampler(annotated=videos).samplers) == 2


def test_sequences_serve_as_videos_in_which_nothing_happens(sequences, tmp_path):
    write_sequence(sequences / "hide", [*moving(2), None, moving(4)[3]])
    videos = idle_videos(sequences, names_file(tmp_path, "walk\n"))
    assert [video.record.video_id for video in videos] == ["hide", "jump", "run"]
    assert all(video.record.interactions == [] for video in videos)
    hidden, seen = videos[0], videos[1]
    assert list(hidden.record.targets[0].boxes) == [0, 1, 3]
    assert [index for index, _, _ in seen.frames()] == [0, 1, 2, 3]
    assert described_targets(seen.record) == seen.record.targets
