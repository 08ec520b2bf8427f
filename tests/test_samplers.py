"""What training draws: seeded, inside what is annotated, with every class on both sides of an episode."""

from itertools import pairwise

import numpy as np
import pytest
from torch.utils.data import DataLoader, IterableDataset
from training_files import a_record

from dataset_script.pairs import LARGEST_GAP
from dataset_script.records import InteractionRecord, TargetRecord
from dataset_script.samplers import acting_target, clip, episode, frame_labels, pair, split_support, worker_rng

BOX, SPECK = (4.0, 4.0, 20.0, 20.0), (4.0, 4.0, 5.0, 20.0)
DRAWS = 200


def a_video(boxes, frames=400, interactions=(), **changes):
    """One person with these boxes by frame; (name, start, end) of what it does."""
    events = [InteractionRecord(1, *event[:1], None, *event[1:]) for event in interactions]
    targets = [TargetRecord(1, "person", boxes, True), *changes.pop("others", ())]
    return a_record(frames=frames, targets=targets, interactions=events, **changes)


def draws(function, *arguments, **options):
    return [function(*arguments[:1], np.random.default_rng(n), *arguments[1:], **options) for n in range(DRAWS)]


SAMPLERS = {
    "pair": lambda record, rng: pair(record, rng),
    "clip": lambda record, rng: clip(record, rng, 5, 2, memory=3),
    "episode": lambda record, rng: episode(record, rng, 4),
}


