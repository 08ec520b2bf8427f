"""Semantic clips: labels by frame, features as the tracker gives them, padding that does not count, learning."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_models import OBJECTS, VIEW_SIZE, tiny_model, tiny_processor
from training_files import red_frame

from modeling_semtrack.loss_semtrack import IGNORE, SemTrackTargets
from modeling_semtrack.motion_semtrack import LONGEST_GAP, MOTION_SECONDS, MOTION_SIZE, motion_around
from modeling_semtrack.processing_semtrack import Window, box_to_view, window_to_view
from modeling_semtrack.surroundings_semtrack import read_cells
from modeling_semtrack.training_clips import (
    BATCH,
    MOST_EVENTS,
    ClipDataset,
    SemanticTrainer,
    StepLabel,
    TargetClip,
    collate_clips,
    extract_clips,
    mirror_labels,
    moments,
    step_labels,
    with_box_errors,
)

WIDTH, HEIGHT = 120, 90
NO_OBJECT = len(OBJECTS)
BFLOAT16 = {"atol": 0.02, "rtol": 0.02}  # features are kept in half precision


class Still:
    """A generator without chance: windows are not jittered, the later template is the one `back` steps before."""

    def __init__(self, back=0):
        self.back = back

    def normal(self, mean, spread, size=None):
        return np.full(size, float(mean)) if size else float(mean)

    def integers(self, low, high):
        return self.back


def box_at(index):
    return (10.0 + 3 * index, 20.0 + index, 20.0, 24.0)


def video(frames=20):
    """(index, time, image): the times are not those of a constant rate."""
    return [(i, 0.04 * i + 0.01 * (i % 3), red_frame(box_at(i), HEIGHT, WIDTH, seed=i)) for i in range(frames)]


def labels_of(*indices, events=()):
    return [StepLabel(index, box_at(index), list(events)) for index in indices]


def extracted(*targets, frames=20, rng=None):
    return extract_clips(tiny_model(), tiny_processor().image_processor, video(frames), targets, rng or Still(), "walk")


def a_clip(steps, interaction=1, seed=0, video="walk"):
    """Random features of one target that does one thing (or nothing: None) all the time."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    tokens = (VIEW_SIZE // 16) ** 2
    features = {
        "view_features": random(steps, tokens, 32),
        "view_embeds": random(steps, tokens, 32),
        "target_embeds": random(steps, 32),
        "scene_features": random(steps, tokens, 32),
        "target_boxes": torch.tensor([0.5, 0.5, 0.2, 0.2]).repeat(steps, 1) + 0.02 * random(steps, 4),
        "view_windows": torch.tensor([0.5, 0.5, 0.8, 0.8]).repeat(steps, 1),
        "times": 0.2 * torch.arange(steps) + seed,
    }
    views = (features[name][None] for name in ("view_embeds", "view_features", "target_boxes", "view_windows"))
    features["regions"] = read_cells(*views, (4, 4))[0]
    features["motion"] = random(steps, MOTION_SIZE).abs()
    labels = {
        "interactions": torch.full((steps, MOST_EVENTS), IGNORE),
        "objects": torch.full((steps, MOST_EVENTS), IGNORE),
        "object_boxes": torch.full((steps, MOST_EVENTS, 4), float("nan")),
    }
    if interaction is not None:
        labels["interactions"][:, 0] = interaction
        labels["objects"][:, 0] = 2
        labels["object_boxes"][:, 0] = torch.tensor([0.3, 0.6, 0.2, 0.1])
    return TargetClip(features, labels, (4, 4), (4, 4), video)


def first_row(batch):
    """The first clip of a batch, with its padding."""

    def cut(value):
        if isinstance(value, SemTrackTargets):
            return SemTrackTargets(**{f.name: cut(getattr(value, f.name)) for f in dataclasses.fields(value)})
        return value[:1] if isinstance(value, torch.Tensor) else value

    return {name: cut(value) for name, value in batch.items()}


def assert_same(first, second):
    for part in ("features", "labels"):
        for name, value in getattr(first, part).items():
            torch.testing.assert_close(value, getattr(second, part)[name], rtol=0, atol=0, equal_nan=True)


