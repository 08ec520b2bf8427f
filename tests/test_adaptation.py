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
from modeling_semtrack.activity_semtrack import activity_size
from modeling_semtrack.adaptation import _discriminant, adapt_readout, labels_by_step
from modeling_semtrack.heads_semtrack import SemTrackEmbeds
from modeling_semtrack.reading import InteractionReader, speakers_of
from modeling_semtrack.training_activity import LENGTH

SETTINGS = SessionSettings(events=EventSettings(0.5, 0.4, min_duration=0.0))


def reader_and_embeds(steps=24, seed=0):
    """A random readout, and steps whose activity and query 2 lie in one direction, in another, or in none, in turn."""
    torch.manual_seed(seed)
    model = tiny_model()
    config = model.config
    names = (list(config.id2interaction.values()), list(config.id2object.values()))
    queries = torch.randn(steps, config.num_interaction_queries, config.hidden_size)
    activity = torch.randn(steps, activity_size(config))
    for embeds, far in ((queries[:, 2], 4), (activity, 8)):
        embeds[0::3] += far * torch.randn(embeds.shape[-1])
        embeds[1::3] += far * torch.randn(embeds.shape[-1])
    activity *= LENGTH / activity.square().sum(-1).mean().sqrt()
    return InteractionReader(model.semantic_head.readout, *names), SemTrackEmbeds(activity, queries)


def part(embeds, steps):
    """The embeddings of some steps, given as an index."""
    return SemTrackEmbeds(*(tensor[steps] for tensor in embeds))


def told(reader, embeds):
    """The interactions of each step that are likelier than not."""
    probabilities = reader.logits(embeds).activity_logits.softmax(-1)[..., :-1]
    return [{reader.interactions[i] for i in step.gt(0.5).nonzero()[:, 0].tolist()} for step in probabilities]


def share_right(found, truth):
    """The share of steps that are as they should; the truth repeats."""
    return sum(step == truth[place % len(truth)] for place, step in enumerate(found)) / len(found)


def adapted_to(labels, reader, embeds, **settings):
    """The reader after the first steps have these labels, and all were seen."""
    return adapt_readout(reader, part(embeds, slice(len(labels))), labels, embeds, AdaptationSettings(**settings))


def test_new_classes_are_learned_from_a_quarter_of_the_steps_and_known_on_the_others():
    reader, embeds = reader_and_embeds()
    adapted = adapted_to([[("water", "plant")], [("prune", None)], [(None, None)]] * 2, reader, embeds)
    found = [names & {"water", "prune"} for names in told(adapted, embeds)[6:]]
    assert share_right(found, [{"water"}, {"prune"}, set()]) >= 0.8
    assert adapted.interactions[-2:] == ["prune", "water"] and adapted.objects[-1] == "plant"


def test_one_new_class_is_not_told_of_the_steps_that_look_otherwise():
    reader, embeds = reader_and_embeds()
    labels = [[("water", None)]] * 3
    adapted = adapt_readout(reader, part(embeds, slice(0, 9, 3)), labels, embeds, AdaptationSettings())
    assert share_right(["water" in names for names in told(adapted, embeds)[9:]], [True, False, False]) >= 0.8


def test_what_is_known_is_still_told_where_nothing_was_labelled():
    """Some steps say "hit", clearly; the labels are of other steps."""
    reader, embeds = reader_and_embeds()
    weight = reader.readout.activity_classifier.weight.detach()
    hit = weight[reader.interactions.index("hit")] - weight.mean(0)
    embeds.activity[1::3] = 6 * hit / hit.square().sum()
    assert all("hit" in names for names in told(reader, embeds)[1::3])
    labelled = part(embeds, slice(0, 9, 3))
    adapted = adapt_readout(reader, labelled, [[("water", None)]] * 3, embeds, AdaptationSettings())
    assert all("hit" in names for names in told(adapted, embeds)[1::3])


def test_a_known_class_is_learned_from_its_labels():
    reader, embeds = reader_and_embeds()
    chase = reader.interactions.index("chase")
    adapted = adapted_to([[("chase", None)], [(None, None)], [(None, None)]] * 4, reader, embeds)
    before, after = (r.logits(embeds).activity_logits[12:].softmax(-1)[:, chase] for r in (reader, adapted))
    gain = after - before
    assert gain[0::3].min() > 0.05 and gain[0::3].mean() > gain[1::3].mean() + 0.05
    assert adapted.interactions == reader.interactions


def test_the_labelled_object_is_learned_too():
    reader, embeds = reader_and_embeds()
    adapted = adapted_to([[("water", "plant")], [("prune", "tree")], [(None, None)]] * 4, reader, embeds)
    reading = adapted.logits(part(embeds, slice(12, None, 3)))
    speakers = speakers_of(reading.interaction_logits, len(adapted.interactions))
    water = speakers[:, adapted.interactions.index("water")]
    spoken = reading.object_logits[torch.arange(len(water)), water].argmax(-1)
    assert share_right([adapted.objects[index] for index in spoken.tolist()], ["plant"]) >= 0.5


def test_a_step_in_which_nothing_happens_is_learned_as_nothing():
    reader, embeds = reader_and_embeds()
    adapted = adapted_to([[(None, None)]] * 8, reader, embeds, steps=50)
    before, none = (r.logits(embeds).activity_logits[8:].softmax(-1)[:, -1] for r in (reader, adapted))
    assert none.mean() > before.mean()


def test_known_classes_keep_their_place_in_front_of_the_new_ones():
    reader, embeds = reader_and_embeds()
    known = list(reader.interactions)
    adapted = adapted_to([[("water", None)]] * 8, reader, embeds)
    assert adapted.interactions[: len(known)] == known and reader.interactions == known


def test_a_new_class_begins_to_be_told_where_the_caution_says():
    """On a line: what is seen lies at 0 or at 1, on average at 0.2; what is labelled lies at 1."""
    seen = torch.zeros(10, 1, 1)
    seen[:2] = 1.0
    direction, begins, typical = _discriminant(seen[:2], seen, AdaptationSettings(caution=0.75))
    assert float(begins / direction) == pytest.approx(0.2 + 0.75 * 0.8)
    assert float(typical / direction) == pytest.approx(1.0)


@pytest.mark.parametrize("longer", [1, 10])
def test_steps_that_are_all_labelled_alike_have_that_class(longer):
    """Nothing tells them from each other but rounding, which must not be taken for a difference."""
    reader, embeds = reader_and_embeds(steps=1)
    alike = part(SemTrackEmbeds(longer * embeds.activity, embeds.queries), [0] * 6)
    adapted = adapted_to([[("water", None)]] * 6, reader, alike, steps=0)
    assert all("water" in names for names in told(adapted, alike))


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
        (LabelledMoment(1, 99.0, "water"), "target 1 was not described around 99.00 s.*from 0.00 to 0.90 s"),
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


@pytest.mark.parametrize(
    "changes", [{"steps": -1}, {"rate": 0.0}, {"keep": -1.0}, {"shrinkage": 0.0}, {"caution": 1.0}]
)
def test_impossible_settings_are_refused(changes):
    with pytest.raises(ValueError):
        AdaptationSettings(**changes)
