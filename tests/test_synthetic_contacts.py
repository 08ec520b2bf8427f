"""Interactions with hands, arms and legs: between persons, and with things that stand about."""

import numpy as np
import pytest
from synthetic_plays import finished_events

from dataset_script.synthetic_photos import PhotoLibrary
from dataset_script.synthetic_props import SEAT, make_sprite
from dataset_script.synthetic_stage import Entity, Stage

NAMES = ("handshake", "hug", "punch", "kick", "point", "wave to", "sit on", "ride", "climb", "open", "pet", "lead",
         "give", "put on", "jump over", "drink from", "enter", "cross", "shoot")  # fmt: skip


@pytest.fixture(scope="module")
def played():
    return {name: finished_events(name, 3) for name in NAMES}


@pytest.mark.parametrize("interaction", NAMES)
def test_every_interaction_occurs(played, interaction):
    assert played[interaction]
    assert all(
        p.subject.sprite.category == "person" or interaction in ("jump over", "enter") for p in played[interaction]
    )


def reach_of(p, entity):
    """Pixels by which an entity's picture at each frame of the event stretches beyond its foot, forward."""
    poses = entity.poses[p.event.start_frame : p.event.end_frame]
    return np.array(
        [entity.sprite.picture(q.image).alpha.width - entity.sprite.picture(q.image).foot[0] for q in poses]
    )


