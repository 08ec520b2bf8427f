"""What visitors can do, one action after another."""

import numpy as np
import pytest
import torch
from app_clips import BOX, FRAMES, colour_clip, colour_demo, overlap
from tiny_models import noise_frame, tiny_model, tiny_processor

from modeling_semtrack import app_actions, app_clicks
from modeling_semtrack.app_actions import CORNERS, MINUS, NEW, PLUS, REFINE, REGION
from modeling_semtrack.app_clicks import box_of_clicks
from modeling_semtrack.app_state import Click, Visit
from modeling_semtrack.app_video import EXAMPLES, Limits, frame_at
from modeling_semtrack.localization import box_of_click
from modeling_semtrack.video import VideoError

RED_MIDDLE, GREEN_MIDDLE = (16.0, 46.0), (66.0, 76.0)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return colour_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def demo():
    demo = colour_demo()
    yield demo
    for key in ("one", "other"):
        demo.visitors.close(key)


@pytest.fixture
def visit(demo, path):
    return demo.open("one", path)


def test_a_click_proposes_a_box_at_once_and_selects_the_target(demo, visit):
    visit = demo.click(visit, RED_MIDDLE)
    (prompt,) = visit.prompts
    assert overlap(prompt.box, BOX) > 0.5 and visit.selected == 1 and prompt.clicks == (Click(*RED_MIDDLE),)


def test_more_clicks_refine_the_same_target(demo, visit):
    visit = demo.click(demo.click(visit, RED_MIDDLE), (14.0, 44.0), REFINE)
    assert visit.targets == (1,) and len(visit.prompts[0].clicks) == 2
    visit = demo.click(visit, GREEN_MIDDLE, REFINE, MINUS)
    assert [click.positive for click in visit.prompts[0].clicks] == [True, True, False]
    assert overlap(visit.prompts[0].box, BOX) > 0.4


def test_a_click_in_a_later_frame_corrects_the_target_there(demo, visit):
    visit = demo.click(demo.click(visit, RED_MIDDLE).at(100), GREEN_MIDDLE, REFINE)
    assert [(p.target_id, p.frame) for p in visit.prompts] == [(1, 0), (1, 100)]


def test_two_corners_draw_a_box(demo, visit):
    visit = demo.click(visit, (22.0, 52.0), NEW, CORNERS)
    assert visit.corner == (22.0, 52.0) and not visit.prompts
    visit = demo.click(visit, (10.0, 40.0), NEW, CORNERS)
    assert visit.corner is None and visit.prompts[0].box == BOX


def test_a_drag_draws_the_same_box_and_names_a_region(demo, visit):
    assert demo.drag(visit, (22.0, 52.0), (10.0, 40.0)).prompts[0].box == BOX
    visit = demo.drag(visit, (0.0, 0.0), (50.0, 50.0), REGION, "till")
    assert visit.regions[0].name == "till" and not visit.prompts


def test_two_corners_draw_a_region(demo, visit):
    visit = demo.click(demo.click(visit, (0.0, 0.0), REGION), (50.0, 50.0), REGION)
    assert visit.regions[0].box == (0.0, 0.0, 50.0, 50.0) and not visit.prompts


def test_what_cannot_be_clicked_is_said(demo, visit):
    with pytest.raises(ValueError, match="choose a video first"):
        demo.click(Visit("one"), RED_MIDDLE)
    with pytest.raises(ValueError, match="click on it"):
        demo.click(visit, RED_MIDDLE, NEW, MINUS)
    with pytest.raises(ValueError, match="pick a new one first"):
        demo.click(visit, RED_MIDDLE, REFINE)
    with pytest.raises(ValueError, match="inside a 120x90 frame"):
        demo.click(visit, (500.0, 10.0))


def agreeing(box, clicks):
    x, y, width, height = box
    return sum((x <= c.x <= x + width and y <= c.y <= y + height) == c.positive for c in clicks)


def test_several_clicks_choose_the_box_that_fits_them_all(monkeypatch):
    """One click gives what a session gives for it; more clicks never make it fit them worse, and often better."""
    monkeypatch.setattr(app_clicks, "LEAST_SCORE", 0.0)  # random weights are never sure
    images, frame, model = tiny_processor().image_processor, noise_frame(), tiny_model()
    gains = []
    for x, y in ((30.0, 30.0), (50.0, 46.0), (90.0, 60.0)):
        with torch.inference_mode():
            single = box_of_click(model, images, frame, (x, y))
        assert box_of_clicks(model, images, frame, [Click(x, y)]) == single
        corner = Click(single[0] + 0.9 * single[2], single[1] + 0.9 * single[3], False)
        clicks = [Click(x, y), corner, Click(single[0] + 0.1, single[1] + 0.1, False)]
        gains.append(agreeing(box_of_clicks(model, images, frame, clicks), clicks) - agreeing(single, clicks))
    assert min(gains) >= 0 and max(gains) > 0


def test_the_first_click_is_on_the_target():
    with pytest.raises(ValueError, match="on the target"):
        box_of_clicks(tiny_model(), tiny_processor().image_processor, noise_frame(), [Click(26, 46, False)])


def test_a_run_shows_frames_and_ends_with_results(demo, visit):
    reports = list(demo.track(demo.click(visit, RED_MIDDLE)))
    first, last = reports[0], reports[-1]
    assert first.image.shape == (90, 120, 3) and (first.done, first.total) == (1, FRAMES) and not first.over
    assert (
        last.over
        and last.visit.position == FRAMES - 1
        and (last.done, last.total) == (FRAMES, FRAMES)
        and len(last.visit.trajectories) == 1
    )
    assert not np.array_equal(first.image, frame_at(visit.clip, 0)) and not visit.trajectories


