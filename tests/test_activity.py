"""The activity part: cells that go with the target, a memory that fades, and how the box has moved."""

import math

import pytest
import torch
from tiny_models import tiny_config

from modeling_semtrack.activity_semtrack import GEOMETRY, SemTrackActivity, activity_size
from modeling_semtrack.memory_semtrack import SemTrackMemory
from modeling_semtrack.motion_semtrack import KINDS, MOTION_SIZE
from modeling_semtrack.surroundings_semtrack import COLUMNS, ROWS, read_cells

HIDDEN = 32
CODE = HIDDEN + MOTION_SIZE
REGIONS = ROWS * COLUMNS * 2 * HIDDEN
GRID = (16, 12)  # of tokens: as far apart as the cells around a target of `SIDE`
SIDE = 2.5 / 12  # of a target's longer side over the window's
WINDOW = (0.4, 0.6, 0.5, 0.5)


def tokens_of(steps=1, seed=0):
    """View embeddings and features [1, steps, tokens, hidden], all of them different."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 1, steps, GRID[0] * GRID[1], HIDDEN, generator=generator).unbind(0)


def target_at(x, y, width=1.0, height=0.5, window=WINDOW):
    """A box [1, 1, 4] whose centre is at a place in the window (0 to 1), and the window."""
    cx, cy, across, down = window
    box = [cx + (x - 0.5) * across, cy + (y - 0.5) * down, width * SIDE * across, height * SIDE * down]
    return torch.tensor([[box]]), torch.tensor([[window]])


def cells_at(*target, views=None, **box):
    """The features [ROWS, COLUMNS, 2 * hidden] read around a target."""
    regions = read_cells(*(views or tokens_of()), *target_at(*target, **box), GRID)
    return regions.unflatten(-1, (ROWS, COLUMNS, 2 * HIDDEN))[0, 0]


def as_grid(views):
    """Both kinds of features side by side, [rows, columns, 2 * hidden]."""
    return torch.cat(views, dim=-1)[0, 0].unflatten(0, GRID)


def remembered(codes, boxes, times, valid):
    """What came before one step: [memory] of each."""
    boxes = torch.tensor([[boxes]])[..., None, :].expand(-1, -1, -1, 5, -1).clone()
    boxes[..., 1:, :] = 0.9  # cells of the search region, which are no boxes of the target
    tokens = torch.zeros(1, 1, len(times), 5, HIDDEN)
    codes = torch.tensor(codes)[None, None, :, None].expand(-1, -1, -1, CODE)
    return SemTrackMemory(tokens, boxes, codes, torch.tensor([[times]]), torch.tensor([[valid]]))


def parts_of(embedding):
    """Codes now, earlier codes, how they have changed, and the geometry."""
    return embedding.split((CODE, CODE, CODE, GEOMETRY), dim=-1)


# Regions


@pytest.mark.parametrize("sides", [(1.0, 0.5), (0.3, 1.0)], ids=["wide", "tall"])
def test_a_cell_on_a_token_reads_exactly_that_token(sides):
    """In the middle of the window the cells are the tokens of rows 6 to 9 and columns 3 to 8."""
    views = tokens_of()
    found = cells_at(0.5, 0.5, width=sides[0], height=sides[1], views=views)
    torch.testing.assert_close(found, as_grid(views)[6:10, 3:9], atol=1e-4, rtol=0)


def test_a_cell_between_two_tokens_reads_their_mean():
    views = tokens_of()
    tokens = as_grid(views)
    found = cells_at(0.5 + 0.5 / GRID[1], 0.5, views=views)
    torch.testing.assert_close(found, (tokens[6:10, 3:9] + tokens[6:10, 4:10]) / 2, atol=1e-4, rtol=0)


def test_cells_outside_the_search_region_read_its_edge():
    """Around a target in the corner: the left half of the cells and the upper one are outside."""
    views = tokens_of()
    expected = as_grid(views)[[0, 0, 0, 1]][:, [0, 0, 0, 0, 1, 2]]
    torch.testing.assert_close(cells_at(0.0, 0.0, views=views), expected, atol=1e-4, rtol=0)
    expected = as_grid(views)[[14, 15, 15, 15]][:, [9, 10, 11, 11, 11, 11]]
    torch.testing.assert_close(cells_at(1.0, 1.0, views=views), expected, atol=1e-4, rtol=0)


def test_what_is_read_does_not_depend_on_where_target_and_window_stand():
    """The same view of a target that is elsewhere in the scene, and twice as large."""
    views = tokens_of()
    here = cells_at(0.37, 0.61, views=views)
    for window in ((0.1, 0.8, 0.5, 0.5), (0.6, 0.3, 1.0, 1.0)):
        torch.testing.assert_close(cells_at(0.37, 0.61, views=views, window=window), here, atol=1e-4, rtol=1e-4)
    assert (cells_at(0.47, 0.61, views=views) - here).abs().max() > 0.1


def test_the_cells_grow_with_the_longer_side_of_the_target():
    """Twice the size reads every second token's distance; the shorter side is of no importance."""
    views = tokens_of()
    tokens = as_grid(views)
    found = cells_at(0.5, 0.5, width=2.0, views=views)
    pairs = tokens[4:12].unflatten(0, (4, 2)).mean(1)[:, :12].unflatten(1, (6, 2)).mean(2)  # between four tokens
    torch.testing.assert_close(found, pairs, atol=1e-4, rtol=0)
    torch.testing.assert_close(cells_at(0.5, 0.5, height=0.1, views=views), tokens[6:10, 3:9], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("sides", "rows", "columns"),
    [
        ((1.0, 0.5), [1, 2], [1, 2, 3, 4]),  # half the height is 0.25 of the longer side, the outer cells begin at 0.3
        ((1.0, 0.8), [0, 1, 2, 3], [1, 2, 3, 4]),  # 0.4
        ((0.3, 1.0), [0, 1, 2, 3], [2, 3]),  # half the width is 0.15, the next cells begin at 0.4
    ],
)
def test_without_scene_context_only_the_cells_on_the_target_are_seen(sides, rows, columns):
    regions = torch.rand(1, 1, ROWS * COLUMNS * 2 * HIDDEN) + 1
    box, _ = target_at(0.5, 0.5, *sides)
    seen = SemTrackActivity(tiny_config(use_scene_context=False)).seen(regions, box)
    cells = regions.unflatten(-1, (ROWS, COLUMNS, -1))[0, 0]
    expected = torch.zeros_like(cells)
    for row in rows:
        expected[row, columns] = cells[row, columns]
    assert torch.equal(seen.unflatten(-1, (ROWS, COLUMNS, -1))[0, 0], expected)
    assert torch.equal(SemTrackActivity(tiny_config()).seen(regions, box), regions)


