"""What the scores refuse, with the video, the row and the value in one line."""

import copy
import math

import numpy as np
import pytest
from st_map_cases import NEAR, predicted, truth

from metrics.semtrack.st_map import st_map
from metrics.semtrack.st_map_rows import BLOCK, Relations, table_of


@pytest.fixture
def case():
    """A truth of two videos and predictions that say which video they are in."""
    true = truth((NEAR, 1, 2, 1), names=("a", "b"))
    rows = predicted(1, NEAR, 0.9, [1], [2], video_id=1) + predicted(1, NEAR, 0.9, [1], [2], video=2, video_id=2)
    return true | {"interactions": [{"id": i, "name": f"i{i}"} for i in range(5)]}, copy.deepcopy(rows)


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("bbox", [0, 0, -3, 5], r"bbox must be finite numbers \[x, y, w, h\] with w, h >= 0, got \[0, 0, -3, 5\]"),
        ("bbox", [0, 0, 3], r"bbox must be .* got \[0, 0, 3\]"),
        ("bbox", [0, 0, math.nan, 5], "bbox must be finite"),
        ("bbox", None, "bbox must be .* got None"),
        ("score", math.nan, "score must be a finite number, got nan"),
        ("score", "0.5", "score must be a finite number, got '0.5'"),
        ("is_main", 2, "is_main must be 0 or 1, got 2"),
        ("track_id", -4, "track_id must be a whole number of 0 or more, got -4"),
        ("track_id", 1.5, "track_id must be a whole number of 0 or more, got 1.5"),
        ("video_id", "b", "video_id must be a whole number of 0 or more, got 'b'"),
        ("relation_sub_category_id", 3, "relation_sub_category_id must be a list of interactions' ids.* got 3"),
        ("relation_obj_category_id", [-2], r"relation_obj_category_id must be .* got \[-2\]"),
    ],
)
def test_a_bad_value_is_refused_with_video_row_and_value(case, field, value, message):
    true, predictions = case
    predictions[13][field] = value
    place = r"predictions row 13 \(video .*\): "
    with pytest.raises(ValueError, match=place + message) as error:
        st_map(true, predictions)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("field", ["image_id", "track_id", "category_id", "bbox", "score", "is_main"])
def test_a_missing_field_is_refused(case, field):
    true, predictions = case
    del predictions[13][field]
    with pytest.raises(ValueError, match=rf"predictions row 13 \(video 2\): {field} is missing; it must be"):
        st_map(true, predictions)


def test_rows_that_are_no_objects_are_refused(case):
    with pytest.raises(ValueError, match="predictions row 20: expected an object with the fields of a box, got 7"):
        st_map(case[0], [*case[1], 7])


def test_a_bad_annotation_of_the_truth_is_refused(case):
    case[0]["annotations"][3]["bbox"] = [0, 0, 5, -1]
    with pytest.raises(ValueError, match=r"truth annotations row 3 \(image 103\): bbox must be"):
        st_map(*case)


def test_scores_of_relations_must_be_as_many_as_the_relations(case):
    true, predictions = case
    predictions = [row | {"relation_sub_scores": [0.5], "relation_obj_scores": [0.5]} for row in predictions]
    st_map(true, predictions)
    predictions[4]["relation_obj_scores"] = [0.5, 0.1]
    with pytest.raises(ValueError, match="relation_obj_scores must have as many entries as relation_obj_category_id"):
        st_map(true, predictions)


def test_unknown_videos_are_listed_up_to_three(case):
    true, predictions = case
    unknown = [row | {"video_id": 10 + number} for number, row in enumerate(predictions[:5])]
    with pytest.raises(ValueError, match="videos that are not in the truth's 'videos': 10, 11, 12 and 2 more; first"):
        st_map(true, predictions + unknown)


def test_unknown_images_and_classes_and_interactions_are_named(case):
    true, predictions = case
    for field, value, message in (
        ("image_id", 999, "images that are not in the truth's 'images': 999; first in predictions row 13"),
        ("category_id", 9, "categories that are not in the truth's 'categories': 9; first in predictions row 13"),
        ("relation_sub_category_id", [8], r"row 13 \(video 2\): interaction 8 is not in the truth's 'interactions'"),
    ):
        rows = copy.deepcopy(predictions)
        rows[13][field] = value
        with pytest.raises(ValueError, match=message):
            st_map(true, rows)


def test_an_image_of_another_video_is_refused(case):
    case[1][13]["video_id"] = 1
    with pytest.raises(ValueError, match=r"row 13 \(video 1\): image_id 203 belongs to video 2"):
        st_map(*case)


@pytest.mark.parametrize("name", ["videos", "images", "categories", "interactions"])
def test_ids_given_twice_are_refused(case, name):
    case[0][name].append(dict(case[0][name][0]))
    with pytest.raises(ValueError, match=f"truth {name}: id must be unique, got more than once: "):
        st_map(*case)


def test_two_boxes_of_a_track_in_one_image_are_refused(case):
    true, predictions = case
    with pytest.raises(ValueError, match="track 1 has more than one box in image 100"):
        st_map(true, [*predictions, predictions[0]])
    true["annotations"].append(true["annotations"][0])
    with pytest.raises(ValueError, match="truth annotations row 0 .* has more than one box in image 100"):
        st_map(true, predictions)


@pytest.mark.parametrize("name", ["videos", "images", "categories", "annotations"])
def test_a_truth_without_one_of_its_lists_is_refused(case, name):
    del case[0][name]
    with pytest.raises(ValueError, match=f"the truth has no list '{name}'"):
        st_map(*case)


def test_a_truth_without_annotations_is_refused(case):
    with pytest.raises(ValueError, match="no annotations, so there is nothing to score"):
        st_map(case[0] | {"annotations": []}, [])


def test_a_bad_row_is_found_beyond_the_first_block(case):
    rows = [case[1][0] | {"track_id": number} for number in range(BLOCK + 5)]
    rows[BLOCK + 2] |= {"score": math.inf}
    with pytest.raises(ValueError, match=rf"predictions row {BLOCK + 2} \(video 1\): score"):
        table_of(rows, predicted=True)


def test_at_most_300_boxes_of_an_image_are_scored(case):
    true, _ = case
    rows = [row for track in range(305) for row in predicted(track, NEAR, track / 305, [1], [2], frames=[0])]
    scores = st_map(true, rows)
    assert scores["dog"]["Count"]["Dets"] == scores["dog"]["Count"]["IDs"] == 300


def test_relations_know_their_members_and_their_best():
    lists = Relations(np.array([0, 3, 3, 4]), np.array([4, -1, 2, 7]), np.array([0.1, 0.2, 0.3, 0.4]))
    assert lists.contain(np.array([0, 0, 1, 2, 2]), np.array([-1, 7, 4, 7, 9])).tolist() == [
        True,
        False,
        False,
        True,
        False,
    ]
    best = lists.best(2)
    assert best.starts.tolist() == [0, 2, 2, 3] and best.classes.tolist() == [2, -1, 7]
    taken = lists.take(np.array([2, 0]))
    assert taken.starts.tolist() == [0, 1, 4] and taken.classes.tolist() == [7, 4, -1, 2]
