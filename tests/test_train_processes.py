"""Two processes train as one would: the same gradients, the same weights on both, every video judged once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import tiny_model, tiny_processor
from training_files import a_record, command_line, training_in_process, write_annotated

pytest.importorskip("accelerate", reason="training needs the extra 'train'")

import train

REPOSITORY = Path(train.__file__).parent
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
EXACT = 1e-12
HELD_OUT = 3  # one more than the processes share evenly


def launch(script, *words, check=True):
    """Two gloo processes of one thread each; gives the finished process."""
    kept = {name: value for name, value in os.environ.items() if name != "WORLD_SIZE"}
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    own = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths}
    command = [*LAUNCH, str(script), *map(str, words)]
    done = subprocess.run(command, cwd=REPOSITORY, env=kept | own, capture_output=True, text=True, timeout=600)
    assert not check or done.returncode == 0, done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What two processes found; see training_processes.py."""
    path = tmp_path_factory.mktemp("processes") / "report.json"
    launch(REPOSITORY / "tests" / "training_processes.py", path)
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", ["anil", "first order", "second order", "learned rates", "lora"])
def test_two_processes_with_an_episode_each_have_the_gradient_of_one_with_both(report, name):
    """Relative to the largest gradient, in float64."""
    assert report["gradients"][name] < EXACT


@pytest.mark.parametrize("name", ["anil", "second order"])
def test_both_processes_hold_the_same_bits_after_steps_with_accumulation(report, name):
    assert report["ranks"][name] == {"equal": True, "moved": True}


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """A run of the meta stage with dropout, on videos of which three are held out."""
    folder = tmp_path_factory.mktemp("data")
    held_out = [a_record(f"held out {n}", frames=16 + 2 * n, metadata={"split": "validation"}) for n in range(HELD_OUT)]
    annotations = write_annotated(folder / "videos", a_record("first"), a_record("second", frames=17), *held_out)
    torch.manual_seed(0)
    labels = {"id2interaction": {0: "push", 1: "wave"}, "id2object": {0: "ball"}}
    tiny_model(num_hidden_layers=1, num_semantic_layers=1, **labels).save_pretrained(folder / "model")
    tiny_processor().save_pretrained(folder / "model")
    data = {"annotations": annotations, "videos": folder / "videos", "model": folder / "model", "keep_head": True}
    lengths = {"steps": 4, "save_every": 2, "log_every": 1, "evaluate_every": 4, "clip_steps": 5}
    return {"stage": "meta", "mixed_precision": "no", "workers": 0, "inner_steps": 2} | data | lengths


def words(output, arguments, **changes):
    return command_line({"output_dir": output} | arguments | changes)


def scores(output):
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if "held_out/macro_f1" in row]


@pytest.fixture(scope="module")
def two(arguments, tmp_path_factory):
    """A run of two processes that was never stopped, one episode each per step and accumulation."""
    output = tmp_path_factory.mktemp("two") / "run"
    launch("train.py", *words(output, arguments, batch_size=1, gradient_accumulation=2))
    return output


def test_a_run_of_two_processes_that_is_killed_resumes_exactly(two, arguments, tmp_path):
    """Both are killed right after the first checkpoint; the resumed run has the same bits, dropout included."""
    killer = tmp_path / "killer.py"
    killer.write_text(
        "import os, signal, train\n"
        "save = train.Accelerator.save_state\n"
        "def save_and_die(self, *given, **named):\n"
        "    save(self, *given, **named)\n"
        "    self.wait_for_everyone()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "train.Accelerator.save_state = save_and_die\n"
        "train.main()\n"
    )
    output = tmp_path / "run"
    given = words(output, arguments, batch_size=1, gradient_accumulation=2)
    assert launch(killer, *given, check=False).returncode != 0 and not (output / "model").exists()
    assert [path.name for path in (output / "checkpoints").iterdir()] == ["checkpoint_0"]
    launch("train.py", *given, "--resume", "true")
    whole, resumed = (load_file(folder / "model" / "model.safetensors") for folder in (two, output))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    assert scores(two) == scores(output)


def test_every_held_out_video_is_judged_once_whatever_the_number_of_processes(two, arguments, tmp_path, monkeypatch):
    """Three videos on two processes; the scores of one process are those of two, for the model that two trained."""
    counted = []
    score = train.evaluate.__globals__["gather_object"]
    monkeypatch.setattr(
        train, "gather_object", lambda rows: counted.extend(row.video_id for row in rows) or score(rows)
    )
    steps = {"model": two / "model", "steps": 1, "evaluate_every": 1, "learning_rate": 0.0, "batch_size": 1}
    with training_in_process() as main:
        main(tmp_path / "one", **arguments | steps)
    assert len(counted) == len(set(counted)) == HELD_OUT
    expected = {name: value for name, value in scores(two)[-1].items() if name != "step"}
    assert {name: value for name, value in scores(tmp_path / "one")[-1].items() if name != "step"} == expected
