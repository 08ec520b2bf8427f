"""Episodes hold one video each, split its steps honestly, and are the same in every run."""

import numpy as np
import pytest
import torch
from test_training_clips import a_clip

from modeling_semtrack.loss_semtrack import IGNORE
from modeling_semtrack.training_clips import TargetClip
from modeling_semtrack.training_episodes import EpisodeDataset, has_episode, make_episode


def joined(*clips):
    """Clips one after the other, as one clip of the first one's video."""
    features = {k: torch.cat([c.features[k] for c in clips]) for k in clips[0].features}
    labels = {k: torch.cat([c.labels[k] for c in clips]) for k in clips[0].labels}
    return TargetClip(features, labels, clips[0].grid, clips[0].scene_grid, clips[0].video)


def test_an_episode_is_of_one_video():
    clips = [a_clip(6, video=name, seed=seed) for seed, name in enumerate(["a", "b", "a"])]
    sizes = {len(EpisodeDataset(clips, 6, 2, 20)[i].support) for i in range(20)}
    assert sizes == {1, 2}  # clips of "b" and of "a"


def test_support_and_query_are_labelled_steps_and_share_none():
    clips = [joined(a_clip(5), a_clip(7, interaction=None)), a_clip(4, interaction=2, seed=1)]
    for index in range(20):
        episode = EpisodeDataset(clips, 12, 3, 20)[index]
        assert not (episode.support & episode.query).any()
        described = episode.clips["labels"].described
        assert not ((episode.support | episode.query) & ~described).any()
        assert episode.support.any() and episode.query.any()


def test_padding_is_neither_support_nor_query():
    episode = make_episode([a_clip(3), a_clip(6, seed=1)], np.random.default_rng(0), 2)
    assert episode.support.shape == (2, 6)
    assert not episode.support[0, 3:].any() and not episode.query[0, 3:].any()


def test_an_episode_depends_on_the_seed_and_its_index_alone():
    clips = [a_clip(8, video=str(seed), seed=seed) for seed in range(4)]
    dataset = EpisodeDataset(clips, 5, 2, 30, seed=7)
    later = EpisodeDataset(clips, 5, 2, 30, seed=7, first=10)
    assert len(later) == 20
    for index in (0, 3, 19):
        assert torch.equal(dataset[index + 10].support, later[index].support)
        assert torch.equal(dataset[index + 10].clips["times"], later[index].clips["times"])


def test_long_clips_are_cut_to_windows_in_which_something_happens_twice():
    clip = joined(a_clip(20, interaction=None), a_clip(3, interaction=1))
    dataset = EpisodeDataset([clip], 6, 2, 30)
    for index in range(30):
        labels = dataset[index].clips["labels"].interactions
        assert labels.shape[1] == 6 and (labels[0] != IGNORE).any(-1).sum() >= 2


def test_videos_with_rare_interactions_come_more_often():
    clips = [a_clip(4, interaction=1, video=str(n), seed=n) for n in range(9)] + [
        a_clip(4, interaction=3, video="rare")
    ]
    dataset = EpisodeDataset(clips, 4, 2, 1)
    assert dataset.weights[-1] == pytest.approx(3 * dataset.weights[0])


def test_videos_without_two_steps_of_one_interaction_make_no_episode():
    assert not has_episode(a_clip(5, interaction=None)) and not has_episode(a_clip(1))
    with pytest.raises(ValueError, match="support and a query"):
        EpisodeDataset([a_clip(5, interaction=None)], 5, 2, 1)
