"""How well a trained head recognises what the followed targets of held-out videos do, with and without labels of them.

All models are judged at the same steps. The steps of each video are split once into *support* and *query*; scores
are those of the query steps. `none` are the scores of the model as it is. For `support`, the model has first learned
the support steps' labels of the same video by gradient descent on its fast weights; how many steps, at which rate,
and from which probability on an interaction counts as said, is chosen for each model on the validation videos.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dataset_script.synthetic_law import SHARED_MOTIONS
from metrics.semtrack.recognition import FrameCounts, VideoRecognition, shot_groups, summarise_recognition
from metrics.semtrack.semantic_trajectory import ACCURACY_IOU
from metrics.semtrack.tracking import iou
from modeling_semtrack.meta_learning import Episode, InnerLoopSettings, MetaEpisode, fast_weights, inner_loop
from modeling_semtrack.training_clips import SemanticTrainer
from modeling_semtrack.training_episodes import has_episode, make_episode

from .ablation_world import Followed

THRESHOLDS = np.array([0.02, 0.05, *np.arange(0.1, 0.75, 0.05)])
NO_LABELS = (0, 0.0)
SCENE_DEPENDENT = frozenset(member[0] for group in SHARED_MOTIONS.values() for member in group)

Adaptation = tuple[int, float]  # inner steps and rate


@dataclass(frozen=True)
class Judged:
    """Query steps of many targets.

    Attributes:
        probabilities: [steps, interactions].
        truth: [steps, interactions] bool.
        box_right: [steps] bool, whether the tracker's box is.
    """

    probabilities: np.ndarray
    truth: np.ndarray
    box_right: np.ndarray


def new_episodes(videos: Sequence[Sequence[Followed]], support: int) -> list[tuple[Episode, np.ndarray]]:
    """An episode of each video in which something happens twice, always the same.

    Args:
        videos: The followed targets of each.
        support: Support steps per interaction and target at most.

    Returns:
        Episodes, and where the tracker's box is right: [targets, steps] bool, False where a target has no such step.
    """
    episodes = []
    for place, targets in enumerate(videos):
        if not any(has_episode(target.clip) for target in targets):
            continue
        episode = make_episode([target.clip for target in targets], np.random.default_rng(place), support)
        right = np.zeros(episode.query.shape, dtype=bool)
        for row, target in enumerate(targets):
            overlaps = np.nan_to_num(iou(target.tracked, target.truth))
            right[row, : len(overlaps)] = overlaps >= ACCURACY_IOU
        episodes.append((episode, right))
    return episodes


def judge(
    trainer: SemanticTrainer,
    episodes: Sequence[tuple[Episode, np.ndarray]],
    fast: str,
    adaptations: Iterable[Adaptation],
) -> dict[Adaptation, Judged]:
    """What the head says at the query steps after each of some adaptations.

    Args:
        trainer: Holds the model; it is left as it is.
        episodes: From [`new_episodes`].
        fast: The weights that adapt.
        adaptations: Steps and rates; 0 steps do not look at labels.
    """
    trainer.eval()
    parts: dict[Adaptation, list[Judged]] = {adaptation: [] for adaptation in adaptations}
    for episode, box_right in episodes:
        for adaptation, logits in adapted_logits(trainer, episode, fast, list(parts)).items():
            query = episode.query
            probabilities = logits.softmax(-1)[..., :-1]  # [clips, steps, interactions]
            classes = torch.arange(probabilities.shape[-1])
            truth = (episode.clips["labels"].interactions[..., None] == classes).any(-2)
            parts[adaptation].append(Judged(probabilities[query].numpy(), truth[query].numpy(), box_right[query]))
    return {adaptation: joined(judged) for adaptation, judged in parts.items()}


def adapted_logits(
    trainer: SemanticTrainer, episode: Episode, fast: str, adaptations: Sequence[Adaptation]
) -> dict[Adaptation, torch.Tensor]:
    """Activity logits [clips, steps, interactions + 1] of an episode after each adaptation."""
    unadapted = InnerLoopSettings(fast, steps=0, first_order=True)
    trainer.requires_grad_(True)
    names = fast_weights(trainer, fast)
    trainer.requires_grad_(False)
    for weight in names.values():
        weight.requires_grad_(True)
    _, forward = MetaEpisode(trainer, unadapted).adapt(episode)
    support, everything = episode.labels(episode.support), episode.clips["labels"]
    logits = {}
    for rate in sorted({rate for _, rate in adaptations}):
        weights, done = dict(names), 0
        for steps in sorted(steps for steps, other in adaptations if other == rate):
            weights = inner_loop(lambda w: forward(w, support).loss, weights, steps - done, rate, first_order=True)
            weights = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
            done = steps
            with torch.no_grad():
                logits[steps, rate] = forward(weights, everything).activity_logits
    return logits


def joined(parts: Sequence[Judged]) -> Judged:
    """All steps together."""
    return Judged(*(np.concatenate([getattr(part, name) for part in parts]) for name in Judged.__dataclass_fields__))


def counts(said: np.ndarray, judged: Judged, names: Mapping[int, str]) -> list[VideoRecognition]:
    """Steps of each interaction that are found, invented and missed, in the metric's terms."""
    sums = [mask.sum(0).tolist() for mask in (said & judged.truth, said & ~judged.truth, judged.truth & ~said)]
    return [VideoRecognition("all", {names[i]: FrameCounts(*values) for i, values in enumerate(zip(*sums))})]


