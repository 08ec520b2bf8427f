"""Resident memory of a session over a long video of 1280x720.

    python benchmarks/memory.py [--frames 5000] [--model DIR]

Prints one JSON object with the resident memory after 500 frames and after the last one, in MiB. Frames are made on
the fly (a textured square that moves over noise), so that nothing but the session can grow.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from modeling_semtrack import SemTrackSession
from modeling_semtrack.checkpoint import BUNDLED, load_checkpoint

WIDTH, HEIGHT, SIDE = 1280, 720, 90
FIRST_LOOK = 500


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--model", default=str(BUNDLED))
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    arguments = parser.parse_args()
    if arguments.frames <= FIRST_LOOK:
        parser.error(f"--frames must be more than {FIRST_LOOK}, got {arguments.frames}")

    model, processor = load_checkpoint(arguments.model, "cpu", getattr(torch, arguments.dtype))
    session = SemTrackSession(model, processor)
    rng = np.random.default_rng(0)
    background = rng.integers(60, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    texture = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    x, y = place(0)
    session.add_target(paint(background, texture, 0), box=(x, y, SIDE, SIDE))
    early = 0.0
    for index in tqdm(range(arguments.frames), unit="frame"):
        session.step(paint(background, texture, index), time=index / 25)
        if index + 1 == FIRST_LOOK:
            early = resident()
    late = resident()
    print(
        json.dumps({"frames": arguments.frames, "after_500_mib": early, "after_all_mib": late, "growth": late - early})
    )


def place(index: int) -> tuple[int, int]:
    """Corner of the square in a frame: a slow loop."""
    angle = index / 80
    return round(WIDTH / 2 + 400 * np.cos(angle)), round(HEIGHT / 2 + 200 * np.sin(angle))


def paint(background: np.ndarray, texture: np.ndarray, index: int) -> np.ndarray:
    """One frame."""
    x, y = place(index)
    frame = background.copy()
    frame[y : y + SIDE, x : x + SIDE] = texture
    return frame


def resident() -> float:
    """Resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
