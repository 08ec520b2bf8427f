"""The demo under one visitor and under six: how long they wait, what it costs, and what they leave behind.

    python -m benchmarks.app [--video FILE] [--frames 150] [--rounds 2] [--visitors 6] [--threads 2]

Starts `app.py` as a process of its own and does over HTTP what its page does. Prints one JSON object. A visitor alone
opens, clicks and tracks; the same frames are followed by a bare `SemTrackSession` in this process between the demo's
runs. Then somebody leaves in the middle of a run, several visitors come at once, and a file of 4 GiB is sent. On a
machine that others use, waiting says little: processor seconds and the load stand beside every time. Overhead is in
processor seconds of the least disturbed runs, without what the idle server takes in the same time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.app_tab import Refused, Server, Tab
from modeling_semtrack import SemTrackSession
from modeling_semtrack.app_store import GRACE, SWEEP_INTERVAL
from modeling_semtrack.app_video import EXAMPLES, example_path
from modeling_semtrack.checkpoint import BUNDLED, load_checkpoint
from modeling_semtrack.localization import box_of_click
from modeling_semtrack.video import Frame, VideoReader, VideoWriter

BARS = {"click_seconds": 1.5, "first_frame_seconds": 3.0, "overhead": 0.3, "mib_left": 100}
CLICKS = 5
HUGE = 4 << 30  # bytes
AFTER_LEAVING = 3.0  # seconds in which a run may notice that nobody waits for it
IDLE = 4.0  # seconds over which an idle server is watched


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", help="a clip whose middle shows something to follow; without it the first example")
    parser.add_argument("--frames", type=int, default=150, help="of the clip that are used")
    parser.add_argument("--rounds", type=int, default=2, help="runs of the demo and of the session alone, in turn")
    parser.add_argument("--visitors", type=int, default=6)
    parser.add_argument("--threads", type=int, help="of the arithmetic, for both; all cores by default")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        clip = shortened(Path(arguments.video or example_path(EXAMPLES[0])), arguments.frames, Path(folder))
        print(json.dumps(measure(clip, arguments), indent=2))


def measure(clip: Path, arguments: argparse.Namespace) -> dict:
    """All numbers."""
    steps = tqdm(total=5, desc="alone", file=sys.stderr)

    def next_step(name: str) -> None:
        steps.update()
        steps.set_description(name)

    load = [os.getloadavg()[0]]
    with Server(arguments.threads) as server:
        started = {"seconds": server.ready_after, "cpu_seconds": server.cpu_seconds(), "mib": server.resident()}
        alone = one_visitor(server, clip, arguments.rounds)
        next_step("leaves")
        leaving = abandoned_run(server, clip)
        next_step("at once")
        together = many_visitors(server, clip, arguments.visitors, started["mib"])
        next_step("4 GiB")
        huge = huge_upload(server)
        next_step("done")
        errors = [line for line in server.said().splitlines() if line.startswith("Traceback")]
    load.append(os.getloadavg()[0])
    next_step("done")
    machine = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "load": load}
    return {
        "machine": machine,
        "bars": BARS,
        "start": started,
        **alone,
        "leaving_during_a_run": leaving,
        "at_once": together,
        "four_gigabytes": huge,
        "server_errors": len(errors),
    }


def shortened(video: Path, frames: int, folder: Path) -> Path:
    """The beginning of a video as a file of its own."""
    path = folder / "clip.mp4"
    with VideoReader(video) as reader, VideoWriter(path, reader.fps, crf=18) as writer:
        for frame in reader:
            if frame.index == frames:
                break
            writer.write(frame.image, frame.time)
    return path


def spent(server: Server, work: Callable, *args: Any) -> tuple[Any, dict]:
    """A result of work with the server, and what it took."""
    cpu, began = server.cpu_seconds(), time.perf_counter()
    result = work(*args)
    return result, {"seconds": time.perf_counter() - began, "cpu_seconds": server.cpu_seconds() - cpu}


def one_visitor(server: Server, clip: Path, rounds: int) -> dict:
    """Opening, clicking and tracking without anybody else, and the session alone."""
    with VideoReader(clip) as reader:
        middle = (reader.width / 2, reader.height / 2)
    peer, idle = SessionAlone(clip, middle), idle_cores(server)
    opened, clicks, first_frames, demo, session, reading = [], [], [], [], [], []
    for _ in range(rounds):
        tab = Tab(server)
        opened.append(spent(server, tab.open, clip)[1])
        for _ in range(CLICKS):
            clicks.append(spent(server, tab.click, *middle)[1])
            tab.press("Clear all")
        tab.click(*middle)
        followed, cost = spent(server, track, tab)
        first_frames.append(followed["first_frame"])
        demo.append(cost)
        tab.leave()
        session.append(peer.follow())
        reading.append(peer.read())
    runs = {"demo": demo, "session": session, "reading": reading}
    cpu = {name: min(run["cpu_seconds"] for run in runs[name]) for name in runs}
    at_work = min(run["cpu_seconds"] - idle * run["seconds"] for run in demo)
    return {
        "idle_cores": idle,
        "open": summary(opened),
        "click": summary(clicks),
        "first_frame_seconds": summary(first_frames),
        "track": {
            "frames": peer.frames,
            "cpu_seconds": {name: [run["cpu_seconds"] for run in runs[name]] for name in runs},
            "seconds": {name: [run["seconds"] for run in runs[name]] for name in runs},
            "overhead": at_work / cpu["session"] - 1,
            "overhead_with_what_an_idle_server_takes": cpu["demo"] / cpu["session"] - 1,
            "overhead_over_session_and_reading": at_work / (cpu["session"] + cpu["reading"]) - 1,
        },
    }


def summary(runs: list[dict]) -> dict:
    """Median and worst."""
    seconds, cpu = ([run[name] for run in runs] for name in ("seconds", "cpu_seconds"))
    return {"seconds": statistics.median(seconds), "worst": max(seconds), "cpu_seconds": statistics.median(cpu)}


class SessionAlone:
    """The peer: a session in this process, on the same frames and from the same click."""

    def __init__(self, clip: Path, point: tuple[float, float]) -> None:
        self._clip, self._point = clip, point
        self._model, self._processor = load_checkpoint(BUNDLED)
        self.frames = len(self._images())

    def _images(self) -> list[Frame]:
        with VideoReader(self._clip) as reader:
            return list(reader)

    def follow(self) -> dict:
        """What following takes."""
        frames = self._images()
        with torch.inference_mode():
            box = box_of_click(self._model, self._processor.image_processor, frames[0].image, self._point)
        session = SemTrackSession(self._model, self._processor)
        cpu, began = time.process_time(), time.perf_counter()
        session.add_target(frames[0].image, box=box)
        for frame in frames:
            session.step(frame.image, frame.time)
        return {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}

    def read(self) -> dict:
        """What decoding takes."""
        cpu, began = time.process_time(), time.perf_counter()
        with VideoReader(self._clip) as reader:
            for _ in reader:
                pass
        return {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}


def track(tab: Tab, enough: int | None = None) -> dict:
    """Presses Track and fetches every picture, as a browser does; leaves after some pictures where asked."""
    first, pictures, places, cpu = {}, 0, set(), tab.server.cpu_seconds()
    for answer in tab.act("track", "click"):
        if answer.kind == "estimation":
            places.add(answer.message["rank"])
        shown = answer.outputs.get(tab.component("picture"))
        if answer.kind == "process_generating" and shown:
            tab.fetch(shown)
            pictures += 1
            first = first or {"seconds": answer.after, "cpu_seconds": tab.server.cpu_seconds() - cpu}
            if pictures == enough:
                break
    return {"first_frame": first, "pictures": pictures, "places_in_the_queue": sorted(places)}


def abandoned_run(server: Server, clip: Path) -> dict:
    """Somebody closes the tab in the middle of a run."""
    tab = Tab(server)
    tab.open(clip)
    tab.click(8, 8)
    track(tab, enough=2)
    tab.leave()
    time.sleep(AFTER_LEAVING)
    return {"cores_busy_afterwards": idle_cores(server)}


def idle_cores(server: Server) -> float:
    """Cores that the server keeps busy while nobody does anything."""
    return spent(server, time.sleep, IDLE)[1]["cpu_seconds"] / IDLE


def many_visitors(server: Server, clip: Path, count: int, start: float) -> dict:
    """Everybody opens, clicks and tracks at the same time, and leaves."""
    results: list[dict] = [{} for _ in range(count)]
    threads = [threading.Thread(target=visit, args=(server, clip, result)) for result in results]
    began, cpu, peak = time.perf_counter(), server.cpu_seconds(), server.resident()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, server.resident())
        time.sleep(0.2)
    seconds, cpu = time.perf_counter() - began, server.cpu_seconds() - cpu
    files = len(server.files())
    time.sleep(GRACE + 2 * SWEEP_INTERVAL)
    return {
        "visitors": count,
        "finished": sum(result.get("finished", False) for result in results),
        "refused": [result["refused"] for result in results if "refused" in result],
        "seconds": seconds,
        "cpu_seconds": cpu,
        "places_in_the_queue": sorted({place for r in results for place in r.get("places_in_the_queue", [])}),
        "mib": {"start": start, "peak": peak, "after": server.resident(), "left": server.resident() - start},
        "files": {"at_the_end": files, "after_leaving": server.files()},
    }


def visit(server: Server, clip: Path, result: dict) -> None:
    """One of many."""
    tab = Tab(server)
    try:
        tab.open(clip)
        tab.click(*(side / 2 for side in tab.size()))
        result |= track(tab)
        result["finished"] = "tracked" in tab.value("status")
    except Refused as refusal:
        result["refused"] = str(refusal)
    finally:
        tab.leave()


def huge_upload(server: Server) -> dict:
    """A file of 4 GiB, past the page's own check."""
    before = set(server.files())
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.truncate(HUGE)
        tab = Tab(server)
        try:
            said, cost = spent(server, refusal_of, tab, Path(file.name))
        finally:
            tab.leave()
    return {"said": said, **cost, "files_left": sorted(set(server.files()) - before)}


def refusal_of(tab: Tab, path: Path) -> str:
    """Why an upload is not taken.

    Raises:
        AssertionError: If it is taken.
    """
    try:
        tab.upload(path)
    except Refused as refusal:
        return str(refusal)
    raise AssertionError(f"an upload of {path.stat().st_size} bytes was taken")


if __name__ == "__main__":
    main()