# Labels by frame


def test_steps_are_the_visible_frames_on_the_strides_grid():
    visible = {index: box_at(index) for index in (0, 1, 2, 3, 5, 8, 9, 11, 14)}
    steps = step_labels(visible, [], stride=3, phase=2)
    assert [step.frame_index for step in steps] == [2, 5, 8, 11, 14]
    assert [step.box for step in steps] == [box_at(index) for index in (2, 5, 8, 11, 14)]
    assert [step.frame_index for step in step_labels(visible, [], stride=3, phase=0)] == [0, 3, 9]


def test_a_phase_beyond_the_stride_wraps_around():
    visible = {index: box_at(index) for index in range(10)}
    assert step_labels(visible, [], 4, phase=6) == step_labels(visible, [], 4, phase=2)


def test_events_hold_from_their_first_frame_to_before_their_last():
    """Half-open intervals; several events at once; the object's box where it is visible."""
    visible = {index: box_at(index) for index in range(0, 12, 2)}
    place = {4: (1.0, 2.0, 3.0, 4.0)}
    events = [(1, 0, 2, 6, place), (3, NO_OBJECT, 4, 8, {})]
    happening = {step.frame_index: step.events for step in step_labels(visible, events, 2, 0)}
    assert happening == {
        0: [],
        2: [(1, 0, None)],
        4: [(1, 0, place[4]), (3, NO_OBJECT, None)],
        6: [(3, NO_OBJECT, None)],
        8: [],
        10: [],
    }


def test_mirrored_labels_are_where_the_mirrored_video_shows_them():
    labels = [StepLabel(3, (10, 20, 30, 40), [(1, 0, (0, 5, 20, 10)), (2, NO_OBJECT, None)])]
    assert mirror_labels(labels, 100) == [
        StepLabel(3, (60, 20, 30, 40), [(1, 0, (80, 5, 20, 10)), (2, NO_OBJECT, None)])
    ]
    assert mirror_labels(mirror_labels(labels, 100), 100) == labels


# Features


@pytest.mark.parametrize("back", [0, 2], ids=["template of the same step", "template of two steps before"])
def test_features_are_those_that_the_tracker_gives(back):
    """More steps than fit into one batch, each against one call of the model's own `track`."""
    model, images = tiny_model(), tiny_processor().image_processor
    count = BATCH + 3
    labels = labels_of(*range(count))
    (clip,) = extract_clips(model, images, video(), [labels], Still(back), "walk")
    assert len(clip) == count and clip.grid == clip.scene_grid == (4, 4)
    frames = {index: image for index, _, image in video()}
    times = [time for _, time, _ in video()]
    for step in (0, 1, BATCH - 1, BATCH, count - 1):
        earlier = max(0, step - back)
        templates = [images.template(frames[index], box_at(index)) for index in (0, earlier)]
        view = images.crop(frames[step], images.search_window(box_at(step)), VIEW_SIZE)
        scene = images.crop(frames[step], images.scene_window(frames[step]), VIEW_SIZE)
        with torch.no_grad():
            features, grid = model.embed(images.normalize([view]))
            prompt = model.embed_templates(
                images.normalize([crop for crop, _ in templates])[None], torch.tensor([[box for _, box in templates]])
            )
            track = model.track(features, grid, prompt_states=model.read_prompt(prompt))
            around, _ = model.embed(images.normalize([scene]))
        for name in ("view_features", "view_embeds", "target_embeds"):
            torch.testing.assert_close(clip.features[name][step].float(), getattr(track, name)[0], **BFLOAT16)
        torch.testing.assert_close(clip.features["scene_features"][step].float(), around[0], **BFLOAT16)
        places = (clip.features[name][None, step, None] for name in ("target_boxes", "view_windows"))
        regions = read_cells(track.view_embeds[None], track.view_features[None], *places, grid)
        torch.testing.assert_close(clip.features["regions"][step].float(), regions[0, 0], **BFLOAT16)
        if step == 0:
            assert not clip.features["motion"][0].any()
            continue
        place, box = (clip.features[name][None, step, None] for name in ("view_windows", "target_boxes"))
        gaps = {index: times[step] - times[index] for index in range(step) if times[step] - times[index] < LONGEST_GAP}
        before = min(gaps, key=lambda index: abs(gaps[index] - MOTION_SECONDS))
        crop = images.crop(frames[before], images.search_window(box_at(step)), VIEW_SIZE)
        pixels, earlier = images.normalize([view, crop])[:, None, None]
        gap = torch.tensor([[gaps[before]]])
        motion = motion_around(pixels, earlier, place, gap, box)
        torch.testing.assert_close(clip.features["motion"][step].float(), motion[0, 0], **BFLOAT16)


