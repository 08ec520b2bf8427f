"""Memory of a process that streams the annotations of 1,000 synthetic videos.

    python -m benchmarks.streaming [--videos 1000] [--scenes 20]

Prints one JSON object. The videos are `scenes` different ones of 8 s at 320x240 under new names, since casting
a thousand takes long and a stream holds one at a time. The peak is that of a fresh process, all libraries included:
`datasets` imports torch for a stream, and with it alone a process holds most of this.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataset_script.records import VideoRecord
from dataset_script.sources.semtrack import write_semtrack
from dataset_script.synthetic import SyntheticConfig, generate_video

ALLOWED = 400  # MB
STREAM = """
import json, sys
from pathlib import Path

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024 / 1e6

from dataset_script import load_semtrack
imported = memory("VmRSS")
rows = load_semtrack("semtrack", sys.argv[1], "train", streaming=True, videos=False)
first = None
for count, row in enumerate(rows, start=1):
    first = first or memory("VmRSS")
found = {"videos": count, "imported_mb": imported, "first_video_mb": first, "peak_mb": memory("VmHWM")}
print(json.dumps(found | {"model_imported": "modeling_semtrack" in sys.modules}))
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=1000, help="how many are streamed (default 1000)")
    parser.add_argument("--scenes", type=int, default=20, help="how many of them are different (default 20)")
    arguments = parser.parse_args()
    config = SyntheticConfig(width=320, height=240, seconds=(8.0, 8.0))
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "train.json"
        scenes = [generate_video(config, seed)[0] for seed in range(arguments.scenes)]
        write_semtrack(renamed(scenes, arguments.videos), index)
        began = time.perf_counter()
        report = {"index_mb": index.stat().st_size / 1e6, **stream_apart(index), "allowed_mb": ALLOWED}
        report["seconds"] = time.perf_counter() - began
    print(json.dumps(report, indent=2))


def renamed(records: list[VideoRecord], count: int) -> Iterator[VideoRecord]:
    """`count` records: the given ones over and over, each time under another name."""
    for number in range(count):
        yield replace(records[number % len(records)], video_id=f"video {number}", file_name=f"{number}.mp4")


def stream_apart(index: Path) -> dict[str, Any]:
    """Streams an annotation file in a process of its own.

    Returns:
        ``videos``, and the process's memory in MB: ``imported_mb``, ``first_video_mb``, ``peak_mb``; and
        ``model_imported``.
    """
    command = [sys.executable, "-c", STREAM, str(index)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    main()
