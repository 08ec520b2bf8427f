"""Trained models in folders: loaded exactly as saved or refused in one clear line, and exported compactly."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers.utils import logging

from .modeling_semtrack import SemTrackModel
from .processing_semtrack import SemTrackProcessor

MODEL_VARIABLE = "SEMTRACK_MODEL"
BUNDLED = Path(__file__).resolve().parent.parent / "checkpoints" / "semtrack-tiny"
LABEL_MAPS = {
    "semantic_head.readout.activity_classifier.weight": "id2interaction",
    "semantic_head.readout.interaction_classifier.weight": "id2interaction",
    "semantic_head.readout.object_classifier.weight": "id2object",
}


class CheckpointError(ValueError):
    """A folder does not hold a model that can be used; one line that names it, the reason and the fix."""


def find_checkpoint(folder: str | os.PathLike[str] | None = None) -> Path:
    """The folder to load: the given one, else what `SEMTRACK_MODEL` names, else `checkpoints/semtrack-tiny`.

    A name such as `owner/model` that is no folder here means a model on the Hugging Face Hub.

    Args:
        folder: What the user asked for, if anything.

    Raises:
        CheckpointError: If nothing is named and the bundled weights are not there, as in an installation
            without the repository; or if a model cannot be fetched from the Hub.
    """
    named = folder or os.environ.get(MODEL_VARIABLE)
    if named:
        return _fetched(str(named)) if is_on_hub(str(named)) else Path(named)
    if not BUNDLED.is_dir():
        raise CheckpointError(
            f"no model is named and there is none at '{BUNDLED}'; pass --model DIR or set {MODEL_VARIABLE}"
        )
    return BUNDLED


def is_on_hub(named: str) -> bool:
    """Whether the name of a model means one on the Hugging Face Hub rather than a folder."""
    return re.fullmatch(r"\w[\w.-]*/[\w.-]+", named) is not None and not Path(named).exists()


def _fetched(named: str) -> Path:
    try:
        return Path(snapshot_download(named, allow_patterns=["*.json", "*.safetensors"]))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"checkpoint '{named}' is neither a folder here nor a model that can be fetched from the Hugging Face Hub "
            f"({type(error).__name__}); give a folder that save_pretrained wrote"
        ) from error


def load_checkpoint(
    folder: str | os.PathLike[str], device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[SemTrackModel, SemTrackProcessor]:
    """Loads a model with its processor, refusing weights that do not fit the configuration.

    `from_pretrained` alone fills parameters that are missing or of another shape with random numbers and
    ignores those it has no place for; here all three are errors.

    Args:
        folder: As `save_pretrained` of model and processor wrote it.
        device: Where the model goes.
        dtype: Of its weights and its arithmetic.

    Returns:
        The model in eval mode, and the processor.

    Raises:
        CheckpointError: If the folder is none, is damaged, or its weights do not match its configuration.
        ValueError: If there is no such device.
    """
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device '{device}' needs an NVIDIA GPU and a CUDA build of PyTorch, found none; use 'cpu'")
    folder = Path(folder)
    _check_is_semtrack(folder)
    with _loading(folder, "model"), _quiet():
        model, report = SemTrackModel.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # so that the report says what differs
            output_loading_info=True,
            # In bfloat16 a CPU multiplies whole matrices more than twice as fast as SDPA goes through them in blocks.
            attn_implementation="eager" if device.type == "cpu" and dtype == torch.bfloat16 else None,
        )
    _check_weights(folder, report)
    with _loading(folder, "processor"), _quiet():
        processor = SemTrackProcessor.from_pretrained(folder, local_files_only=True)
    return model.to(device).eval(), processor


def export_checkpoint(model: SemTrackModel, processor: SemTrackProcessor, folder: str | os.PathLike[str]) -> None:
    """Writes a compact checkpoint: half-precision weights, configuration and processor, without code.

    The weights load as float32 unless asked otherwise. (`model.save_pretrained` writes them as they are, with the
    code that `trust_remote_code=True` needs.)

    Args:
        model: Any dtype; it is not changed.
        processor: Of the same model.
        folder: Must not exist yet, or be empty.

    Raises:
        CheckpointError: If the folder already holds something.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"'{folder}' already exists; name a new folder")
    half = copy.deepcopy(model).half()
    half.save_pretrained(folder)
    processor.save_pretrained(folder)
    for code in folder.glob("*.py"):
        code.unlink()
    for name in ("config.json", "processor_config.json"):
        settings = json.loads((folder / name).read_text(encoding="utf-8"))
        for part in (settings, *(value for value in settings.values() if isinstance(value, dict))):
            part.pop("auto_map", None)
        if name == "config.json":
            settings["dtype"] = "float32"
        (folder / name).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _check_is_semtrack(folder: Path) -> None:
    """Without this, a missing config.json or another model's one would count as the default configuration."""
    if not folder.is_dir():
        raise CheckpointError(f"checkpoint '{folder}' is not a folder; give one that save_pretrained wrote")
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(
            f"checkpoint '{folder}' is no saved model: it has no config.json; give a folder that save_pretrained wrote"
        )
    with _loading(folder, "config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "semtrack":
        raise CheckpointError(
            f"checkpoint '{folder}' must hold a model of type 'semtrack', got {kind!r}; give another folder"
        )


def _check_weights(folder: Path, report: Mapping[str, Any]) -> None:
    shapes = {name: (list(saved), list(made)) for name, saved, made in report["mismatched_keys"]}
    for weight, labels in LABEL_MAPS.items():
        if weight in shapes:
            known, named = (shape[0] - 1 for shape in shapes[weight])  # the last class is "none"
            raise CheckpointError(
                f"{labels} in '{folder / 'config.json'}' names {named} labels but the weights know {known}; "
                "give the label map that the model was trained with"
            )
    problems = [f"'{name}' is {saved} in the file and {made} by config.json" for name, (saved, made) in shapes.items()]
    problems += [f"'{name}' is missing" for name in sorted(report["missing_keys"])]
    problems += [f"'{name}' has no place in the model" for name in sorted(report["unexpected_keys"])]
    problems += list(report["error_msgs"])
    if problems:
        others = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CheckpointError(
            f"weights in '{folder}' do not match its config.json: {problems[0]}{others}; give a folder whose files "
            "were saved together"
        )


@contextmanager
def _loading(folder: Path, what: str) -> Iterator[None]:
    """Turns whatever goes wrong into a CheckpointError: damaged files raise errors of many types."""
    try:
        yield
    except Exception as error:
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split()).split(". ")[0].rstrip(".")
        raise CheckpointError(
            f"checkpoint '{folder}': its {what} cannot be loaded ({type(cause).__name__}: {reason}); give a folder "
            "that save_pretrained wrote"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar and no report from transformers while it loads: the result is checked here."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
