"""load_checkpoint gives what was saved, and refuses a folder that would give anything else."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_models import INTERACTIONS, tiny_model, tiny_processor

from modeling_semtrack.checkpoint import CheckpointError, find_checkpoint, load_checkpoint


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    model = tiny_model()
    model.save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder, {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved[0], tmp_path / "copy")


def configure(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def error_of(folder):
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    message = str(caught.value)
    assert "\n" not in message and str(folder) in message and "; give " in message
    return message


def test_what_was_saved_comes_back_in_eval_mode(saved):
    folder, weights = saved
    model, processor = load_checkpoint(folder)
    assert not model.training and processor.image_processor.view_size == 64
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_arithmetic_can_be_chosen(saved, dtype):
    assert {value.dtype for value in load_checkpoint(saved[0], dtype=dtype)[0].parameters()} == {dtype}


@pytest.mark.parametrize("dtype, attention", [(torch.float32, "sdpa"), (torch.bfloat16, "eager")])
def test_a_cpu_gets_the_attention_that_is_faster_there(saved, dtype, attention):
    assert load_checkpoint(saved[0], dtype=dtype)[0].config._attn_implementation == attention


def test_loading_is_silent(saved, capfd):
    load_checkpoint(saved[0])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("label_map, labels", [("id2interaction", {0: "a"}), ("id2object", {0: "a", 1: "b"})])
def test_a_label_map_of_another_length_is_named_with_both_lengths(copy, label_map, labels, capfd):
    configure(copy, **{label_map: labels})
    message = error_of(copy)
    assert f"{label_map} in" in message and f"names {len(labels)} labels" in message
    assert f"the weights know {len(INTERACTIONS) if label_map == 'id2interaction' else 3}" in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"num_hidden_layers": 3}, "'layers.2.attention.k_proj.bias' is missing"),
        ({"num_hidden_layers": 1}, "'layers.1.attention.k_proj.bias' has no place"),
        ({"box_head_channels": 8}, "in the file and"),
        ({"semantic_head": "none"}, "'semantic_head."),
        ({"hidden_size": 33}, "hidden_size (33) must be a multiple of"),
        ({"id2interaction": ["a", "b"]}, "cannot be loaded"),
        ({"id2interaction": {"0": "a", "5": "b"}}, "without holes"),
        ({"model_type": "bert"}, "type 'semtrack', got 'bert'"),
        ({"hidden_act": "nonsense"}, "nonsense"),
    ],
)
def test_a_configuration_that_does_not_describe_the_weights_is_refused(copy, changes, words):
    """Without this check some parameters would be random numbers, or the weights would go unused."""
    configure(copy, **changes)
    assert words in error_of(copy)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "processor_config.json"])
def test_a_missing_empty_or_damaged_file_is_named(copy, name):
    path = copy / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert error_of(copy)
    path.write_bytes(b"")
    assert error_of(copy)
    path.unlink()
    assert error_of(copy)


def test_a_path_that_is_no_folder_of_a_model_is_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "config.json").write_text("[]")
    assert "is not a folder" in error_of(tmp_path / "missing")
    assert "is not a folder" in error_of(tmp_path / "file")
    assert "no config.json" in error_of(tmp_path)
    assert "got None" in error_of(tmp_path / "list")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused(saved):
    with pytest.raises(ValueError, match="device 'cuda' needs .* use 'cpu'"):
        load_checkpoint(saved[0], "cuda")


def test_the_named_folder_comes_before_the_variable_and_that_before_the_bundled_one(monkeypatch, tmp_path):
    bundled = tmp_path / "semtrack-tiny"
    monkeypatch.setattr("modeling_semtrack.checkpoint.BUNDLED", bundled)
    monkeypatch.delenv("SEMTRACK_MODEL", raising=False)
    with pytest.raises(CheckpointError, match="pass --model DIR or set SEMTRACK_MODEL"):
        find_checkpoint()
    bundled.mkdir()
    assert find_checkpoint() == bundled
    monkeypatch.setenv("SEMTRACK_MODEL", "elsewhere")
    assert str(find_checkpoint()) == "elsewhere"
    assert str(find_checkpoint("here")) == "here"


def test_a_name_that_is_no_folder_is_looked_up_on_the_hub(monkeypatch, tmp_path):
    """Only `owner/model` is; what lies here comes first."""
    asked = []
    monkeypatch.setattr("modeling_semtrack.checkpoint.snapshot_download", lambda name, **_: asked.append(name) or "got")
    monkeypatch.chdir(tmp_path)
    assert str(find_checkpoint("someone/semtrack-tiny")) == "got" and asked == ["someone/semtrack-tiny"]
    (tmp_path / "someone" / "semtrack-tiny").mkdir(parents=True)
    for named in ("someone/semtrack-tiny", "semtrack-tiny", "./someone/else", "/someone/else", "a/b/c"):
        assert str(find_checkpoint(named)) == str(Path(named))
    assert len(asked) == 1


def test_a_model_that_is_nowhere_is_refused_in_one_line(monkeypatch, tmp_path):
    """The Hub cannot be asked in the tests: they are offline."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="'someone/nothing' is neither a folder here nor a model .* Hub"):
        find_checkpoint("someone/nothing")
