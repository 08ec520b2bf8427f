"""What the server keeps for each visitor beside the page's own state: a folder and a run, until they expire."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from .app_run import Run
from .app_video import forget_frames
from .app_work import return_memory

LIFETIME = 1800.0  # seconds without a sign of life
GRACE = 45.0  # seconds for a tab that was closed to come back: phones drop connections
SWEEP_INTERVAL = 15.0  # seconds
FOLDER_PREFIX = "semtrack-visitor-"
PICTURES = 40  # of one kind that stay on disk for each visitor; browsers fetch them at once
JPEG_QUALITY = 85


class Upload(NamedTuple):
    """A file that a visitor has sent, and what tells it from a later one of the same name."""

    path: Path
    inode: int


@dataclass
class Visitor:
    """One visitor's belongings.

    Attributes:
        folder: For the video and the files made from it; deleted with the visitor.
        expires: When the visitor is forgotten, in seconds of the store's clock.
        run: The tracker, or None before a video is chosen.
        upload: The file that they uploaded, or None.
        stop: Set to stop the run.
        left: Set when the tab is closed.
    """

    folder: Path
    expires: float
    run: Run | None = None
    upload: Upload | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    working: threading.Lock = field(default_factory=threading.Lock)


class Visitors:
    """Visitors by key. Sessions hold networks' states, which a page's state should not copy.

    Args:
        lifetime: Seconds after which a silent visitor is forgotten.
        clock: Seconds that rise.
        parent: Where the visitors' folders go; the system's folder for temporary files by default.
    """

    def __init__(
        self,
        lifetime: float = LIFETIME,
        clock: Callable[[], float] = time.monotonic,
        parent: str | os.PathLike[str] | None = None,
    ) -> None:
        self._lifetime, self._clock, self._parent = lifetime, clock, parent
        self._visitors: dict[str, Visitor] = {}
        self._calls: dict[str, list[threading.Event]] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._closed = False

    def __len__(self) -> int:
        return len(self._visitors)

    def get(self, key: str) -> Visitor:
        """The visitor with this key, made when it is new; forgets those who have expired."""
        self.sweep()
        with self._lock:
            if key not in self._visitors:
                if self._parent is not None:
                    Path(self._parent).mkdir(parents=True, exist_ok=True)
                folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=self._parent))
                self._visitors[key] = Visitor(folder, 0.0)
            visitor = self._visitors[key]
            visitor.expires = self._clock() + self._lifetime
            visitor.left.clear()
            return visitor

    def leave(self, key: str) -> None:
        """Stops the run of a visitor whose tab was closed, and forgets them unless they soon come back."""
        with self._lock:
            for call in self._calls.get(key, ()):
                call.set()
            visitor = self._visitors.get(key)
            if visitor is not None:
                visitor.stop.set()
                visitor.left.set()
                visitor.expires = min(visitor.expires, self._clock() + GRACE)

    @contextmanager
    def calling(self, key: str) -> Iterator[threading.Event]:
        """For a block, an event that is set when a program with this key hangs up."""
        gone = threading.Event()
        with self._lock:
            self._calls.setdefault(key, []).append(gone)
        try:
            yield gone
        finally:
            with self._lock:
                self._calls[key].remove(gone)
                if not self._calls[key]:
                    del self._calls[key]

    def close(self, key: str) -> None:
        """Stops a visitor's run and deletes everything of theirs; unknown keys are ignored."""
        with self._lock:
            visitor = self._visitors.pop(key, None)
        if visitor is None:
            return
        visitor.stop.set()
        visitor.left.set()
        visitor.run = None
        shutil.rmtree(visitor.folder, ignore_errors=True)
        self._delete_upload(visitor.upload)
        forget_frames(visitor.folder)
        self._closed = True

    def claim(self, key: str, upload: Path) -> None:
        """Says that a file is a visitor's upload, to be deleted with them or when they upload another one."""
        visitor = self.get(key)
        with self._lock:
            before, visitor.upload = visitor.upload, Upload(upload, upload.stat().st_ino)
        self._delete_upload(before)

    def _delete_upload(self, upload: Upload | None) -> None:
        """Deletes a file, unless it is someone else's too: equal uploads have one name, and the later one stays."""
        with self._lock:
            claimed = any(upload == other.upload for other in self._visitors.values())
        if upload is not None and not claimed:
            with suppress(FileNotFoundError):
                if upload.path.stat().st_ino == upload.inode:
                    _delete(upload.path)

    def sweep(self) -> None:
        """Forgets the visitors who have expired; those whose run works are left alone."""
        now = self._clock()
        with self._lock:
            expired = [k for k, v in self._visitors.items() if now > v.expires and not v.working.locked()]
        for key in expired:
            self.close(key)

    def sweep_forever(self, interval: float = SWEEP_INTERVAL) -> None:
        """Has expired visitors and files of nobody forgotten from now on, also while nobody else comes."""

        def work() -> None:
            while True:
                time.sleep(interval)
                self.sweep()
                if self._parent is not None:
                    delete_stale(Path(self._parent), self._lifetime)
                if self._closed:
                    self._closed = False
                    return_memory()

        threading.Thread(target=work, name="sweep", daemon=True).start()

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
            with self._lock:
                if not visitor.left.is_set():
                    visitor.expires = self._clock() + self._lifetime
            visitor.working.release()

    def picture(self, key: str, image: np.ndarray | Image.Image, kind: str = "picture") -> str:
        """Writes a picture for the page into the visitor's folder, and deletes old ones of its kind.

        Args:
            key: Of the visitor.
            image: uint8 RGB [height, width, 3], or a drawing.
            kind: The first word of the file's name.

        Returns:
            The path of a JPEG (of a drawing: PNG) file with a new name, so that browsers fetch it.
        """
        with self._lock:
            visitor = self._visitors.get(key)
        folder = (visitor or self.get(key)).folder  # one who has left has left, whatever their run still shows
        number = next(self._numbers)
        if isinstance(image, Image.Image):
            path = folder / f"{kind}-{number:09}.png"
            image.save(path)
        else:
            path = folder / f"{kind}-{number:09}.jpg"
            Image.fromarray(image).save(path, quality=JPEG_QUALITY)
        for old in sorted(folder.glob(f"{kind}-*"))[:-PICTURES]:
            old.unlink(missing_ok=True)
        return str(path)


def adopt(path: Path, folder: Path) -> Path:
    """A name of our own for an uploaded file, so that it stays as long as its visitor: a link, or else a copy.

    The name is new each time, and older ones in the folder are deleted.
    """
    older = list(folder.glob("video-*"))
    own = folder / f"video-{time.time_ns()}{path.suffix.lower()}"
    try:
        os.link(path, own)
    except OSError:
        shutil.copyfile(path, own)
    for video in older:
        video.unlink(missing_ok=True)
    return own


def delete_stale(folder: Path, age: float) -> None:
    """Deletes files of nobody, such as broken-off uploads, that have not been touched for some time.

    Args:
        folder: Of the uploads; visitors' folders in it are left alone.
        age: Seconds.
    """
    oldest = time.time() - age
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if not any(part.startswith(FOLDER_PREFIX) for part in path.relative_to(folder).parts):
            with suppress(OSError):
                if path.lstat().st_ctime < oldest:
                    _delete(path)


def _delete(path: Path) -> None:
    """Deletes a file, and its folder if nothing else is in it."""
    path.unlink(missing_ok=True)
    with suppress(OSError):
        path.parent.rmdir()