def test_places_times_and_labels_are_those_of_the_steps():
    """All places are relative to the scene, the square that holds the whole frame."""
    ball = (60.0, 50.0, 12.0, 10.0)
    labels = [*labels_of(2), *labels_of(7, events=[(1, 0, ball), (3, NO_OBJECT, None)])]
    (clip,) = extracted(labels)
    images, scene = tiny_processor().image_processor, Window(WIDTH / 2, HEIGHT / 2, WIDTH)
    boxes = torch.tensor([box_to_view(box_at(index), scene) for index in (2, 7)])
    windows = torch.tensor([window_to_view(images.search_window(box_at(index)), scene) for index in (2, 7)]).float()
    torch.testing.assert_close(clip.features["target_boxes"], boxes)
    torch.testing.assert_close(clip.features["view_windows"], windows)
    torch.testing.assert_close(clip.features["times"], torch.tensor([0.10, 0.29]))
    nothing = [IGNORE] * MOST_EVENTS
    assert clip.labels["interactions"].tolist() == [nothing, [1, 3, IGNORE, IGNORE]]
    assert clip.labels["objects"].tolist() == [nothing, [0, NO_OBJECT, IGNORE, IGNORE]]
    torch.testing.assert_close(clip.labels["object_boxes"][1, 0], torch.tensor(box_to_view(ball, scene)))
    assert clip.labels["object_boxes"].isnan().all(-1).sum() == 2 * MOST_EVENTS - 1


def test_more_events_than_there_is_room_for_are_cut():
    events = [(number % 4, NO_OBJECT, None) for number in range(MOST_EVENTS + 2)]
    (clip,) = extracted(labels_of(0, 3, events=events))
    assert clip.labels["interactions"].tolist() == [[0, 1, 2, 3]] * 2


def test_targets_seen_in_less_than_two_steps_give_no_clip():
    """Also where the video ends before its annotation."""
    clips = extracted(labels_of(0, 3), labels_of(6), [], labels_of(9, 12, 15, 18), frames=14)
    assert [clip.features["times"].tolist() for clip in clips] == [
        pytest.approx([0.0, 0.12]),
        pytest.approx([0.36, 0.48]),
    ]


def test_windows_are_jittered_as_the_seed_says():
    def windows(seed):
        (clip,) = extracted(labels_of(0, 3, 6), rng=np.random.default_rng(seed))
        return clip.features["view_windows"]

    torch.testing.assert_close(windows(1), windows(1), rtol=0, atol=0)
    still = extracted(labels_of(0, 3, 6))[0].features["view_windows"]
    change = (windows(1) - still).abs()
    assert (change > 0).all() and change.max() < 0.3 and not torch.equal(windows(1), windows(2))


# Items and batches


def test_clip_items_depend_on_seed_and_index_alone():
    clips = [a_clip(9, seed=seed) for seed in range(3)]
    dataset, again = ClipDataset(clips, 4, 50, seed=3), ClipDataset(clips, 4, 50, seed=3)
    items = {index: dataset[index] for index in (0, 1, 7, 30)}
    for index in (30, 7, 0, 1, 7):
        assert_same(again[index], items[index])
    later = ClipDataset(clips, 4, 50, seed=3, first=7)
    assert len(later) == 43
    assert_same(later[0], items[7])
    assert_same(later[23], items[30])


