"""train.py as its users run it: what it trains, that a stopped run goes on exactly, and what it refuses."""

import json
import os
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import tiny_model
from training_files import (
    a_record,
    command_line,
    moving,
    training_in_process,
    write_annotated,
    write_photos,
    write_sequence,
)

pytest.importorskip("accelerate", reason="training needs the extra 'train'")

from accelerate.utils import set_seed

import train
from dataset_script.records import InteractionRecord, TargetRecord
from modeling_semtrack import SemTrackConfig, SemTrackModel, SemTrackProcessor
from modeling_semtrack.checkpoint import load_checkpoint
from modeling_semtrack.training_arguments import TrainArguments

REPOSITORY = Path(train.__file__).parent
SEMANTIC = "semantic_head."
FROZEN = ("stem.", "text_projection.", SEMANTIC)  # while the tracker is trained
CONFIG = {
    "stem": "backbone",  # with batch norms, which must not move either
    "backbone_config": {
        "model_type": "resnet",
        "embedding_size": 8,
        "hidden_sizes": [8, 8, 8],
        "depths": [1, 1, 1],
        "layer_type": "basic",
        "out_features": ["stage3"],
    },
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "text_embed_size": 24,
    "box_head_channels": 16,
    "num_interaction_queries": 4,
    "num_semantic_layers": 1,
    "memory_length": 3,
    "memory_grid": 2,
    "semantic_stride": 3,
}
STEPS, SAVE_EVERY = 15, 3
Data = namedtuple("Data", "tracking, semantic")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Arguments that name tiny data: photos and a sequence; a video that is used and one that is excluded."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "exclude.txt").write_text("held out\n")
    write_photos(folder / "photos", folder / "masks", count=2)
    write_sequence(folder / "sequences" / "walk", moving(4))
    other = [TargetRecord(1, "cat", {0: (4.0, 4.0, 12.0, 12.0)}, True)]
    held_out = a_record("held out", 4, targets=other, interactions=[InteractionRecord(1, "purr", None, 0, 4)])
    write_annotated(folder / "videos", a_record("used"), held_out)
    common = {"learning_rate": 1e-3, "workers": 0, "log_every": 5}
    tracking = {
        "model_config": folder / "config.json",
        "images": folder / "photos",
        "masks": folder / "masks",
        "sequences": folder / "sequences",
        "steps": STEPS,
        "save_every": SAVE_EVERY,
        "batch_size": 2,
        "gradient_accumulation": 2,
        "mixed_precision": "no",
    }
    semantic = {
        "stage": "semantic",
        "annotations": folder / "videos" / "annotations.json",
        "videos": folder / "videos",
        "exclude_videos": folder / "exclude.txt",
        "passes": 2,
        "clip_steps": 4,
        "steps": 5,
        "batch_size": 3,
    }
    return Data(common | tracking, common | semantic)


def start(output, log, **arguments):
    """`python train.py ...` on one CPU thread."""
    kept = {name: value for name, value in os.environ.items() if name != "WORLD_SIZE"}
    environment = kept | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "train.py", *command_line({"output_dir": output} | arguments)]
    with open(log, "w") as file:
        return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=file, stderr=file)


def run(output, **arguments):
    """The finished run's weights and log."""
    log = output.with_suffix(".txt")
    assert start(output, log, **arguments).wait(timeout=900) == 0, log.read_text()
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return load_file(output / "model" / "model.safetensors"), rows


@pytest.fixture(scope="module")
def tracker(data, tmp_path_factory):
    """A tracking run that was never stopped: (folder, weights, log)."""
    output = tmp_path_factory.mktemp("runs") / "tracker"
    return output, *run(output, **data.tracking)


@pytest.fixture
def main():
    """train.main in this process, for runs that end at once."""
    with training_in_process() as call:
        yield call


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# What is trained


def test_the_tracking_stage_trains_all_of_the_tracker_and_nothing_else(tracker, data):
    """Every trainable parameter moves; the stem (its statistics, too) and the heads of other stages stay."""
    _, weights, _ = tracker
    set_seed(0)
    initial = SemTrackModel(SemTrackConfig(**CONFIG)).state_dict()
    assert weights.keys() == initial.keys()
    stayed = {name for name in weights if torch.equal(weights[name], initial[name])}
    assert stayed == {name for name in weights if name.startswith(FROZEN)}
    assert any("running_mean" in name for name in stayed)


