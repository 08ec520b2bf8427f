"""Outputs are either complete or not there at all."""

import os
import stat

import pytest

from modeling_semtrack.files import OutputError, atomic_path


def test_the_file_appears_under_its_name_only_when_the_block_ends(tmp_path):
    target = tmp_path / "result.json"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".json" and temporary != target
        temporary.write_text("{}")
        assert not target.exists()
    assert target.read_text() == "{}"
    assert os.listdir(tmp_path) == ["result.json"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_no_trace_and_the_old_file_as_it_was(tmp_path, error):
    target = tmp_path / "result.json"
    target.write_text("old")
    with pytest.raises(error), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_permissions_are_those_of_any_new_file_or_of_the_replaced_one(tmp_path):
    plain, target = tmp_path / "plain", tmp_path / "target"
    plain.touch()
    with atomic_path(target) as temporary:
        temporary.write_text("new")
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    target.chmod(0o640)
    with atomic_path(target) as temporary:
        temporary.write_text("newer")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"


@pytest.mark.parametrize(
    ("name", "words"),
    [("folder", "it is a folder"), ("missing/x.json", "create it first"), ("file/x.json", "create it first")],
)
def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path, name, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=words) as caught, atomic_path(tmp_path / name):
        pytest.fail("the block must not run")
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_device_is_never_replaced():
    with pytest.raises(OutputError, match="device or pipe"), atomic_path(os.devnull):
        pytest.fail("the block must not run")


def test_a_name_that_the_system_refuses_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="too long"), atomic_path(tmp_path / ("x" * 300)):
        pytest.fail("the block must not run")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_or_file_is_refused(tmp_path):
    (tmp_path / "file").touch(mode=0o444)
    with pytest.raises(OutputError, match="read-only"), atomic_path(tmp_path / "file"):
        pytest.fail("the block must not run")
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="Permission denied"), atomic_path(tmp_path / "new"):
        pytest.fail("the block must not run")