def test_items_are_windows_of_the_wanted_length_over_the_whole_clip():
    dataset = ClipDataset([a_clip(6)], 4, 60)
    starts = set()
    for index in range(60):
        item = dataset[index]
        lengths = {len(value) for part in (item.features, item.labels) for value in part.values()}
        assert lengths == {4}
        starts.add(round(item.features["times"][0].item() / 0.2))
    assert starts == {0, 1, 2}
    assert len(ClipDataset([a_clip(3)], 4, 1)[0].features["times"]) == 3


def test_clips_with_rare_interactions_are_drawn_more_often():
    """Nine clips of one interaction, one of another, one of nothing."""
    clips = [a_clip(2, 1, seed) for seed in range(9)] + [a_clip(2, 2, 9), a_clip(2, None, 10)]
    weights = ClipDataset(clips, 2, 1).weights
    assert weights[9] == pytest.approx(3 * weights[0]) and 0 < weights[10] < weights[0]
    assert weights.sum() == pytest.approx(1)


def test_clips_too_short_to_learn_from_are_refused():
    with pytest.raises(ValueError, match="no clip has two semantic steps or more"):
        ClipDataset([a_clip(1)], 4, 10)


def test_padding_is_not_judged():
    """A short clip's loss is the same alone and beside a longer one."""
    short, long = a_clip(3, seed=1), a_clip(7, seed=2)
    trainer = SemanticTrainer(tiny_model())
    alone, padded = trainer(**collate_clips([short])), trainer(**first_row(collate_clips([short, long])))
    assert padded.interaction_logits.shape[1] == 7
    for name, value in alone.losses.items():
        assert value > 0
        torch.testing.assert_close(padded.losses[name], value)
    for logits in ("activity_logits", "interaction_logits"):
        torch.testing.assert_close(padded[logits][:, :3], alone[logits])


def test_padding_gets_no_gradient():
    """Whatever the padded steps hold."""
    batch = first_row(collate_clips([a_clip(3, seed=1), a_clip(7, seed=2)]))
    seen = [batch[name].requires_grad_() for name in ("view_embeds", "regions")]
    SemanticTrainer(tiny_model())(**batch).loss.backward()
    for views in seen:
        assert (views.grad[:, :3].flatten(2).abs().sum((0, 2)) > 0).all()
        assert views.grad[:, 3:].abs().sum() == 0


# Learning


