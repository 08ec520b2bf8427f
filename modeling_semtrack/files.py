"""Outputs that are either complete or not there at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class OutputError(ValueError):
    """A file cannot be written; one line that names the path, the reason and the fix."""


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name to write to, and rename it onto ``path`` when the block ends well.

    The temporary file lies in the same folder, has the same suffix and exists (empty) from the start,
    so that an unwritable place shows before any work is done. When the block raises, the temporary file
    is removed and what stood at ``path`` before is untouched. A symbolic link is followed: its target is
    replaced, the link stays. A file that is replaced keeps its permissions.

    Args:
        path: The file to write.

    Yields:
        The temporary path.

    Raises:
        OutputError: If the folder is missing or not writable, or ``path`` is a folder, read-only or
            something else that is no plain file, or the final rename fails.

    Example:
        >>> with atomic_path("trajectory.json") as temporary:
        ...     temporary.write_text("{}")
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{uuid.uuid4().hex}{target.suffix}")
    _check_target(target, path)
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise OutputError(
            f"cannot write '{path}': {error.strerror} in folder '{target.parent}'; choose another folder"
        ) from error
    try:
        yield temporary
        _rename(temporary, target, path)
    finally:
        temporary.unlink(missing_ok=True)


def _check_target(target: Path, path: str | os.PathLike[str]) -> None:
    try:
        if target.is_dir():
            raise OutputError(f"cannot write '{path}': it is a folder; give a file name")
        if not target.parent.is_dir():
            raise OutputError(f"cannot write '{path}': there is no folder '{target.parent}'; create it first")
        if target.exists() and not target.is_file():
            raise OutputError(f"cannot write '{path}': it is a device or pipe; give the name of a plain file")
        if target.exists() and not os.access(target, os.W_OK):
            raise OutputError(f"cannot write '{path}': the file is read-only; remove it or choose another name")
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror}; choose another name") from error


def _rename(temporary: Path, target: Path, path: str | os.PathLike[str]) -> None:
    try:
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror}; choose another name") from error