def test_without_scene_context_only_the_motion_of_the_target_itself_is_seen():
    box, _ = target_at(0.5, 0.5, 0.3, 1.0)
    activity, regions = SemTrackActivity(tiny_config(use_scene_context=False)), torch.zeros(1, 1, REGIONS)
    codes = activity.encode(regions, torch.ones(1, 1, MOTION_SIZE), box)[0, 0]
    motion = codes[HIDDEN:].unflatten(0, (ROWS, COLUMNS, KINDS))
    assert motion.sum((0, 2)).tolist() == [0, 0, ROWS * KINDS, ROWS * KINDS, 0, 0]


# Embeddings


def test_without_a_past_the_earlier_code_is_the_present_one_and_nothing_has_changed():
    activity = SemTrackActivity(tiny_config())
    codes, box = torch.randn(2, 3, CODE), torch.tensor([0.3, 0.6, 0.2, 0.1]).expand(2, 3, 4)
    embedding = activity(codes, box, torch.rand(2, 3), None)
    assert embedding.shape == (2, 3, activity_size(tiny_config()))
    now, earlier, changes, geometry = parts_of(embedding)
    assert torch.equal(now, codes) and torch.equal(earlier, codes) and not changes.any()
    expected = torch.tensor([0.3, 0.6, math.log(0.2), math.log(0.1), 0, 0, 0, 0, 0, 0])
    torch.testing.assert_close(geometry, expected.expand(2, 3, GEOMETRY))


