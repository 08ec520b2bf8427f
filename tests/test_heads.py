"""The box head's geometry, and the semantic head's places, memory and causality."""

import pytest
import torch
from tiny_models import clip_inputs, prompt_inputs, tiny_config, tiny_model
from torch import nn

from modeling_semtrack import surroundings_semtrack
from modeling_semtrack.activity_semtrack import GEOMETRY, activity_size
from modeling_semtrack.heads_semtrack import (
    OFFSET_RANGE,
    SCORE_PRIOR,
    SemTrackBoxHead,
    SemTrackSemanticHead,
    _cells_to_boxes,
    at_most,
    pool_tokens,
)
from modeling_semtrack.layers_semtrack import SemTrackPositionEmbedding, additive_mask, grid_centers
from modeling_semtrack.memory_semtrack import LONGEST_PROJECTED, SemTrackMemory
from modeling_semtrack.motion_semtrack import MOTION_SIZE

ROWS, COLUMNS, HIDDEN = 2, 4, 32
REGIONS = (
    surroundings_semtrack.ROWS * surroundings_semtrack.COLUMNS * 2 * HIDDEN
)  # numbers that tell what is around a target
NAMED = ("activity_logits", "interaction_logits")  # what is said of the interactions


def box_head():
    return SemTrackBoxHead(tiny_config()).eval()


def memory_of(times, batch=1):
    """A filled memory whose tokens and codes are its times."""
    length = len(times)
    times = torch.tensor(times).repeat(batch, 1)
    return SemTrackMemory(
        tokens=times[:, :, None, None].expand(batch, length, 5, HIDDEN).clone(),
        boxes=torch.full((batch, length, 5, 4), 0.5),
        codes=times[:, :, None].expand(batch, length, HIDDEN).clone(),
        times=times,
        valid=torch.ones(batch, length, dtype=torch.bool),
    )


# Box head


def test_grid_centres_go_row_by_row_from_the_top_left():
    assert grid_centers(2, 4, torch.device("cpu")).tolist() == [
        [0.125, 0.25], [0.375, 0.25], [0.625, 0.25], [0.875, 0.25],
        [0.125, 0.75], [0.375, 0.75], [0.625, 0.75], [0.875, 0.75],
    ]  # fmt: skip


def test_without_an_offset_each_cell_proposes_its_own_centre():
    head = box_head()
    nn.init.zeros_(head.offset[-1].weight), nn.init.zeros_(head.offset[-1].bias)
    boxes = head(torch.randn(1, ROWS * COLUMNS, HIDDEN), torch.randn(1, HIDDEN), (ROWS, COLUMNS))[1]
    centers = boxes[0, :2].flatten(1).T
    torch.testing.assert_close(centers, grid_centers(ROWS, COLUMNS, boxes.device))


def test_an_offset_is_counted_in_cells_and_bounded():
    head = box_head()
    nn.init.zeros_(head.offset[-1].weight)
    nn.init.constant_(head.offset[-1].bias, 100.0)
    boxes = head(torch.randn(1, ROWS * COLUMNS, HIDDEN), torch.randn(1, HIDDEN), (ROWS, COLUMNS))[1]
    shift = boxes[0, :2].flatten(1).T - grid_centers(ROWS, COLUMNS, boxes.device)
    torch.testing.assert_close(shift, torch.tensor([OFFSET_RANGE / COLUMNS, OFFSET_RANGE / ROWS]).expand(8, 2))


def test_box_sizes_lie_between_nothing_and_the_view():
    sizes = box_head()(100 * torch.randn(4, 8, HIDDEN), torch.randn(4, HIDDEN), (ROWS, COLUMNS))[1][:, 2:]
    assert (sizes >= 0).all() and (sizes <= 1).all()


def test_the_score_map_starts_at_its_prior():
    bias = tiny_model().box_head.score[-1].bias
    torch.testing.assert_close(bias.sigmoid(), torch.tensor([SCORE_PRIOR]))


def test_presence_looks_at_the_target_and_at_the_best_place():
    head = box_head()
    views, target = torch.randn(1, 8, HIDDEN), torch.randn(1, HIDDEN)
    presence = head(views, target, (ROWS, COLUMNS))[2]
    assert presence.shape == (1,)
    assert not torch.equal(presence, head(views, -target, (ROWS, COLUMNS))[2])
    assert not torch.equal(presence, head(-views, target, (ROWS, COLUMNS))[2])


# Places


def test_cells_of_a_window_tile_it():
    window = torch.tensor([[[0.3, 0.6, 0.2, 0.4]]])
    boxes = _cells_to_boxes(grid_centers(2, 4, window.device), (2, 4), window)[0, 0]
    assert torch.allclose(boxes[:, 2:], torch.tensor([0.05, 0.2]))
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    torch.testing.assert_close(low.amin(0), torch.tensor([0.2, 0.4]))
    torch.testing.assert_close(high.amax(0), torch.tensor([0.4, 0.8]))


