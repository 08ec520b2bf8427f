"""Time and memory of ST-mAP with all scores that come with it.

    python benchmarks/metric.py --generator DIR/generate.py

Prints one JSON object. The time is that of 56,001 true and 70,031 predicted boxes, which took the authors' code 24.3 s
for STMAP, TrackMAP and HOTA; ours computes CLEAR and Identity as well. `ratio` is the share of that time, scaled by
a plain Python loop of 20 million additions, which took the authors' machine 1.0 to 1.3 s: the longer time is used,
which makes the share larger. The memory is the peak of a process that runs `semtrack score` on files of a million
boxes, the model's libraries included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from metrics.semtrack.st_map import MODES, st_map

REFERENCE_SECONDS, REFERENCE_LOOP = 24.3, 1.3
ADDITIONS = 20_000_000
CASE = {"seed": 5, "n_videos": 120, "n_frames": 300, "n_cls": 8, "n_rel": 20, "k": 3}
MILLION = {**CASE, "n_videos": 980}
REPEATS = 3
SCORE = """
import sys
from pathlib import Path
from modeling_semtrack.cli import main
code = main(sys.argv[1:])
print(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1])
sys.exit(code)
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", type=Path, required=True, help="file with make(), which makes the cases")
    parser.add_argument("--write", type=Path, help="only write the case of a million boxes to this folder")
    arguments = parser.parse_args()
    make = load_make(arguments.generator)
    if arguments.write:
        write_case(make, arguments.write)
        return
    print(json.dumps({**measure_time(make), **measure_memory(arguments.generator)}, indent=2))


def load_make(path: Path) -> Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The function that makes a truth and predictions."""
    spec = spec_from_file_location("generate", path)
    if spec is None or not path.is_file():
        raise SystemExit(f"there is no Python file '{path}'; pass --generator")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make


def measure_time(make: Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]) -> dict[str, Any]:
    """Seconds on one core: the best of several runs."""
    truth, predictions = make(**CASE)
    loop = min(seconds(add_up) for _ in range(REPEATS))
    scores = {mode: min(seconds(st_map, truth, predictions, mode) for _ in range(REPEATS)) for mode in MODES}
    return {
        "true_boxes": len(truth["annotations"]),
        "predicted_boxes": len(predictions),
        "loop_seconds": loop,
        "seconds": scores,
        "reference_seconds_here": REFERENCE_SECONDS * loop / REFERENCE_LOOP,
        "ratio": scores["official"] / (REFERENCE_SECONDS * loop / REFERENCE_LOOP),
        "ratio_allowed": 1 / 8,
    }


def seconds(function: Callable[..., object], *arguments: object) -> float:
    """Processor time of a call."""
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def add_up() -> int:
    """The loop that compares machines."""
    total = 0
    for number in range(ADDITIONS):
        total += number
    return total


def measure_memory(generator: Path) -> dict[str, Any]:
    """Peaks of `semtrack score`; the files are made in a process of their own, whose memory does not count."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--generator", str(generator), "--write", folder]
        boxes = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for mode in MODES:
            files = ["--truth", f"{folder}/gt.json", "--predictions", f"{folder}/predictions.json"]
            command = [sys.executable, "-c", SCORE, "score", *files, "--mode", mode, "--output", f"{folder}/out.json"]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            peaks[mode] = int(output) / 1024
    return {"memory_boxes": boxes, "peak_mib": peaks, "peak_mib_allowed": 1e9 / 2**20}


def write_case(make: Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]], folder: Path) -> None:
    """Writes the case of a million boxes, and prints how many they are."""
    truth, predictions = make(**MILLION)
    for name, content in (("gt.json", truth), ("predictions.json", predictions)):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")  # json.dump takes minutes
    print(len(truth["annotations"]) + len(predictions))


if __name__ == "__main__":
    main()
