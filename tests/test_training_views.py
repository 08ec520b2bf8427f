"""Training views: items depend on seed and index, their labels are where the target is, and the model takes them."""

import itertools

import numpy as np
import pytest
import torch
from tiny_models import VIEW_SIZE, tiny_model, tiny_processor
from training_files import box_of, red_box, red_frame

from dataset_script.pairs import LabelledFrame
from modeling_semtrack import training_views
from modeling_semtrack.processing_semtrack import SemTrackImageProcessor
from modeling_semtrack.training_views import STRANGERS, TASKS, TrackingViews, collate_views, make_views

BATCH = 4


class RedRectangles:
    """Frames with a red rectangle, which is missing from the last one where `absent`."""

    def __init__(self, absent=False, masks=True):
        self.absent, self.masks = absent, masks

    def sample(self, rng):
        frames = []
        for moment in range(3):
            box = tuple(float(v) for v in (rng.integers(2, 80), rng.integers(2, 50), *rng.integers(16, 36, 2)))
            box = None if self.absent and moment == 2 else box
            image = red_frame(box, seed=int(rng.integers(1000)))
            frames.append(LabelledFrame(image, box, image[..., 0] > 127 if self.masks and box else None))
        return frames


def dataset(sampler=None, length=400, **changes):
    return TrackingViews(sampler or RedRectangles(), tiny_processor().image_processor, length, BATCH, **changes)


@pytest.fixture
def plain(monkeypatch):
    """Views without changes of light and colour: the red pixels tell where the target is."""
    monkeypatch.setattr(training_views, "photometric", lambda view, rng, strength=1.0: view)


