"""Lists in large JSON files, read element by element."""

import json
import tracemalloc

import pytest

from dataset_script.sources import json_lists
from dataset_script.sources.json_lists import ByVideo, scan_lists
from dataset_script.sources.reading import SourceError

DATA = {
    "info": {"name": "fünf", "lists": [1, [2, {"a": "]}"}]]},
    "count": 12,
    "empty": [],
    "rows": [{"id": 1, "video": "a", "text": 'ä€😀 "]}, {'}, {"id": 2, "video": "b"}, {"id": 3, "video": "a"}],
    "numbers": [1, 2.5, -3e7, None, True, "x"],
}


@pytest.mark.parametrize("window", [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"separators": (",", ":"), "ensure_ascii": False}])
def test_elements_are_those_of_the_json_module_whatever_the_window(tmp_path, monkeypatch, window, style):
    monkeypatch.setattr(json_lists, "WINDOW", window)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(DATA, **style), encoding="utf-8")
    content, names, found = path.read_bytes(), set(), {}
    for name, value, begin, end in scan_lists(path, names):
        found.setdefault(name, []).append(json.loads(content[begin:end]))
        assert isinstance(value, type(found[name][-1]))
    assert names == set(DATA)
    assert found == {"info": [DATA["info"]], "count": [12], "rows": DATA["rows"], "numbers": DATA["numbers"]}


def test_rows_of_a_video_are_read_on_their_own_in_the_files_order(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(DATA, ensure_ascii=False), encoding="utf-8-sig")
    rows = ByVideo(path)
    for name, value, begin, end in scan_lists(path):
        if name == "rows":
            rows.add(value["video"], begin, end)
    assert list(rows) == ["a", "b"]
    assert rows.rows("a") == [DATA["rows"][0], DATA["rows"][2]]
    assert rows.rows("c") == []


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"rows": [{"id": 1}, {"id"', r"byte 26: not a complete JSON file"),
        ('{"rows": [{"id": 1}', r"byte 19: not a complete JSON file \(it breaks off"),
        ('{"rows": [{"id": 1}]', r"byte 20: not a complete JSON file \(it breaks off"),
        ("", r"byte 0: not a complete JSON file"),
        ('{"rows": [{"id": 1} ; {"id": 2}]}', r"byte 20: not a complete JSON file \(Expecting value"),
        ('{"rows" 3}', r"byte 8: .*expected ':', got '3}'"),
        ("[1]", r"a.json': expected a JSON object of lists, got '\[1\]'"),
    ],
)
def test_a_damaged_file_is_named_with_the_byte(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(SourceError, match=message) as error:
        list(scan_lists(tmp_path / "a.json"))
    assert "\n" not in str(error.value)


def test_text_that_is_not_utf8_is_named_with_the_byte(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'{"rows": [{"name": "\xff"}]}')
    rows = ByVideo(path)
    for _, _, begin, end in scan_lists(path):
        rows.add(None, begin, end)
    with pytest.raises(SourceError, match="byte 20: not UTF-8 text"):
        rows.rows(None)


def test_a_long_file_is_never_whole_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lists, "WINDOW", 1 << 14)
    path = tmp_path / "a.json"
    row = json.dumps({"video": 1, "text": "x" * 1000})
    path.write_text('{"rows": [' + ",".join([row] * 3000) + "]}")
    rows = ByVideo(path)
    tracemalloc.start()
    for _, value, begin, end in scan_lists(path):
        rows.add(value["video"], begin, end)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 3e6 and peak < 3e5
