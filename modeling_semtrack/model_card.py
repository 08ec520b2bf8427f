"""The card of a trained model: what it is, how it was trained, how well it did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from .configuration_semtrack import SemTrackConfig

USAGE = """```python
from transformers import AutoModel, AutoProcessor, pipeline

model = AutoModel.from_pretrained("{name}", trust_remote_code=True)
processor = AutoProcessor.from_pretrained("{name}", trust_remote_code=True)
pipe = pipeline("semantic-tracking", model=model, image_processor=processor.image_processor, trust_remote_code=True)
trajectory = pipe("video.mp4", point=(310, 220))
```"""


def write_model_card(
    folder: str | Path, name: str, config: SemTrackConfig, arguments: Mapping[str, Any], scores: Mapping[str, float]
) -> None:
    """Writes `README.md` beside a saved model.

    Args:
        folder: Where the model is.
        name: Of the model, as it is loaded by.
        config: Of the model.
        arguments: Of the training run that differ from the defaults.
        scores: On the held-out data, by name; empty where none were taken.
    """
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="other",
        tags=["video", "object-tracking", "interaction-recognition", "semantic-tracking", "custom_code"],
    )
    measured = "\n".join(f"| {score} | {value:.3f} |" for score, value in scores.items())
    sections = {
        Path(name).name: "Follows a target in a video from a click or a box, and tells what it does.",
        "Use": USAGE.format(name=name),
        "Labels": f"Interactions: {_listed(config.id2interaction)}.\n\nObjects: {_listed(config.id2object)}.",
        "Training": f"```json\n{json.dumps(dict(arguments), indent=2)}\n```",
        "Results": f"| held out | score |\n|---|---|\n{measured}" if scores else "Not measured during training.",
        "Limits": "Other kinds of video than those of the training are untested. Interactions outside the lists above "
        "are reported as nothing, or as one of these; the scores are not calibrated.",
    }
    parts = [f"{'#' if i == 0 else '##'} {title}\n\n{text}" for i, (title, text) in enumerate(sections.items())]
    content = f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"
    ModelCard(content).save(Path(folder) / "README.md")


def _listed(names: Mapping[int, str]) -> str:
    return ", ".join(names.values()) or "none"
