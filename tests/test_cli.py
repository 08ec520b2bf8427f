"""The `semtrack` command: what it writes, where it says what, and its exit codes."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tiny_models import noise_frame, tiny_model, tiny_processor
from video_files import cut, encode, garbage, noisy

from dataset_script.synthetic import SyntheticConfig, generate_video
from modeling_semtrack import checkpoint, commands
from modeling_semtrack.cli import main
from modeling_semtrack.export import load_trajectories
from modeling_semtrack.video import VideoReader

ROOT = Path(__file__).resolve().parent.parent
FRAMES, WIDTH, HEIGHT = 8, 120, 90
BOX = ["--box", "30", "20", "30", "40"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model, good and bad videos, and a folder of sequences; read only."""
    folder = tmp_path_factory.mktemp("world")
    tiny_model(presence_threshold=0.3).save_pretrained(folder / "model")
    tiny_processor().save_pretrained(folder / "model")
    images = [noise_frame(HEIGHT, WIDTH + 30)[:, 3 * i : 3 * i + WIDTH] for i in range(FRAMES)]
    encode(folder / "clip.mp4", images)
    cut(encode(folder / "broken_off.mp4", noisy(40, HEIGHT, WIDTH), muxer={"movflags": "+faststart"}), 0.5)
    make_bad_videos(folder)
    shutil.copytree(folder / "model", folder / "mislabelled")
    path = folder / "mislabelled" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"id2interaction": {"0": "wave"}}))
    (folder / "no_model").mkdir()
    make_sequences(folder / "sequences", images)
    (folder / "one.txt").write_text("# held out\nb\n")
    (folder / "unknown.txt").write_text("b\nzebra\n")
    return folder


def make_bad_videos(folder):
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video\n" * 99)
    (folder / "no_images").mkdir()
    cut(encode(folder / "no_index.mp4", noisy(9)), 0.6)
    encode(folder / "no_frame.mp4", noisy(5), "mjpeg", "yuvj420p", garbage)
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame) + stream.encode())


def make_sequences(folder, images):
    for name in ("a", "b"):
        (folder / name / "img").mkdir(parents=True)
        for index, image in enumerate(images):
            Image.fromarray(image).save(folder / name / "img" / f"{index:04d}.png")
        (folder / name / "groundtruth.txt").write_text("30,20,30,40\n" * len(images))
    rows = ["30,20,30,40"] + ["NaN,NaN,NaN,NaN"] * (len(images) - 1)
    shutil.copytree(folder / "b", folder.parent / "unscorable" / "gone")
    (folder.parent / "unscorable" / "gone" / "groundtruth.txt").write_text("\n".join(rows))


@pytest.fixture
def run(world, capfd):
    """Runs the command in-process: the exit code, stdout and stderr (what libraries print there included)."""

    def run(*arguments):
        words = [str(word).replace("WORLD", str(world)) for word in arguments]
        if words and words[0] != "synthesize" and "--model" not in words:
            words += ["--model", str(world / "model")]
        capfd.readouterr()
        return main(words), *capfd.readouterr()

    return run


# track


def test_track_writes_the_result_the_drawn_video_and_the_timeline(run, world, tmp_path):
    names = {"output": "out.json", "render": "out.mp4", "timeline": "out.png"}
    outputs = [word for option, name in names.items() for word in (f"--{option}", tmp_path / name)]
    code, out, err = run("track", "WORLD/clip.mp4", *BOX, "--label", "dog", *outputs)
    assert (code, err) == (0, "") and re.fullmatch(r"Target 1 \(dog\) was visible in .* frames .*\.\n", out)
    (trajectory,) = load_trajectories(tmp_path / "out.json")
    assert trajectory.category == "dog" and trajectory.complete and len(trajectory.frames) == FRAMES
    assert trajectory.prompt == {"frame": 0, "box": [30, 20, 30, 40]}
    with VideoReader(tmp_path / "out.mp4") as drawn, VideoReader(world / "clip.mp4") as clip:
        pairs = [(a.image, b.image) for a, b in zip(drawn, clip)]
    assert len(pairs) == FRAMES and np.abs(pairs[0][0].astype(int) - pairs[0][1]).max() > 50
    assert Image.open(tmp_path / "out.png").width == 1200
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names.values())


