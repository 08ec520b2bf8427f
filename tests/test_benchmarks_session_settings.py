"""The search over session settings changes one of them at a time, and nothing else."""

from dataclasses import fields

import pytest
from tiny_models import tiny_model, tiny_processor
from training_files import moving, write_sequence

from benchmarks import session_settings
from benchmarks.session_settings import GRID, PRESENCE, measure, shortened, trials, with_gains
from modeling_semtrack import SessionSettings

DEFAULTS = {field.name: field.default for field in fields(SessionSettings)} | {PRESENCE: 0.5}


def test_every_value_of_the_grid_is_valid_and_the_default_is_tried_once():
    tried = trials(DEFAULTS, list(GRID))
    assert tried[0] == ("defaults", None)
    assert not [name for name, value in tried if value == DEFAULTS.get(name)][1:]
    for name, value in tried[1:]:
        if name != PRESENCE:
            assert getattr(SessionSettings(**{name: value}), name) == value


def test_only_the_named_settings_are_tried():
    assert {name for name, _ in trials(DEFAULTS, ["size_rate"])} == {"defaults", "size_rate"}


def test_the_changed_setting_reaches_the_session_and_the_model_stays_as_it_was(tmp_path, monkeypatch):
    seen = []

    def session(model, processor, settings, semantic_stride):
        seen.append((settings, model.config.presence_threshold))
        raise InterruptedError

    monkeypatch.setattr(session_settings, "SemTrackSession", session)
    model, sequence = tiny_model(), write_sequence(tmp_path / "walk", moving(2))
    usual = model.config.presence_threshold
    for name, value in (("size_rate", 0.3), (PRESENCE, 0.9), ("defaults", None)):
        with pytest.raises(InterruptedError):
            measure(model, tiny_processor(), [sequence], name, value)
    assert seen == [(SessionSettings(size_rate=0.3), usual), (SessionSettings(), 0.9), (SessionSettings(), usual)]
    assert model.config.presence_threshold == usual


def test_long_sequences_are_cut_but_not_those_with_absences(tmp_path):
    always = write_sequence(tmp_path / "always", moving(6))
    at_times = write_sequence(tmp_path / "at_times", [*moving(5), None])
    assert len(shortened(always, 4).boxes) == 4
    assert len(shortened(at_times, 4).boxes) == 6


def test_presence_is_measured_where_there_are_absences_only(tmp_path):
    always = write_sequence(tmp_path / "always", moving(3))
    scores = measure(tiny_model(), tiny_processor(), [always], "defaults", None)
    assert scores["precision"] is None and 0 <= scores["ao"] <= 1


def test_gains_are_differences_to_the_first_row():
    rows = [
        {"setting": "defaults", "value": None, "training": {"ao": 0.5}, "held_out": {"ao": 0.4}},
        {"setting": "size_rate", "value": 0.3, "training": {"ao": 0.53}, "held_out": {"ao": 0.39}},
    ]
    gains = [row["gain"] for row in with_gains(rows)]
    assert gains == [{"training": 0.0, "held_out": 0.0}, {"training": 0.03, "held_out": -0.01}]
