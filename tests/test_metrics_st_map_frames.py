"""Boxes compared image by image: assignments, and the scores of HOTA, CLEAR and Identity by hand."""

from itertools import permutations

import numpy as np
import pytest
from st_map_cases import FAR, FRAMES, NEAR, predicted, truth

from metrics.semtrack.st_map import st_map
from metrics.semtrack.st_map_frames import assign, box_iou, join


def score(*tracks, true=None):
    """Scores of the class 'dog' for predicted tracks (box, frames)."""
    rows = [
        row
        for number, (box, frames) in enumerate(tracks, 1)
        for row in predicted(number, box, 0.9, [1], [1], frames=frames)
    ]
    return st_map(true or truth((NEAR, 1, 1, 1)), rows)["dog"]


def test_join_finds_all_pairs_of_equal_keys():
    one, other = np.array([5, 2, 7]), np.array([2, 2, 5, 9])
    assert list(zip(*(side.tolist() for side in join(one, other)))) == [(0, 2), (1, 0), (1, 1)]


def test_box_iou_is_0_without_area():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 0, 10], [5, 0, 10, 10]], dtype=float)
    assert box_iou(np.repeat(boxes[:1], 3, axis=0), boxes).tolist() == pytest.approx([1, 0, 1 / 3])


def test_assign_finds_the_best_sum_in_every_cell():
    """Against all permutations, in cells of up to 4 x 4."""
    rng = np.random.default_rng(0)
    cells, starts = [], [[0], [0]]
    for _ in range(60):
        scores = rng.random(rng.integers(1, 5, size=2)) * (rng.random() < rng.random(1))
        scores *= rng.random(scores.shape) < 0.6
        cells.append(scores)
        for side, size in zip(starts, scores.shape):
            side.append(side[-1] + size)
    entries = [(c, *place) for c, scores in enumerate(cells) for place in zip(*np.nonzero(scores))]
    cell, row, column = np.array(entries).T
    value = np.array([cells[c][r, k] for c, r, k in entries])
    starts = [np.array(side) for side in starts]
    chosen = assign(cell, starts[0][cell] + row, starts[1][cell] + column, value, *starts)
    for number, scores in enumerate(cells):
        wide = scores if scores.shape[0] <= scores.shape[1] else scores.T
        best = max(sum(wide[i, k] for i, k in enumerate(p)) for p in permutations(range(wide.shape[1]), wide.shape[0]))
        assert value[chosen & (cell == number)].sum() == pytest.approx(best)


def test_a_track_that_changes_its_id_halfway():
    scores = score((NEAR, range(5)), (NEAR, range(5, 10)))
    assert scores["CLEARTR"]["IDSW"] == 1 and scores["CLEARTR"]["MOTA"] == pytest.approx(0.9)
    assert scores["CLEARTR"]["MT"] == 1 and scores["CLEARTR"]["Frag"] == 0
    assert scores["Identity"]["IDF1"] == 0.5
    assert scores["HOTA"]["DetA"][0] == 1 and scores["HOTA"]["AssA"][0] == 0.5


def test_a_track_that_is_lost_and_found_is_fragmented():
    scores = score((NEAR, [0, 1, 4, 5]), (FAR, range(10)))
    assert scores["CLEARTR"]["Frag"] == 1 and scores["CLEARTR"]["IDSW"] == 0
    assert scores["CLEARTR"]["PT"] == 1 and scores["CLEARTR"]["CLR_FP"] == 10
    assert scores["CLEARTR"]["CLR_Frames"] == FRAMES


def test_clear_keeps_a_track_although_another_one_fits_better_now():
    close = [10.0, 0.0, 100.0, 100.0]
    scores = score((close, range(10)), (NEAR, range(3, 10)))
    assert scores["CLEARTR"]["IDSW"] == 0 and scores["CLEARTR"]["CLR_TP"] == FRAMES
    assert scores["CLEARTR"]["MOTP"] == pytest.approx(90 / 110)


def test_boxes_where_the_class_is_not_shown_do_not_count_unless_it_is_known_to_be_absent():
    true = truth((NEAR, 1, 1, 1), names=("a", "b"))
    for annotation in true["annotations"]:
        annotation["category_id"] = 1 if annotation["image_id"] < 200 else 2
    rows = predicted(1, NEAR, 0.9, [1], [1], video=2)
    assert st_map(true, rows)["dog"]["Count"]["Dets"] == 0
    true["videos"][1]["neg_category_ids"] = [1]
    assert st_map(true, rows)["dog"]["Count"]["Dets"] == FRAMES


def test_boxes_too_many_do_not_count_where_not_all_objects_are_annotated():
    true = truth((NEAR, 1, 1, 1))
    assert score((NEAR, range(10)), (FAR, range(10)), true=true)["CLEARTR"]["CLR_FP"] == FRAMES
    true["videos"][0]["not_exhaustive_category_ids"] = [1]
    scores = score((NEAR, range(10)), (NEAR, range(10)), (FAR, range(10)), true=true)
    assert scores["CLEARTR"]["CLR_FP"] == 0 and scores["CLEARTR"]["CLR_TP"] == FRAMES
