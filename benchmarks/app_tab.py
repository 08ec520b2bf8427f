"""The demo as a process of its own, and browser tabs without a browser that talk to it as its page does."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from gradio_client.utils import apply_diff

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 600.0  # seconds for an answer on a loaded machine
START_PATIENCE = 180.0
MIB = 2**20
ACROSS, DOWN, CLICK_THERE = "x, pixels", "y, pixels", "Click there"


class Server:
    """`python app.py` with folders of its own; a context manager.

    Args:
        threads: Of the network's arithmetic; all cores where None.
        model: Folder of the checkpoint; the bundled one where None.
        environment: Further variables.

    Attributes:
        address: Where it answers.
        folder: Holds everything that the server writes.
        ready_after: Seconds from the start to the first answer.
    """

    def __init__(self, threads: int | None = None, model: str | None = None, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self._folder = tempfile.TemporaryDirectory(prefix="semtrack-benchmark-")
        self.folder = Path(self._folder.name)
        folders = {"TMPDIR": self._folder.name, "GRADIO_TEMP_DIR": str(self.folder / "gradio")}
        variables = os.environ | folders | {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
        variables |= {"OMP_NUM_THREADS": str(threads)} if threads else {}
        variables |= {"SEMTRACK_MODEL": model} if model else {}
        self.log = (self.folder / "log.txt").open("w+")
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=variables | environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait(began)
        except BaseException:
            self.stop()
            raise
        self.ready_after = time.perf_counter() - began

    def _wait(self, began: float) -> None:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.address}/config", timeout=START_PATIENCE).is_success:
                    return
            if self.process.poll() is not None or time.perf_counter() - began > START_PATIENCE:
                raise RuntimeError(f"app.py does not answer; it said:\n{self.said()}")
            time.sleep(0.1)

    def said(self) -> str:
        """What it has written to its output so far."""
        return Path(self.log.name).read_text(errors="replace")

    def cpu_seconds(self) -> float:
        """Processor seconds of all its threads so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> float:
        """Resident memory in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MIB

    def files(self) -> list[str]:
        """What lies in its folders, without its own log."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and path.name != "log.txt")
        return sorted(str(path.relative_to(self.folder)) for path in found)

    def stop(self) -> None:
        """Ends the process and deletes its folders."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self._folder.cleanup()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


class Answer(NamedTuple):
    """A message of the server about an event.

    Attributes:
        kind: "estimation", "process_starts", "process_generating" or "process_completed".
        after: Seconds since the event was sent.
        outputs: Values by component id where the message has any.
        message: As it came.
    """

    kind: str
    after: float
    outputs: dict[int, Any]
    message: dict


class Refused(Exception):
    """The page shows this message."""


class Tab:
    """A tab with the page: it keeps what its components show, and sends it with every event.

    Args:
        server: Whose page it shows.
    """

    def __init__(self, server: Server) -> None:
        self.server, self.session = server, uuid.uuid4().hex[:12]
        self._http = httpx.Client(base_url=server.address, timeout=PATIENCE)
        self._config = self._http.get("/config").json()
        self._components = {c["id"]: c for c in self._config["components"]}
        self.values = {c["id"]: c["props"].get("value") for c in self._config["components"]}
        self._heartbeat = http.client.HTTPConnection(urlsplit(server.address).netloc)
        self._heartbeat.request("GET", f"/gradio_api/heartbeat/{self.session}")

    def leave(self) -> None:
        """Closes the tab."""
        self._heartbeat.sock.shutdown(socket.SHUT_RDWR)
        self._heartbeat.close()
        self._http.close()

    def component(self, name: str) -> int:
        """The id of the component with this `elem_id`, label or button text."""
        for component in self._components.values():
            props = component["props"]
            if name in (props.get("elem_id"), props.get("label")) or (
                component["type"] == "button" and props.get("value") == name
            ):
                return component["id"]
        raise KeyError(name)

    def value(self, name: str) -> Any:
        """What a component shows."""
        return self.values[self.component(name)]

    def upload(self, path: str | Path) -> dict:
        """Sends a file, as the page's upload field does; what is then sent along with events.

        Raises:
            Refused: If the server does not take it.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                reply = self._http.post("/gradio_api/upload", files={"files": (path.name, file, "video/mp4")})
        except httpx.TransportError as error:
            raise Refused("the server hung up in the middle of the upload") from error
        if not reply.is_success:
            raise Refused(reply.text)
        return {"path": reply.json()[0], "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}

    def open(self, path: str | Path) -> list[Answer]:
        """Uploads a video and waits for its first frame."""
        self.values[self.component("upload")] = self.upload(path)
        return list(self.act("upload", "input"))

    def click(self, x: float, y: float) -> list[Answer]:
        """Clicks on a place, in pixels of the video, and waits for the box."""
        self.values[self.component(ACROSS)], self.values[self.component(DOWN)] = x, y
        return self.press(CLICK_THERE)

    def press(self, button: str) -> list[Answer]:
        """Presses a button and waits until all is done."""
        return list(self.act(button, "click"))

    def size(self) -> tuple[int, int]:
        """(width, height) of the opened video, as the page tells it."""
        width, height = re.search(r"(\d+)x(\d+)", self.value("status")).groups()
        return int(width), int(height)

    def act(self, name: str, event: str, details: dict | None = None) -> Iterator[Answer]:
        """Triggers an event and follows it to its end, and then what follows from it.

        Raises:
            Refused: If the page shows an error.
        """
        component = self.component(name)
        began, handlers = time.perf_counter(), self._config["dependencies"]
        (handler,) = [d for d in handlers if [component, event] in map(list, d["targets"])]
        while handler is not None:
            yield from self._trigger(component, handler, details, began)
            handler = next((d for d in handlers if d["trigger_after"] == handler["id"]), None)

    def _trigger(self, component: int, handler: dict, details: dict | None, began: float) -> Iterator[Answer]:
        body = {
            "data": [self.values.get(i) for i in handler["inputs"]],
            "event_data": details,
            "fn_index": handler["id"],
            "trigger_id": component,
            "session_hash": self.session,
        }
        reply = self._http.post("/gradio_api/queue/join", json=body)
        if not reply.is_success:
            raise Refused(reply.json().get("detail", reply.text))
        if not handler["queue"]:
            return
        yield from self._follow(reply.json()["event_id"], handler["outputs"], began)

    def _follow(self, event_id: str, outputs: list[int], began: float) -> Iterator[Answer]:
        stream = self._http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session})
        shown: list[Any] | None = None
        with stream as reply:
            for line in reply.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("event_id") != event_id:
                    continue
                kind, data = message["msg"], (message.get("output") or {}).get("data")
                if kind == "process_generating" and shown is not None:
                    data = [apply_diff(old, difference) for old, difference in zip(shown, data)]
                shown = data if kind == "process_generating" else shown
                if kind == "process_completed" and not message["success"]:
                    raise Refused((message["output"] or {}).get("error") or "the server says no more than 'Error'")
                changed = self._take_in(outputs, data or [])
                yield Answer(kind, time.perf_counter() - began, changed, message)
                if kind == "process_completed":
                    return

    def _take_in(self, outputs: list[int], data: list[Any]) -> dict[int, Any]:
        """Shows what has come; the values that have changed."""
        changed = {}
        for component, value in zip(outputs, data):
            if isinstance(value, dict) and value.get("__type__") == "update":
                if "value" not in value:
                    continue
                value = value["value"]
            self.values[component] = changed[component] = value
        return changed

    def fetch(self, value: dict) -> bytes:
        """The bytes of a shown picture or file."""
        return self._http.get(
            value["url"] if value["url"].startswith("http") else f"/gradio_api/file={value['path']}"
        ).content
