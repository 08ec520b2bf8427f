"""Episodes for meta-learning from clips of features: each video is one, its steps are support or query."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from dataset_script.samplers import split_support

from .meta_learning import Episode
from .training_clips import TargetClip, collate_clips

NO_EPISODE = (
    "no video has two labelled steps of one interaction, so none gives both a support and a query set; "
    "annotate longer events or lower the semantic stride"
)


class EpisodeDataset(Dataset):
    """Random episodes; item `i` depends on the seed and on `i` alone.

    Videos with rare interactions are drawn more often, as in [`ClipDataset`].

    Args:
        clips: From [`extract_clips`]; those of one video make its episode.
        steps: Semantic steps of each clip in an episode at most: a random window of longer clips.
        support: Support steps per class and clip at most.
        length: Number of items.
        seed: Seed of the draws.
        first: Index of the first item, to resume.

    Raises:
        ValueError: If no video has a class with both support and query steps.
    """

    def __init__(
        self, clips: Sequence[TargetClip], steps: int, support: int, length: int, seed: int = 0, first: int = 0
    ) -> None:
        videos: dict[str, list[TargetClip]] = {}
        for clip in clips:
            if has_episode(clip):
                videos.setdefault(clip.video, []).append(clip)
        if not videos:
            raise ValueError(NO_EPISODE)
        self.videos = list(videos.values())
        self.steps = steps
        self.support = support
        self.length = length
        self.seed = seed
        self.first = first
        classes = [set().union(*(set().union(*clip.interactions()) for clip in video)) for video in self.videos]
        counts = {label: sum(label in present for present in classes) for label in set().union(*classes)}
        weights = np.array([max(counts[label] ** -0.5 for label in present) for present in classes])
        self.weights = weights / weights.sum()

    def __len__(self) -> int:
        return self.length - self.first

    def __getitem__(self, index: int) -> Episode:
        rng = np.random.default_rng((self.seed, 3, index + self.first))
        video = self.videos[rng.choice(len(self.videos), p=self.weights)]
        return make_episode([self._window(clip, rng) for clip in video], rng, self.support)

    def _window(self, clip: TargetClip, rng: np.random.Generator) -> TargetClip:
        """A part of the clip in which something happens twice."""
        starts = np.arange(max(1, len(clip) - self.steps + 1))
        for start in rng.permutation(starts):
            window = clip[int(start) : int(start) + self.steps]
            if has_episode(window):
                return window
        return clip


def has_episode(clip: TargetClip) -> bool:
    """Whether some interaction has a step for the support set and another for the query set."""
    return has_repeated(clip.interactions())


def has_repeated(steps: Sequence[set[int]]) -> bool:
    """Whether some interaction happens at two of the steps."""
    seen = [label for present in steps for label in present]
    return len(seen) > len(set(seen))


def make_episode(clips: Sequence[TargetClip], rng: np.random.Generator, most: int) -> Episode:
    """An episode of a video's clips with a random split of their steps ([`split_support`])."""
    batch = collate_clips(clips)
    support = torch.zeros(batch["times"].shape, dtype=torch.bool)
    query = torch.zeros_like(support)
    for row, clip in enumerate(clips):
        for mask, steps in zip((support, query), split_support(clip.interactions(), rng, most)):
            mask[row, steps] = True
    return Episode(batch, support, query)