@pytest.mark.parametrize("context_grid", [8, 2], ids=["all cells", "few cells"])
def test_the_trainer_describes_what_the_whole_model_describes(context_grid):
    """Its loss on extracted features is the semantic part of the model's own loss on the pixels."""
    model, images = tiny_model(context_grid=context_grid), tiny_processor().image_processor
    indices = (0, 3, 6, 9)
    events = [(1, 0, (60.0, 50.0, 12.0, 10.0)), (3, NO_OBJECT, None)]
    labels = labels_of(*indices, events=events)
    (clip,) = extract_clips(model, images, video(), [labels], Still(back=99), "walk")  # all templates are the first
    assert clip.grid == clip.scene_grid == (min(context_grid, VIEW_SIZE // 16),) * 2
    batch = collate_clips([clip])
    frames = {index: image for index, _, image in video()}
    crop, box = images.template(frames[0], box_at(0))
    views = [images.crop(frames[i], images.search_window(box_at(i)), VIEW_SIZE) for i in indices]
    scenes = [images.crop(frames[i], images.scene_window(frames[i]), VIEW_SIZE) for i in indices]
    seen = moments(video(), set(indices)).values()
    before = [
        images.crop(moment.earlier, images.search_window(box_at(i)), VIEW_SIZE) for i, moment in zip(indices, seen)
    ]
    with torch.no_grad():
        trained = SemanticTrainer(model)(**batch)
        whole = model(
            images.normalize(views)[None],
            template_pixel_values=images.normalize([crop, crop])[None],
            template_boxes=torch.tensor([[box, box]]),
            scene_pixel_values=images.normalize(scenes)[None],
            target_boxes=batch["target_boxes"],
            view_windows=batch["view_windows"],
            times=batch["times"],
            earlier_pixel_values=images.normalize(before)[None],
            earlier_times=torch.tensor([[moment.earlier_time for moment in seen]]),
            labels=batch["labels"],
        )
    for logits in ("activity_logits", "interaction_logits"):
        torch.testing.assert_close(trained[logits], whole[logits], **BFLOAT16)
    assert set(trained.losses) == {"activity", "interaction", "object", "object_box"}
    for name, value in trained.losses.items():
        torch.testing.assert_close(value, whole.losses[name], **BFLOAT16)
    weighted = sum(getattr(model.config, f"{name}_loss_weight") * value for name, value in trained.losses.items())
    torch.testing.assert_close(trained.loss, weighted)


def test_the_semantic_head_learns_a_clip_by_heart():
    """A few steps are enough to name the interaction, to place its object, and to tell when nothing happens."""
    clip = a_clip(6)
    clip.labels["interactions"][:3] = clip.labels["objects"][:3] = IGNORE
    clip.labels["object_boxes"][:3] = float("nan")
    batch = collate_clips([clip])
    trainer = SemanticTrainer(tiny_model())
    optimizer = torch.optim.AdamW(trainer.model.semantic_head.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        output = trainer(**batch)
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(output.loss.item())
    assert losses[-1] < 0.15 * losses[0]
    told = output.activity_logits[0].softmax(-1)  # [steps, interactions + 1]
    assert (told[3:, 1] > 0.8).all() and (told[:3, :-1].amax(-1) < 0.5).all()
    scores = output.interaction_logits[0].softmax(-1)  # [steps, queries, interactions + 1]
    assert (scores[3:, :, 1].amax(-1) > 0.8).all() and (scores[:3, :, :-1].amax((-1, -2)) < 0.5).all()
    best = scores[5, :, 1].argmax()
    torch.testing.assert_close(output.object_boxes[0, 5, best], torch.tensor([0.3, 0.6, 0.2, 0.1]), atol=0.05, rtol=0)


@pytest.mark.parametrize("switch", ["use_scene_context", "use_temporal_memory"])
def test_a_head_without_scene_or_memory_is_trained_as_well(switch):
    trainer = SemanticTrainer(tiny_model(**{switch: False}))
    output = trainer(**collate_clips([a_clip(3)]))
    output.loss.backward()
    missing = [name for name, p in trainer.model.semantic_head.named_parameters() if p.grad is None]
    assert torch.isfinite(output.loss) and not missing
    assert all(p.grad is None for name, p in trainer.model.named_parameters() if not name.startswith("semantic_head."))


def test_box_errors_last_over_a_clip_and_leave_the_events_alone():
    """All boxes of a target are off by the same share of their own size."""
    labels = [StepLabel(index, (10.0 * index, 5.0, 8.0 + index, 16.0), [(0, 1, None)]) for index in range(4)]
    moved = with_box_errors(labels, np.random.default_rng(3))
    assert [(s.frame_index, s.events) for s in moved] == [(s.frame_index, s.events) for s in labels]
    boxes, before = (np.array([label.box for label in part]) for part in (moved, labels))
    shift = (boxes[:, :2] + boxes[:, 2:] / 2 - before[:, :2] - before[:, 2:] / 2) / before[:, 2:]
    size = boxes[:, 2:] / before[:, 2:]
    assert np.abs(shift).max() > 0.01 and np.abs(size - 1).max() > 0.01
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape))
    np.testing.assert_allclose(size, np.broadcast_to(size[0], size.shape))


def test_a_varied_video_gives_other_features_of_the_same_events():
    model, images = tiny_model(), tiny_processor().image_processor
    same, varied = (
        extract_clips(model, images, video(), [labels_of(2, 7, 12)], np.random.default_rng(0), "walk", varied=varied)[0]
        for varied in (False, True)
    )
    assert not torch.equal(same.features["view_features"], varied.features["view_features"])
    assert not torch.equal(same.features["scene_features"], varied.features["scene_features"])
    assert torch.equal(same.labels["interactions"], varied.labels["interactions"])