def test_without_an_output_stdout_is_the_result_and_nothing_else(run, tmp_path):
    code, out, err = run("track", "WORLD/clip.mp4", "--point", "45", "40", "--frame", "3", "--semantic-stride", "0")
    (tmp_path / "out.json").write_text(out)
    (trajectory,) = load_trajectories(tmp_path / "out.json")
    assert trajectory.prompt == {"frame": 3, "point": [45, 40]}
    assert [f.frame_index for f in trajectory.frames] == list(range(3, FRAMES))
    assert code == 0 and re.fullmatch("Target 1 was visible in .*\n", err)


def test_the_format_follows_the_suffix_or_the_option(run, tmp_path):
    assert run("track", "WORLD/clip.mp4", *BOX, "--output", tmp_path / "out.csv")[0] == 0
    with open(tmp_path / "out_track.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == FRAMES
    assert next(csv.reader(open(tmp_path / "out.csv")))[:2] == ["target", "subject"]
    for layout in ("coco", "semtrack"):
        code, out, _ = run("track", "WORLD/clip.mp4", *BOX, "--format", layout)
        assert code == 0 and "clip.mp4" in json.dumps(json.loads(out)["videos"])


def test_the_model_computes_in_the_chosen_type(run):
    results = [run("track", "WORLD/clip.mp4", *BOX, "--dtype", dtype) for dtype in ("float32", "bfloat16")]
    assert [code for code, _, _ in results] == [0, 0] and results[0][1] != results[1][1]


def test_a_video_that_breaks_off_gives_the_trajectory_so_far_and_exit_code_1(run, tmp_path):
    """One line tells it, though the video was read twice."""
    arguments = ["track", "WORLD/broken_off.mp4", *BOX, "--output", tmp_path / "o.json", "--render", tmp_path / "o.mp4"]
    code, out, err = run(*arguments)
    (trajectory,) = load_trajectories(tmp_path / "o.json")
    assert code == 1 and not trajectory.complete and 5 < len(trajectory.frames) < 35
    assert re.fullmatch(r"semtrack: warning: '.*broken_off.mp4': .*breaks off after .* marked incomplete\n", err)
    assert "The video broke off" in out
    with VideoReader(tmp_path / "o.mp4") as drawn:
        assert len(list(drawn)) == len(trajectory.frames)


# Bad input

TRACK = ["track", "WORLD/clip.mp4"]
BENCHMARK = ["benchmark", "--sequences", "WORLD/sequences"]
DEMO = ["demo", "--output", "OUT/d", "--video", "WORLD/clip.mp4"]
BAD_INPUTS = {
    "no command": ([], "COMMAND"),
    "unknown command": (["trak"], "'trak'"),
    "missing video": (["track", "WORLD/none.mp4", *BOX], "none.mp4' cannot be read (No such file"),
    "empty video": (["track", "WORLD/empty.mp4", *BOX], "empty.mp4' is empty"),
    "text": (["track", "WORLD/text.mp4", *BOX], "text.mp4' cannot be opened"),
    "sound alone": (["track", "WORLD/sound.mp4", *BOX], "only sound"),
    "cut before its index": (["track", "WORLD/no_index.mp4", *BOX], "expected a whole"),
    "no frame": (["track", "WORLD/no_frame.mp4", *BOX], "no frame of"),
    "no images": (["track", "WORLD/no_images", *BOX], "holds no images"),
    "unknown scheme": (["track", "ftp://a/b.mp4", *BOX], "unknown scheme"),
    "no prompt": (TRACK, "--box --point is required"),
    "two prompts": ([*TRACK, *BOX, "--point", "1", "1"], "not allowed with"),
    "box outside": ([*TRACK, "--box", "100", "50", "30", "30"], "120x90 frame, got [100, 50, 30, 30]"),
    "box before the frame": ([*TRACK, "--box", "-5", "5", "30", "30"], "120x90 frame, got [-5, 5, 30, 30]"),
    "box without area": ([*TRACK, "--box", "5", "5", "0", "30"], "w, h > 0 inside a 120x90 frame, got [5, 5, 0, 30]"),
    "box of NaN": ([*TRACK, "--box", "nan", "5", "9", "9"], "got [nan, 5, 9, 9]"),
    "box of words": ([*TRACK, "--box", "a", "5", "9", "9"], "'a'"),
    "box of three": ([*TRACK, "--box", "5", "9", "9"], "--box: expected 4 arguments"),
    "point outside": ([*TRACK, "--point", "45", "90"], "inside a 120x90 frame, got (45, 90)"),
    "point of infinity": ([*TRACK, "--point", "inf", "9"], "got (inf, 9)"),
    "frame past the end": ([*TRACK, *BOX, "--frame", "8"], "between 0 and 7 (the video has 8 frames), got 8"),
    "frame before the start": ([*TRACK, *BOX, "--frame", "-1"], "got -1"),
    "broken off before the frame": (["track", "WORLD/broken_off.mp4", *BOX, "--frame", "39"], "got 39"),
    "negative stride": ([*TRACK, *BOX, "--semantic-stride", "-2"], "got -2"),
    "no folder": ([*TRACK, *BOX, "--output", "OUT/none/o.json"], "none'; create it first"),
    "file for a folder": ([*TRACK, *BOX, "--output", "WORLD/clip.mp4/o.json"], "o.json'"),
    "output is a folder": ([*TRACK, *BOX, "--output", "OUT", "--format", "json"], "it is a folder"),
    "unknown suffix": ([*TRACK, *BOX, "--output", "OUT/o.xml"], "suffix of 'o.xml'"),
    "unknown format": ([*TRACK, *BOX, "--format", "xml"], "'xml'"),
    "drawn video in no folder": ([*TRACK, *BOX, "--render", "OUT/none/o.mp4"], "none/o.mp4'"),
    "drawn video of a wrong kind": ([*TRACK, *BOX, "--render", "OUT/o.avi"], "ends in .mp4, .m4v, .mov, got"),
    "timeline of a wrong kind": ([*TRACK, *BOX, "--timeline", "OUT/o.txt"], "name that ends in .png"),
    "one file twice": ([*TRACK, *BOX, "--output", "OUT/a.mp4", "--format", "srt", "--render", "OUT/a.mp4"], "two"),
    "the video itself": ([*TRACK, *BOX, "--render", "WORLD/clip.mp4"], "must not be the video itself"),
    "drawing into a stream": (["track", "rtsp://h/live", *BOX, "--render", "OUT/o.mp4"], "can be read only once"),
    "no such model": ([*TRACK, *BOX, "--model", "WORLD/none"], "none' is not a folder"),
    "folder without a model": ([*TRACK, *BOX, "--model", "WORLD/no_model"], "no config.json"),
    "label map of another model": ([*TRACK, *BOX, "--model", "WORLD/mislabelled"], "id2interaction in"),
    "unknown type": ([*TRACK, *BOX, "--dtype", "int8"], "'int8'"),
    "no sequences": (["benchmark", "--sequences", "WORLD/no_model"], "no sequences found"),
    "missing sequences": (["benchmark", "--sequences", "WORLD/none"], "none'"),
    "nothing to score": (["benchmark", "--sequences", "WORLD/unscorable"], "'gone' shows its target in fewer than 2"),
    "missing list": ([*BENCHMARK, "--include", "OUT/n.txt"], "n.txt': No such file"),
    "unknown name": ([*BENCHMARK, "--include", "WORLD/unknown.txt"], ": zebra;"),
    "empty list": ([*BENCHMARK, "--include", "WORLD/empty.mp4"], "names nothing"),
    "unknown peer": ([*BENCHMARK, "--peers", "kcf,siam"], "csrt,kcf,nanotrack, got 'siam'"),
    "unwritable scores": ([*BENCHMARK, "--output", "OUT/none/o.json"], "create it first"),
    "data set into a file": (["synthesize", "--output", "WORLD/clip.mp4"], "clip.mp4' is a file"),
    "no videos": (["synthesize", "--output", "OUT/s", "--videos", "0"], "videos must be at least 1, got 0"),
    "half a video": (["synthesize", "--output", "OUT/s", "--videos", "1.5"], "'1.5'"),
    "negative seed": (["synthesize", "--output", "OUT/s", "--seed", "-1"], "'-1'"),
    "masks alone": (["synthesize", "--output", "OUT/s", "--cutouts", "WORLD"], "name that folder too"),
    "no photos": (["synthesize", "--output", "OUT/s", "--images", "WORLD/no_images"], "no photos"),
    "demo into a file": (["demo", "--output", "WORLD/clip.mp4"], "clip.mp4' is a file"),
    "demo of a video without a prompt": (DEMO, "--video goes with"),
    "demo of a prompt without a video": (["demo", "--output", "OUT/d", *BOX], "--video goes with"),
    "demo of a missing video": (["demo", "--output", "OUT/d", "--video", "WORLD/none.mp4", *BOX], "none.mp4'"),
    "demo with a bad box": ([*DEMO, "--point", "999", "9"], "got (999, 9)"),
}  # fmt: skip


@pytest.mark.parametrize("arguments, words", BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_bad_input_is_one_line_exit_code_2_and_no_output(run, tmp_path, arguments, words):
    given = [word.replace("OUT", str(tmp_path)) for word in arguments]
    if "--output" not in given and given[:1] == ["track"]:
        given += ["--output", str(tmp_path / "out.json")]
    code, out, err = run(*given)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"semtrack: error: [^\n]+\n", err) and words in err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("option, name", [("output", "none/o.csv"), ("render", "o.gif"), ("timeline", "none/o.png")])
def test_outputs_are_checked_before_any_work_is_done(run, monkeypatch, tmp_path, option, name):
    monkeypatch.setattr(commands, "load_checkpoint", lambda *arguments: pytest.fail("the model was loaded"))
    code, _, err = run(*TRACK, *BOX, f"--{option}", tmp_path / name)
    assert code == 2 and name in err


def test_the_companion_table_of_csv_is_checked_too(run, monkeypatch, tmp_path):
    monkeypatch.setattr(commands, "load_checkpoint", lambda *arguments: pytest.fail("the model was loaded"))
    (tmp_path / "o_track.csv").mkdir()
    code, _, err = run(*TRACK, *BOX, "--output", tmp_path / "o.csv")
    assert code == 2 and "o_track.csv': it is a folder" in err


def test_a_run_that_fails_leaves_an_earlier_result_as_it_was(run, tmp_path):
    (tmp_path / "out.json").write_text("earlier")
    assert run(*TRACK, "--point", "45", "900", "--output", tmp_path / "out.json")[0] == 2
    assert (tmp_path / "out.json").read_text() == "earlier" and len(list(tmp_path.iterdir())) == 1


def test_without_any_model_the_way_out_is_told(run, monkeypatch, tmp_path, capfd, world):
    monkeypatch.setattr(checkpoint, "BUNDLED", tmp_path / "none")
    monkeypatch.delenv("SEMTRACK_MODEL", raising=False)
    assert main(["track", str(world / "clip.mp4"), *BOX]) == 2
    assert re.fullmatch("semtrack: error: no model is named .* pass --model DIR .*\n", capfd.readouterr().err)
    monkeypatch.setenv("SEMTRACK_MODEL", str(world / "model"))
    assert main(["track", str(world / "clip.mp4"), *BOX]) == 0


# benchmark


def test_benchmark_prints_one_json_object(run, tmp_path):
    code, out, err = run(*BENCHMARK, "--dtype", "bfloat16")
    scores = json.loads(out)
    assert (code, err) == (0, "") and list(scores["semtrack"]["targets"]) == ["a", "b"]
    assert set(scores["semtrack"]["mean"]) == {"ao", "auc", "sr50", "sr75", "precision20", "norm_precision", "fps"}
    assert scores["threads"] >= 1 and (scores["dtype"], scores["semantic_stride"]) == ("bfloat16", 0)
    arguments = ["--include", "WORLD/one.txt", "--output", tmp_path / "scores.json"]
    assert run(*BENCHMARK, *arguments)[:2] == (0, "")
    assert list(json.loads((tmp_path / "scores.json").read_text())["semtrack"]["targets"]) == ["b"]


def test_peers_without_opencv_tell_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    code, _, err = run(*BENCHMARK, "--peers", "csrt")
    assert code == 2 and err.count("\n") == 1 and "pip install opencv-contrib-python-headless" in err


@pytest.mark.skipif(find_spec("cv2") is None, reason="needs opencv-contrib-python-headless")
def test_peers_run_on_the_same_sequences(run):
    code, out, _ = run(*BENCHMARK, "--peers", "kcf,csrt")
    scores = json.loads(out)
    assert code == 0 and scores["csrt"]["targets"].keys() == scores["semtrack"]["targets"].keys()
    code, _, err = run(*BENCHMARK, "--peers", "nanotrack")
    assert code == 2 and "nanotrack needs a folder" in err


# synthesize and demo


def test_synthesize_writes_a_data_set_once(run, tmp_path):
    arguments = ["synthesize", "--output", tmp_path / "set", "--videos", "1", "--seed", "7"]
    code, out, err = run(*arguments)
    assert (code, err) == (0, "") and "annotations.json" in out
    (video,) = json.loads((tmp_path / "set" / "annotations.json").read_text())["videos"]
    assert (tmp_path / "set" / video["file_name"]).is_file()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and "already holds annotations.json" in err


def test_the_demo_synthesizes_tracks_draws_and_tells_and_can_be_run_again(run, tmp_path):
    for folder in ("new/demo", "new/demo"):
        code, out, err = run("demo", "--output", tmp_path / folder)
        names = {"trajectory.json", "annotated.mp4", "timeline.png", "synthetic.mp4"}
        assert (code, err) == (0, "") and {path.name for path in (tmp_path / folder).iterdir()} == names
        *places, paragraph = out.splitlines()
        assert [line.split(": ")[1] for line in places] == [
            str(tmp_path / folder / name) for name in ("trajectory.json", "annotated.mp4", "timeline.png")
        ]
        assert paragraph.startswith("Target 1 (animal) was visible in ")


def test_the_clip_of_the_demo_shows_its_main_subject_at_once_and_doing_things():
    """The clip follows from a number: when the generator changes, another number may be needed."""
    record, _ = generate_video(SyntheticConfig(), commands.DEMO_SEED)
    main_subject = next(target for target in record.targets if target.main)
    x, y, width, height = main_subject.boxes[0]
    assert min(x, y) > 0 and x + width < record.width and y + height < record.height
    assert width * height > 0.02 * record.width * record.height
    assert len(main_subject.boxes) > 0.9 * record.num_frames
    assert len([e for e in record.interactions if e.subject == main_subject.track_id]) >= 3


def test_the_demo_takes_a_video_and_a_click(run, tmp_path):
    code, out, err = run("demo", "--output", tmp_path, "--video", "WORLD/clip.mp4", "--point", "45", "40")
    assert (code, err) == (0, "") and {p.name for p in tmp_path.iterdir()} == set(commands.DEMO_RESULTS)
    assert load_trajectories(tmp_path / "trajectory.json")[0].prompt == {"frame": 0, "point": [45, 40]}
    code, _, err = run("demo", "--output", tmp_path, "--video", tmp_path / "annotated.mp4", "--point", "45", "40")
    assert code == 2 and "choose another --output" in err


def test_the_demo_of_a_video_that_breaks_off_is_marked(run, tmp_path):
    code, out, err = run("demo", "--output", tmp_path, "--video", "WORLD/broken_off.mp4", *BOX)
    assert code == 1 and err.count("\n") == 1 and not load_trajectories(tmp_path / "trajectory.json")[0].complete


def test_the_demo_replaces_nothing_that_is_not_its_own(run, tmp_path):
    (tmp_path / "timeline.png").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    arguments = ["demo", "--output", tmp_path, "--video", "WORLD/clip.mp4", *BOX]
    code, _, err = run(*arguments)
    assert code == 2 and "holds timeline.png, which no demo wrote" in err
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"timeline.png": "mine", "notes.txt": "mine"}
    (tmp_path / "timeline.png").unlink()
    assert run(*arguments)[0] == 0 and (tmp_path / "notes.txt").read_text() == "mine"


# The console script


def test_the_console_script_is_this_command():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, function = scripts["semtrack"].split(":")
    assert getattr(import_module(module), function) is main


def test_the_installed_command_hands_its_exit_code_and_one_line_to_the_shell(world):
    script = Path(sys.executable).with_name("semtrack")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "modeling_semtrack.cli"]
    arguments = ["track", "broken_off.mp4", *BOX, "--model", "model", "--format", "srt"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, *arguments], cwd=world, env=environment, capture_output=True, text=True, timeout=600
    )
    told, warned = done.stderr.splitlines()
    assert done.returncode == 1 and told.startswith("Target 1 was visible") and warned.startswith("semtrack: warning: ")
