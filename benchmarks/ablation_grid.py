"""The rows of the ablation: what each trains, and with which arguments of `train.py`.

All rows take as many steps. Those with the same features and parts share the first ones: plain training with
cross-entropy, in a row that is not shown; what the row is about fills the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .ablation_world import APART, SHARED

HEAD = {
    "num_semantic_layers": 1,
    "num_interaction_queries": 6,
    "context_grid": 6,
    "memory_length": 6,
    "memory_grid": 2,
    "object_box_loss_weight": 0.2,  # the scores do not look at the objects' boxes
}
FIRST_STEPS, OWN_STEPS = 240, 100
EVERY_RUN = {
    "clip_steps": 12,
    "support": 3,
    "learning_rate": 1e-3,
    "mixed_precision": "bf16",
    "workers": 0,
    "save_every": 10**6,
    "log_every": 20,
}
SEMANTIC = {"stage": "semantic", "batch_size": 8, "balance": 0.5, "steps": OWN_STEPS}
META = {
    "stage": "meta",
    "batch_size": 6,
    "inner_steps": 3,
    "inner_rate": 0.1,
    "learning_rate": 1e-4,  # at 1e-3 what has been fitted is soon forgotten
    "steps": OWN_STEPS,
}
FIRST = SEMANTIC | {"steps": FIRST_STEPS}
WHOLE = SEMANTIC | {"steps": FIRST_STEPS + OWN_STEPS}
BALANCED = SEMANTIC | {"balance": 1.0}
MAML = META | {"fast": "semantic", "inner_rate": 0.02}
WITHOUT_SCENE, WITHOUT_MEMORY = {"use_scene_context": False}, {"use_temporal_memory": False}


@dataclass(frozen=True)
class Variant:
    """One row.

    Attributes:
        section: What the row is compared within; None for one that is not shown.
        title: What it is, in words.
        arguments: Of `train.py`, beside those of every run.
        source: Whose features it learns from.
        head: Fields of the semantic head's configuration, beside those of every run.
        start: Name of the row from whose model it goes on; None for a new head.
    """

    section: str | None
    title: str
    arguments: Mapping[str, Any]
    source: str = SHARED
    head: Mapping[str, Any] = field(default_factory=dict)
    start: str | None = None

    @property
    def fast(self) -> str:
        """The weights that labels of a test video change: those that adapt in training, else the readout."""
        return self.arguments.get("fast", "head")


CLAIM, PARTS, TAIL, INNER = "The claim", "Without a part", "Long-tail remedies", "The inner loop"
VARIANTS: dict[str, Variant] = {
    "first": Variant(None, "the first steps", FIRST),
    "first_no_scene": Variant(None, "the first steps, without scene context", FIRST, head=WITHOUT_SCENE),
    "first_no_memory": Variant(None, "the first steps, without memory", FIRST, head=WITHOUT_MEMORY),
    "independent": Variant(
        CLAIM, "tracker + independent classifier of crops", WHOLE, APART, WITHOUT_SCENE | WITHOUT_MEMORY
    ),
    "independent_context": Variant(CLAIM, "the same, with its own scene and memory", WHOLE, APART),
    "end_to_end": Variant(CLAIM, "shared features, no meta-learning", SEMANTIC, start="first"),
    "full": Variant(CLAIM, "full: shared features, meta-learning (ANIL)", META, start="first"),
    "no_scene": Variant(PARTS, "full, without scene context", META, start="first_no_scene"),
    "no_memory": Variant(PARTS, "full, without memory", META, start="first_no_memory"),
    "end_to_end_no_scene": Variant(PARTS, "no meta-learning, without scene context", SEMANTIC, start="first_no_scene"),
    "class_balanced": Variant(TAIL, "class-balanced sampling", BALANCED, start="first"),
    "focal": Variant(TAIL, "focal loss", SEMANTIC | {"interaction_loss": "focal"}, start="first"),
    "ldam": Variant(TAIL, "LDAM-DRW", SEMANTIC | {"interaction_loss": "ldam"}, start="first"),
    "balanced_softmax": Variant(
        TAIL, "balanced softmax", SEMANTIC | {"interaction_loss": "balanced_softmax"}, start="first"
    ),
    "crt": Variant(TAIL, "cRT", BALANCED | {"retrain": "crt"}, start="first"),
    "lws": Variant(TAIL, "LWS", BALANCED | {"retrain": "lws"}, start="first"),
    **{
        f"inner_{k}": Variant(INNER, f"ANIL, {k} inner steps", META | {"inner_steps": k}, start="first")
        for k in (0, 1, 2, 4, 5)
    },
    "first_order": Variant(INNER, "ANIL, 3 inner steps, first order", META | {"first_order": True}, start="first"),
    "maml": Variant(INNER, "MAML (the whole head adapts), 3 inner steps", MAML, start="first"),
    "maml_first_order": Variant(INNER, "MAML, first order", MAML | {"first_order": True}, start="first"),
}
