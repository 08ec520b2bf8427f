"""VidVRD and VidOR from the Hugging Face Hub, for users who ask for it."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import huggingface_hub

from dataset_script import media
from dataset_script.sources.reading import SourceError


class Archive(NamedTuple):
    """Where the files of a kind of archive belong.

    Attributes:
        name: Pattern of the archive's name.
        suffix: Of the files that count; others are left in it.
        folder: Where they go, relative to the source's folder; may refer to groups of ``name``.
        parts: How many of the last parts of their paths are kept; what lies above them differs between
            archives.
    """

    name: str
    suffix: str
    folder: str
    parts: int


class Repository(NamedTuple):
    """A data set on the Hub and its archives."""

    id: str
    archives: tuple[Archive, ...]


REPOSITORIES = {
    "vidvrd": Repository(
        "shangxd/imagenet-vidvrd",
        (Archive(r".*annotations.*\.zip", ".json", ".", 2), Archive(r".*videos.*\.zip", ".mp4", "videos", 1)),
    ),
    "vidor": Repository(
        "shangxd/vidor",
        (
            Archive(r"(training|validation)-annotation.*\.zip", ".json", r"\1", 2),
            Archive(r".*-video.*\.zip", ".mp4", "video", 2),
        ),
    ),
}


def download(source: str, data_dir: str | Path) -> Path:
    """Downloads a source from the Hub and unpacks it as its reader expects it; continues where it was cut off.

    The archives stay, so that a second call downloads nothing: twice the size of the source is needed
    (VidVRD 2 x 4.5 GB; VidOR some hundred GB).

    Args:
        source: ``"vidvrd"`` or ``"vidor"``.
        data_dir: The folder to fill.

    Returns:
        The folder.

    Raises:
        ValueError: If the source is not on the Hub.
        SourceError: If it cannot be downloaded, or an archive is damaged or holds other files than expected.
    """
    if source not in REPOSITORIES:
        raise ValueError(f"only {' and '.join(REPOSITORIES)} can be downloaded, got {source!r}; see its home page")
    repository, folder = REPOSITORIES[source], Path(data_dir)
    try:
        huggingface_hub.snapshot_download(repo_id=repository.id, repo_type="dataset", local_dir=folder)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        url = f"https://huggingface.co/datasets/{repository.id}"
        why = f"cannot be downloaded ({reason}); check the connection, or download it by hand into '{folder}'"
        raise SourceError(url, why) from error
    for path in sorted(folder.glob("*.zip")):
        for archive in repository.archives:
            found = re.fullmatch(archive.name, path.name)
            if found:
                _unpack(path, archive, folder / found.expand(archive.folder))
                break
    return folder


def _unpack(path: Path, archive: Archive, folder: Path) -> None:
    """Unpacks what is not there yet."""
    try:
        with zipfile.ZipFile(path) as file:
            members = list(_members(file, archive))
            if not members:
                held = ", ".join(file.namelist()[:6]) or "nothing"
                raise SourceError(path, f"expected *{archive.suffix} files, found {held}")
            for info, place in members:
                target = folder / place
                if target.is_file() and target.stat().st_size == info.file_size:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with (
                    media.atomic_path(target) as temporary,
                    file.open(info) as packed,
                    temporary.open("wb") as unpacked,
                ):
                    shutil.copyfileobj(packed, unpacked)
    except zipfile.BadZipFile as error:
        why = f"not a whole zip file ({error}); remove it and download again"
        raise SourceError(path, why) from error


def _members(file: zipfile.ZipFile, archive: Archive) -> Iterator[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """Members of the wanted kind and where each goes, relative to the folder."""
    for info in file.infolist():
        parts = PurePosixPath(info.filename).parts[-archive.parts :]
        hidden = any(part.startswith(".") for part in parts)  # also "..", which would lead out of the folder
        if not hidden and not info.is_dir() and info.filename.lower().endswith(archive.suffix):
            yield info, PurePosixPath(*parts)
