"""Leave one sequence out on UT-Interaction: labels, actors, folds, and what the folds come to."""

import json
import sys

import pytest
import torch
from tiny_models import tiny_model, tiny_processor
from training_files import a_record, write_annotated

from benchmarks import ut_interaction
from benchmarks.ut_interaction import train_head, training_arguments
from benchmarks.ut_scores import clip_row, confusion, label_of, report, strength, totals
from dataset_script.records import InteractionRecord, TargetRecord
from dataset_script.semantic_data import read_videos
from modeling_semtrack.training_clips import ClipDataset
from modeling_semtrack.training_stages import compute_clips
from modeling_semtrack.trajectory import InteractionEvent, SemanticTrajectory, TrackedFrame


def event(interaction, start, end, score):
    return InteractionEvent("person", interaction, None, start / 10, end / 10, start, end, score)


def trajectory(*events, frames=40):
    places = [TrackedFrame(index, index / 10, (1.0, 1.0, 5.0, 9.0), 1.0) for index in range(frames)]
    return SemanticTrajectory(1, "person", {}, 96, 72, places, list(events))


def record(name="set1/0_1_4", interaction="punch", sequence="seq1", actor="left", frames=20):
    people = [{index: (x, 20.0, 14.0, 24.0) for index in range(frames)} for x in (10.0, 60.0)]
    return a_record(
        name,
        frames,
        file_name=f"{name.replace('/', '_')}.mp4",
        targets=[TargetRecord(number, "person", boxes, number == 1) for number, boxes in enumerate(people, start=1)],
        interactions=[InteractionRecord(1, interaction, 2, 5, 15)],
        metadata={"sequence": sequence, "main_actor": actor},
    )


def test_the_label_has_the_largest_sum_of_score_times_seconds():
    events = [event("punch", 0, 10, 0.9), event("push", 10, 20, 0.5), event("push", 25, 35, 0.5)]
    assert totals(events) == pytest.approx({"punch": 0.9, "push": 1.0})
    assert label_of(events, {"hug": 0.99}) == "push"


def test_without_events_the_strongest_moment_decides_and_without_any_nothing_does():
    assert label_of([], {"hug": 0.2, "kick": 0.25}) == "kick"
    assert label_of([], {}) is None


def test_interactions_of_other_data_do_not_count_but_are_reported():
    events = [event("carry", 0, 30, 0.9), event("hug", 10, 14, 0.4)]
    row = clip_row(record(interaction="hug"), trajectory(*events), {})
    assert (row["label"], row["free_label"], row["by_event"]) == ("hug", "carry", True)
    assert clip_row(record(), trajectory(events[0]), {"kick": 0.1})["label"] == "kick"


def test_a_row_counts_frames_and_the_best_event_of_the_right_class():
    row = clip_row(record(), trajectory(event("punch", 0, 10, 0.9), event("punch", 14, 15, 0.9)), {})
    assert row["tiou"] == pytest.approx(5 / 15)
    assert row["frames"] == {"hit": {"punch": 6}, "miss": {"punch": 4}, "false": {"punch": 5}}
    assert clip_row(record(), trajectory(), {})["tiou"] == 0.0


def test_the_right_person_carries_the_event_where_theirs_is_the_stronger_one():
    strong, weak = trajectory(event("punch", 0, 10, 0.9)), trajectory(event("push", 0, 10, 0.6))
    assert clip_row(record(), strong, {}, (weak, {}))["main_actor"] is True
    assert clip_row(record(), weak, {}, (strong, {}))["main_actor"] is False
    assert clip_row(record(), trajectory(), {"kick": 0.2}, (trajectory(), {"kick": 0.1}))["main_actor"] is True
    assert clip_row(record(), trajectory(), {}, (trajectory(), {}))["main_actor"] is False, "a tie is no answer"
    assert clip_row(record(), strong, {})["main_actor"] is None
    assert strength(trajectory(event("carry", 0, 10, 0.9)), {"carry": 0.9}) == (0.0, 0.0)


def rows_of(*labels):
    """Clips with one event each over the whole interval: (true, said)."""
    return [
        clip_row(record(interaction=true), trajectory(event(told, 5, 15, 0.8)), {}, (trajectory(), {}))
        for true, told in labels
    ]


