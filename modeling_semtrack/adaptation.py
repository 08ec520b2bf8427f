"""Few-shot adaptation at run time: a handful of labelled moments of a video, new weights for this session alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .loss_semtrack import IGNORE, SemTrackTargets, semantic_losses
from .meta_learning import inner_loop
from .reading import InteractionReader

PROTOTYPE_MARGIN = 4.0  # logit of a new class at its prototype, over the strongest known class there


@dataclass(frozen=True)
class LabelledMoment:
    """What a target does at one moment, as a user says it.

    Attributes:
        target_id: As returned by [`SemTrackSession.add_target`].
        time: Seconds; the semantic step nearest to it is meant.
        interaction: Name of the interaction, known to the model or new; None for "nothing".
        object: Name of the object's class, known or new; None where it is not said.
    """

    target_id: int
    time: float
    interaction: str | None
    object: str | None = None

    def __post_init__(self) -> None:
        if self.interaction == "" or self.object == "":
            raise ValueError(f"a label must be a name or None, got an empty one for the moment at {self.time} s")
        if self.interaction is None and self.object is not None:
            raise ValueError(f"nothing happens at {self.time} s, so there is no object; got object='{self.object}'")


@dataclass(frozen=True)
class AdaptationSettings:
    """How hard the readout learns from the moments.

    Attributes:
        steps: Gradient steps.
        rate: Learning rate.
        none_weight: Weight of "none" for the queries that have found nothing.
    """

    steps: int = 40
    rate: float = 0.02
    none_weight: float = 0.2

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.rate > 0 or not self.none_weight >= 0:
            raise ValueError(f"steps must be 1 or more, rate above 0 and none_weight 0 or more, got {self}")


@torch.enable_grad()
def adapt_readout(
    reader: InteractionReader,
    queries: torch.Tensor,
    labels: Sequence[Sequence[tuple[str | None, str | None]]],
    settings: AdaptationSettings,
) -> InteractionReader:
    """A reader whose classifiers have learned the labelled steps; the given one and the model stay as they are.

    New classes start from a prototype of their steps (Snell et al., NeurIPS 2017; as the starting point of gradient
    steps: Triantafillou et al., "Meta-Dataset", ICLR 2020); then the inner loop of the meta-training runs.

    Args:
        reader: Known classes and the weights to start from.
        queries: [steps, queries, hidden], embeddings of the labelled steps.
        labels: For each step its (interaction, object) names; interaction None for a step in which nothing happens,
            object None for an unknown one.
        settings: Of the gradient descent.
    """
    queries = queries.detach().clone().float()  # a copy: tensors of inference mode take no part in gradients
    interactions, objects = list(reader.interactions), list(reader.objects)
    own = {name: weight.detach().clone().float() for name, weight in reader.readout.state_dict().items()}
    weights = {**own, **reader.weights}
    for position, (kind, known) in enumerate((("interaction", interactions), ("object", objects))):
        names = [[pair[position] for pair in step if pair[position] is not None] for step in labels]
        new = sorted({name for step in names for name in step} - set(known))
        for name in new:
            shows = torch.tensor([name in step for step in names])
            _add_class(weights, f"{kind}_classifier", queries, _found(reader, queries), shows)
            known.append(name)

    targets = _targets(labels, interactions, objects)
    learned = {name: w.requires_grad_() for name, w in weights.items() if "_classifier" in name}
    extended = InteractionReader(reader.readout, interactions, objects)

    def loss_of(adapted: dict[str, torch.Tensor]) -> torch.Tensor:
        logits = InteractionReader(reader.readout, interactions, objects, {**weights, **adapted}).logits(queries)
        losses = semantic_losses(*logits, targets, settings.none_weight)
        return losses["interaction"] + losses["object"]

    adapted = inner_loop(loss_of, learned, settings.steps, settings.rate, first_order=True)
    final = {**weights, **adapted}
    return InteractionReader(extended.readout, interactions, objects, {n: w.detach() for n, w in final.items()})


def _found(reader: InteractionReader, queries: torch.Tensor) -> torch.Tensor:
    """The query of each step that is least sure of "none": [steps]."""
    with torch.no_grad():
        return reader.logits(queries)[0].softmax(-1)[..., -1].argmin(-1)


def _add_class(
    weights: dict[str, torch.Tensor], layer: str, queries: torch.Tensor, found: torch.Tensor, shows: torch.Tensor
) -> None:
    """Inserts a class before "none": high at the mean of the found queries that show it, low at all the others.

    Args:
        weights: Of the readout; changed in place.
        layer: The classifier's name.
        queries: [steps, queries, hidden].
        found: [steps], the query of each step that carries its label.
        shows: [steps] bool, which steps show the class.
    """
    weight, bias = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
    carries = torch.zeros(queries.shape[:2], dtype=torch.bool).scatter(1, found[:, None], shows[:, None])
    prototype, rest = queries[carries].mean(0), queries[~carries].mean(0)
    direction = prototype - rest
    row = 2 * PROTOTYPE_MARGIN * direction / direction.square().sum().clamp_min(1e-6)
    strongest = (weight @ prototype + bias).max()
    offset = strongest + PROTOTYPE_MARGIN - row @ prototype
    weights[f"{layer}.weight"] = torch.cat([weight[:-1], row[None], weight[-1:]])
    weights[f"{layer}.bias"] = torch.cat([bias[:-1], offset[None], bias[-1:]])


def _targets(
    labels: Sequence[Sequence[tuple[str | None, str | None]]], interactions: list[str], objects: list[str]
) -> SemTrackTargets:
    """Labels by name as tensors."""
    most = max(len(step) for step in labels)
    kinds = torch.full((len(labels), most), IGNORE)
    things = torch.full((len(labels), most), IGNORE)
    for row, step in enumerate(labels):
        for slot, (interaction, thing) in enumerate(step):
            if interaction is not None:
                kinds[row, slot] = interactions.index(interaction)
                things[row, slot] = IGNORE if thing is None else objects.index(thing)
    return SemTrackTargets(
        boxes=torch.zeros(len(labels), 4),
        presence=torch.ones(len(labels)),
        interactions=kinds,
        objects=things,
        object_boxes=torch.full((len(labels), most, 4), float("nan")),
    )


def labels_by_step(
    moments: Sequence[LabelledMoment], step_times: dict[int, Sequence[float]], tolerance: float
) -> dict[tuple[int, int], list[tuple[str | None, str | None]]]:
    """The labels of each meant semantic step: {(target id, position in its history): [(interaction, object)]}.

    Args:
        moments: From the user.
        step_times: For each target the times of its remembered semantic steps, ascending.
        tolerance: Seconds that a moment may lie off its step.

    Raises:
        ValueError: If a moment is not near a remembered step in which its target was visible, or contradicts another.
    """
    steps: dict[tuple[int, int], list[tuple[str | None, str | None]]] = defaultdict(list)
    for moment in moments:
        times = step_times.get(moment.target_id, ())
        position = min(range(len(times)), key=lambda i: abs(times[i] - moment.time), default=None)
        if position is None or abs(times[position] - moment.time) > tolerance:
            span = f"it was described from {times[0]:.2f} to {times[-1]:.2f} s" if len(times) else "it never was"
            raise ValueError(f"target {moment.target_id} was not described around {moment.time:.2f} s: {span}")
        label = (moment.interaction, moment.object)
        if label not in steps[moment.target_id, position]:
            steps[moment.target_id, position].append(label)
    for (target_id, position), labels in steps.items():
        names = [interaction for interaction, _ in labels]
        if len(set(names)) < len(names) or (None in names and len(names) > 1):
            time = step_times[target_id][position]
            raise ValueError(f"the labels of target {target_id} at {time:.2f} s contradict each other: {names}")
    return dict(steps)
