"""Fewer interactions: the kept ones keep their logits, and "none" stays the last class."""

import pytest
import torch
from tiny_models import clip_inputs, prompt_inputs, tiny_model

from modeling_semtrack.label_maps import with_interactions


def test_the_kept_interactions_have_the_logits_that_they_had():
    model = tiny_model()
    names = list(model.config.id2interaction.values())
    smaller = with_interactions(model, [names[2], names[0]])
    assert smaller.config.id2interaction == {0: names[0], 1: names[2]}
    inputs = {**clip_inputs(), **prompt_inputs("template")}
    with torch.no_grad():
        before, after = model(**inputs), smaller(**inputs)
    for logits in ("activity_logits", "interaction_logits"):
        torch.testing.assert_close(after[logits], before[logits][..., [0, 2, len(names)]])
    torch.testing.assert_close(after.object_logits, before.object_logits)


@pytest.mark.parametrize(("names", "told"), [(["fly"], "got fly"), ([], "got none")])
def test_unknown_names_are_refused(names, told):
    with pytest.raises(ValueError, match=told):
        with_interactions(tiny_model(), names)
