"""Labels at the tracker's boxes: where it is, what it was annotated to do, and nothing where it is elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from colour_model import ColourModel
from session_clips import BOX, RATE, clip, colours, run
from tiny_models import tiny_processor

from metrics.semtrack.tracking import iou
from modeling_semtrack.training_clips import StepLabel
from modeling_semtrack.training_tracks import LEAST_OVERLAP, at_tracked_boxes

EVENT = (1, 0, None)


def frames_of(images):
    return ((index, index / RATE, image) for index, image in enumerate(images))


def tracked(images, labels):
    return at_tracked_boxes(ColourModel(), tiny_processor(), frames_of(images), labels)


@pytest.fixture
def boxes():
    """Where a session sees the target in each frame."""
    session, images = colours(semantic_stride=0), clip()
    session.add_target(images[0], box=BOX)
    return [state.box for (state,) in run(session, images)]


def test_steps_get_the_trackers_boxes_and_keep_their_labels(boxes):
    labels = [StepLabel(index, boxes[index], [EVENT] if index else []) for index in (0, 2, 4)]
    wider = [labels[0], *(replace(label, box=widened(label.box)) for label in labels[1:])]
    (found,) = tracked(clip(), [wider])
    assert [step.frame_index for step in found] == [0, 2, 4]
    assert [step.events for step in found] == [[], [EVENT], [EVENT]]
    np.testing.assert_allclose([step.box for step in found], [label.box for label in labels])


def test_a_step_in_which_the_tracker_is_elsewhere_is_left_out(boxes):
    away = (boxes[4][0] + 40, boxes[4][1], *boxes[4][2:])
    assert iou(np.array([away]), np.array([boxes[4]]))[0] < LEAST_OVERLAP
    labels = [StepLabel(0, boxes[0], []), StepLabel(4, away, [EVENT]), StepLabel(5, boxes[5], [EVENT])]
    assert [step.frame_index for step in tracked(clip(), [labels])[0]] == [0, 5]


def test_each_target_starts_in_its_own_first_step(boxes):
    late = [StepLabel(index, boxes[index], [EVENT]) for index in (3, 5)]
    first, second, none = tracked(clip(), [[StepLabel(0, boxes[0], []), StepLabel(5, boxes[5], [])], late, []])
    assert [step.frame_index for step in first] == [0, 5]
    assert [step.frame_index for step in second] == [3, 5]
    assert none == []


def widened(box):
    x, y, width, height = box
    return x - width / 4, y, 1.5 * width, height