def test_steps_of_the_past_fade_and_invalid_ones_do_not_count():
    """Half a second ago counts for 1/e, a second ago for 1/e^2, the present for 1."""
    activity = SemTrackActivity(tiny_config())
    past = remembered(
        codes=[-7.0, 2.0, 5.0],
        boxes=[[0.9, 0.9, 0.5, 0.5], [0.3, 0.5, 0.1, 0.4], [0.4, 0.7, 0.1, 0.4]],
        times=[2.9, 2.0, 2.5],
        valid=[False, True, True],
    )
    box = torch.tensor([[[0.5, 0.6, 0.2, 0.2]]])
    embedding = activity(torch.full((1, 1, CODE), 3.0), box, torch.tensor([[3.0]]), past)
    now, earlier, changes, geometry = parts_of(embedding)
    first, second = math.exp(-2), math.exp(-1)
    total = 1 + first + second
    assert torch.equal(now, torch.full((1, 1, CODE), 3.0))
    torch.testing.assert_close(earlier, torch.full((1, 1, CODE), (3 + 2 * first + 5 * second) / total))
    spread = math.sqrt(((3 - 10 / 3) ** 2 + (2 - 10 / 3) ** 2 + (5 - 10 / 3) ** 2) / 3)  # each step counts as much
    torch.testing.assert_close(changes, torch.full((1, 1, CODE), spread))

    def mean(present, *before):
        return (present + first * before[0] + second * before[1]) / total

    size = 0.2  # the root of the box's area
    moved = [(0.5 - mean(0.5, 0.3, 0.4)) / size, (0.6 - mean(0.6, 0.5, 0.7)) / size]
    grown = [
        math.log(side) - mean(*map(math.log, (side, *before))) for side, *before in ((0.2, 0.1, 0.1), (0.2, 0.4, 0.4))
    ]
    place = [0.5, 0.6, math.log(0.2), math.log(0.2)]
    expected = torch.tensor([*place, *moved, *map(abs, moved), *grown])
    torch.testing.assert_close(geometry[0, 0], expected)
    assert moved[0] > 0 and moved[1] < 0


def test_codes_that_alternate_around_a_mean_have_changed_and_constant_ones_have_not():
    activity, box = SemTrackActivity(tiny_config()), torch.full((1, 1, 4), 0.2)
    for codes, expected in (([3.0, 5.0, 3.0], 1.0), ([5.0, 5.0, 5.0], 0.0)):
        past = remembered(codes, [[0.2] * 4] * 3, [0.0, 0.2, 0.4], [True] * 3)
        embedding = activity(torch.full((1, 1, CODE), 5.0), box, torch.tensor([[0.6]]), past)
        torch.testing.assert_close(parts_of(embedding)[2], torch.full((1, 1, CODE), expected), atol=2e-3, rtol=0)


def test_the_movement_is_counted_in_sizes_of_the_target():
    """A target of half the size that moves half as far has moved as much."""
    activity = SemTrackActivity(tiny_config())
    movements = []
    for scale in (1.0, 0.5):
        past = remembered([0.0], [[0.5 - 0.1 * scale, 0.5, 0.2 * scale, 0.1 * scale]], [0.0], [True])
        box = torch.tensor([[[0.5, 0.5, 0.2 * scale, 0.1 * scale]]])
        embedding = activity(torch.zeros(1, 1, CODE), box, torch.tensor([[0.2]]), past)
        movements.append(parts_of(embedding)[3][..., 4:])
    torch.testing.assert_close(*movements)


def test_embeddings_are_centred_and_scaled():
    activity = SemTrackActivity(tiny_config())
    inputs = torch.randn(1, 2, CODE), torch.rand(1, 2, 4), torch.rand(1, 2), None
    raw = activity(*inputs)
    activity.center.copy_(torch.randn(activity.center.shape))
    activity.scale.copy_(torch.rand(activity.scale.shape))
    torch.testing.assert_close(activity(*inputs), (raw - activity.center) * activity.scale)


# Precision


def test_half_precision_gives_nearly_the_same_embedding():
    torch.manual_seed(0)
    activity = SemTrackActivity(tiny_config())
    torch.nn.init.normal_(activity.projection.weight, std=0.02)
    views, (box, window) = tokens_of(), target_at(0.4, 0.6)
    past = remembered([0.5, 1.0], [[0.3, 0.6, 0.1, 0.1]] * 2, [0.1, 0.3], [True, True])
    times, motion = torch.tensor([[0.5]]), torch.rand(1, 1, MOTION_SIZE)

    def embedded(dtype):
        part = activity.to(dtype)
        regions = read_cells(*(tokens.to(dtype) for tokens in views), box, window, GRID)
        history = SemTrackMemory(**{**vars(past), "codes": past.codes.to(dtype)})
        return part(part.encode(regions, motion, box), box, times, history)

    precise, rough = embedded(torch.float32), embedded(torch.bfloat16)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), precise, atol=0.05, rtol=0.05)


def test_what_stands_still_has_not_moved_nor_changed_in_mixed_precision_either():
    box = [0.37, 0.61, 0.013, 0.017]
    past = remembered([1.003, 1.003], [box, box], [0.1, 0.3], [True, True])
    with torch.autocast("cpu", torch.bfloat16):
        embedding = SemTrackActivity(tiny_config())(
            torch.full((1, 1, CODE), 1.003), torch.tensor([[box]]), torch.tensor([[0.5]]), past
        )
    assert parts_of(embedding)[2].max() < 2e-3
    assert parts_of(embedding)[3][..., 4:].abs().max() < 1e-4