@pytest.mark.parametrize("draw", SAMPLERS.values(), ids=SAMPLERS)
def test_a_draw_depends_on_the_record_and_the_generator_alone(draw):
    results = [draw(a_record(frames=60), np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize("draw", SAMPLERS.values(), ids=SAMPLERS)
def test_a_draw_leaves_the_record_as_it_is(draw):
    record = a_record(frames=60)
    draw(record, np.random.default_rng(0))
    assert record == a_record(frames=60)


def test_a_pair_shows_the_target_large_enough_and_not_too_far_apart():
    boxes = {frame: SPECK if frame % 3 == 0 else BOX for frame in range(400)}
    for track, template, search in draws(pair, a_video(boxes)):
        assert track == 1 and template % 3 and search % 3 and abs(template - search) <= LARGEST_GAP


def test_a_search_frame_lacks_the_target_only_where_that_is_known():
    boxes = {frame: BOX for frame in range(0, 200, 10)}
    sparse = a_video(boxes, annotated_frames=tuple(range(0, 400, 10)))
    searches = [result.search for result in draws(pair, sparse)]
    absent = [search for search in searches if search not in boxes]
    assert all(search % 10 == 0 and search >= 200 for search in absent)
    assert 0.2 < len(absent) / DRAWS < 0.4
    only_known = a_video(boxes, annotated_frames=tuple(boxes))
    assert all(result.search in boxes for result in draws(pair, only_known))


def test_the_longer_a_target_is_visible_the_likelier_it_is_drawn():
    other = TargetRecord(2, "dog", {frame: BOX for frame in range(4)}, False)
    tracks = [result.track_id for result in draws(pair, a_video({frame: BOX for frame in range(400)}, others=[other]))]
    assert 0.03 < tracks.count(2) / DRAWS < 0.2  # sqrt(4) / (sqrt(4) + sqrt(400)) = 0.09
    assert {result.track_id for result in draws(pair, a_video({0: BOX}, others=[other]), target=2)} == {2}


def test_targets_that_are_too_small_are_an_error():
    with pytest.raises(ValueError, match="video 'one' shows none of its 1 targets at 8 pixels or more"):
        pair(a_video({0: SPECK}), np.random.default_rng(0))
    with pytest.raises(ValueError, match="video 'one': track 1 is nowhere 8 pixels large or more"):
        pair(a_video({0: SPECK}), np.random.default_rng(0), target=1)


def test_a_clip_is_evenly_spaced_whole_and_starts_on_the_target():
    boxes = {frame: BOX for frame in range(50, 90)}
    for track, memory, frames in draws(clip, a_video(boxes, frames=120), 10, 3):
        assert track == 1 and memory == [] and len(frames) == 10 and frames[0] in boxes
        assert {b - a for a, b in pairwise(frames)} == {3}


def test_a_clip_of_a_short_video_ends_with_it():
    assert {len(result.frames) for result in draws(clip, a_video({0: BOX, 1: BOX, 2: BOX}, frames=3), 5)} == {3}


def test_a_memory_is_what_was_seen_of_the_target_before():
    boxes = {frame: BOX for frame in range(100) if not 40 <= frame < 60}
    seen = list(boxes)
    for result in draws(clip, a_video(boxes, frames=100), 4, 2, memory=3, memory_stride=5):
        first = seen.index(result.frames[0])
        assert result.memory == [seen[n] for n in (first - 15, first - 10, first - 5) if n >= 0]


def test_a_clip_of_sparse_annotation_steps_from_annotated_frame_to_annotated_frame():
    known = tuple(range(0, 400, 30))
    for result in draws(clip, a_video({f: BOX for f in known}, annotated_frames=known), 3, 2, memory=2):
        assert {*result.frames, *result.memory} <= set(known)
        assert [b - a for a, b in pairwise(result.frames)] == [60, 60]


def test_half_of_the_clips_touch_a_rare_interaction():
    boxes = {frame: BOX for frame in range(1000)}
    record = a_video(boxes, 1000, [("wave", 500, 510)])
    touching = sum(r.frames[0] < 510 and r.frames[-1] >= 500 for r in draws(clip, record, 8))
    assert 0.4 < touching / DRAWS < 0.65


def test_wrong_numbers_of_a_clip_are_an_error():
    with pytest.raises(ValueError, match="length, stride and memory_stride must be at least 1 .* got 0, 1, 1, 0"):
        clip(a_record(), np.random.default_rng(0), 0)


LONG_TAIL = [("walk", 0, 200), ("wave", 210, 214), ("walk", 230, 300), ("jump", 240, 243)]


def test_an_episode_has_every_class_on_both_sides_and_no_frame_twice():
    record = a_video({frame: BOX for frame in range(400)}, interactions=LONG_TAIL)
    labels = frame_labels(record, 1)
    for support, query in draws(episode, record, 2):
        assert not set(support) & set(query)
        assert support == sorted(support) and query == sorted(query)
        for side in (support, query):
            shown = {name for frame in side for name in labels[frame] or ("none",)}
            assert shown == {"walk", "wave", "jump", "none"}
        assert sum("wave" in labels[frame] for frame in support) <= 2


def test_queries_keep_away_from_support_frames_as_far_as_there_are_others():
    record = a_video({frame: BOX for frame in range(40)}, 40, [("wave", 0, 40)])
    apart = [min(abs(a - b) for a in support for b in query) for support, query in draws(episode, record, 1, gap=5)]
    assert sum(distance > 5 for distance in apart) > 0.8 * DRAWS
    assert all(len(query) for _, query in draws(episode, record, 1, gap=40))


def test_two_frames_make_the_smallest_episode():
    record = a_video({3: BOX, 9: BOX}, 50, [("wave", 3, 4)])
    with pytest.raises(ValueError, match="track 1 is visible in 2 annotated frames, no two of which are of one class"):
        episode(record, np.random.default_rng(0), 1)
    record = a_video({3: BOX, 9: BOX}, 50)
    assert {tuple(map(tuple, result)) for result in draws(episode, record, 2)} == {((3,), (9,)), ((9,), (3,))}
    with pytest.raises(ValueError, match="most must be at least 1 and gap at least 0, got 0 and 0"):
        episode(record, np.random.default_rng(0), 0)


def test_support_and_query_share_no_step_and_both_know_every_class_with_two_steps():
    rng = np.random.default_rng(0)
    for _ in range(50):
        classes = [(int(label),) if label < 4 else () for label in rng.integers(0, 5, 12)]
        support, query = split_support(classes, rng, most=2)
        assert not set(support) & set(query)
        for label in {step for step in classes if classes.count(step) >= 2}:
            assert any(classes[step] == label for step in support)
            assert any(classes[step] == label for step in query)


def test_a_step_with_two_classes_is_in_one_part_only():
    rng = np.random.default_rng(0)
    for _ in range(50):
        classes = [tuple(rng.choice(4, rng.integers(0, 3), replace=False)) for _ in range(12)]
        support, query = split_support(classes, rng, most=2)
        assert not set(support) & set(query)


def test_no_class_has_more_support_steps_than_asked():
    support, query = split_support([(0,)] * 10 + [()] * 10, np.random.default_rng(0), most=3)
    assert sum(step < 10 for step in support) <= 3 and sum(step >= 10 for step in support) <= 3
    assert any(step < 10 for step in query) and any(step >= 10 for step in query)


def test_a_class_that_is_seen_once_is_a_query():
    support, query = split_support([(0,), (1,), (1,)], np.random.default_rng(0), most=5)
    assert 0 in query and 0 not in support


def test_labels_are_what_is_known_of_the_frames_that_show_the_target():
    record = a_video({f: BOX for f in (0, 4, 5, 9, 12, 20)}, 40, [("wave", 4, 10), ("go", 5, 6)])
    assert frame_labels(record, 1) == {0: (), 4: ("wave",), 5: ("go", "wave"), 9: ("wave",), 12: (), 20: ()}
    record.metadata["annotated_intervals"] = [[4, 6], [12, 13]]
    assert list(frame_labels(record, 1)) == [4, 5, 12]


def test_what_a_tracking_set_does_not_annotate_makes_no_episode():
    record = a_record(interactions=None, source="got10k")
    for draw in (lambda: episode(record, np.random.default_rng(0), 1, target=1), lambda: frame_labels(record, 1)):
        with pytest.raises(ValueError, match="video 'one': 'got10k' does not annotate interactions"):
            draw()
    with pytest.raises(ValueError, match="video 'one' has no targets with annotated interactions"):
        acting_target(record)


def test_an_episode_is_about_the_main_target_or_the_busiest():
    record = a_record()
    assert acting_target(record).track_id == 1
    for target, main in zip(record.targets, (False, True, False)):
        target.main = main
    assert acting_target(record).track_id == 2
    record.targets[1].main = False
    assert acting_target(record).track_id == 1


class Numbers(IterableDataset):
    """The first number of each worker's generator."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        yield float(worker_rng(5, self.epoch).random())


def test_workers_and_processes_draw_differently_and_the_same_again(monkeypatch):
    drawn = {}
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        for epoch in (0, 1):
            drawn[rank, epoch] = list(DataLoader(Numbers(epoch), batch_size=None, num_workers=2))
            assert drawn[rank, epoch] == list(DataLoader(Numbers(epoch), batch_size=None, num_workers=2))
    assert len({number for numbers in drawn.values() for number in numbers}) == 8
