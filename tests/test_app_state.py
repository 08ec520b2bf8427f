"""A visit is replaced by every action and never changed."""

from pathlib import Path

import pytest

from modeling_semtrack import InteractionEvent, LabelledMoment, SemanticTrajectory
from modeling_semtrack.app_state import Prompt, Visit, box_of_corners, rounded
from modeling_semtrack.app_video import Clip

CLIP = Clip(Path("clip.mp4"), "clip.mp4", 100, 80, 25.0, tuple(index / 25 for index in range(10)))
BOX = (1.0, 2.0, 30.0, 40.0)


def visit_with_two_targets():
    visit = Visit("someone", CLIP)
    return visit.with_prompt(Prompt(1, 4, BOX)).with_prompt(Prompt(2, 0, BOX, "dog"))


def test_a_prompt_of_the_same_target_and_frame_is_replaced():
    """A refinement takes the place of the box before; the visit before is as it was."""
    before = visit_with_two_targets()
    after = before.with_prompt(Prompt(1, 4, (5.0, 5.0, 9.0, 9.0)))
    assert [p.box for p in after.prompts if p.target_id == 1] == [(5.0, 5.0, 9.0, 9.0)]
    assert before.prompt_at(1, 4).box == BOX and after.selected == 1


def test_the_earliest_prompt_starts_a_target():
    """Wherever it was added: prompts are kept by frame."""
    visit = visit_with_two_targets().with_prompt(Prompt(1, 2, BOX))
    assert visit.first_prompt(1).frame == 2 and [p.frame for p in visit.prompts] == [0, 2, 4]


def test_a_removed_target_leaves_nothing():
    """Neither prompts nor results nor moments; the others stay and one of them is selected."""
    moments = (LabelledMoment(1, 0.1, "hit"), LabelledMoment(2, 0.1, "hit"))
    visit = visit_with_two_targets().with_results([SemanticTrajectory(i, None, {}, 100, 80) for i in (1, 2)])
    visit = Visit(**{**visit.__dict__, "moments": moments, "taught": moments, "reversed": (1,)}).without_target(1)
    assert visit.targets == (2,) and visit.selected == 2 and visit.reversed == ()
    assert [t.target_id for t in visit.trajectories] == [2] and visit.moments == visit.taught == moments[1:]


def test_clearing_keeps_the_video_and_the_frame():
    visit = visit_with_two_targets().at(7).with_region(BOX).cleared()
    assert (visit.clip, visit.position, visit.prompts, visit.regions) == (CLIP, 7, (), ())


@pytest.mark.parametrize("frame, shown", [(-3, 0), (5.0, 5), (99, 9)])
def test_the_shown_frame_stays_inside_the_clip(frame, shown):
    assert Visit("someone", CLIP).at(frame).position == shown


def test_a_name_reaches_all_prompts_of_a_target():
    visit = visit_with_two_targets().with_prompt(Prompt(1, 6, BOX)).renamed(1, "  cat ")
    assert [p.category for p in visit.prompts] == ["dog", "cat", "cat"]
    assert visit.renamed(1, " ").first_prompt(1).category is None


def test_a_name_reaches_the_results_too():
    """Those that are there, and those that come later."""
    event = InteractionEvent("target 1", "hit", None, 0.0, 0.2, 0, 5, 0.9)
    found = SemanticTrajectory(1, None, {}, 100, 80, [], [event])
    visit = visit_with_two_targets().with_results([found]).renamed(1, "cat")
    assert visit.trajectories[0].category == visit.trajectories[0].events[0].subject == "cat"
    assert visit.with_results([found]).trajectories == visit.trajectories
    assert found.category is None and visit.renamed(1, "").trajectories == (found,)


@pytest.mark.parametrize("box", [(0.004, 7.999, 12.3456, 30.0), (99.9901, 0.0, 20.0099, 90.0), (3.0, 4.0, 5.0, 6.0)])
def test_rounded_boxes_stay_inside(box):
    """So that they are taken where the exact ones are."""
    near = rounded(box)
    assert near == tuple(round(value, 2) for value in near) and near == pytest.approx(box, abs=0.025)
    for (start, size), (begin, length) in zip(zip(box[:2], box[2:]), zip(near[:2], near[2:])):
        assert start <= begin and begin + length <= start + size


def test_regions_are_numbered_unless_named():
    visit = Visit("someone", CLIP).with_region(BOX).with_region(BOX, "till")
    assert [region.name for region in visit.regions] == ["region 1", "till"]
    assert visit.without_regions().regions == ()


def test_corners_make_a_box_in_any_order():
    assert box_of_corners((50, 10), (20, 40)) == (20, 10, 30, 30)
    with pytest.raises(ValueError, match="2 pixels apart"):
        box_of_corners((50, 10), (51, 40))


def test_a_missing_target_is_named_readably():
    with pytest.raises(ValueError, match="select a target first"):
        Visit("someone", CLIP).first_prompt(None)