def test_stop_ends_a_run_soon_and_track_goes_on(demo, visit):
    visit = demo.click(visit, RED_MIDDLE)
    run = demo.track(visit)
    next(run)
    demo.stop(visit)
    *_, last = run
    assert 1 <= last.done < FRAMES and not last.visit.trajectories[0].complete
    *_, last = demo.track(last.visit)
    assert last.done == FRAMES and last.visit.trajectories[0].complete


def test_a_run_that_nobody_listens_to_ends(demo, visit):
    """As when the page is closed: the visitor can start another one."""
    visit = demo.click(visit, RED_MIDDLE)
    run = demo.track(visit)
    next(run)
    with pytest.raises(ValueError, match="still working"):
        next(demo.track(visit))
    run.close()
    next(demo.track(visit))


def test_backwards_and_forwards_in_any_order(demo, visit):
    """From the picked frame, whichever comes first."""
    visit = demo.click(visit.at(20), (26.0, 46.0))
    *_, last = demo.track_backwards(visit)
    assert last.visit.reversed == (1,) and last.visit.trajectories[0].frames[0].frame_index == 0
    assert last.visit.trajectories[0].frames[-1].frame_index == 20 and last.done == 21
    *_, both = demo.track(last.visit)
    assert [frame.frame_index for frame in both.visit.trajectories[0].frames] == list(range(FRAMES))
    demo.visitors.get("one").run = type(demo.visitors.get("one").run)(demo.model, demo.processor, visit.clip)
    *_, last = demo.track(visit)
    *_, last = demo.track_backwards(last.visit)
    assert last.visit.trajectories == both.visit.trajectories


def test_what_is_picked_earlier_afterwards_is_followed_from_there(demo, visit):
    """A box in an earlier frame starts the target anew, backwards too."""
    *_, last = demo.track(demo.click(visit.at(30), (31.0, 46.0)))
    *_, last = demo.track_backwards(demo.click(last.visit.at(10), (21.0, 46.0), REFINE))
    assert [frame.frame_index for frame in last.visit.trajectories[0].frames] == list(range(11))


def test_a_run_does_not_begin_before_the_last_click_has_its_box(demo, visit, monkeypatch):
    """It would know nothing of the click, and take it away at its end."""
    picked = demo.click(visit, RED_MIDDLE)

    def answer(*_):
        with pytest.raises(ValueError, match="still working"):
            next(demo.track(picked))
        return BOX

    monkeypatch.setattr(app_actions, "box_of_clicks", answer)
    assert demo.click(picked, GREEN_MIDDLE).targets == (1, 2)
    next(demo.track(picked))


def test_nothing_changes_while_a_run_works(demo, visit):
    """It would be lost at the end of the run."""
    visit = demo.click(visit, RED_MIDDLE)
    demo.check_idle("one")
    run = demo.track(visit)
    next(run)
    with pytest.raises(ValueError, match="press Stop"):
        demo.check_idle("one")
    run.close()
    demo.check_idle("one")


def test_tracking_without_a_target_or_a_video_is_refused(demo, visit):
    with pytest.raises(ValueError, match="pick a target first"):
        next(demo.track(visit))
    demo.visitors.close("one")
    with pytest.raises(ValueError, match="expired"):
        next(demo.track(visit.with_prompt(demo._prompt(visit, NEW, BOX, ()))))


def test_two_visitors_do_not_see_each_other(demo, path):
    one, other = demo.open("one", path), demo.open("other", path)
    *_, mine = demo.track(demo.click(one, RED_MIDDLE, NEW, PLUS))
    *_, theirs = demo.track(demo.click(other.at(100), GREEN_MIDDLE))
    assert overlap(mine.visit.trajectories[0].frames[0].box, BOX) > 0.5
    assert theirs.visit.trajectories[0].frames[0].frame_index == 100
    demo.visitors.close("one")
    assert theirs.visit.clip.path.is_file() and not mine.visit.clip.path.exists()


def test_moments_are_marked_for_the_selected_target_at_the_shown_time(demo, visit):
    visit = demo.mark(demo.click(visit, RED_MIDDLE).at(30), " water plants ", "")
    (moment,) = visit.moments
    assert (moment.target_id, moment.interaction, moment.object) == (1, "water plants", None)
    assert moment.time == visit.clip.times[30]
    with pytest.raises(ValueError, match="select a target first"):
        demo.mark(Visit("one", visit.clip), "push", None)
    with pytest.raises(ValueError, match="track the targets first"):
        demo.adapt(visit)


def test_a_refused_video_leaves_the_visit_as_it_was(demo, visit, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    with pytest.raises(VideoError, match="bad.mp4"):
        demo.open("one", bad)
    *_, last = demo.track(demo.click(visit, RED_MIDDLE))
    assert last.done == FRAMES


def test_limits_are_those_that_are_printed(path, demo):
    demo.limits = Limits(frames=7, seconds=3)
    assert demo.open("one", path).clip.last == 6 and "first 3 s or 7 frames" in demo.limits.describe()


def test_an_example_can_be_taken_away_too(demo, tmp_path, monkeypatch):
    """So that the code that does the run again finds its video."""
    path = colour_clip(tmp_path, 6)
    monkeypatch.setattr(app_actions, "example_path", lambda example: path)
    visit = demo.open_example("one", EXAMPLES[0])
    *_, last = demo.track(demo.click(visit, RED_MIDDLE))
    assert demo.files(last.visit)[-1].read_bytes() == path.read_bytes()
    assert visit.clip.name == demo.original(visit).name == "A busy scene.mp4"
