"""Few-shot adaptation at run time: a handful of labelled moments of a video, new weights for this session alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn.functional import binary_cross_entropy, kl_div, linear

from .heads_semtrack import SemTrackEmbeds
from .meta_learning import inner_loop
from .reading import InteractionReader, speakers_of

CERTAIN = 2.0  # logit of a new class over "none" where a step is as typical of it as the labelled ones are
LEAST_AGREEMENT = 0.1  # of a step's score under its own class: the least by which others of the class may stand out
LEAST_MARGIN = 0.01  # of the discriminant, a squared distance in deviations; steps that differ by less are alike
MOST_SEEN = 1000  # steps that stand for all that a session remembers
OBJECT_CAUTION = 0.5  # an object is asked for only where its interaction is told
CLASSIFIERS = {"activity_classifier": "activity", "object_classifier": "queries"}  # of the readout: what each reads


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
    """How the readout learns from the moments.

    Attributes:
        shrinkage: Of the covariance by which new classes are told apart, in units of the mean variance: small values
            trust it, large ones compare plain prototypes.
        caution: Where a new class begins to be told, from 0 (what the average step looks like) to 1 (what the
            labelled steps look like).
        steps: Gradient steps.
        rate: Learning rate of these, in units of the one that is sure to descend.
        keep: How much the unlabelled steps count: there, what was told before the gradient steps shall stay.

    Raises:
        ValueError: If a value is out of its range.
    """

    shrinkage: float = 2.0
    caution: float = 0.75
    steps: int = 20
    rate: float = 1.0
    keep: float = 10.0

    def __post_init__(self) -> None:
        if self.steps < 0 or not self.rate > 0 or not self.keep >= 0:
            raise ValueError(f"steps and keep must be 0 or more and rate above 0, got {self}")
        if not self.shrinkage > 0 or not 0 <= self.caution < 1:
            raise ValueError(f"shrinkage must be above 0 and caution in [0, 1), got {self}")


Label = tuple[str | None, str | None]  # names of the interaction and of its object


def adapt_readout(
    reader: InteractionReader,
    embeds: SemTrackEmbeds,
    labels: Sequence[Sequence[Label]],
    seen: SemTrackEmbeds,
    settings: AdaptationSettings,
) -> InteractionReader:
    """A reader whose classifiers have learned the labelled steps; the given one and the model stay as they are.

    A new class gets a linear discriminant of its steps against all that was seen (regularised as in Friedman,
    "Regularized Discriminant Analysis", 1989). Then the inner loop of the meta-training runs on the labels, known
    ones included, while the unlabelled steps hold it to what is told there ("Learning without Forgetting", Li &
    Hoiem, ECCV 2016): a few labels must not cost the known classes.

    Args:
        reader: Known classes and the weights to start from.
        embeds: Of the labelled steps.
        labels: For each step its (interaction, object) names; interaction None for a step in which nothing happens,
            object None for an unknown one.
        seen: Of all steps that the session remembers.
        settings: Of the learning.
    """
    # Copies, since tensors of inference mode take no part in gradients
    embeds = SemTrackEmbeds(*(tensor.detach().clone().float() for tensor in embeds))
    seen = SemTrackEmbeds(*(_thinned(tensor).detach().clone().float() for tensor in seen))
    own = {name: weight.detach().clone().float() for name, weight in reader.readout.state_dict().items()}
    weights = {**own, **reader.weights}
    names = {"interaction": list(reader.interactions), "object": list(reader.objects)}
    for name in _new_names(labels, 0, names["interaction"]):
        shows = [row for row, step in enumerate(labels) if name in dict(step)]
        # An activity is one embedding where of queries there are several
        _add_class(weights, "activity_classifier", embeds.activity[shows][:, None], seen.activity[:, None], settings)
        names["interaction"].append(name)
    speakers = speakers_of(_logits(weights, "interaction_classifier", embeds.queries), len(names["interaction"]))
    for name in _new_names(labels, 1, names["object"]):
        shows = [(row, label[0]) for row, step in enumerate(labels) for label in step if label[1] == name]
        spoken = [embeds.queries[row, speakers[row, names["interaction"].index(told)]] for row, told in shows]
        cautious = replace(settings, caution=OBJECT_CAUTION)
        _add_class(weights, "object_classifier", torch.stack(spoken)[:, None], seen.queries, cautious)
        names["object"].append(name)
    extended = InteractionReader(reader.readout, names["interaction"], names["object"], weights)
    return _descend(extended, embeds, speakers, labels, seen, settings)


def _thinned(seen: torch.Tensor) -> torch.Tensor:
    """Evenly chosen steps, `MOST_SEEN` at most."""
    return seen[:: -(-len(seen) // MOST_SEEN)]


def _new_names(labels: Sequence[Sequence[Label]], position: int, known: Sequence[str]) -> list[str]:
    """The labels' interactions (position 0) or objects (1) that are not known yet."""
    named = {label[position] for step in labels for label in step}
    return sorted(named - {None, *known})


