"""ST-mAP, MTI and their company: the published numbers in official mode, the mended ones in strict mode."""

import copy
import importlib.util
import json
import warnings

import numpy as np
import pytest
from st_map_cases import FAR, FRAMES, NEAR, predicted, truth

from metrics.semtrack.st_map import PARTS, st_map

HALF = 51 / 101  # mean precision over 101 recalls if it is 1 up to recall 0.5 and 0 beyond
RIGHT = pytest.approx(1.0, abs=1e-9)


def both(true, predictions, field="TI_AP_all", part="STMAP", **strict):
    """A value in official and in strict mode; of arrays the first entry."""
    scores = [st_map(true, predictions, "official"), st_map(true, predictions, "strict", **strict)]
    return tuple(np.ravel(score["dog"][part][field])[0].item() for score in scores)


@pytest.fixture(scope="session")
def golden(shared_data):
    """Folder of cases that the authors' code has scored."""
    folder = shared_data.parent / "golden" / "st_map"
    if not folder.is_dir():
        pytest.skip("the scored cases are not here")
    return folder


@pytest.fixture(scope="session")
def make(golden):
    """Makes further cases."""
    spec = importlib.util.spec_from_file_location("generate", golden / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make


def assert_equal(ours, theirs, path=""):
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs) or set(ours) == set(theirs), path
        for key, value in theirs.items():
            assert_equal(ours[key], value, f"{path}/{key}")
    else:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9, err_msg=path)


@pytest.mark.parametrize("case", ["tiny", "small", "medium"])
def test_official_mode_gives_every_number_of_the_authors_code(golden, case):
    files = [json.loads((golden / case / f"{name}.json").read_text()) for name in ("gt", "predictions", "official")]
    ours = st_map(files[0], files[1], "official")
    assert list(ours) == list(files[2])
    assert_equal(ours, files[2])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mode", ["official", "strict"])
def test_further_cases_run_clean_in_both_modes(make, seed, mode):
    true, predictions = make(seed + 50, n_videos=5, n_frames=12, n_cls=6, n_rel=9, k=seed + 1)
    before = copy.deepcopy((true, predictions))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # also what NumPy would deprecate
        scores = st_map(true, predictions, mode)
    json.dumps(scores, allow_nan=False)
    assert (true, predictions) == before
    shown = {annotation["category_id"] for annotation in true["annotations"]}
    classes = [category["name"] for category in true["categories"] if category["id"] in shown]
    assert list(scores) == [*classes, "cls_comb_cls_av", "cls_comb_det_av"]


def test_defect_1_only_the_last_track_is_checked():
    """The best track says the wrong thing: officially right, strictly a false positive before the right one."""
    true = truth((NEAR, 1, -1, 1), (FAR, 2, -1, 1))
    predictions = predicted(1, NEAR, 0.9, [5], [5]) + predicted(2, FAR, 0.8, [2], [5])
    assert both(true, predictions) == (RIGHT, pytest.approx(0.5 * HALF))
    assert both(true, predictions, "TI_AR_all") == (RIGHT, 0.5)
    predictions = predicted(1, NEAR, 0.9, [1], [5]) + predicted(2, FAR, 0.8, [5], [5])
    assert both(true, predictions) == (pytest.approx(HALF), pytest.approx(HALF)), "the last one is checked"


def test_defect_1_the_last_track_is_checked_with_the_statistics_of_the_last_match():
    """A track that matches nothing takes the blame of the one that said the wrong thing."""
    true = truth((NEAR, 1, -1, 1))
    predictions = predicted(1, NEAR, 0.9, [5], [5]) + predicted(2, FAR, 0.8, [1], [1])
    assert both(true, predictions) == (RIGHT, 0.0)


def test_defect_2_relations_are_not_sorted_with_their_tracks():
    """Both tracks are right, but stand in the file in ascending order of scores."""
    true = truth((NEAR, 1, -1, 1), (FAR, 2, -1, 1))
    predictions = predicted(1, FAR, 0.5, [2], [5]) + predicted(2, NEAR, 0.9, [1], [5])
    assert both(true, predictions) == (pytest.approx(HALF), RIGHT)


def test_defect_3_subject_or_object_is_enough():
    true = truth((NEAR, 1, 2, 1))
    assert both(true, predicted(1, NEAR, 0.9, [1], [5])) == (RIGHT, 0.0)
    assert both(true, predicted(1, NEAR, 0.9, [5], [2])) == (RIGHT, 0.0)
    assert both(true, predicted(1, NEAR, 0.9, [1], [2])) == (RIGHT, RIGHT)


