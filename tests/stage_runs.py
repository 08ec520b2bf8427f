"""Runs of train.py in this process on small files, as fixtures: test modules name this one in `pytest_plugins`."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import tiny_model
from training_files import a_record, moving, save, training_in_process, validation, write_annotated, write_sequence

from dataset_script.records import InteractionRecord

SHORT = {
    "learning_rate": 1e-2,
    "workers": 0,
    "log_every": 1,
    "steps": 2,
    "batch_size": 2,
    "mixed_precision": "no",
    "schedule": "constant",
    "warmup": 0.0,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of videos and sequences, and models that know what they show."""
    folder = tmp_path_factory.mktemp("files")
    often = [InteractionRecord(1, "push", 2, start, start + 4) for start in (0, 6, 12)]
    second = a_record("second", frames=17, interactions=[*often, InteractionRecord(1, "wave", None, 8, 16)])
    write_annotated(folder / "videos", a_record("first"), second, validation())
    write_sequence(folder / "sequences" / "walk", moving(4))
    write_sequence(folder / "sequences" / "run", moving(3))
    (folder / "exclude.txt").write_text("run\n")
    torch.manual_seed(0)
    labels = {"id2interaction": {0: "push", 1: "wave"}, "id2object": {0: "ball"}}
    small = {"num_hidden_layers": 1, "num_semantic_layers": 1}
    for stem in ("patch", "resnet"):
        save(tiny_model(stem, **labels, **small), folder / stem)
    return folder


@pytest.fixture(scope="module")
def features(files):
    """Where runs of the first test leave the features for the others."""
    return files / "features.pt"


@pytest.fixture
def semantic(files, features):
    """Arguments of a run on the videos' features that goes on with the model's head."""
    return described(files) | {"stage": "semantic", "keep_head": True, "features": features}


@pytest.fixture
def meta(semantic):
    return semantic | {"stage": "meta", "inner_steps": 2, "inner_rate": 0.05}


@pytest.fixture
def joint(files):
    return described(files) | {"stage": "joint", "keep_head": True, "clip_steps": 3}


@pytest.fixture
def tracking(files):
    names = {"sequences": files / "sequences", "exclude": files / "exclude.txt"}
    return SHORT | names | {"stage": "tracking", "model": files / "patch"}


def described(files):
    annotated = {"annotations": files / "videos" / "annotations.json", "videos": files / "videos"}
    return SHORT | annotated | {"model": files / "patch", "clip_steps": 5}


@pytest.fixture
def run(tmp_path):
    """Runs train.main and gives the saved weights, the log and the folder."""
    with training_in_process() as call:

        def run(name="run", **arguments):
            call(tmp_path / name, **arguments)
            rows = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
            weights = load_file(tmp_path / name / "model" / "model.safetensors")
            return SimpleNamespace(weights=weights, log=rows, folder=tmp_path / name)

        yield run
