"""Data for semantic tracking: one record type, adapters of published formats, a generator, checks.

:func:`load_semtrack` and :func:`register` are imported when they are asked for: they need the package `datasets`
(``pip install semtrack[data]``), and the records do not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataset_script.loading import load_semtrack, register

__all__ = ["load_semtrack", "register"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("dataset_script.loading"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
