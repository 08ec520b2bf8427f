"""`semtrack score`: two files in, one JSON object out."""

import json
import re

import pytest
from st_map_cases import NEAR, predicted, truth

from metrics.semtrack.st_map import st_map
from metrics.semtrack.st_map_files import read_predictions, read_truth
from modeling_semtrack.cli import main


@pytest.fixture
def files(tmp_path):
    """A truth and predictions whose second relation is the right one."""
    true, predictions = truth((NEAR, 1, 2, 1)), predicted(1, NEAR, 0.9, [4, 1], [4, 2])
    (tmp_path / "gt.json").write_text(json.dumps(true))
    (tmp_path / "predictions.json").write_text(json.dumps(predictions))
    return tmp_path, true, predictions


@pytest.fixture
def run(files, capsys):
    """Runs the command on the files: the exit code, stdout and stderr."""

    def run(*arguments, predictions="predictions.json"):
        folder = files[0]
        paths = ["--truth", str(folder / "gt.json"), "--predictions", str(folder / predictions)]
        return (main(["score", *paths, *arguments]), *capsys.readouterr())

    return run


def test_it_prints_what_the_function_returns(files, run):
    code, out, err = run()
    assert code == 0 and json.loads(out) == st_map(files[1], files[2]) and err == ""
    code, out, _ = run("--mode", "official")
    assert code == 0 and json.loads(out) == st_map(files[1], files[2], "official")
    code, out, _ = run("--max-relations", "2")
    assert code == 0 and json.loads(out) == st_map(files[1], files[2], max_relations=2)


def test_it_writes_a_file(files, run):
    output = files[0] / "out.json"
    assert run("--output", str(output)) == (0, "", "")
    assert json.loads(output.read_text()) == st_map(files[1], files[2])


@pytest.mark.parametrize(
    "content, message",
    [
        ('[{"image_id": 100, "bbox": [0, 0', "line 1, column .*: not complete JSON"),
        ("{}", "expected a list of boxes, got dict; is it the predictions"),
        ("[3]", "row 0: expected an object with image_id, track_id and bbox, got 3"),
        ('[{"image_id": 100, "video_id": 1}]', r"predictions row 0 \(video 1\): track_id is missing"),
        (b"[\xff", "byte .*: not UTF-8 text"),
        (None, "No such file"),
    ],
)
def test_bad_files_end_with_code_2_and_one_line(files, run, content, message):
    path, output = files[0] / "bad.json", files[0] / "out.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, out, err = run("--output", str(output), predictions="bad.json")
    assert code == 2 and out == "" and err.count("\n") == 1 and err.startswith("semtrack: error: ")
    assert re.search(message, err)
    assert not output.exists()


def test_a_file_that_is_no_truth_is_refused(files, run):
    (files[0] / "gt.json").write_text("[]")
    code, _, err = run()
    assert code == 2 and "expected an object with a list 'annotations'; is it the truth?" in err


def test_the_number_of_relations_goes_with_strict_mode(run):
    code, _, err = run("--mode", "official", "--max-relations", "2")
    assert code == 2 and "--max-relations goes with --mode strict" in err


def test_boxes_are_the_same_from_files_and_from_dicts(files):
    folder, true, predictions = files
    for mode in ("official", "strict"):
        from_files = st_map(read_truth(folder / "gt.json"), read_predictions(folder / "predictions.json"), mode)
        assert from_files == st_map(true, predictions, mode)
