"""The one thread in which the demo computes, and the memory that it leaves behind.

A web server calls its handlers in dozens of threads. Computing there would give each of them arithmetic threads and
a heap of its own, and both stay. Two are too many already: as soon as there are more arithmetic threads than cores,
OpenMP puts them to sleep after every operation, and waking them takes up to a third of a lone visitor's time.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

M_ARENA_MAX = -8  # of glibc's <malloc.h>

Given = ParamSpec("Given")
Result = TypeVar("Result")

_pool = ThreadPoolExecutor(1, thread_name_prefix="semtrack")


def compute(function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """Calls a function in the computing thread and waits for its result; first come, first served."""
    return _pool.submit(function, *args, **kwargs).result()


def share_heaps(heaps: int = 2) -> None:
    """Lets all threads that start from now on share a few heaps (glibc; elsewhere nothing happens)."""
    mallopt = getattr(_libc(), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, heaps)


def return_memory() -> None:
    """Frees what is held in circles, and hands freed memory back to the system (the latter with glibc alone)."""
    gc.collect()
    malloc_trim = getattr(_libc(), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if os.name == "posix" else None