def make(task, seed=0, stranger=None, size=VIEW_SIZE, **kind):
    rng = np.random.default_rng(seed)
    frames = RedRectangles(**kind).sample(rng)
    return make_views(frames, task, SemTrackImageProcessor(size, size // 2), rng, stranger), frames


def assert_same(first, second):
    assert first.keys() == second.keys() and first["task"] == second["task"]
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


# What an item depends on


def test_items_depend_on_seed_and_index_alone():
    """In any order, again and again, and in a data set that starts later."""
    views, again = dataset(seed=3), dataset(seed=3)
    items = {index: views[index] for index in (0, 1, 7, 30)}
    for index in (30, 7, 0, 1, 7):
        assert_same(again[index], items[index])
    later = dataset(seed=3, first=7)
    assert len(later) == 393
    assert_same(later[0], items[7])
    assert_same(later[23], items[30])


def test_another_seed_gives_other_items():
    first, second = dataset(seed=3), dataset(seed=4)
    tasks = {index: (first[index]["task"], second[index]["task"]) for index in range(0, 80, BATCH)}
    assert any(one != other for one, other in tasks.values()) and any(one == other for one, other in tasks.values())
    for index in tasks:
        assert not np.array_equal(first[index]["view_crop"], second[index]["view_crop"])


@pytest.mark.parametrize("first", [0, 2 * BATCH])
def test_the_items_of_a_batch_share_a_task_and_all_tasks_occur(first):
    views = dataset(first=first)
    tasks = [views[index]["task"] for index in range(160)]
    batches = [set(tasks[start : start + BATCH]) for start in range(0, len(tasks), BATCH)]
    assert all(len(batch) == 1 for batch in batches)
    assert set().union(*batches) == set(TASKS)


def test_the_shares_of_the_tasks_add_up():
    assert sum(TASKS.values()) == pytest.approx(1.0)


# Labels


@pytest.mark.parametrize("task", TASKS)
def test_the_box_is_where_the_target_is_in_the_view(task, plain):
    checked = 0
    for seed in range(25):
        item, _ = make(task, seed, size=128)
        x, y, w, h = (128 * v for v in item["box"])
        left, top, right, bottom = x - w / 2, y - h / 2, x + w / 2, y + h / 2
        if item["presence"] and min(left, top) >= 0 and max(right, bottom) <= 128:
            np.testing.assert_allclose(red_box(item["view_crop"]), (left, top, w, h), atol=2)
            checked += 1
    assert checked > 8


@pytest.mark.parametrize("task", TASKS)
def test_presence_tells_whether_the_targets_centre_is_in_the_view(task, plain):
    for seed in range(25):
        item, _ = make(task, seed)
        assert item["presence"] == float(0 < item["box"][0] < 1 and 0 < item["box"][1] < 1)
        if not item["presence"]:
            assert task.startswith("template")  # a click is always on something
            assert (item["view_crop"][..., 0] > 127).mean() < 0.25


@pytest.mark.parametrize("task", ["template_search", "template_scene"])
def test_absent_targets_have_presence_0(task, plain):
    for seed in range(10):
        item, _ = make(task, seed, absent=True)
        assert item["presence"] == 0 and np.isfinite(item["box"]).all()
        assert red_box(item["view_crop"]) is None


@pytest.mark.parametrize("task", ["point_search", "point_scene"])
def test_a_click_is_on_the_target_even_if_the_last_frame_lacks_it(task, plain):
    for seed, absent in itertools.product(range(10), (False, True)):
        item, _ = make(task, seed, absent=absent)
        x, y = (np.array(item["point"]) * VIEW_SIZE).astype(int).clip(0, VIEW_SIZE - 1)
        around = item["view_crop"][max(0, y - 1) : y + 2, max(0, x - 1) : x + 2, 0]
        assert item["presence"] == 1 and around.max() > 127


def test_a_click_is_on_the_mask_where_there_is_one(plain):
    """The middle of a ring's box is not the ring."""
    image, box = red_frame(None), (40.0, 20.0, 30.0, 30.0)
    y, x = np.mgrid[:90, :120]
    ring = np.abs(np.hypot(x - 54.5, y - 34.5) - 13) < 2
    image[ring] = (255, 0, 0)
    frames = [LabelledFrame(image, box, ring)] * 3
    assert box_of(ring) == box
    processor = SemTrackImageProcessor(120, 60)
    for seed in range(20):
        item = make_views(frames, "point_search", processor, np.random.default_rng(seed))
        (cx, cy, w, h), (u, v) = item["box"], item["point"]
        distance = np.hypot((u - cx) / w, (v - cy) / h) * 30  # frame pixels from the centre
        assert 10.5 < distance < 15.5


def test_a_click_without_a_mask_is_near_the_middle_of_the_box():
    for seed in range(20):
        item, _ = make("point_search", seed, masks=False)
        (cx, cy, w, h), (u, v) = item["box"], item["point"]
        assert abs(u - cx) <= 0.45 * w + 1e-6 and abs(v - cy) <= 0.45 * h + 1e-6


@pytest.mark.parametrize("task", ["template_search", "template_scene"])
def test_a_stranger_in_the_middle_of_the_view_is_not_the_target(task, plain):
    other = RedRectangles().sample(np.random.default_rng(9))[1]
    item, _ = make(task, stranger=other)
    assert item["presence"] == 0 and red_box(item["view_crop"]) is not None


def test_strangers_are_rare_and_only_beside_templates(monkeypatch):
    seen = []
    monkeypatch.setattr(
        training_views, "make_views", lambda frames, task, processor, rng, stranger: seen.append((task, stranger))
    )
    views = dataset(length=4000)
    for index in range(800):
        views[index]
    with_stranger = [task for task, stranger in seen if stranger is not None]
    assert 0.5 * STRANGERS < len(with_stranger) / len(seen) < 1.5 * STRANGERS
    assert all(task.startswith("template") for task in with_stranger)


def test_templates_show_the_target_where_their_boxes_say(plain):
    for seed in range(15):
        item, _ = make("template_search", seed, size=128)
        for crop, box in zip(item["template_crops"], item["template_boxes"], strict=True):
            assert crop.shape == (64, 64, 3)
            assert box[:2] == pytest.approx((0.5, 0.5), abs=0.02)  # windows begin on whole pixels
            assert 0.3 < (box[2] * box[3]) ** 0.5 < 0.7
            x, y, w, h = red_box(crop)
            np.testing.assert_allclose(((x + w / 2) / 64, (y + h / 2) / 64, w / 64, h / 64), box, atol=0.2)


def test_light_and_colour_change_but_not_the_shape():
    view = red_frame((20, 20, 30, 30), 64, 64)
    changed = [training_views.photometric(view, np.random.default_rng(seed)) for seed in range(40)]
    assert all(image.shape == view.shape and image.dtype == np.uint8 for image in changed)
    assert len({image.tobytes() for image in changed}) == 40
    np.testing.assert_array_equal(view, red_frame((20, 20, 30, 30), 64, 64))


# Batches


@pytest.mark.parametrize("task", TASKS)
def test_the_model_learns_from_a_batch_of_every_task(task):
    """Gradients reach the encoder and the box head, and the labels keep the order of the items."""
    processor = tiny_processor().image_processor
    items = []
    for seed in range(BATCH):
        rng = np.random.default_rng(seed)
        items.append(make_views(RedRectangles().sample(rng), task, processor, rng))
    batch = collate_views(items, processor)
    assert batch["view"] == task.split("_")[1] and batch["pixel_values"].shape == (BATCH, 3, VIEW_SIZE, VIEW_SIZE)
    assert {v.dtype for v in (*batch.values(), batch["labels"].boxes) if torch.is_tensor(v)} == {torch.float32}
    torch.testing.assert_close(batch["labels"].boxes, torch.tensor([item["box"] for item in items]).float())
    assert batch["labels"].presence.tolist() == [item["presence"] for item in items]
    assert ("point_coords" in batch) != ("template_boxes" in batch)
    model = tiny_model().train()
    output = model(**batch)
    output.loss.backward()
    assert torch.isfinite(output.loss) and set(output.losses) == {"score", "box_l1", "box_giou", "presence"}
    assert all(
        p.grad.abs().sum() > 0 for name, p in model.named_parameters() if name.startswith(("layers", "box_head"))
    )


def test_a_batch_of_absent_targets_has_a_finite_loss():
    processor = tiny_processor().image_processor
    items = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        items.append(make_views(RedRectangles(absent=True).sample(rng), "template_search", processor, rng))
    output = tiny_model()(**collate_views(items, processor))
    assert torch.isfinite(output.loss) and output.losses["box_l1"] == output.losses["box_giou"] == 0
