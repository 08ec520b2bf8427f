"""How long synthetic videos take: seconds per 100 videos of 8 s at 320x240, written as H.264 files.

    python -m benchmarks.synthesis --videos 20 --workers 2

Prints JSON. Wall seconds depend on what else the machine does; CPU seconds (of all processes) hardly do.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

from dataset_script.synthetic import SyntheticConfig, synthesize

SECONDS = 8.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=20, help="how many are made (default 20)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    arguments = parser.parse_args()
    config = SyntheticConfig(width=320, height=240, seconds=(SECONDS, SECONDS))
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter(), _cpu_seconds()
        synthesize(folder, arguments.videos, 0, config, workers=arguments.workers)
        wall, cpu = time.perf_counter() - began[0], _cpu_seconds() - began[1]
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    report = {
        "videos": arguments.videos,
        "seconds_of_a_video": SECONDS,
        "frame": [config.width, config.height],
        "fps": config.fps,
        "workers": arguments.workers,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "wall_seconds_per_100_videos": 100 * wall / arguments.videos,
        "cpu_seconds_per_100_videos": 100 * cpu / arguments.videos,
        "megabytes_per_100_videos": 100 * size / arguments.videos / 1e6,
    }
    print(json.dumps(report, indent=2))


def _cpu_seconds() -> float:
    """Processor seconds of this process and the finished ones that it started."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


if __name__ == "__main__":
    main()
