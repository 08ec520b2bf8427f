"""What all source adapters share: errors with file and position, tables, folders, passing over what is broken."""

import bz2
import pickle

import pytest
from source_files import cut_short, error_of, write_json

from dataset_script.sources.reading import (
    Broken,
    SourceError,
    expect_files,
    expect_folder,
    find_splits,
    integer,
    name,
    number,
    pick_splits,
    read_each,
    read_json,
    read_table,
    tolerating,
    value,
)
from dataset_script.sources.row_groups import RowGroups

COLUMNS = {"video": name, "second": integer(0), "x": number(0, 1), "action": integer(1)}


def half(entry):
    if entry % 2:
        raise ValueError(f"{entry} is odd")
    return entry // 2


def where(entry):
    return f"entry {entry}"


def test_a_broken_entry_raises_with_its_position():
    assert error_of(read_each([2, 3], half, None, where)) == "entry 3: 3 is odd"


def test_in_skip_mode_broken_entries_are_listed_and_the_others_read():
    broken = []
    assert list(read_each([2, 3, 4, 5], half, broken, where)) == [1, 2]
    assert broken == [Broken("entry 3", "3 is odd"), Broken("entry 5", "5 is odd")]


def test_the_innermost_position_wins():
    broken = []
    with tolerating(broken, "file"):
        raise SourceError("'file', line 3", "why")
    assert broken == [Broken("'file', line 3", "why")]


def test_other_errors_are_not_taken_for_broken_data():
    with pytest.raises(ZeroDivisionError):
        list(read_each([0], lambda entry: 1 / entry, [], where))


def test_an_error_survives_the_way_back_from_a_worker_process():
    error = pickle.loads(pickle.dumps(SourceError("'a', line 1", "b")))
    assert (error.where, error.why, str(error)) == ("'a', line 1", "b", "'a', line 1: b")


def test_truncated_json_is_reported_with_file_line_and_column(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1,\n "b": [1, 2')
    with pytest.raises(SourceError, match=r"a\.json', line 2, column 12: not complete JSON .* cut short"):
        read_json(path)


def test_json_of_another_kind_is_refused(tmp_path):
    path = write_json(tmp_path / "a.json", [1])
    with pytest.raises(SourceError, match="expected dict at the top level, got list"):
        read_json(path)


def test_a_missing_file_is_reported_with_what_lies_in_its_place(tmp_path):
    (tmp_path / "b.json").touch()
    with pytest.raises(SourceError, match=r"a\.json': there is no such file; .* holds b\.json"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("data, why", [
    ({}, "misses 'n'; it has no fields"),
    ({"n": "3"}, "expected 'n' to be int, got '3'"),
    ({"n": True}, "expected 'n' to be int, got True"),
    ([], r"expected an object with 'n', got \[\]"),
])  # fmt: skip
def test_a_field_must_be_there_and_of_its_kind(data, why):
    with pytest.raises(SourceError, match=f"here: {why}"):
        value(data, "n", int, "here")


def test_a_whole_number_is_a_float_too():
    assert value({"fps": 30}, "fps", float, "here") == 30


def test_a_table_is_read_by_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("b,0902,0.5,12\n\nc,0903,1,9\n")
    assert list(read_table(path, COLUMNS)) == [
        {"video": "b", "second": 902, "x": 0.5, "action": 12},
        {"video": "c", "second": 903, "x": 1.0, "action": 9},
    ]


@pytest.mark.parametrize("line, why", [
    ("b,0.5,12", r"line 2: expected 4 cells \(video, second, x, action\), got 3"),
    ("b,7,0902,0.5,12", "line 2: expected 4 cells .* got 5"),
    ("b,0.5,12,1", r"line 2, column 2 \(second\): expected an integer .* got '0.5'; is a column shifted"),
    ("b,902,12,0.5", r"line 2, column 3 \(x\): expected a number within \[0, 1\], got '12'"),
    ("b,902,nan,1", r"line 2, column 3 \(x\): expected a number"),
    (" ,902,0.5,1", r"line 2, column 1 \(video\): expected a name"),
])  # fmt: skip
def test_a_shifted_column_is_reported_with_line_and_column(tmp_path, line, why):
    path = tmp_path / "a.csv"
    path.write_text(f"b,0902,0.5,12\n{line}\nc,0903,1,9\n")
    with pytest.raises(SourceError, match=why):
        list(read_table(path, COLUMNS))
    broken = []
    assert len(list(read_table(path, COLUMNS, broken=broken))) == 2
    assert len(broken) == 1


def test_a_header_must_name_the_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("second,video,x,action\nb,0902,0.5,12\n")
    with pytest.raises(SourceError, match="line 1: expected the header video,second,x,action, got second,video"):
        list(read_table(path, COLUMNS, header=True))


def test_a_compressed_table_that_breaks_off_is_reported(tmp_path):
    path = tmp_path / "a.bz2"
    path.write_bytes(bz2.compress(b"b,0902,0.5,12\n" * 1000))
    assert len(list(read_table(path, COLUMNS))) == 1000
    with pytest.raises(SourceError, match="not a readable table"):
        list(read_table(cut_short(path), COLUMNS))


def test_a_wrong_folder_is_reported_with_what_was_expected_and_found(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "readme.txt").touch()
    with pytest.raises(SourceError, match=r"expected the tables \(\*\.csv\), found images/, readme\.txt"):
        expect_files(tmp_path, "*.csv", "the tables")
    with pytest.raises(SourceError, match=r"nowhere': expected a folder with the tables, .* holds images/, readme"):
        expect_folder(tmp_path / "nowhere", "the tables")
    with pytest.raises(SourceError, match=r"readme\.txt': expected a folder with the tables, found a file"):
        expect_folder(tmp_path / "readme.txt", "the tables")


def test_all_splits_that_are_there_are_found_and_a_missing_one_is_reported(tmp_path):
    (tmp_path / "annotation" / "training").mkdir(parents=True)
    places = {"train": ("training", "annotation/training"), "validation": ("validation",)}
    assert find_splits(tmp_path, None, places, "annotations") == {"train": tmp_path / "annotation" / "training"}
    with pytest.raises(SourceError, match=r"expected annotations \(validation\), found annotation/"):
        find_splits(tmp_path, "validation", places, "annotations")


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split must be one of train, test or None for all, got 'val'"):
        pick_splits("val", {"train": 1, "test": 2})
    with pytest.raises(ValueError, match="has no splits: split must be None, got 'val'"):
        pick_splits("val", {})


def test_rows_are_found_by_key_however_they_are_ordered(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffb,1\r\nb,2\r\n\r\nä,3\r\nb,4".encode())
    groups = RowGroups(path)
    assert list(groups) == ["b", "ä"]
    assert [row.cells for row in groups.rows("b")] == [["b", "1"], ["b", "2"], ["b", "4"]]
    assert [row.where[-6:] for row in groups.rows("b")] == ["line 1", "line 2", "line 5"]
    assert groups.rows("c") == []


def test_grouped_rows_must_have_their_key(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("class,id\nArchery,a\nbroken\n")
    with pytest.raises(SourceError, match="line 3: expected 2 columns or more"):
        RowGroups(path, column=1, header=True)
