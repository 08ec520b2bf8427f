"""Videos and safe writing for the readers of data: `modeling_semtrack`'s own, imported when they are first used.

Importing anything of that package imports the model and its libraries, since its door registers the model with the
Auto classes: several seconds, and some 130 MB on top of what a stream of `datasets` takes, which reading annotations
needs none of. Use these as attributes, ``media.VideoReader(path)``: importing a name from here imports the package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modeling_semtrack.files import OutputError, atomic_path
    from modeling_semtrack.video import VideoError, VideoReader, VideoWriter

__all__ = ["OutputError", "VideoError", "VideoReader", "VideoWriter", "atomic_path"]

HOMES = {"OutputError": "files", "atomic_path": "files"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"modeling_semtrack.{HOMES.get(name, 'video')}"), name)
