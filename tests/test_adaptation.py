"""A few labelled moments teach a session; nothing else changes, and it can be undone."""

import copy

import pytest
import torch
from tiny_models import noise_frame, tiny_model, tiny_processor

from modeling_semtrack import (
    AdaptationSettings,
    EventSettings,
    LabelledMoment,
    SemTrackSession,
    SessionSettings,
)
from modeling_semtrack.adaptation import adapt_readout, labels_by_step
from modeling_semtrack.reading import InteractionReader

SETTINGS = SessionSettings(events=EventSettings(0.5, 0.4, min_duration=0.0))


def reader_and_queries(steps=8, seed=0):
    """A random readout, and steps whose query 2 lies in one direction in even steps and in another in odd ones."""
    torch.manual_seed(seed)
    model = tiny_model()
    config = model.config
    names = (list(config.id2interaction.values()), list(config.id2object.values()))
    queries = torch.randn(steps, config.num_interaction_queries, config.hidden_size)
    queries[0::2, 2] += 6 * torch.randn(config.hidden_size)
    queries[1::2, 2] += 6 * torch.randn(config.hidden_size)
    return InteractionReader(model.semantic_head.readout, *names), queries


def strongest(reader, queries):
    """The best interaction of each step that any query names, or None where all say "none"."""
    probabilities = reader.logits(queries)[0].softmax(-1)
    found = []
    for step in probabilities:
        query = step[:, :-1].amax(-1).argmax()
        label = int(step[query].argmax())
        found.append(reader.interactions[label] if label < len(reader.interactions) else None)
    return found


def test_new_classes_are_learned_from_half_of_the_steps_and_known_on_the_others():
    reader, queries = reader_and_queries(steps=12)
    labels = [[("water", "plant")], [("prune", None)]] * 3
    adapted = adapt_readout(reader, queries[:6], labels, AdaptationSettings())
    assert strongest(adapted, queries[6:]) == ["water", "prune"] * 3
    assert adapted.interactions[-2:] == ["prune", "water"] and adapted.objects[-1] == "plant"


def test_the_labelled_object_is_learned_too():
    reader, queries = reader_and_queries()
    adapted = adapt_readout(reader, queries, [[("water", "plant")], [("prune", "tree")]] * 4, AdaptationSettings())
    interactions, objects, _ = (part.detach() for part in adapted.logits(queries))
    query = interactions[0].softmax(-1)[:, :-1].amax(-1).argmax()
    assert adapted.objects[int(objects[0, query].argmax())] == "plant"


def test_a_step_in_which_nothing_happens_is_learned_as_nothing():
    reader, queries = reader_and_queries()
    adapted = adapt_readout(reader, queries, [[("water", None)], [(None, None)]] * 4, AdaptationSettings(steps=100))
    none = adapted.logits(queries[1::2])[0].softmax(-1)[..., -1]
    before = reader.logits(queries[1::2])[0].softmax(-1)[..., -1]
    assert none.mean() > before.mean()


def test_known_classes_keep_their_place_in_front_of_the_new_ones():
    reader, queries = reader_and_queries()
    known = list(reader.interactions)
    adapted = adapt_readout(reader, queries, [[("water", None)]] * 8, AdaptationSettings())
    assert adapted.interactions[: len(known)] == known and reader.interactions == known


def a_session(frames=12, **settings):
    """A session that has followed two targets; every third frame is described."""
    torch.manual_seed(3)
    model = tiny_model(presence_threshold=1e-6)
    session = SemTrackSession(model, tiny_processor(), SessionSettings(**{**vars(SETTINGS), **settings}))
    for index in range(frames):
        frame = noise_frame(seed=index % 4)
        if index == 0:
            session.add_target(frame, box=(30, 20, 30, 30))
            session.add_target(frame, box=(70, 40, 24, 30))
        session.step(frame, time=index / 10)
    return session


def test_adapting_tells_the_remembered_steps_anew():
    session = a_session()
    session.adapt([LabelledMoment(1, time, "water") for time in (0.0, 0.3, 0.6)])
    events = [event for event in session.trajectory(1).events if event.interaction == "water"]
    assert events and events[0].start_frame == 0
    assert "water" in session.interactions


