"""`semtrack validate` and `semtrack annotate`: files, messages and exit codes."""

import json
import re

import pytest
from PIL import Image
from test_validate import make_video
from tiny_models import noise_frame, tiny_model, tiny_processor
from video_files import encode

from dataset_script.sources.semtrack import read_semtrack, write_semtrack
from modeling_semtrack.cli import main

BOX = ["--box", "30", "20", "30", "40"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model, a clip, sound annotations and bad ones; read only."""
    folder = tmp_path_factory.mktemp("world")
    tiny_model(presence_threshold=0.3).save_pretrained(folder / "model")
    tiny_processor().save_pretrained(folder / "model")
    encode(folder / "clip.mp4", [noise_frame(90, 150)[:, 3 * i : 3 * i + 120] for i in range(6)])
    write_semtrack([make_video((1, "push", 2, 0, 10))], folder / "sound.json")
    data = json.loads((folder / "sound.json").read_text())
    data["annotations"][0]["bbox"] = [-9, 5, 20, 10]
    data["events"].append(dict(data["events"][0]))
    (folder / "bad.json").write_text(json.dumps(data))
    data["events"][0]["end_frame"] = 99
    (folder / "worse.json").write_text(json.dumps(data))
    (folder / "cut.json").write_text(json.dumps(data)[:-99])
    (folder / "other.json").write_text('{"images": []}')
    return folder


@pytest.fixture
def run(world, tmp_path, capfd):
    """Runs the command in-process: the exit code, stdout and stderr."""

    def run(*arguments):
        words = [str(word).replace("WORLD", str(world)).replace("OUT", str(tmp_path)) for word in arguments]
        if words[0] == "annotate" and "--merge" not in words:
            words += ["--model", str(world / "model")]
        capfd.readouterr()
        return main(words), *capfd.readouterr()

    return run


def test_sound_annotations_are_told_so(run):
    assert run("validate", "--data", "WORLD/sound.json") == (
        0,
        "nothing to report\n\n1 videos: 0 errors, 0 warnings\n",
        "",
    )


def test_errors_end_with_exit_code_1_a_table_and_a_report(run, tmp_path):
    code, out, err = run("validate", "--data", "WORLD/bad.json", "--output", "OUT/report.json")
    assert (code, err) == (1, "") and re.search(r"error +box outside +v +track 1, frame 0", out)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["errors"] == 2 and set(report["checks"]) == {"box outside", "duplicate event"}
    assert report["findings"][0]["severity"] == "error"


def test_fix_writes_a_new_sound_file(run, world, tmp_path):
    before = (world / "bad.json").read_bytes()
    code, out, _ = run("validate", "--data", "WORLD/bad.json", "--fix", "OUT/fixed.json")
    assert code == 1 and "fixed.json: 1 boxes clipped, 0 intervals cut, 1 repeated events dropped" in out
    assert (world / "bad.json").read_bytes() == before
    assert run("validate", "--data", "OUT/fixed.json")[0] == 0
    (record,) = read_semtrack(tmp_path / "fixed.json")
    assert record.target(1).boxes[0] == (0, 5, 11, 10) and len(record.interactions) == 1


def test_what_cannot_be_read_as_a_record_is_an_error_and_can_be_mended(run, tmp_path):
    code, out, _ = run("validate", "--data", "WORLD/worse.json", "--fix", "OUT/fixed.json")
    assert code == 1 and "interval outside" in out and "unreadable" in out
    assert run("validate", "--data", "OUT/fixed.json")[0] in (0, 1)
    assert read_semtrack(tmp_path / "fixed.json")[0].interactions[0].end_frame == 20


def test_two_files_are_two_splits_unless_the_records_say_otherwise(run):
    code, out, _ = run("validate", "--data", "WORLD/sound.json", "WORLD/bad.json")
    assert code == 1 and re.search("error +video in two splits +test:v +bad and sound", out)


def test_statistics_and_figure(run, tmp_path):
    code, out, _ = run("validate", "--data", "WORLD/sound.json", "--statistics", "--figure", "OUT/tail.png")
    assert code == 0 and "| test | 1 | 20 | 2 | 2 | 40 | 1 |" in out
    assert Image.open(tmp_path / "tail.png").width > 800


def test_another_source_is_checked_and_mended_into_the_semtrack_layout(run, shared_data, tmp_path):
    """TLD's car drives out of the picture in its true boxes."""
    folder = tmp_path / "sot" / "TLD_car"
    folder.parent.mkdir()
    folder.symlink_to(shared_data / "sot" / "TLD_car")
    code, out, _ = run("validate", "--source", "otb", "--data", "OUT/sot", "--fix", "OUT/fixed.json")
    assert code == 1 and re.search(r"error +box outside +TLD_car +track 1, frames 28-55", out)
    assert run("validate", "--data", "OUT/fixed.json")[0] == 0


def test_a_proposal_is_reviewed_and_merged(run, tmp_path):
    code, out, err = run("annotate", "WORLD/clip.mp4", *BOX, "--output", "OUT/r.json", "--sheet", "OUT/s.png")
    assert (code, err) == (0, "") and re.fullmatch(r".*r\.json: \d+ tracks and \d+ events to review\n", out)
    assert Image.open(tmp_path / "s.png").width > 1200
    content = json.loads((tmp_path / "r.json").read_text())
    content["tracks"][0] |= {"accept": True, "category": "dog"}
    (tmp_path / "r.json").write_text(json.dumps(content))
    code, out, _ = run("annotate", "--merge", "OUT/r.json", "--into", "WORLD/sound.json", "--output", "OUT/m.json")
    left = f"{len(content['tracks']) - 1} tracks, {len(content['events'])} events"
    assert code == 0 and "merged: 1 tracks, 0 events" in out and f"not reviewed and not merged: {left}" in out
    old, new = read_semtrack(tmp_path / "m.json")
    assert old.video_id == "v" and new.video_id == "clip" and new.targets[0].category == "dog"
    data = json.loads((tmp_path / "m.json").read_text())
    assert data["categories"] == [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}], "ids stay"


