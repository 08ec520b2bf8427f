"""Clips of pixels hold what a session would have seen, and teach both branches at once."""

import numpy as np
import pytest
import torch
from tiny_models import tiny_model, tiny_processor
from training_files import red_frame

from modeling_semtrack.training_clips import StepLabel
from modeling_semtrack.training_joint import JointClips, collate_joint

FRAMES, STRIDE = 18, 3


def box_at(index):
    return (20.0 + 2 * index, 30.0, 16.0, 20.0)


class RedVideo:
    """A red rectangle moves over texture."""

    def frames(self):
        return ((index, 0.04 * index, red_frame(box_at(index), seed=index)) for index in range(FRAMES))


def labels():
    """The target pushes something in the second half."""
    other = (70.0, 30.0, 10.0, 10.0)
    return [
        StepLabel(index, box_at(index), [(1, 2, other)] if index >= FRAMES // 2 else [])
        for index in range(0, FRAMES, STRIDE)
    ]


def dataset(**changes):
    return JointClips(
        [(RedVideo(), labels())], tiny_processor().image_processor, **({"steps": 4, "length": 20} | changes)
    )


def test_the_model_learns_both_branches_from_a_batch():
    torch.manual_seed(0)
    data, model = dataset(), tiny_model().train()
    output = model(**collate_joint([data[0], data[1]]))
    assert set(output.losses) == {
        "score",
        "box_l1",
        "box_giou",
        "presence",
        "activity",
        "interaction",
        "object",
        "object_box",
    }
    output.loss.backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None and not n.startswith("text_projection")]
    assert silent == []


def test_the_label_boxes_lie_on_the_target():
    processor = tiny_processor().image_processor
    data, red_ones = dataset(), []
    for index in range(10):
        item = data[index]
        for view, box, there in zip(item["pixel_values"], item["labels"]["boxes"], item["labels"]["presence"]):
            if not there:
                continue
            column, row = (box[:2] * processor.view_size).long().clamp(0, processor.view_size - 1)
            red, green, blue = view[:, row, column]
            red_ones.append(bool(red > green and red > blue))
    assert np.mean(red_ones) > 0.8  # a few views are grey


def test_the_earlier_views_are_of_the_same_place_in_the_same_light_a_moment_before():
    """In the first frame there is none before; later the view has changed no more than the video has."""
    data = dataset()
    for index in range(6):
        item = data[index]
        gaps = item["times"] - item["earlier_times"]
        same = (item["pixel_values"] - item["earlier_pixel_values"]).abs().flatten(1).mean(1)
        assert torch.equal(gaps == 0, item["times"] == 0) and torch.equal(same == 0, gaps == 0)
        assert gaps.max() < 0.1 and same.max() < 0.5


def test_the_scene_box_and_the_window_agree_with_the_view_box():
    """Scene box = window centre + (view box centre - 1/2) * window side."""
    item = dataset()[3]
    boxes, windows = item["labels"]["boxes"], item["view_windows"]
    centers = windows[:, :2] + (boxes[:, :2] - 0.5) * windows[:, 2:]
    assert torch.allclose(centers, item["target_boxes"][:, :2], atol=1e-5)


def test_an_item_depends_on_the_seed_and_its_index_alone():
    here, later, other = dataset(seed=5), dataset(seed=5, first=3), dataset(seed=6)
    assert len(later) == 17
    assert torch.equal(here[4]["pixel_values"], later[1]["pixel_values"])
    assert not torch.equal(here[4]["pixel_values"], other[4]["pixel_values"])


def test_every_part_of_a_target_is_used():
    starts = {round(float(dataset()[index]["times"][0]) / 0.04) for index in range(20)}
    assert starts == {0, STRIDE, 2 * STRIDE}


def test_targets_too_short_for_a_clip_are_refused():
    with pytest.raises(ValueError, match="clip_steps"):
        dataset(steps=7)
    assert np.isfinite(dataset(steps=6)[0]["pixel_values"].numpy()).all()