def _add_class(
    weights: dict[str, torch.Tensor],
    layer: str,
    queries: torch.Tensor,
    seen: torch.Tensor,
    settings: AdaptationSettings,
) -> None:
    """Puts a class before "none", the last one; its logit counts from that of "none".

    Args:
        weights: Of the readout; changed in place.
        layer: The classifier's name.
        queries: [labelled steps, queries, hidden] of the class.
        seen: [all steps, queries, hidden].
        settings: Shrinkage and caution.
    """
    direction, begins, typical = _discriminant(queries, seen, settings)
    logits = _logits(weights, layer, queries)
    speakers = (queries @ direction).argmax(-1, keepdim=True)
    rivals = (logits.amax(-1) - logits[..., -1]).gather(1, speakers)  # known classes over "none"
    slope = (CERTAIN + rivals.mean()) / (typical - begins)
    for name, value in ((f"{layer}.weight", slope * direction), (f"{layer}.bias", -slope * begins)):
        weights[name] = torch.cat([weights[name][:-1], (weights[name][-1] + value)[None], weights[name][-1:]])


def _discriminant(
    queries: torch.Tensor, seen: torch.Tensor, settings: AdaptationSettings
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A direction, the place along it where a class begins to be told, and that of steps like the labelled ones.

    All queries of a step take part, since nothing tells which one would carry the class, and the most certain one is
    what is read. How far other steps of the class reach is judged from each labelled step under the discriminant of
    the others.

    Args:
        queries: [labelled steps, queries, hidden] of the class.
        seen: [all steps, queries, hidden].
        settings: Shrinkage and caution.
    """
    mean = seen.mean((0, 1))
    every = (seen - mean).flatten(0, 1)  # [all steps * queries, hidden]
    covariance = every.T @ every / len(every)
    covariance.diagonal().add_(settings.shrinkage * covariance.diagonal().mean() + 1e-6)
    prototypes = queries.mean(1) - mean  # [labelled steps, hidden]
    directions = torch.linalg.solve(covariance, prototypes.T).T  # of each step
    direction = directions.mean(0)

    def reach(steps: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        return ((steps - mean) @ direction).amax(-1)

    usual, own = reach(seen, direction).mean(), reach(queries, direction).mean()
    typical = own
    if len(queries) > 1:
        others = (directions.sum(0) - directions) / (len(directions) - 1)  # without the step itself
        typical = torch.stack([reach(step, other) for step, other in zip(queries, others)]).mean()
    margin = (typical - usual).clamp_min(LEAST_AGREEMENT * (own - usual)).clamp_min(LEAST_MARGIN)
    offset = mean @ direction
    return direction, typical + offset - (1 - settings.caution) * margin, typical + offset


@torch.enable_grad()
def _descend(
    reader: InteractionReader,
    embeds: SemTrackEmbeds,
    speakers: torch.Tensor,
    labels: Sequence[Sequence[Label]],
    seen: SemTrackEmbeds,
    settings: AdaptationSettings,
) -> InteractionReader:
    """Gradient descent of the classifiers on the labelled steps, held by the seen ones.

    It runs on embeddings around their mean, which most of the curvature comes from, at a rate that the rest allows.
    """
    means = SemTrackEmbeds(seen.activity.mean(0), seen.queries.mean((0, 1)))
    embeds = SemTrackEmbeds(*(tensor - mean for tensor, mean in zip(embeds, means)))
    seen = SemTrackEmbeds(*(tensor - mean for tensor, mean in zip(seen, means)))
    start = {name: weight.detach() for name, weight in reader.weights.items() if name.split(".")[0] in CLASSIFIERS}
    told, rates = {}, {}
    for layer, read in CLASSIFIERS.items():
        start[f"{layer}.bias"] = start[f"{layer}.bias"] + start[f"{layer}.weight"] @ getattr(means, read)
        told[layer] = _logits(start, layer, getattr(seen, read)).log_softmax(-1)
        # A softmax bends by half the squared length of its inputs at most, the constant one of the offset included.
        bend = (1 + settings.keep) * (1 + getattr(seen, read).square().sum(-1).mean()) / 2
        rates |= {f"{layer}.weight": settings.rate / bend, f"{layer}.bias": settings.rate / bend}

    def loss_of(weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
        loss = _label_loss(reader, weights, embeds, speakers, labels)
        for layer, before in told.items():
            now = _logits(weights, layer, getattr(seen, CLASSIFIERS[layer])).log_softmax(-1)
            drift = kl_div(now, before, log_target=True, reduction="sum")
            loss = loss + settings.keep * drift / now.shape[:-1].numel()
        return loss

    start = {name: weight.requires_grad_() for name, weight in start.items()}
    adapted = inner_loop(loss_of, start, settings.steps, rates, first_order=True)
    adapted = {name: weight.detach() for name, weight in adapted.items()}
    for layer, read in CLASSIFIERS.items():
        adapted[f"{layer}.bias"] = adapted[f"{layer}.bias"] - adapted[f"{layer}.weight"] @ getattr(means, read)
    return replace(reader, weights={**reader.weights, **adapted})


def _logits(weights: Mapping[str, torch.Tensor], layer: str, embeds: torch.Tensor) -> torch.Tensor:
    """Of one classifier of the readout."""
    return linear(embeds, weights[f"{layer}.weight"], weights[f"{layer}.bias"])


def _label_loss(
    reader: InteractionReader,
    weights: Mapping[str, torch.Tensor],
    embeds: SemTrackEmbeds,
    speakers: torch.Tensor,
    labels: Sequence[Sequence[Label]],
) -> torch.Tensor:
    """What is read from the labelled steps beside the labels; an interaction's object is what its speaker says."""
    answers = _logits(weights, "activity_classifier", embeds.activity).softmax(-1)[..., :-1]  # [steps, interactions]
    objects = _logits(weights, "object_classifier", embeds.queries).log_softmax(-1)
    truth = torch.zeros_like(answers)
    misnamed = answers.new_zeros(())
    for row, step in enumerate(labels):
        for interaction, thing in step:
            if interaction is None:
                continue
            column = reader.interactions.index(interaction)
            truth[row, column] = 1.0
            if thing is not None:
                misnamed = misnamed - objects[row, speakers[row, column], reader.objects.index(thing)]
    return (binary_cross_entropy(answers, truth, reduction="sum") + misnamed) / len(labels)


def labels_by_step(
    moments: Sequence[LabelledMoment], step_times: dict[int, Sequence[float]], tolerance: float
) -> dict[tuple[int, int], list[Label]]:
    """The labels of each meant semantic step: {(target id, position in its history): [(interaction, object)]}.

    Args:
        moments: From the user.
        step_times: For each target the times of its remembered semantic steps, ascending.
        tolerance: Seconds that a moment may lie off its step.

    Raises:
        ValueError: If a moment is not near a remembered step in which its target was visible, or contradicts another.
    """
    steps: dict[tuple[int, int], list[Label]] = defaultdict(list)
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
