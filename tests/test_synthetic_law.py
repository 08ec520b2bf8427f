"""The law of the tail, and that the scene is needed to tell what happens."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from dataset_script.synthetic import SyntheticConfig
from dataset_script.synthetic_casting import PARTNERS
from dataset_script.synthetic_law import COMPOSITES, INTERACTIONS, SHARED_MOTIONS, draw_plan, zipf_weights
from dataset_script.synthetic_places import PLACES, choose_place
from dataset_script.synthetic_props import CATEGORIES


def test_the_generator_is_as_wide_as_promised():
    assert len(INTERACTIONS) == len(set(INTERACTIONS)) >= 24
    assert len(CATEGORIES) >= 10 and len(PLACES) >= 12
    assert {"handshake", "hug", "kick", "point", "punch", "push"} <= set(INTERACTIONS)
    assert set(PARTNERS) == set(INTERACTIONS) - {"cross"}
    assert {category for choices in PARTNERS.values() for category in choices} <= set(CATEGORIES)


def test_the_weights_are_those_of_zipf():
    """1, 1/2, 1/3, ... for the exponent 1; all equal for 0."""
    weights = list(zipf_weights(1.0).values())
    assert weights[0] / weights[1] == pytest.approx(2) and weights[0] / weights[9] == pytest.approx(10)
    assert sum(weights) == pytest.approx(1)
    assert list(zipf_weights(0.0).values()) == pytest.approx([1 / len(INTERACTIONS)] * len(INTERACTIONS))


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.4])
def test_drawn_episodes_follow_the_law(exponent):
    """Chi-square over all interactions but the two of which a video keeps only one; fails by chance at 1 in 1000."""
    rng = np.random.default_rng(11)
    weights = SyntheticConfig(zipf_exponent=exponent).weights
    counts = Counter(name for _ in range(3000) for name in draw_plan(weights, 0.3, 8.0, rng).episodes)
    names = [name for name in INTERACTIONS if name not in ("shoot", "cross")]
    seen = np.array([counts[name] for name in names])
    expected = np.array([weights[name] for name in names])
    assert chisquare(seen, expected / expected.sum() * seen.sum()).pvalue > 0.001


def test_the_law_would_be_missed_by_another_exponent():
    rng = np.random.default_rng(11)
    weights, other = zipf_weights(0.8), np.array(list(zipf_weights(0.9).values())[:20])
    counts = Counter(name for _ in range(3000) for name in draw_plan(weights, 0.3, 8.0, rng).episodes)
    seen = np.array([counts[name] for name in INTERACTIONS[:20]])
    assert chisquare(seen, other / other.sum() * seen.sum()).pvalue < 1e-4


def test_a_video_has_one_place_for_what_it_shows():
    rng = np.random.default_rng(0)
    for _ in range(400):
        episodes = draw_plan({"shoot": 1.0, "cross": 1.0, "push": 1.0}, 0.0, 8.0, rng).episodes
        assert episodes and not {"shoot", "cross"} <= set(episodes)
        place = choose_place(episodes, rng)
        assert ("shoot" not in episodes or place == "court") and ("cross" not in episodes or PLACES[place].crossing)


def test_composite_events_need_all_their_parts():
    rng = np.random.default_rng(0)
    drawn = Counter(name for _ in range(500) for name in draw_plan(zipf_weights(0.8), 0.3, 8.0, rng).composites)
    assert set(drawn) == set(COMPOSITES) and 100 < sum(drawn.values()) < 200
    assert not any(draw_plan({"follow": 1.0, "ride": 1.0}, 1.0, 8.0, rng).composites != ("convoy",) for _ in range(20))


def test_groups_of_one_motion_differ_in_object_or_place():
    for members in SHARED_MOTIONS.values():
        assert len({(category, place) for _, category, place in members}) >= len({name for name, _, _ in members})