def test_a_run_logs_its_losses_and_leaves_a_model_that_loads(tracker):
    output, weights, log = tracker
    assert [row["step"] for row in log] == [5, 10, 15]
    assert set(log[0]) == {"step", "rate", "loss", "score", "box_l1", "box_giou", "presence"}
    assert all(value >= 0 for row in log for value in row.values())
    model = SemTrackModel.from_pretrained(output / "model")
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert SemTrackProcessor.from_pretrained(output / "model").image_processor.view_size == 256
    compact, _ = load_checkpoint(output / "checkpoint")
    assert all(torch.equal(value, weights[name].half().float()) for name, value in compact.state_dict().items())
    kept = sorted(path.name for path in (output / "checkpoints").iterdir())
    assert kept == ["checkpoint_3", "checkpoint_4"]


def test_a_killed_run_resumes_as_if_it_had_never_stopped(tracker, data, tmp_path, main):
    """Bit by bit, also past a checkpoint that the kill has cut off."""
    output = tmp_path / "killed"
    process = start(output, tmp_path / "first.txt", **data.tracking)
    first = output / "checkpoints" / "checkpoint_0" / train.LAST_FILE_OF_CHECKPOINT
    while not zipfile.is_zipfile(first):
        assert process.poll() is None, (tmp_path / "first.txt").read_text()
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (output / "model").exists(), "the run ended before it could be killed: raise STEPS"
    complete = [p for p in (output / "checkpoints").iterdir() if zipfile.is_zipfile(p / first.name)]
    number = max(int(path.name.split("_")[1]) for path in complete)
    cut_off = output / "checkpoints" / f"checkpoint_{number + 1}"
    cut_off.mkdir(exist_ok=True)
    (cut_off / "model.safetensors").write_bytes(b"half of it")

    weights, _ = run(output, **data.tracking, resume=True)
    assert weights.keys() == tracker[1].keys()
    assert all(torch.equal(weights[name], value) for name, value in tracker[1].items())

    main(output, **data.tracking, resume=True)  # nothing is left to do
    again = load_file(output / "model" / "model.safetensors")
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_the_semantic_stage_trains_the_semantic_head_alone(tracker, data, tmp_path):
    """The tracker stays as it is, bit by bit, and the config names what the videos show."""
    before = tracker[1]
    weights, log = run(tmp_path / "semantic", **data.semantic, model=tracker[0] / "model")
    assert weights.keys() == before.keys()
    assert all(torch.equal(weights[n], before[n]) for n in weights if not n.startswith(SEMANTIC))
    same_shape = [n for n in weights if n.startswith(SEMANTIC) and weights[n].shape == before[n].shape]
    assert len(same_shape) > 10 and not any(torch.equal(weights[n], before[n]) for n in same_shape)
    config = SemTrackConfig.from_pretrained(tmp_path / "semantic" / "model")
    assert config.id2interaction == {0: "push", 1: "wave"} and config.id2object == {0: "ball"}
    assert weights[f"{SEMANTIC}readout.activity_classifier.weight"].shape[0] == 3
    assert weights[f"{SEMANTIC}readout.interaction_classifier.weight"].shape[0] == 3
    assert weights[f"{SEMANTIC}readout.object_classifier.weight"].shape[0] == 2
    assert set(log[0]) == {"step", "rate", "loss", "activity", "interaction", "object", "object_box"}
    assert SemTrackProcessor.from_pretrained(tmp_path / "semantic" / "model").image_processor.view_size == 256


@pytest.mark.parametrize("freeze_stem", [True, False])
def test_the_stem_is_trained_on_demand_only(freeze_stem):
    model = tiny_model()
    train.select_trainable(model, TrainArguments("x", freeze_stem=freeze_stem))
    frozen = FROZEN if freeze_stem else FROZEN[1:]
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (not name.startswith(frozen)), name


