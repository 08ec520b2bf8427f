"""The demo computes in one thread, and gives memory back."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from modeling_semtrack.app_work import compute, return_memory, share_heaps


def test_many_callers_share_one_thread():
    """And each gets its own result."""
    used = set()

    def square(number):
        used.add(threading.current_thread().name)
        return number**2

    with ThreadPoolExecutor(16) as callers:
        assert list(callers.map(lambda number: compute(square, number), range(64))) == [n**2 for n in range(64)]
    assert len(used) == 1 and used.pop().startswith("semtrack")


def test_errors_reach_the_caller():
    with pytest.raises(ValueError, match="this one"):
        compute(int, "this one")


def test_memory_may_be_tuned_anywhere():
    """Where the C library knows of no such thing, nothing happens."""
    share_heaps()
    return_memory()