def macro_f1(judged: Judged, threshold: float, names: Mapping[int, str]) -> float:
    """Mean F1 of the interactions that occur."""
    return summarise_recognition(counts(judged.probabilities >= threshold, judged, names))["macro_f1"] or 0.0


def best_threshold(judged: Judged, names: Mapping[int, str]) -> tuple[float, float]:
    """The probability from which saying an interaction gives the best macro F1, and that F1."""
    scores = [macro_f1(judged, threshold, names) for threshold in THRESHOLDS]
    return float(THRESHOLDS[int(np.argmax(scores))]), max(scores)


def scores(
    judged: Judged,
    threshold: float,
    names: Mapping[int, str],
    training_counts: Mapping[str, int],
    shots: tuple[int, int],
) -> dict[str, Any]:
    """Scores in percent.

    Args:
        judged: What was said and what is true.
        threshold: Probability from which an interaction is said.
        names: Interactions by class index.
        training_counts: Training events of each interaction.
        shots: Interactions with more events than the first number are many-shot, with fewer than the second few-shot.

    Returns:
        `f1` (mean over interactions) and `accuracy` (semantic trajectory accuracy: box right, and exactly the true
        interactions), each for `overall`, `many`, `medium` and `few`; accuracies of a group are those of the steps
        that show one of its interactions. `f1` also of the scene-dependent interactions and of the `other` ones;
        `micro_f1`; and `per_class`.
    """
    said = judged.probabilities >= threshold
    summary = summarise_recognition(counts(said, judged, names), training_counts, *shots)
    per_class = {name: values["f1"] for name, values in summary["per_class"].items() if values["support"]}
    right = judged.box_right & (said == judged.truth).all(1)
    groups = {"overall": list(names.values()), **shot_groups(names.values(), training_counts, *shots)}
    accuracy = {}
    for group, members in groups.items():
        columns = [index for index, name in names.items() if name in members]
        shown = judged.truth[:, columns].any(1) if group != "overall" else np.ones(len(right), dtype=bool)
        accuracy[group] = 100 * float(right[shown].mean()) if shown.any() else None
    f1 = {"overall": summary["macro_f1"], **{group: values["f1"] for group, values in summary["groups"].items()}}
    f1["scene_dependent"] = mean(value for name, value in per_class.items() if name in SCENE_DEPENDENT)
    f1["other"] = mean(value for name, value in per_class.items() if name not in SCENE_DEPENDENT)
    return {
        "f1": {group: None if value is None else 100 * value for group, value in f1.items()},
        "accuracy": accuracy,
        "micro_f1": 100 * summary["micro_f1"],
        "per_class": {name: 100 * value for name, value in per_class.items()},
    }


def mean(values: Iterable[float]) -> float | None:
    """None of nothing."""
    values = list(values)
    return float(np.mean(values)) if values else None
