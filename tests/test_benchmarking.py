"""One-pass evaluation: what trackers are shown, and what their answers score."""

import numpy as np
import pytest
from tiny_models import tiny_model, tiny_processor
from training_files import moving, red_box, red_frame, write_sequence

from dataset_script.sources.otb import BoxSequence
from modeling_semtrack import SemTrackSession
from modeling_semtrack.benchmarking import (
    OpenCVTracker,
    SessionTracker,
    evaluate_tracker,
    run_tracker,
    sequence_frames,
)
from modeling_semtrack.video import VideoWriter


class Finder:
    """Finds the red rectangle in every frame, and notes what it was shown."""

    def start(self, frame, box):
        self.started, self.shown = (red_box(frame), box), []

    def step(self, frame, index):
        self.shown.append(index)
        return red_box(frame)


class Silent:
    """Never sees anything."""

    def start(self, frame, box):
        pass

    def step(self, frame, index):
        return None


class Stubborn(Silent):
    """Always answers what it was given."""

    def start(self, frame, box):
        self.box = box

    def step(self, frame, index):
        return self.box


@pytest.fixture
def walk(tmp_path):
    return write_sequence(tmp_path / "walk", moving(6))


def test_a_perfect_tracker_scores_1(walk):
    result = evaluate_tracker(Finder(), [walk])
    scores = result["targets"]["walk"]
    assert (scores["ao"], scores["sr50"], scores["sr75"], scores["precision20"]) == (1, 1, 1, 1)
    assert scores["fps"] > 0 and "presence" not in scores
    assert result["mean"] == scores


def test_a_tracker_that_never_answers_scores_0(walk):
    """The frame in which it was given the box does not count."""
    result = evaluate_tracker(Silent(), [walk])
    assert {name: result["mean"][name] for name in ("ao", "auc", "sr50", "sr75", "precision20")} == dict.fromkeys(
        ("ao", "auc", "sr50", "sr75", "precision20"), 0
    )


def test_the_mean_is_over_sequences_whatever_their_length(tmp_path):
    """Not over frames: a long sequence counts as much as a short one."""
    still = write_sequence(tmp_path / "still", [(20, 20, 16, 20)] * 3)
    leaves = write_sequence(tmp_path / "leaves", [(4, 4, 10, 10)] + [(60, 60, 10, 10)] * 8)
    began = []
    result = evaluate_tracker(Stubborn(), [still, leaves], began.append)
    assert [result["targets"][name]["ao"] for name in ("still", "leaves")] == [1, 0]
    assert result["mean"]["ao"] == 0.5 and began == ["still", "leaves"]


def test_a_sequence_starts_with_the_first_frame_that_shows_the_target(tmp_path):
    """Frames are counted from there, and an absent target is a question of its own."""
    boxes = moving(6)
    sequence = write_sequence(tmp_path / "late", [None, None, *boxes[:3], None, boxes[4]])
    tracker = Finder()
    predicted, truth, seconds = run_tracker(tracker, sequence)
    assert tracker.started == (boxes[0], boxes[0]) and tracker.shown == [1, 2, 3, 4]
    np.testing.assert_array_equal(truth, sequence.boxes[2:])
    np.testing.assert_array_equal(predicted, truth)
    assert seconds > 0
    scores = evaluate_tracker(tracker, [sequence])["targets"]["late"]
    assert scores["ao"] == 1 and scores["presence"] == {"precision": 1, "recall": 1}
    stubborn = evaluate_tracker(Stubborn(), [sequence])["targets"]["late"]
    assert stubborn["presence"] == {"precision": 0.75, "recall": 1}


def test_a_sequence_that_never_shows_its_target_is_refused(tmp_path):
    sequence = write_sequence(tmp_path / "empty", [None, None])
    with pytest.raises(ValueError, match="sequence 'empty' never shows its target"):
        run_tracker(Finder(), sequence)


def test_the_first_box_is_clipped_to_the_frame(tmp_path):
    """Annotations may reach beyond the frame, sessions refuse such boxes."""
    sequence = write_sequence(tmp_path / "edge", [(-3, 80, 20, 30), (0, 40, 20, 30)])
    tracker = Stubborn()
    predicted, truth, _ = run_tracker(tracker, sequence)
    assert tracker.box == (0, 80, 17, 10) and truth[0].tolist() == [-3, 80, 20, 30]
    assert predicted[0].tolist() == [0, 80, 17, 10]


def test_videos_are_read_as_folders_are_and_may_be_longer_than_their_truth(tmp_path):
    boxes = moving(6)
    with VideoWriter(tmp_path / "film.mp4", 25, crf=5) as writer:
        for box in boxes:
            writer.write(red_frame(box))
    sequence = BoxSequence("film", tmp_path / "film.mp4", np.array(boxes[:4], float), None)
    frames = list(sequence_frames(sequence))
    assert len(frames) == 6 and all(frame.dtype == np.uint8 and frame.shape == (90, 120, 3) for frame in frames)
    tracker = Finder()
    predicted, truth, _ = run_tracker(tracker, sequence)
    assert tracker.shown == [1, 2, 3] and predicted.shape == truth.shape == (4, 4)
    np.testing.assert_allclose(predicted, truth, atol=2)


def test_a_session_is_judged_by_its_own_boxes_and_starts_anew_for_each_sequence(tmp_path, walk):
    model, processor = tiny_model(), tiny_processor()
    sessions = []

    def new_session():
        sessions.append(SemTrackSession(model, processor, semantic_stride=0))
        return sessions[-1]

    predicted, truth, _ = run_tracker(SessionTracker(new_session), walk)
    frames = sessions[0].trajectory(1).frames
    assert len(frames) == len(truth) == 6
    for frame, box in zip(frames, predicted):
        np.testing.assert_array_equal([np.nan] * 4 if frame.box is None else frame.box, box)
    evaluate_tracker(SessionTracker(new_session), [walk, walk])
    assert len(sessions) == 3 and all(session.targets == (1,) for session in sessions)


def test_opencv_follows_the_rectangle(walk):
    """A peer that is handed wrong colours, sizes or frames would lose it."""
    pytest.importorskip("cv2", reason="the peers need opencv-contrib-python-headless")
    assert evaluate_tracker(OpenCVTracker("csrt"), [walk])["mean"]["ao"] > 0.6


@pytest.mark.parametrize(
    ("name", "message"), [("siamfc", "peer must be one of csrt, kcf, nanotrack"), ("nanotrack", "needs a folder with")]
)
def test_peers_that_cannot_run_are_refused_at_once(name, message, tmp_path):
    pytest.importorskip("cv2", reason="the peers need opencv-contrib-python-headless")
    with pytest.raises(ValueError, match=message):
        OpenCVTracker(name, tmp_path)
