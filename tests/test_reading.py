"""Which query speaks for an interaction, known or learned later."""

import torch

from modeling_semtrack.reading import speakers_of

LOGITS = torch.tensor([[4.0, 0.0, 1.0], [0.0, 1.0, 3.0], [1.0, 2.0, 0.0]])  # three queries; two interactions and none


def test_the_surest_query_speaks_for_an_interaction():
    """By probabilities: query 0 has 0.94 of the first interaction, query 2 has 0.67 of the second."""
    assert speakers_of(LOGITS, 2).tolist() == [0, 2]


def test_the_query_that_is_surest_of_anything_speaks_for_what_was_learned_later():
    """Least of "none": of the queries 0 to 2 it has 5, 84 and 9 of 100."""
    assert speakers_of(LOGITS, 4).tolist() == [0, 2, 0, 0]


def test_steps_are_read_side_by_side():
    both = torch.stack([LOGITS, LOGITS.flip(0)])
    assert speakers_of(both, 3).tolist() == [[0, 2, 0], [2, 0, 2]]
