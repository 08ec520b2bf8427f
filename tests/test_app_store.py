"""Visitors are kept apart, and forgotten with everything that is theirs."""

import threading

import pytest

from modeling_semtrack.app_store import Visitors, adopt


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_visitors_have_folders_of_their_own():
    visitors = Visitors()
    one, other = visitors.get("one"), visitors.get("other")
    assert one is visitors.get("one") and one.folder != other.folder and one.folder.is_dir()
    for key in ("one", "other", "nobody"):
        visitors.close(key)
    assert len(visitors) == 0 and not one.folder.exists() and not other.folder.exists()


def test_silent_visitors_expire_unless_their_run_works():
    """A sign of life counts from its moment."""
    clock = Clock()
    visitors = Visitors(lifetime=10, clock=clock)
    silent, working, lively = (visitors.get(key) for key in ("silent", "working", "lively"))
    working.run = object()
    with visitors.at_work("working"):
        clock.now = 6
        visitors.get("lively")
        clock.now = 12
        visitors.sweep()
        assert not silent.folder.exists() and working.folder.exists() and lively.folder.exists()
        clock.now = 30
    clock.now = 39
    visitors.sweep()
    assert working.folder.exists() and not lively.folder.exists()
    visitors.close("working")


def test_leaving_stops_the_run():
    visitors = Visitors()
    visitor = visitors.get("one")
    visitors.close("one")
    assert visitor.stop.is_set() and visitor.run is None


def test_one_run_at_a_time_for_each_visitor():
    visitors = Visitors()
    with pytest.raises(ValueError, match="choose one first"), visitors.at_work("one"):
        pass
    visitors.get("one").run = visitors.get("other").run = object()
    with visitors.at_work("one"):
        with pytest.raises(ValueError, match="still working"), visitors.at_work("one"):
            pass
        with visitors.at_work("other"):
            pass
    with visitors.at_work("one") as visitor:
        assert not visitor.stop.is_set()
    for key in ("one", "other"):
        visitors.close(key)


def test_visitors_may_come_from_many_threads():
    visitors = Visitors()
    threads = [threading.Thread(target=visitors.get, args=(str(number % 5),)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(visitors) == 5
    for number in range(5):
        visitors.close(str(number))


def test_an_adopted_file_outlives_the_upload(tmp_path):
    upload, folder = tmp_path / "x.MP4", tmp_path / "own"
    folder.mkdir()
    for content in (b"one", b"two"):
        upload.write_bytes(content)
        own = adopt(upload, folder)
        upload.unlink()
        assert own == folder / "video.mp4" and own.read_bytes() == content
