"""Visitors are kept apart, and forgotten with everything that is theirs."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modeling_semtrack.app_store import GRACE, PICTURES, Visitors, adopt, delete_stale


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


def test_leaving_stops_the_run_at_once_and_deletes_everything_soon():
    """A tab that comes back in time, as phones' tabs do, finds everything in place."""
    clock = Clock()
    visitors = Visitors(lifetime=1000, clock=clock)
    gone, back = visitors.get("gone"), visitors.get("back")
    for key in ("gone", "back", "nobody"):
        visitors.leave(key)
    assert gone.stop.is_set() and back.stop.is_set()
    clock.now = 0.9 * GRACE
    assert visitors.get("back") is back
    clock.now = 1.1 * GRACE
    visitors.sweep()
    assert not gone.folder.exists() and gone.run is None and back.folder.exists()
    visitors.close("back")


def test_who_has_left_is_not_brought_back_by_what_their_run_still_does():
    """Its pictures, and its end, count as no sign of life."""
    clock = Clock()
    visitors = Visitors(lifetime=1000, clock=clock)
    visitor = visitors.get("one")
    visitor.run = object()
    with visitors.at_work("one"):
        visitors.leave("one")
        clock.now = GRACE + 1
        visitors.picture("one", np.zeros((4, 4, 3), np.uint8))
        visitors.sweep()
        assert visitor.folder.exists()
    visitors.sweep()
    assert not visitor.folder.exists() and len(visitors) == 0


def test_a_program_that_hangs_up_is_noticed():
    """By all of its calls, and by nobody else's."""
    visitors = Visitors()
    with visitors.calling("one") as first, visitors.calling("one") as second, visitors.calling("two") as other:
        visitors.leave("one")
        assert first.is_set() and second.is_set() and not other.is_set()
    with visitors.calling("one") as later:
        assert not later.is_set()


def test_an_upload_goes_with_the_last_one_who_uses_it(tmp_path):
    """Equal uploads of several visitors are one file."""
    upload, another = tmp_path / "hash" / "clip.mp4", tmp_path / "other" / "clip.mp4"
    for path in (upload, another):
        path.parent.mkdir()
        path.write_bytes(b"video")
    visitors = Visitors()
    visitors.claim("one", upload)
    visitors.claim("two", upload)
    visitors.close("one")
    assert upload.exists()
    visitors.claim("two", another)
    assert not upload.parent.exists() and another.exists()
    visitors.close("two")
    assert not another.parent.exists()


def test_an_upload_that_comes_again_is_not_deleted_with_the_first(tmp_path):
    """Whoever sends the same video while somebody else leaves still finds it: it has the same name."""
    upload, again = tmp_path / "clip.mp4", tmp_path / "sending"
    upload.write_bytes(b"video")
    visitors = Visitors()
    visitors.claim("one", upload)
    again.write_bytes(b"video")
    again.replace(upload)
    visitors.close("one")
    assert upload.read_bytes() == b"video"


def test_pictures_have_new_names_and_do_not_pile_up():
    visitors = Visitors()
    image = np.full((6, 8, 3), 200, np.uint8)
    drawing = visitors.picture("one", Image.fromarray(image), "timeline")
    paths = [visitors.picture("one", image) for _ in range(PICTURES + 5)]
    assert len(set(paths)) == len(paths) and Image.open(paths[-1]).size == (8, 6)
    assert sum(Path(path).exists() for path in paths) == PICTURES and Path(drawing).suffix == ".png"
    folder = visitors.get("one").folder
    visitors.close("one")
    assert not folder.exists()


def test_files_of_nobody_are_deleted_when_they_are_old(tmp_path):
    """Uploads that broke off, say; visitors' folders have a lifetime of their own."""
    visitors = Visitors(parent=tmp_path)
    own = visitors.get("one").folder / "video.mp4"
    stray = tmp_path / "hash" / "stray.mp4"
    stray.parent.mkdir()
    for path in (own, stray):
        path.write_bytes(b"video")
    delete_stale(tmp_path, age=100)
    assert stray.exists()
    delete_stale(tmp_path, age=-1)
    assert own.exists() and not stray.parent.exists()
    visitors.close("one")
    assert list(tmp_path.iterdir()) == []


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
    upload, folder, names = tmp_path / "x.MP4", tmp_path / "own", set()
    folder.mkdir()
    for content in (b"one", b"two"):
        upload.write_bytes(content)
        own = adopt(upload, folder)
        upload.unlink()
        assert list(folder.iterdir()) == [own] and own.suffix == ".mp4" and own.read_bytes() == content
        names.add(own)
    assert len(names) == 2  # what was kept of the first one is not taken for the second