CLIP = ["annotate", "WORLD/clip.mp4"]
BAD_INPUTS = {
    "no data": (["validate"], "--data"),
    "missing file": (["validate", "--data", "WORLD/none.json"], "none.json"),
    "cut file": (["validate", "--data", "WORLD/cut.json"], "cut.json', line 1, column"),
    "another layout": (["validate", "--data", "WORLD/other.json"], "not in the SemTrack layout"),
    "unknown source": (["validate", "--data", "WORLD/sound.json", "--source", "imagenet"], "source must be one of"),
    "fix over a file": (["validate", "--data", "WORLD/bad.json", "--fix", "WORLD/sound.json"], "choose another name"),
    "fix of two": (["validate", "--data", "WORLD/bad.json", "WORLD/sound.json", "--fix", "OUT/f.json"], "one file"),
    "report in no folder": (["validate", "--data", "WORLD/bad.json", "--output", "OUT/no/r.json"], "create it first"),
    "figure of a wrong kind": (["validate", "--data", "WORLD/bad.json", "--figure", "OUT/f.txt"], "such as tail.png"),
    "nothing to annotate": (["annotate", "--output", "OUT/r.json"], "give a VIDEO"),
    "both stages": ([*CLIP, "--merge", "WORLD/sound.json", "--output", "OUT/r.json"], "not both"),
    "review over a file": ([*CLIP, "--output", "WORLD/sound.json"], "may hold a review"),
    "merge over a file": (["annotate", "--merge", "WORLD/a.json", "--output", "WORLD/sound.json"], "writes a new file"),
    "merge of something else": (["annotate", "--merge", "WORLD/sound.json", "--output", "OUT/m.json"], "not a review"),
    "merge with a prompt": (["annotate", "--merge", "WORLD/a.json", *BOX, "--output", "OUT/m.json"], "--box belongs"),
    "into without merge": ([*CLIP, "--into", "WORLD/a.json", "--output", "OUT/r.json"], "--into"),
    "missing video": (["annotate", "WORLD/none.mp4", "--output", "OUT/r.json"], "none.mp4"),
    "sheet of a wrong kind": ([*CLIP, "--output", "OUT/r.json", "--sheet", "OUT/s.txt"], "sheet.png"),
    "box outside": ([*CLIP, "--box", "200", "5", "9", "9", "--output", "OUT/r.json"], "120x90"),
}  # fmt: skip


@pytest.mark.parametrize("arguments, words", BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_bad_input_is_one_line_exit_code_2_and_no_output(run, tmp_path, arguments, words):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and words in err
    assert re.fullmatch(r"semtrack: error: [^\n]+\n", err)
    assert list(tmp_path.iterdir()) == []