def test_defect_3_listing_every_class_always_matches():
    true, every = truth((NEAR, 1, 2, 1)), list(range(10))
    predictions = predicted(1, NEAR, 0.9, every, every)
    assert both(true, predictions) == (RIGHT, 0.0)
    assert both(true, predictions, max_relations=2) == (RIGHT, 0.0)
    assert both(true, predictions, max_relations=3) == (RIGHT, RIGHT)


def test_defect_3_mti_does_not_ask_who_is_who():
    """Two targets whose interactions are mixed up."""
    true = truth((NEAR, 1, -1, 1), (FAR, 2, -1, 1))
    predictions = predicted(1, NEAR, 0.9, [2], [5]) + predicted(2, FAR, 0.9, [1], [5])
    assert both(true, predictions, "MTI", "CLEARTR") == (2, 0)
    assert both(true, predictions, "INT_False", "CLEARTR") == (0, 2 * FRAMES)


def test_defect_3_mti_compares_position_by_position_where_shapes_fit():
    """Two targets and lists of two: entry i of each list is held against target i."""
    true = truth((NEAR, 1, 3, 1), (FAR, 2, 3, 1))
    ours = predicted(1, NEAR, 0.9, [1, 6], [6, 6]) + predicted(2, FAR, 0.9, [2, 6], [6, 6])
    assert both(true, ours, "MTI", "CLEARTR")[0] == 2
    ours = predicted(1, NEAR, 0.9, [6, 1], [6, 6]) + predicted(2, FAR, 0.9, [6, 6], [6, 6])
    assert both(true, ours, "MTI", "CLEARTR")[0] == 0
    ours = predicted(1, NEAR, 0.9, [1, 2, 3], [3, 3, 3]) + predicted(2, FAR, 0.9, [2, 2, 2], [3, 3, 3])
    assert both(true, ours, "MTI", "CLEARTR")[0] == 0, "shapes that do not fit count as wrong"


def test_defect_4_numpy_2_is_no_obstacle():
    """The authors' code uses np.float, np.int and np.bool, which ended with NumPy 1.24."""
    assert int(np.__version__.split(".")[0]) >= 2
    assert both(truth((NEAR, 1, 1, 1)), predicted(1, NEAR, 0.9, [1], [1])) == (RIGHT, RIGHT)


def test_defect_5_sorting_true_tracks_anew_for_each_range_moves_no_score():
    """A small, a middle and a large target, in the order that each range turns around."""
    boxes = [0.0, 0.0, 200.0, 200.0], [300.0, 0.0, 50.0, 50.0], [500.0, 0.0, 20.0, 20.0]
    true = truth(*((box, 1, 1, 1) for box in boxes))
    predictions = [row for track, box in enumerate(boxes, 1) for row in predicted(track, box, 0.9, [1], [1])]
    for label in ("all", "area_s", "area_m", "area_l"):
        assert both(true, predictions, f"TI_AP_{label}") == (RIGHT, RIGHT)
    assert both(true, predictions, "TI_AP_time_s") == (-1, -1)


def test_officially_a_track_with_id_0_leaves_its_true_track_to_others():
    true = truth((NEAR, 1, 1, 1))
    predictions = predicted(0, NEAR, 0.9, [1], [1]) + predicted(1, NEAR, 0.8, [1], [1])
    assert both(true, predictions, "TI_AR_all") == (2.0, 1.0)


def test_officially_only_the_last_of_videos_with_one_name_is_scored():
    true = truth((NEAR, 1, 1, 1), names=("a/clip", "b/clip"))
    assert both(true, [], "GT_Dets", "Count") == (FRAMES, 2 * FRAMES)


def test_a_wrong_track_leaves_its_true_track_to_a_right_one():
    true = truth((NEAR, 1, -1, 1))
    predictions = predicted(1, NEAR, 0.9, [5], [5]) + predicted(2, NEAR, 0.8, [1], [5])
    assert both(true, predictions)[1] == pytest.approx(0.5)
    assert both(true, predictions, "TI_AR_all")[1] == 1


def test_strictly_the_relation_must_be_right_in_70_percent_of_the_frames():
    true = truth((NEAR, 1, -1, 1))

    def right_in(count):
        wrong = predicted(1, NEAR, 0.9, [5], [5], frames=range(count, FRAMES))
        return predicted(1, NEAR, 0.9, [1], [5], frames=range(count)) + wrong

    assert both(true, right_in(7)) == (RIGHT, RIGHT)
    assert both(true, right_in(6)) == (0.0, 0.0)
    assert both(true, right_in(8), "MTI", "CLEARTR") == (1, 1)
    assert both(true, right_in(7), "MTI", "CLEARTR") == (0, 0), "MTI asks for more than 70 percent"