def test_resetting_gives_back_the_trained_model_s_view_exactly():
    session = a_session()
    before = [session.trajectory(target).to_dict() for target in (1, 2)]
    session.adapt([LabelledMoment(1, 0.3, "water"), LabelledMoment(2, 0.3, "chase", "dog")])
    assert session.trajectory(1).to_dict() != before[0]
    session.reset_adaptation()
    assert [session.trajectory(target).to_dict() for target in (1, 2)] == before
    assert "water" not in session.interactions


def test_no_moments_change_nothing():
    session = a_session()
    before = session.trajectory(1).to_dict()
    session.adapt([])
    assert session.trajectory(1).to_dict() == before


def test_every_adaptation_starts_from_the_trained_model():
    once, twice = a_session(), a_session()
    moments = [LabelledMoment(1, 0.3, "water")]
    once.adapt(moments)
    twice.adapt([LabelledMoment(1, 0.6, "prune")])
    twice.adapt(moments)
    assert once.trajectory(1).to_dict() == twice.trajectory(1).to_dict()


def test_the_model_and_other_sessions_are_untouched():
    session = a_session()
    before = copy.deepcopy(session.model.state_dict())
    session.adapt([LabelledMoment(1, 0.3, "water")])
    assert all(torch.equal(value, before[name]) for name, value in session.model.state_dict().items())
    assert "water" not in SemTrackSession(session.model, tiny_processor()).interactions


def test_what_was_taught_holds_for_the_frames_that_follow():
    session = a_session()
    session.adapt([LabelledMoment(1, time, "water") for time in (0.0, 0.3, 0.6, 0.9)])
    states = session.step(noise_frame(seed=0), time=1.2)
    assert "water" in [seen.interaction for seen in states[0].interactions]


def test_events_before_the_remembered_steps_stay_as_they_were_told():
    session = a_session(frames=30, remembered_steps=2)
    before = session.trajectory(1)
    session.adapt([LabelledMoment(1, 2.7, "water")])
    after = session.trajectory(1)
    first = 24  # of the two remembered steps: frames 24 and 27
    early = [event for event in before.events if event.end_frame <= first]
    assert [event for event in after.events if event.end_frame <= first] == early
    assert all(event.start_frame >= first for event in after.events if event.interaction == "water")


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        (LabelledMoment(9, 0.3, "water"), "no target 9"),
        (LabelledMoment(1, 99.0, "water"), "target 1 was not described around 99.00 s.*from 0.00 to 0.60 s"),
    ],
)
def test_moments_that_do_not_exist_are_refused(moment, message):
    with pytest.raises(ValueError, match=message):
        a_session().adapt([moment])


def test_a_refused_moment_leaves_the_session_as_it_was():
    session = a_session()
    before = session.trajectory(1).to_dict()
    with pytest.raises(ValueError):
        session.adapt([LabelledMoment(1, 0.3, "water"), LabelledMoment(1, 99.0, "water")])
    assert session.trajectory(1).to_dict() == before


def test_a_session_that_only_tracks_cannot_adapt():
    session = SemTrackSession(tiny_model(), tiny_processor(), semantic_stride=0)
    with pytest.raises(ValueError, match="tracks only"):
        session.adapt([])


def test_labels_of_one_step_must_not_contradict_each_other():
    times = {1: [0.0, 0.3]}
    two = [LabelledMoment(1, 0.3, "water"), LabelledMoment(1, 0.3, "prune")]
    assert labels_by_step(two, times, 0.1) == {(1, 1): [("water", None), ("prune", None)]}
    with pytest.raises(ValueError, match="contradict"):
        labels_by_step([*two, LabelledMoment(1, 0.31, None)], times, 0.1)


@pytest.mark.parametrize("labels", [("", None), ("water", ""), (None, "plant")])
def test_labels_are_names(labels):
    with pytest.raises(ValueError):
        LabelledMoment(1, 0.0, *labels)


@pytest.mark.parametrize("changes", [{"steps": 0}, {"rate": 0.0}, {"none_weight": -1.0}])
def test_impossible_settings_are_refused(changes):
    with pytest.raises(ValueError):
        AdaptationSettings(**changes)
