"""The demo computes in few threads, and gives memory back."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from modeling_semtrack.app_work import THREADS, compute, return_memory, share_heaps


def test_many_callers_share_few_threads():
    """And each gets its own result."""
    used = set()

    def square(number):
        used.add(threading.current_thread().name)
        return number**2

    with ThreadPoolExecutor(16) as callers:
        assert list(callers.map(lambda number: compute(square, number), range(64))) == [n**2 for n in range(64)]
    assert len(used) <= THREADS and all(name.startswith("semtrack") for name in used)


def test_errors_reach_the_caller():
    with pytest.raises(ValueError, match="this one"):
        compute(int, "this one")


def test_memory_may_be_tuned_anywhere():
    """Where the C library knows of no such thing, nothing happens."""
    share_heaps()
    return_memory()