def rates_of(**changes):
    """The learning rate of each of 100 steps, as a share of the highest."""
    args = TrainArguments("x", steps=100, warmup=0.1, decay=0.25, **changes)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = train.new_schedule(optimizer, args)
    rates = []
    for _ in range(args.steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return [*rates, schedule.get_last_lr()[0]]


def test_the_trapezoid_rises_holds_and_falls_to_zero():
    rates = rates_of()
    assert rates[:10] == pytest.approx([0.1 * step for step in range(10)])
    assert rates[10:76] == pytest.approx([1.0] * 66)
    assert rates[75:] == pytest.approx([1 - step / 25 for step in range(26)])


def test_the_cosine_rises_and_falls_to_zero():
    rates = rates_of(schedule="cosine")
    assert rates[10] == pytest.approx(1.0) and rates[55] == pytest.approx(0.5) and rates[100] == pytest.approx(0.0)


@pytest.mark.parametrize("words", [["--config"], []])
def test_arguments_may_come_from_a_file_under_those_of_the_command_line(monkeypatch, tmp_path, words):
    """Numbers, lists, empty values and booleans, in YAML and JSON; 1e-3 is a number to both."""
    values = {
        "output_dir": "runs/a",
        "steps": 7,
        "annotations": ["a.json", "b.json"],
        "model": None,
        "freeze_stem": False,
    }
    (tmp_path / "run.json").write_text(json.dumps(values | {"learning_rate": 1e-3}))
    lines = (
        "output_dir: runs/a\nsteps: 7\nlearning_rate: 1e-3\nannotations: [a.json, b.json]\nmodel:\nfreeze_stem: false\n"
    )
    (tmp_path / "run.yaml").write_text(lines)
    for name in ("run.json", "run.yaml"):
        monkeypatch.setattr(sys, "argv", ["train.py", *words, str(tmp_path / name), "--steps", "9"])
        assert train.parse_arguments() == TrainArguments(**values | {"steps": 9, "learning_rate": 1e-3})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stpes: 7", "names no argument of train.py: stpes; see train.py --help"),
        ("- steps", "must hold arguments by name, got list"),
        ("steps: [", "cannot be read as YAML or JSON"),
        (None, "cannot be read as YAML or JSON"),
    ],
)
def test_files_that_hold_no_arguments_are_refused(monkeypatch, tmp_path, text, message):
    if text is not None:
        (tmp_path / "run.yaml").write_text(text)
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", str(tmp_path / "run.yaml"), "--output_dir", "x"])
    with pytest.raises(SystemExit, match=message) as error:
        train.parse_arguments()
    assert one_line(error)


# What is refused


def test_a_run_is_not_overwritten(tracker, data, main):
    before = (tracker[0] / "arguments.json").read_bytes()
    with pytest.raises(SystemExit, match="already holds a run; pass --resume true to go on") as error:
        main(tracker[0], **data.tracking | {"steps": 99})
    assert one_line(error) and (tracker[0] / "arguments.json").read_bytes() == before


def test_a_run_is_not_resumed_with_other_arguments(tracker, data, main):
    changed = data.tracking | {"learning_rate": 2e-3, "batch_size": 4}
    with pytest.raises(SystemExit, match="was started with other arguments: batch_size, learning_rate") as error:
        main(tracker[0], **changed, resume=True)
    assert one_line(error)


def test_the_number_of_workers_may_change_on_resuming(tracker):
    saved = json.loads((tracker[0] / "arguments.json").read_text())
    train.check_output(TrainArguments(**saved | {"resume": True, "workers": 5}), tracker[0])


def test_what_was_never_begun_or_saved_is_not_resumed(data, main, tmp_path):
    with pytest.raises(SystemExit, match="nothing to resume in .* it has no arguments.json"):
        main(tmp_path / "none", **data.tracking, resume=True)
    (tmp_path / "unsaved" / "checkpoints" / "checkpoint_0").mkdir(parents=True)
    with pytest.raises(SystemExit, match="the run ended before its first checkpoint"):
        train.resume(None, tmp_path / "unsaved", train.Progress())


def test_a_run_that_finds_no_data_may_be_started_again(data, main, tmp_path):
    """It has not begun: correcting the argument is enough."""
    with pytest.raises(SystemExit, match="images must be a folder with photos"):
        main(tmp_path / "run", **data.tracking | {"images": tmp_path})
    train.check_output(TrainArguments(str(tmp_path / "run")), tmp_path / "run")


def test_checking_the_folder_leaves_no_trace(tmp_path):
    """Each of several processes checks it."""
    args = TrainArguments(str(tmp_path / "run"))
    for _ in range(2):
        train.check_output(args, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_misspelt_exclusions_are_refused(data, main, tmp_path):
    (tmp_path / "names.txt").write_text("wlak\n")
    with pytest.raises(SystemExit, match="excludes sequences that do not exist: wlak"):
        main(tmp_path / "run", **data.tracking, exclude=tmp_path / "names.txt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage": "both"}, "stage must be one of tracking, semantic, joint, meta, got 'both'"),
        ({"stage": "semantic"}, "the semantic stage needs --model"),
        ({"annotations": "a.json"}, "pass one --videos folder per --annotations file"),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(data, main, tmp_path, changes, message):
    with pytest.raises(SystemExit, match=message) as error:
        main(tmp_path / "run", **data.tracking | changes)
    assert one_line(error)


def test_processes_that_do_not_know_of_each_other_are_refused(data, main, monkeypatch, tmp_path):
    """Launched as two on a machine without GPUs, each would train alone and overwrite the other's result."""
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="WORLD_SIZE is 2 but Accelerate runs 1 process") as error:
        main(tmp_path / "run", **data.tracking)
    assert one_line(error)