def test_the_whole_view_in_the_whole_scene_is_its_own_grid():
    whole = torch.tensor([[[0.5, 0.5, 1.0, 1.0]]])
    centers = grid_centers(3, 5, whole.device)
    torch.testing.assert_close(_cells_to_boxes(centers, (3, 5), whole)[0, 0, :, :2], centers)


def test_positions_that_differ_are_embedded_differently():
    position = SemTrackPositionEmbedding(2, HIDDEN)
    embeds = position(2 * grid_centers(16, 16, torch.device("cpu")) - 1)
    distances = torch.cdist(embeds, embeds) + 10 * torch.eye(256)
    assert distances.min() > 0.05


def test_the_semantic_head_sees_where_the_target_is():
    model = tiny_model(use_temporal_memory=False)
    inputs = {**clip_inputs(), **prompt_inputs("template")}
    for name in ("target_boxes", "view_windows"):
        moved = inputs | {name: inputs[name] + 0.1}
        assert (model(**inputs).object_boxes - model(**moved).object_boxes).abs().max() > 1e-4, name


# Context


def test_tokens_are_averaged_over_their_cells():
    tokens = torch.arange(16.0).reshape(1, 1, 16, 1)  # a grid of 4x4 that counts row by row
    assert pool_tokens(tokens, (4, 4), (2, 2)).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert pool_tokens(tokens, (4, 4), (4, 4)) is tokens


def test_the_context_is_as_coarse_as_the_configuration_says():
    """Pooled beforehand or by the head: the queries are the same; a grid that is coarse already stays as it is."""
    head = tiny_model(context_grid=2).semantic_head
    tokens, scene = torch.randn(3, 2, 3, 16, HIDDEN), torch.randn(2, 3, 8, HIDDEN)
    places = {"target_boxes": torch.rand(2, 3, 4), "view_windows": torch.rand(2, 3, 4), "times": torch.rand(2, 3)}
    embeds, features, _ = tokens
    around = {"regions": torch.randn(2, 3, REGIONS), "motion": torch.rand(2, 3, MOTION_SIZE)}
    target = {"target_embeds": tokens[2][:, :, 0], **around, **places}
    fine, _ = head.decode(
        view_embeds=embeds, view_features=features, **target, grid=(4, 4), scene_features=scene, scene_grid=(2, 4)
    )
    embeds, features = (pool_tokens(part, (4, 4), (2, 2)) for part in (embeds, features))
    scene = pool_tokens(scene, (2, 4), (2, 2))
    coarse, _ = head.decode(
        view_embeds=embeds, view_features=features, **target, grid=(2, 2), scene_features=scene, scene_grid=(2, 2)
    )
    torch.testing.assert_close(fine, coarse)  # activity and queries
    assert at_most((1, 8), 2) == (1, 2)


# Memory


def test_each_step_sees_the_steps_before_it():
    history = memory_of([0.0, 1.0, 2.0, 10.0, 11.0])  # three remembered steps, two new ones
    past = history.before_each_of(steps=2)
    assert past.times.tolist() == [[[0.0, 1.0, 2.0], [1.0, 2.0, 10.0]]]
    assert past.tokens.shape == (1, 2, 3, 5, HIDDEN)
    assert past.tokens[0, :, :, 0, 0].tolist() == past.times[0].tolist()
    assert past.codes.shape == (1, 2, 3, HIDDEN) and torch.equal(past.codes[..., 0], past.times)
    assert past.boxes.shape == (1, 2, 3, 5, 4) and past.valid.shape == (1, 2, 3)


def test_memory_never_exceeds_its_length():
    model = tiny_model()
    for steps in (1, 2, 7):
        memory = model(**clip_inputs(steps=steps), **prompt_inputs("template")).memory
        assert memory.times.shape == (2, 3)
        assert memory.valid.sum(1).tolist() == [min(steps, 3)] * 2
    assert memory.times[0].tolist() == [1.0, 1.25, 1.5]  # the last three of seven


def test_codes_of_a_wide_model_are_shorter_than_its_tokens():
    model = tiny_model(hidden_size=256)
    memory = model(**clip_inputs(), **prompt_inputs("template")).memory
    assert memory.tokens.shape[-1] == 256 and memory.codes.shape[-1] == LONGEST_PROJECTED + MOTION_SIZE
    assert activity_size(model.config) == 3 * (192 + MOTION_SIZE) + GEOMETRY