@pytest.mark.parametrize("name, near", [("handshake", (0.55, 0.8)), ("hug", (0.15, 0.32))])
def test_who_meets_meets_in_both_directions_at_the_right_distance(played, name, near):
    for p in played[name]:
        height = 0.5 * (p.stage.tall(p.subject) + p.stage.tall(p.object))
        assert near[0] * height < p.distance[len(p.distance) // 2] < near[1] * height
        assert any(
            (e.subject, e.object, e.start_frame) == (p.event.object, p.event.subject, p.event.start_frame)
            for e in p.stage.events
            if e.interaction == name
        )


@pytest.mark.parametrize("name", ["punch", "kick"])
def test_a_blow_stretches_a_limb_out_with_contact_and_the_other_gives_way(played, name):
    for p in played[name]:
        reach = reach_of(p, p.subject)
        assert reach.max() > 0.38 * p.subject.sprite.height > reach[0]
        away = (p.o[-1, 0] - p.o[0, 0]) * np.sign(p.o[0, 0] - p.s[0, 0])
        assert away > 0.05 * p.subject.sprite.height
        if p.object.sprite.category == "person":
            assert p.distance.min() < 0.75 * p.stage.tall(p.object)


def test_pushing_a_person_makes_it_stagger_while_the_subject_stays():
    pushes = [p for p in finished_events("push", 6) if p.object.sprite.category == "person"]
    assert pushes
    for p in pushes:
        assert abs(p.o[-1, 0] - p.o[0, 0]) > 0.2 * p.object.sprite.height
        assert reach_of(p, p.subject).max() > 0.35 * p.subject.sprite.height


@pytest.mark.parametrize("name", ["point", "wave to"])
def test_pointing_and_waving_are_done_standing_with_an_arm_out(played, name):
    for p in played[name]:
        assert p.path(p.s) < 1
        poses = p.subject.poses[p.event.start_frame : p.event.end_frame]
        heights = [p.subject.sprite.picture(q.image).alpha.height for q in poses]
        if name == "point":
            assert reach_of(p, p.subject).max() > 0.33 * p.subject.sprite.height
        else:
            assert max(heights) > 1.05 * p.subject.sprite.height, "the hand is above the head"


def test_pointing_names_the_nearest_in_front_or_nobody(played):
    for p in played["point"]:
        if p.object is not None:
            gap = (p.o[0, 0] - p.s[0, 0]) * p.subject.poses[p.event.start_frame].facing
            assert gap > 0 and p.distance[0] > 0


def test_sitting_puts_the_body_onto_the_seat(played):
    for p in played["sit on"]:
        assert np.abs(p.s[:, 0] - p.o[:, 0]).min() < 0.6 * p.stage.half_width(p.object) + 2
        assert p.object.sprite.category == "bench" and p.path(p.o) == 0 and "bench" in SEAT


def test_riding_moves_both_and_lifts_the_rider(played):
    for p in played["ride"]:
        assert abs(p.o[-1, 0] - p.o[0, 0]) > 10 and p.s[:, 2].max() > 0 and p.object.sprite.category == "cart"


def test_climbing_goes_up_and_comes_down(played):
    for p in played["climb"]:
        assert p.s[:, 2].max() > 0.2 * p.stage.tall(p.object) and p.s[-1, 2] < 1 and p.s[0, 2] < 1


def test_a_hand_opens_a_door_and_pets_an_animal_with_one_motion(played):
    for p in played["open"]:
        shown = [q.image for q in p.object.poses[p.event.start_frame : p.event.end_frame]]
        assert shown[0] == 0 and max(shown) == len(p.object.sprite.pictures) - 1
    for p in (*played["open"], *played["pet"]):
        assert p.path(p.s) < 1 and p.path(p.o) < 1 and p.distance.max() < 1.3 * p.contact + 4
        assert p.object.sprite.category == ("door" if p.event.interaction == "open" else "animal")


def test_leading_is_pushing_or_pulling_an_animal(played):
    for p in played["lead"]:
        assert p.object.sprite.category == "animal" and abs(p.o[-1, 0] - p.o[0, 0]) > 5
        assert np.abs((p.s[-1] - p.s[0]) - (p.o[-1] - p.o[0])).max() < 1


def test_what_is_given_ends_in_the_other_hands(played):
    for p in played["give"]:
        assert p.object.sprite.category == "person" and p.path(p.s) < 1
        load = p.stage_load(p.event.end_frame - 1)
        assert abs(load.x - p.o[-1, 0]) < p.stage.half_width(p.object) + 12 and load.lift > 0.2 * p.stage.tall(p.object)


def test_what_is_put_on_a_table_stays_above_the_ground(played):
    for p in played["put on"]:
        assert p.object.sprite.category == "table"
        load = p.stage_load(p.event.end_frame - 1)
        assert load.lift > 0.8 * p.stage.tall(p.object) and abs(load.x - p.o[-1, 0]) < p.stage.half_width(p.object)


def test_jumping_clears_the_object_and_lands_on_its_other_side(played):
    for p in played["jump over"]:
        assert (p.s[0, 0] - p.o[0, 0]) * (p.s[-1, 0] - p.o[0, 0]) < 0
        assert p.s[:, 2].max() > p.stage.tall(p.object)


def test_drinking_lifts_the_cup_to_the_head(played):
    for p in played["drink from"]:
        assert p.object.sprite.category == "cup" and p.o[:, 2].max() > 0.7 * p.stage.tall(p.subject)


def test_crossing_goes_from_one_side_of_the_stripes_to_the_other(played):
    for p in played["cross"]:
        left, far, right, near = p.stage.crossing
        assert min(p.s[0, 0], p.s[-1, 0]) <= left + 6 and max(p.s[0, 0], p.s[-1, 0]) >= right - 6
        assert (p.s[:, 1] >= far).all() and (p.s[:, 1] <= near).all() and p.event.object is None


def test_crossing_back_halfway_is_no_crossing():
    """From the left onto the stripes and back: nothing; over them: one event over exactly those frames."""
    for path, expected in (((5, 20, 35, 20, 5), []), ((5, 20, 35, 55, 65), [(1, 3)])):
        stage = Stage(100, 160, 80, 25.0, np.random.default_rng(0), crossing=(10, 85, 50, 150))
        person = make_sprite("person", 30, PhotoLibrary(), np.random.default_rng(0))
        walker = Entity(1, person, 5.0, 100.0)
        stage.entities = [walker]
        stage.run([_jump_along(walker, path)], len(path))
        assert [(e.start_frame, e.end_frame) for e in stage.events] == expected


def _jump_along(entity, path):
    for x in path:
        entity.x = float(x)
        yield


def test_shooting_is_throwing_a_ball_on_a_court(played):
    for p in played["shoot"]:
        assert p.stage.court and p.object.sprite.category == "ball"
        assert p.path(p.s) < 1 and p.o[:, 2].max() > p.o[0, 2] and p.o[-1, 2] == 0
    assert not any(p.stage.court and p.object.sprite.category == "ball" for p in finished_events("throw", 2))


def test_who_enters_a_door_disappears_behind_it(played):
    for p in played["enter"]:
        assert p.object.sprite.category == "door" and p.subject.poses[p.event.end_frame - 1].depth < p.o[0, 1]
        assert abs(p.s[-1, 0] - p.o[-1, 0]) < 3
