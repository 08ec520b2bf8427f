"""What the server keeps for each visitor beside the page's own state: a folder and a run, until they expire."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .app_run import Run
from .app_video import forget_frames

LIFETIME = 1800.0  # seconds without a sign of life


@dataclass
class Visitor:
    """One visitor's belongings.

    Attributes:
        folder: For the video and the files made from it; deleted with the visitor.
        used: When the visitor was last seen, in seconds of the store's clock.
        run: The tracker, or None before a video is chosen.
        stop: Set to stop the run.
    """

    folder: Path
    used: float
    run: Run | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    working: threading.Lock = field(default_factory=threading.Lock)


class Visitors:
    """Visitors by key. Sessions hold networks' states, which a page's state should not copy.

    Args:
        lifetime: Seconds after which a silent visitor is forgotten.
        clock: Seconds that rise.
    """

    def __init__(self, lifetime: float = LIFETIME, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime, self._clock = lifetime, clock
        self._visitors: dict[str, Visitor] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._visitors)

    def get(self, key: str) -> Visitor:
        """The visitor with this key, made when it is new; forgets those who have expired."""
        self.sweep()
        with self._lock:
            if key not in self._visitors:
                self._visitors[key] = Visitor(Path(tempfile.mkdtemp(prefix="semtrack-visitor-")), self._clock())
            visitor = self._visitors[key]
            visitor.used = self._clock()
            return visitor

    def close(self, key: str) -> None:
        """Stops a visitor's run and deletes everything of theirs; unknown keys are ignored."""
        with self._lock:
            visitor = self._visitors.pop(key, None)
        if visitor is not None:
            visitor.stop.set()
            visitor.run = None
            shutil.rmtree(visitor.folder, ignore_errors=True)
            forget_frames()

    def sweep(self) -> None:
        """Forgets the visitors who have expired; those whose run works are left alone."""
        now = self._clock()
        with self._lock:
            expired = [
                key
                for key, visitor in self._visitors.items()
                if now - visitor.used > self._lifetime and not visitor.working.locked()
            ]
        for key in expired:
            self.close(key)

    @contextmanager
    def at_work(self, key: str) -> Iterator[Visitor]:
        """The visitor, for a block during which nothing else may change their run.

        Raises:
            ValueError: If their run already works, or they have no video.
        """
        visitor = self.get(key)
        if visitor.run is None:
            raise ValueError("there is no video yet, or it has expired: choose one first")
        if not visitor.working.acquire(blocking=False):
            raise ValueError("a run of yours is still working: wait for its end, or press Stop")
        try:
            visitor.stop.clear()
            yield visitor
        finally:
            visitor.used = self._clock()
            visitor.working.release()


def adopt(path: Path, folder: Path) -> Path:
    """A name of our own for an uploaded file, so that it stays as long as its visitor: a link, or else a copy."""
    own = folder / f"video{path.suffix.lower()}"
    own.unlink(missing_ok=True)
    try:
        os.link(path, own)
    except OSError:
        shutil.copyfile(path, own)
    return own