def test_later_steps_do_not_change_earlier_ones():
    model = tiny_model()
    inputs, prompts = clip_inputs(steps=4), prompt_inputs("template")
    changed = {name: value.clone() for name, value in inputs.items()}
    for name in ("pixel_values", "scene_pixel_values"):
        changed[name][:, 3] += 1.0
    before, after = model(**inputs, **prompts), model(**changed, **prompts)
    for name in NAMED:
        torch.testing.assert_close(before[name][:, :3], after[name][:, :3])
        assert (before[name][:, 3] - after[name][:, 3]).abs().max() > 1e-3, name


def test_earlier_steps_change_later_ones():
    model = tiny_model()
    inputs, prompts = clip_inputs(steps=2), prompt_inputs("template")
    changed = inputs | {"pixel_values": inputs["pixel_values"].clone()}
    changed["pixel_values"][:, 0] += 1.0
    before, after = model(**inputs, **prompts), model(**changed, **prompts)
    for name in NAMED:
        assert (before[name][:, 1] - after[name][:, 1]).abs().max() > 1e-3, name


def test_the_age_of_a_memory_matters_but_not_the_hour():
    model = tiny_model()
    inputs, prompts = clip_inputs(), prompt_inputs("template")
    base = model(**inputs, **prompts)
    later, slower = (
        model(**inputs | {"times": times, "earlier_times": times - 0.07}, **prompts)
        for times in (inputs["times"] + 64.0, inputs["times"] * 4)
    )
    for name in NAMED:
        torch.testing.assert_close(base[name], later[name], atol=1e-4, rtol=1e-4)
        assert (base[name] - slower[name]).abs().max() > 1e-4, name


def test_what_is_not_valid_is_not_seen():
    model = tiny_model()
    inputs, prompts = clip_inputs(steps=1), prompt_inputs("template")
    empty = SemTrackMemory.empty(model.config, 2, "cpu", torch.float32)
    random = {name: torch.randn_like(getattr(empty, name)) for name in ("tokens", "codes")}
    filled = SemTrackMemory(**{**vars(empty), **random, "boxes": torch.rand_like(empty.boxes)})
    first = model(**inputs, **prompts, memory=empty)
    for memory in (filled, None):
        again = model(**inputs, **prompts, memory=memory)
        for name in NAMED:
            torch.testing.assert_close(first[name], again[name])


def test_memories_join_and_part_again():
    first, second = memory_of([1.0, 2.0]), memory_of([3.0, 4.0])
    both = SemTrackMemory.cat([first, second])
    assert both.times.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert torch.equal(both[1:2].tokens, second.tokens) and torch.equal(both[1:2].codes, second.codes)
    assert SemTrackMemory.cat([first, second], dim=1).times.tolist() == [[1.0, 2.0, 3.0, 4.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_mask_takes_all_weight_from_padding(dtype):
    mask = additive_mask(torch.tensor([[True, False, True]]), dtype)
    assert mask.dtype == dtype and mask.shape == (1, 1, 1, 3)
    weights = (torch.zeros(1, 1, 1, 3, dtype=dtype) + mask).softmax(-1)
    assert weights.flatten().tolist() == [0.5, 0.0, 0.5]


def test_a_head_without_scene_context_has_no_place_for_it():
    with_scene, without = (
        SemTrackSemanticHead(tiny_config(use_scene_context=switch)).source_embedding for switch in (True, False)
    )
    assert (with_scene.num_embeddings, without.num_embeddings) == (3, 2)


@pytest.mark.parametrize("steps", [(0, 2), (3,)])
def test_steps_may_be_left_out_of_the_decoding_and_are_remembered_all_the_same(steps):
    """The queries of the others are as before, those left out are zeros; activity and memory are the same."""
    head = tiny_model().semantic_head
    inputs = {
        name: value for name, value in clip_inputs(1, 4).items() if name in ("target_boxes", "view_windows", "times")
    }
    tokens = {name: torch.randn(1, 4, 16, HIDDEN) for name in ("view_embeds", "view_features", "scene_features")}
    inputs |= tokens | {"target_embeds": torch.randn(1, 4, HIDDEN), "grid": (4, 4), "scene_grid": (4, 4)}
    inputs |= {"regions": torch.randn(1, 4, REGIONS), "motion": torch.rand(1, 4, MOTION_SIZE)}
    only = torch.tensor([[step in steps for step in range(4)]])
    whole, memory = head.decode(**inputs)
    part, kept = head.decode(**inputs, only=only)
    torch.testing.assert_close(part.queries[only], whole.queries[only])
    assert not part.queries[~only].any() and torch.equal(part.activity, whole.activity)
    assert torch.equal(kept.tokens, memory.tokens) and torch.equal(kept.codes, memory.codes)
    torch.testing.assert_close(head.decode(**inputs, only=torch.zeros(1, 4, dtype=torch.bool))[0], whole)
