"""The interactions of moving about and handling things: every event must be what its definition says."""

import numpy as np
import pytest
from synthetic_plays import finished_events, turned

from dataset_script.synthetic import SyntheticConfig, generate_video

NAMES = (
    "approach",
    "move away",
    "follow",
    "push",
    "carry",
    "pick up",
    "pull",
    "circle",
    "chase",
    "drop",
    "throw",
    "hit",
)


def distance_to_path(point, path):
    """Distance in pixels of a ground position from a polyline ``[n, 3]``."""
    a, b = path[:-1, :2], path[1:, :2]
    length = np.maximum(((b - a) ** 2).sum(1), 1e-9)
    share = np.clip(((point[:2] - a) * (b - a)).sum(1) / length, 0, 1)
    return np.hypot(*(a + share[:, None] * (b - a) - point[:2]).T).min()


@pytest.fixture(scope="module")
def played():
    """Per interaction: the finished events of that kind in a few videos made of it."""
    return {name: finished_events(name, 5) for name in NAMES}


@pytest.mark.parametrize("interaction", NAMES)
def test_every_interaction_occurs(played, interaction):
    assert len(played[interaction]) >= 2


def test_approaching_shrinks_the_distance_to_an_object_that_stays(played):
    for p in played["approach"]:
        assert p.distance[-1] < p.distance[0] and p.path(p.o) < 2
        assert (np.diff(p.distance) < 0.3).mean() > 0.9


def test_moving_away_grows_the_distance_to_an_object_that_stays(played):
    for p in played["move away"]:
        assert p.distance[-1] > p.distance[0] + 20 and p.path(p.o) < 2
        assert (np.diff(p.distance) > -0.3).mean() > 0.9


def test_following_keeps_the_distance_to_an_object_that_walks_ahead(played):
    for p in played["follow"]:
        late = p.distance[len(p.distance) // 2 :]
        assert p.path(p.o) > 15 and late.max() < 1.4 * late.min()
        trail = np.vstack([p.s[0], p.o])
        for step in range(len(p.s) // 2, len(p.s)):
            assert distance_to_path(p.s[step], trail[: step + 1]) < 3, "it walks where the object walked"


def test_chasing_closes_in_faster_than_the_object_runs(played):
    for p in played["chase"]:
        assert p.path(p.s) > p.path(p.o) > 40 and p.distance[-1] < 0.85 * p.distance[0]


def test_a_chase_is_faster_than_following(played):
    speed = {
        name: np.median([p.path(p.o) / len(p.o) / p.subject.speed for p in played[name]])
        for name in ("follow", "chase")
    }
    assert speed["chase"] > 1.5 * speed["follow"]


@pytest.mark.parametrize("interaction, sign", [("push", 1), ("pull", -1)])
def test_pushing_and_pulling_move_both_in_contact_in_one_direction(played, interaction, sign):
    """Pushing goes from the subject to the object, pulling the other way."""
    for p in (p for p in played[interaction] if p.object.sprite.category != "person"):
        moved_s, moved_o = p.s[-1] - p.s[0], p.o[-1] - p.o[0]
        assert np.abs(moved_s - moved_o).max() < 1 and abs(moved_o[0]) > 5
        assert np.sign(moved_o[0]) == sign * np.sign(p.o[0, 0] - p.s[0, 0])
        assert p.distance.max() < 1.3 * p.contact + 5


def test_a_carried_object_stays_attached_to_a_walking_subject(played):
    for p in played["carry"]:
        offset = p.o[1:] - p.s[1:]
        assert p.path(p.s) > 15 and p.o[:, 2].min() > 0.15 * p.subject.sprite.height
        assert np.abs(offset[:, 0]).max() < p.stage.half_width(p.subject) + p.object.sprite.width


def test_picking_up_lifts_the_object_beside_a_standing_subject(played):
    for p in played["pick up"]:
        assert p.path(p.s) < 1 and p.o[0, 2] < 2 and p.o[-1, 2] > 0.15 * p.subject.sprite.height
        assert 0.39 <= (p.event.end_frame - p.event.start_frame) * p.stage.dt <= 0.81


def test_dropping_lets_the_object_fall_to_the_ground(played):
    for p in played["drop"]:
        assert p.path(p.s) < 1 and p.o[0, 2] > 5 and p.o[-1, 2] == 0
        assert np.diff(p.o[:, 2])[0] < 0 and abs(p.o[-1, 0] - p.o[0, 0]) < 15


def test_a_thrown_object_rises_and_lands_far_from_a_standing_subject(played):
    for p in played["throw"]:
        assert p.path(p.s) < 1 and p.o[:, 2].max() > p.o[0, 2] and p.o[-1, 2] == 0
        assert abs(p.o[-1, 0] - p.o[0, 0]) > 35


def test_a_hit_has_contact_and_sends_the_object_away_from_the_subject(played):
    for p in played["hit"]:
        assert p.distance.min() < p.contact and len(p.s) * p.stage.dt < 0.9
        assert (p.o[-1, 0] - p.o[0, 0]) * (p.o[0, 0] - p.s[0, 0]) > 0 and abs(p.o[-1, 0] - p.o[0, 0]) > 12


def test_circling_turns_around_an_object_that_stays(played):
    for p in played["circle"]:
        assert turned(p) > 200 and p.path(p.o) < 2


def test_who_hides_behind_a_wall_disappears_behind_it(played):
    """The one interaction of which the camera sees the subject only at first."""
    hidden = 0
    for seed in range(5):
        record, _ = generate_video(SyntheticConfig(interaction_weights={"hide behind": 1.0}, seconds=(5, 5)), seed)
        for event in record.interactions:
            if event.interaction == "hide behind" and event.end_frame < record.num_frames:
                subject, wall = record.target(event.subject), record.target(event.object)
                assert wall.category == "wall" and event.end_frame - 1 not in subject.boxes
                hidden += event.end_frame - 1 in wall.boxes
    assert hidden >= 2