def test_the_report_sums_over_all_folds():
    folds = {
        "seq1": {"held_out": rows_of(("punch", "punch"), ("kick", "push")), "seen": [], "other_scenes": []},
        "seq2": {
            "held_out": rows_of(("hug", "hug"), ("push", "push")),
            "seen": rows_of(("hug", "hug")),
            "other_scenes": rows_of(("hug", "hug"), ("push", "hug")),
        },
    }
    found = report(folds)
    assert (found["clips"], found["accuracy"], found["main_actor"]) == (4, 0.75, 1.0)
    assert (found["drop_to_unseen_sequences"], found["drop_to_other_scenes"]) == (0.25, 0.25)
    assert found["frame_f1"] == pytest.approx(0.75) and found["tiou"] == pytest.approx(0.75)
    assert found["folds"]["seq1"]["accuracy"] == 0.5
    assert found["confusion"]["kick"] == {"push": 1}
    assert found["wrong"] == [["set1/0_1_4", "kick", "push"]]
    assert found["by_class"]["push"]["precision"] == 0.5
    json.dumps(found)


def test_a_clip_without_any_answer_is_confused_with_nothing():
    assert confusion([clip_row(record(), trajectory(), {})])["punch"] == {"nothing": 1}


@pytest.fixture
def data(tmp_path):
    """Two sequences of two clips."""
    names = [
        ("0_1_4", "punch", "seq1"),
        ("1_1_2", "kick", "seq1"),
        ("2_2_4", "punch", "seq2"),
        ("3_2_2", "kick", "seq2"),
    ]
    folder = tmp_path / "data"
    (folder / "annotations").mkdir(parents=True)
    written = write_annotated(folder / "videos", *(record(name, what, sequence) for name, what, sequence in names))
    written.rename(folder / "annotations" / "ut_interaction_set1.json")
    return folder


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    tiny_model().save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


def run(monkeypatch, capsys, data, model, output, *more):
    words = ["--data", data, "--model", model, "--output", output, "--steps", 2, "--batch_size", 2, "--passes", 1]
    words += ["--tracked", "false"]  # a random tracker keeps nothing
    monkeypatch.setattr(sys, "argv", ["ut_interaction", *map(str, words), *more])
    ut_interaction.main()
    return json.loads(capsys.readouterr().out)


def test_folds_are_done_once_and_none_learns_from_its_own_clips(monkeypatch, capsys, data, model, tmp_path):
    learned = []
    trained = ut_interaction.train_head
    monkeypatch.setattr(
        ut_interaction,
        "train_head",
        lambda args, m, clips: (learned.append({c.video for c in clips}), trained(args, m, clips)),
    )
    first = run(monkeypatch, capsys, data, model, tmp_path / "out", "--folds", "1")
    assert (first["clips"], list(first["folds"])) == (2, ["seq1"])
    assert first["directed_clips"] == 2
    both = run(monkeypatch, capsys, data, model, tmp_path / "out")
    assert (both["clips"], len(learned)) == (4, 2), "the first fold is not trained again"
    assert both["folds"]["seq1"] == first["folds"]["seq1"]
    for clips, left_out in zip(learned, ("_1_4", "_2_4")):
        assert len(clips) == 2 and not any(left_out in path for path in clips)


def test_a_folder_of_other_answers_is_refused(monkeypatch, capsys, data, model, tmp_path):
    run(monkeypatch, capsys, data, model, tmp_path / "out", "--folds", "1")
    with pytest.raises(SystemExit, match="begun with other arguments: learning_rate; name a new --output"):
        run(monkeypatch, capsys, data, model, tmp_path / "out", "--learning_rate", "0.1")


@pytest.mark.parametrize("option", ["--other-scenes", "--backdrops"])
def test_a_folder_without_photos_is_refused_before_anything_is_claimed(
    option, monkeypatch, capsys, data, model, tmp_path
):
    (tmp_path / "photos").mkdir()
    words = (option, str(tmp_path / "photos"), "--passes", "3")
    with pytest.raises(SystemExit, match=rf"{option}: '.*photos' must hold two photos or more .*, found 0"):
        run(monkeypatch, capsys, data, model, tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_training_changes_the_head_alone_and_takes_other_items(data, model, tmp_path):
    args = training_arguments(str(model), tmp_path / "out", "--steps 2 --batch_size 2 --ema 0 --tracked false".split())
    videos = read_videos(data / "annotations" / "ut_interaction_set1.json", data / "videos")
    network, processor = ut_interaction.train.load_model(args, videos)
    clips = compute_clips(args, network, processor, videos, passes=1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    asked = []

    def items(args, clips):
        asked.append(len(clips))
        return ClipDataset(clips, 4, args.steps * args.batch_size)

    train_head(args, network, clips, items)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert asked == [len(clips)]
    assert changed and all(name.startswith("semantic_head.") for name in changed)
    assert not network.training
