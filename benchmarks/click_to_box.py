"""How well one click gives the box of what lies under it.

    python -m benchmarks.click_to_box --sequences DIR [--model DIR] [--clicks 10] [--dtype bfloat16]

In frames spread over each sequence, one random point of the target is clicked: a pixel of its mask where the
sequence has masks, else a point of the central part of its box. Prints one JSON object: the mean IoU of the answers
with the true boxes, over all sequences and over those that no training has seen (`--held-out`), each for sequences
with masks, for the others, and for targets larger than 5% of the frame; then the mean of every sequence.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from dataset_script.names import read_names
from dataset_script.sources.otb import BoxSequence, list_images, read_sequences
from metrics.semtrack.tracking import iou
from modeling_semtrack.benchmarking import sequence_frames
from modeling_semtrack.checkpoint import BUNDLED, load_checkpoint
from modeling_semtrack.localization import box_of_click

BARS = {"all_sizes": 0.6, "large": 0.75}
LARGE = 0.05  # share of the frame from which a target counts as large
CENTRAL_PART = 0.5  # of the box's width and height, where a click without a mask falls
HELD_OUT = Path(__file__).with_name("held_out.txt")


@dataclass(frozen=True)
class Answer:
    """One click and what came of it.

    Attributes:
        sequence: Name of the sequence.
        masked: Whether the click was drawn from a mask.
        share: Area of the true box over the frame's.
        iou: Of the answer with the true box.
    """

    sequence: str
    masked: bool
    share: float
    iou: float


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", required=True, help="folder of OTB-like sequences")
    parser.add_argument("--held-out", default=str(HELD_OUT), help="text file with the names that no training has seen")
    parser.add_argument("--model", default=str(BUNDLED))
    parser.add_argument("--clicks", type=int, default=10, help="frames of each sequence with a click")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    arguments = parser.parse_args()

    model, processor = load_checkpoint(arguments.model, "cpu", getattr(torch, arguments.dtype))
    answers = []
    for number, sequence in enumerate(tqdm(read_sequences(arguments.sequences), unit="sequence")):
        rng = np.random.default_rng((arguments.seed, number))
        for frame, point, truth in clicks_of(sequence, arguments.clicks, rng):
            with torch.inference_mode():
                box = box_of_click(model, processor.image_processor, frame, point)
            share = truth[2] * truth[3] / (frame.shape[0] * frame.shape[1])
            overlap = float(iou([box], [truth])[0])
            answers.append(Answer(sequence.name, sequence.masks is not None, float(share), overlap))
    print(json.dumps(report(answers, read_names(arguments.held_out)), indent=2))


def clicks_of(
    sequence: BoxSequence, count: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, tuple[float, float], np.ndarray]]:
    """(uint8 RGB frame, click (x, y) in pixels, true box xywh) of `count` frames spread over a sequence."""
    visible = np.flatnonzero(~np.isnan(sequence.boxes[:, 0]))
    places = np.linspace(0, len(visible) - 1, min(count, len(visible)))
    chosen = set(visible[places.round().astype(int)].tolist())
    masks = list_images(sequence.masks) if sequence.masks else None
    for index, frame in enumerate(sequence_frames(sequence)):
        if index not in chosen:
            continue
        truth = sequence.boxes[index]
        inside = None if masks is None else np.asarray(Image.open(masks[index]).convert("L")) > 127
        point = click_in_box(truth, rng) if inside is None or not inside.any() else click_in_mask(inside, rng)
        height, width = frame.shape[:2]
        yield frame, (min(max(point[0], 0.0), width - 1.0), min(max(point[1], 0.0), height - 1.0)), truth


def click_in_mask(inside: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The centre of a random pixel of a bool mask [height, width]."""
    row, column = rng.choice(np.argwhere(inside))
    return float(column) + 0.5, float(row) + 0.5


def click_in_box(box: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """A random point of the central part of a box (xywh)."""
    x, y = rng.uniform(0.5 - CENTRAL_PART / 2, 0.5 + CENTRAL_PART / 2, 2)
    return float(box[0] + x * box[2]), float(box[1] + y * box[3])


def report(answers: list[Answer], held_out: set[str]) -> dict:
    """The printed object."""
    unseen = [answer for answer in answers if answer.sequence in held_out]
    sequences = {
        name: [a for a in answers if a.sequence == name] for name in dict.fromkeys(a.sequence for a in answers)
    }
    return {
        "bars": BARS,
        "held_out": by_kind(unseen),
        "all": by_kind(answers),
        "sequences": {
            name: {"held_out": name in held_out, "share": float(np.mean([a.share for a in found])), **mean_iou(found)}
            for name, found in sequences.items()
        },
    }


def by_kind(answers: list[Answer]) -> dict:
    """Mean IoU of all answers, of those on masks and without, each for all sizes and for large targets."""
    kinds = {
        "all": answers,
        "masks": [answer for answer in answers if answer.masked],
        "boxes": [answer for answer in answers if not answer.masked],
    }
    return {
        kind: {"all_sizes": mean_iou(found), "large": mean_iou([a for a in found if a.share > LARGE])}
        for kind, found in kinds.items()
    }


def mean_iou(answers: list[Answer]) -> dict:
    """Mean IoU, share of answers with at least 0.5, and their number; None where there are no answers."""
    values = np.array([answer.iou for answer in answers])
    return {
        "iou": float(values.mean()) if len(values) else None,
        "share_50": float((values >= 0.5).mean()) if len(values) else None,
        "clicks": len(values),
    }


if __name__ == "__main__":
    main()
