"""YFCC100M. No row of its table is at hand: rows are made in the published form of 25 columns, around the names that
VidOR and TAO give their videos and the author whom TAO states."""

import bz2
import json

import pytest
from source_files import error_of, place, write_json

from dataset_script.sources.reading import SourceError
from dataset_script.sources.vidor import read_vidor
from dataset_script.sources.yfcc100m import join_yfcc100m, read_yfcc100m, read_yfcc_rows, yfcc_key

FISH = "3598080384"
TAO_VIDEO = "train/YFCC100M/v_f69ebe5b731d3e87c1a3992ee39c3b7e"
TAO_HASH = "f69ebe5b731d3e87c1a3992ee39c3b7e"
LICENSE = ("Attribution-ShareAlike License", "http://creativecommons.org/licenses/by-sa/2.0/")


def row(identifier="1", hash_="ab", user=("1@N00", "somebody"), title="", kind="1", longitude="4.9"):
    page = f"http://www.flickr.com/photos/{user[0]}/{identifier}/"
    cells = ["7", identifier, hash_, *user, "2009-06-01 10:00:00.0", "1244000000", "Canon+PowerShot", title]
    cells += ["", "bike,red+light", "", longitude, "52.4" if longitude else "", "16" if longitude else "", page, page]
    return "\t".join([*cells, *LICENSE, "3373", "4", "s1", "s2", "mov", kind])


@pytest.fixture
def yfcc(shared_data, tmp_path):
    """VidOR's stingray and TAO's excerpt with a table in two parts."""
    source = shared_data / "annotations"
    place(source / "vidor" / f"{FISH}.json", tmp_path / "vidor" / "validation" / "0001" / f"{FISH}.json")
    excerpt = json.loads((source / "tao" / "ann.json").read_text())
    excerpt["categories"] = json.loads((source / "tao" / "tao_categories.json").read_text())
    other = {**excerpt["videos"][0], "id": 5, "name": "train/AVA/a"}
    images = [{**image, "id": image["id"] + 50, "video_id": 5} for image in excerpt["images"]]
    changes = {"videos": [*excerpt["videos"], other], "images": [*excerpt["images"], *images]}
    write_json(tmp_path / "tao" / "annotations" / "train.json", {**excerpt, **changes})
    table(tmp_path / "yfcc100m_dataset-0.bz2", row(), row(FISH, "cd", title="Sting+ray%2C+diver", longitude=""))
    author = ("22634709@N00", "Amsterdamized")
    table(tmp_path / "yfcc100m_dataset-1.bz2", row("34", TAO_HASH, user=author, title='a "quoted'), row("35"))
    return tmp_path


def table(path, *rows):
    path.write_bytes(bz2.compress("".join(f"{r}\n" for r in rows).encode()))


def test_vidor_joins_by_identifier_and_tao_by_hash(yfcc):
    fish, cyclist = read_yfcc100m(yfcc)
    assert (fish.video_id, fish.source, len(fish.interactions)) == (FISH, "vidor", 4)
    assert fish.metadata["yfcc100m"]["title"] == "Sting ray, diver"
    assert fish.metadata["yfcc100m"]["longitude"] is None
    assert (cyclist.video_id, cyclist.source, cyclist.interactions) == (TAO_VIDEO, "tao", None)
    flickr = cyclist.metadata["yfcc100m"]
    assert flickr["user"] == cyclist.metadata["username"] == "Amsterdamized"
    assert flickr["user_id"] == cyclist.metadata["user_id"]
    assert (flickr["license"], flickr["license_url"]) == LICENSE
    assert (flickr["title"], flickr["tags"], flickr["kind"]) == ('a "quoted', ["bike", "red light"], "video")
    assert (flickr["longitude"], flickr["latitude"], flickr["accuracy"]) == (4.9, 52.4, 16)
    json.dumps(flickr)


def test_splits_are_those_of_vidor_and_tao(yfcc):
    assert [record.video_id for record in read_yfcc100m(yfcc, "validation")] == [FISH]
    assert [record.video_id for record in read_yfcc100m(yfcc, "train")] == [TAO_VIDEO]
    assert "expected the split 'test' of VidOR or TAO, found train, validation" in error_of(read_yfcc100m(yfcc, "test"))


def test_only_wanted_rows_are_kept(yfcc):
    assert list(read_yfcc_rows(yfcc, [FISH, "nobody"])) == [FISH]


def test_records_keep_what_they_say_and_are_not_changed_in_place(yfcc):
    (before,) = read_vidor(yfcc / "vidor")
    (after,) = join_yfcc100m([before], {FISH: {"title": "x"}})
    assert after.metadata == {**before.metadata, "yfcc100m": {"title": "x"}}
    assert "yfcc100m" not in before.metadata
    assert after.targets == before.targets


@pytest.mark.parametrize("video, key", [(FISH, FISH), (TAO_VIDEO, TAO_HASH)])
def test_a_video_is_named_by_identifier_or_hash(video, key):
    assert yfcc_key(video) == key


def test_a_video_without_a_row_is_reported_and_skipped(yfcc):
    (yfcc / "yfcc100m_dataset-0.bz2").unlink()
    assert f"video '{FISH}': points nowhere: the table has no row of '{FISH}'" in error_of(read_yfcc100m(yfcc))
    broken = []
    assert [record.video_id for record in read_yfcc100m(yfcc, broken=broken)] == [TAO_VIDEO]
    assert len(broken) == 1


@pytest.mark.parametrize("line, why", [
    (row(FISH, "cd").replace("Canon+PowerShot\t", ""), "line 2: expected 25 cells"),
    (row(FISH, "cd", longitude="200"), r"line 2, column 13 \(longitude\): expected a number within \[-180, 180\]"),
    (row(FISH, "cd", kind="mov"), r"line 2, column 25 \(kind\): expected 0 \(photo\) or 1 \(video\), got 'mov'"),
    ("1 2 3", "line 2: expected 25 cells .* got 1"),
])  # fmt: skip
def test_a_shifted_column_is_reported_with_file_and_line(yfcc, line, why):
    table(yfcc / "yfcc100m_dataset-0.bz2", row(), line)
    with pytest.raises(SourceError, match=f"yfcc100m_dataset-0.bz2', {why}"):
        read_yfcc_rows(yfcc, [FISH])
    broken = []
    assert read_yfcc_rows(yfcc, [FISH], broken) == {}
    assert len(broken) == 1


def test_a_missing_table_and_missing_sets_are_reported(yfcc, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    assert "expected a folder vidor/ or tao/, found nothing" in error_of(read_yfcc100m(empty))
    for path in yfcc.glob("*.bz2"):
        path.unlink()
    assert "expected the table of YFCC100M (yfcc100m_dataset*), found tao/, vidor/" in error_of(read_yfcc100m(yfcc))