def test_strictly_frames_without_interaction_ask_for_silence():
    true = truth((NEAR, -1, -1, 1))
    assert both(true, predicted(1, NEAR, 0.9, [-1], [-1])) == (RIGHT, RIGHT)
    assert both(true, predicted(1, NEAR, 0.9, [], []))[1] == RIGHT
    assert both(true, predicted(1, NEAR, 0.9, [3], [-1])) == (RIGHT, 0.0)


def test_roles_change_where_the_main_object_is_another_one():
    true = truth((NEAR, 1, 2, 1))
    assert both(true, predicted(1, NEAR, 0.9, [2], [1], main=0)) == (RIGHT, RIGHT)
    assert both(true, predicted(1, NEAR, 0.9, [1], [2], main=0)) == (0.0, 0.0)


def test_lists_are_cut_by_their_scores_where_these_are_given():
    true = truth((NEAR, 1, -1, 1))
    scored = {"relation_sub_scores": [0.2, 0.7], "relation_obj_scores": [0.5, 0.4]}
    assert both(true, predicted(1, NEAR, 0.9, [4, 1], [5, 5], **scored))[1] == RIGHT
    assert both(true, predicted(1, NEAR, 0.9, [1, 4], [5, 5], **scored))[1] == 0
    assert both(true, predicted(1, NEAR, 0.9, [1, 4], [5, 5]))[1] == RIGHT, "without scores the first is the best"


@pytest.mark.parametrize("mode", ["official", "strict"])
def test_no_predictions_at_all_score_zero(mode):
    scores = st_map(truth((NEAR, 1, 1, 1)), [], mode)["dog"]
    assert scores["STMAP"]["TI_AP_all"] == [0.0] * 6 and scores["STMAP"]["TI_AP_area_s"] == [-1.0] * 6
    assert scores["HOTA"]["HOTA(0)"] == 0 and scores["CLEARTR"]["ML"] == 1 and scores["Identity"]["IDFN"] == FRAMES
    json.dumps(scores, allow_nan=False)


@pytest.mark.parametrize("mode", ["official", "strict"])
def test_a_class_and_a_video_without_predictions_count_as_missed(mode):
    true = truth((NEAR, 1, 1, 1), (FAR, 1, 1, 1), names=("a", "b"))
    for annotation in true["annotations"]:
        annotation["category_id"] = annotation["track_id"]
    scores = st_map(true, predicted(1, NEAR, 0.9, [1], [1]), mode)
    assert scores["cat"]["TrackMAP"]["AR_all"][0] == 0
    assert scores["dog"]["TrackMAP"]["AR_all"][0] == 0.5
    assert scores["cls_comb_cls_av"]["TrackMAP"]["AR_all"][0] == 0.25


def test_progress_names_each_part_once():
    seen = []
    st_map(truth((NEAR, 1, 1, 1)), [], progress=seen.append)
    assert tuple(seen) == PARTS


def test_wrong_modes_are_refused():
    with pytest.raises(ValueError, match="mode must be one of official, strict, got 'both'"):
        st_map(truth((NEAR, 1, 1, 1)), [], "both")
    with pytest.raises(ValueError, match="max_relations must be a whole number of 1 or more, got 0"):
        st_map(truth((NEAR, 1, 1, 1)), [], max_relations=0)


def test_official_mode_refuses_lists_that_the_authors_code_cannot_read():
    uneven = predicted(1, NEAR, 0.9, [1], [1]) + predicted(2, FAR, 0.9, [1, 2], [1])
    with pytest.raises(ValueError, match="relation_sub_category_id lists of equal length .* got 1 and 2"):
        st_map(truth((NEAR, 1, 1, 1)), uneven, "official")
    st_map(truth((NEAR, 1, 1, 1)), uneven, "strict")


def test_official_mode_does_not_read_lists_of_images_without_truth():
    true = truth((NEAR, 1, 1, 1))
    true["annotations"] = true["annotations"][1:]
    uneven = predicted(1, NEAR, 0.9, [1], [1]) + predicted(2, FAR, 0.1, [1, 2], [1], frames=[0])
    assert st_map(true, uneven, "official")["dog"]["TrackMAP"]["AR_all"][0] == 1


def test_official_mode_says_when_no_video_that_it_scores_has_annotations():
    true = truth((NEAR, 1, 1, 1), names=("a/clip", "b/clip"))
    true["annotations"] = true["annotations"][:FRAMES]
    with pytest.raises(ValueError, match="the last of the videos with one name .* none of those has an annotation"):
        st_map(true, [], "official")
    assert st_map(true, [], "strict")["dog"]["Count"]["GT_Dets"] == FRAMES
