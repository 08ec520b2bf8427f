"""The one door: sources and synthetic videos as `datasets`, in order, resumable, with one clear error or none."""

import io
import itertools
import json
import os
import shutil
import subprocess
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from training_files import a_record, write_annotated

from dataset_script.record_stream import RecordStream, contents_hash
from dataset_script.records import TargetRecord
from dataset_script.registry import SOURCES, read_records, reader
from dataset_script.rows import open_video, row_to_record
from dataset_script.sources.reading import SourceError
from dataset_script.sources.relation_files import write_relation_file
from dataset_script.sources.semtrack import write_semtrack
from dataset_script.splits import hashed_split, split_of, write_splits

datasets = pytest.importorskip("datasets")
pytest.importorskip("skimage")

from dataset_script import hub, load_semtrack, loading, register  # noqa: E402
from dataset_script.semtrack import SemTrackDataset  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent.parent
SMALL = {"width": 96, "height": 72, "seconds": (0.4, 0.4), "fps": 10.0}


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Nothing is read from, or left in, the user's cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    datasets.disable_progress_bars()


def a_relation_record(video_id, frames=20, **changes):
    """What the VidOR layout can say of a video."""
    record = a_record(video_id, frames, **changes)
    record.interactions = record.interactions[:1]
    return record


def write_vidor(folder, train=("101", "102", "103", "104", "105"), validation=("201", "202"), videos=True):
    """A folder as VidOR is after download."""
    for place, ids in (("training", train), ("validation", validation)):
        for number, video_id in enumerate(ids):
            group = f"{number % 2:04d}"
            annotation, video = (
                folder / place / group / f"{video_id}.json",
                folder / "video" / group / f"{video_id}.mp4",
            )
            for path in (annotation, video):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_relation_file(a_relation_record(video_id, file_name=f"{group}/{video_id}.mp4"), annotation)
            if videos:
                video.write_bytes(b"video " + video_id.encode())
    return folder


def ids(rows):
    return [row["video_id"] for row in rows]


TRAIN = ["101", "103", "105", "102", "104"]  # by group


def test_every_source_has_a_reader_and_a_configuration():
    assert set(SemTrackDataset.builder_configs) == {*SOURCES, "synthetic"}
    assert all(callable(reader(name)) for name in SOURCES)


def test_a_source_loads_with_its_published_splits_and_its_videos(tmp_path):
    data = load_semtrack("vidor", write_vidor(tmp_path / "vidor"))
    assert {split: ids(rows) for split, rows in data.items()} == {"train": TRAIN, "validation": ["201", "202"]}
    records = list(read_records("vidor", tmp_path / "vidor", "train"))
    assert [row_to_record(row) for row in data["train"]] == records
    assert Path(data["train"][1]["video"]["path"]).read_bytes() == b"video 103"


def test_a_stream_gives_the_same_rows_in_the_same_order(tmp_path):
    folder = write_vidor(tmp_path / "vidor")
    for split in ("train", "validation"):
        assert list(load_semtrack("vidor", folder, split, streaming=True)) == list(
            load_semtrack("vidor", folder, split)
        )


def test_the_order_does_not_depend_on_the_number_of_processes(tmp_path):
    folder = write_vidor(tmp_path / "vidor")
    data = load_semtrack("vidor", folder, num_proc=2, cache_dir=tmp_path / "two")
    assert {split: ids(rows) for split, rows in data.items()} == {"train": TRAIN, "validation": ["201", "202"]}


@pytest.mark.parametrize("parts", [1, 3])
def test_a_stream_continues_where_it_stopped(tmp_path, parts):
    stream = load_semtrack("vidor", write_vidor(tmp_path / "vidor"), "train", streaming=True, num_shards=parts)
    assert stream.num_shards == parts
    seen = ids(itertools.islice(stream, 2))
    state = json.loads(json.dumps(stream.state_dict()))
    again = load_semtrack("vidor", tmp_path / "vidor", "train", streaming=True, num_shards=parts)
    again.load_state_dict(state)
    assert seen + ids(again) == TRAIN


def test_loader_workers_share_the_parts_of_a_stream(tmp_path):
    from torch.utils.data import DataLoader

    stream = load_semtrack("vidor", write_vidor(tmp_path / "vidor"), "train", streaming=True, num_shards=2)
    rows = list(DataLoader(stream.select_columns("video_id"), batch_size=None, num_workers=2))
    assert sorted(ids(rows)) == sorted(TRAIN)


def test_annotations_load_without_videos(tmp_path):
    folder = write_vidor(tmp_path / "vidor", videos=False)
    rows = load_semtrack("vidor", folder, "validation", videos=False)
    assert ids(rows) == ["201", "202"] and rows[0]["video"] is None


def test_videos_can_lie_elsewhere(tmp_path):
    folder = write_vidor(tmp_path / "vidor")
    (folder / "video").rename(tmp_path / "elsewhere")
    rows = load_semtrack("vidor", folder, "train", video_dir=tmp_path / "elsewhere")
    assert rows[0]["video"]["path"] == str(tmp_path / "elsewhere" / "0000" / "101.mp4")


def test_a_changed_annotation_is_not_served_from_the_cache(tmp_path):
    folder = write_vidor(tmp_path / "vidor")
    assert load_semtrack("vidor", folder, "train")[0]["width"] == 96
    write_relation_file(
        a_relation_record("101", file_name="0000/101.mp4", width=999), folder / "training/0000/101.json"
    )
    assert load_semtrack("vidor", folder, "train")[0]["width"] == 999


def test_the_state_of_a_folder_is_that_of_its_annotations(tmp_path):
    folder = write_vidor(tmp_path / "vidor")
    before = contents_hash(folder)
    (folder / "video" / "0000" / "101.mp4").write_bytes(b"another")
    assert contents_hash(folder) == before
    (folder / "training" / "0000" / "101.json").unlink()
    assert contents_hash(folder) != before


def test_splits_that_sources_share_overrule_the_published_ones(tmp_path):
    write_splits({"yfcc100m:103": "test"}, tmp_path / "splits.json")
    folder = write_vidor(tmp_path / "vidor")
    data = load_semtrack("vidor", folder, splits=tmp_path / "splits.json")
    assert {split: ids(rows) for split, rows in data.items()} == {
        "train": ["101", "105", "102", "104"],
        "validation": ["201", "202"],
        "test": ["103"],
    }
    stream = load_semtrack("vidor", folder, splits=tmp_path / "splits.json", streaming=True)
    assert {split: ids(rows) for split, rows in stream.items()} == {split: ids(rows) for split, rows in data.items()}


def test_semtrack_files_tell_the_split_by_their_names_or_inside_or_not_at_all(tmp_path):
    for folder, name, told in (("a", "train", {}), ("a", "val", {}), ("b", "all", {"split": "test"}), ("c", "all", {})):
        (tmp_path / folder).mkdir(exist_ok=True)
        write_semtrack([a_record(f"{folder} {name}", metadata=told)], tmp_path / folder / f"{name}.json")
    found = {
        folder: {split: ids(rows) for split, rows in load_semtrack("semtrack", tmp_path / folder, videos=False).items()}
        for folder in "abc"
    }
    hashed = split_of(a_record("c all"))
    assert found == {
        "a": {"train": ["a train"], "validation": ["a val"]},
        "b": {"test": ["b all"]},
        "c": {hashed: ["c all"]},
    }


def test_an_option_goes_to_the_reader(tmp_path):
    path = write_annotated(tmp_path / "data", a_record(frames=17))
    content = json.loads(path.read_text())
    content["videos"][0].pop("fps")
    path.write_text(json.dumps(content))
    stream = RecordStream("semtrack", path, options={"fps": 12.5})
    (split,) = stream.count(None)
    assert next(stream.read(split))[0].fps == 12.5
    with pytest.raises(ValueError, match="source 'semtrack' has no option rate: its options are fps"):
        load_semtrack("semtrack", path, rate=25)


@pytest.mark.parametrize("streaming", [False, True])
def test_broken_entries_are_one_error_or_counted_and_listed(tmp_path, streaming, caplog):
    folder = write_vidor(tmp_path / "vidor")
    (folder / "training/0000/103.json").write_text('{"video_id": "103", "fr')
    (folder / "video/0001/104.mp4").unlink()

    def load(**options):
        return ids(load_semtrack("vidor", folder, "train", streaming=streaming, **options))

    with pytest.raises(SourceError, match=r"103.json', line 1, column \d+: not complete JSON"):
        load()
    skipped = []
    assert load(skipped=skipped) == ["101", "105", "102"]
    assert [entry.where.split("/")[-1].split("'")[0] for entry in skipped] == ["103.json", "video "]
    assert "video '104' of 'vidor'" in skipped[1].where and "misses its file" in skipped[1].why
    messages = [record.getMessage() for record in caplog.records if "skipped" in record.getMessage()]
    assert len(messages) == 1 and messages[0].startswith("skipped 2 broken entries of 'vidor': ")
    again = []
    assert load(skipped=again) == ["101", "105", "102"] and again == skipped  # prepared before


def test_a_missing_video_is_one_error_that_names_the_fix(tmp_path):
    folder = write_vidor(tmp_path / "vidor")
    (folder / "video/0001/102.mp4").unlink()
    with pytest.raises(SourceError) as caught:
        load_semtrack("vidor", folder)
    message = str(caught.value)
    assert message.startswith("video '102' of 'vidor': misses its file") and "holds 104.mp4, 202.mp4" in message
    assert message.endswith("give video_dir=..., or videos=False for annotations alone") and "\n" not in message


def test_a_wrong_folder_says_what_was_expected_and_what_is_there(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(SourceError, match=r"photos': expected the annotations of VidOR.*found cat.jpg"):
        load_semtrack("vidor", tmp_path / "photos")
    for streaming in (False, True):
        with pytest.raises(
            SourceError, match=r"nowhere': expected a folder with the source 'vidor', but there is none"
        ):
            load_semtrack("vidor", tmp_path / "nowhere", streaming=streaming)


def test_wrong_arguments_are_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match="source must be one of synthetic, ava, .* got 'imagenet'"):
        load_semtrack("imagenet", tmp_path)
    with pytest.raises(ValueError, match="source 'vidor' needs data_dir=..."):
        load_semtrack("vidor")
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        load_semtrack("synthetic", count=0)
    with pytest.raises(ValueError, match="download=True needs data_dir"):
        load_semtrack("vidor", download=True)
    with pytest.raises(ValueError, match="only vidvrd and vidor can be downloaded, got 'ava'"):
        load_semtrack("ava", tmp_path, download=True)


def test_synthetic_videos_are_rendered_on_the_fly(tmp_path):
    data = load_semtrack("synthetic", count=3, seed=5, **SMALL)
    assert {split: ids(rows) for split, rows in data.items()} == {
        "train": ["synthetic_000007"],
        "validation": ["synthetic_000006"],
        "test": ["synthetic_000005"],
    }
    row = data["train"][0]
    assert (row["source"], row["width"], row["num_frames"], json.loads(row["metadata"])["split"]) == (
        ("synthetic", 96, 4, "train")
    )
    with open_video(row) as video:
        assert len(list(video)) == 4 and (video.width, video.height) == (96, 72)
    (streamed,) = load_semtrack("synthetic", count=3, seed=5, streaming=True, **SMALL)["train"]
    assert {**streamed, "video": None} == {**row, "video": None}
    with open_video(row) as video, open_video(streamed) as again:
        for (*when, image), (*same, other) in zip(video, again, strict=True):
            assert when == same
            assert np.abs(image.astype(int) - other).mean() < 1  # sums of floats may round otherwise a second time
    assert [hashed_split(f"synthetic:{seed}") for seed in (5, 6, 7)] == ["test", "validation", "train"]


def test_a_stream_of_a_thousand_videos_holds_one_at_a_time(tmp_path):
    """Read whole, the objects of the file would take ten times its size."""
    boxes = {frame: (frame + 1 / 3, 1 / 7, 10 / 3, 20 / 3) for frame in range(8)}
    changes = {"targets": [TargetRecord(1, "person", boxes, True)], "interactions": None}
    write_semtrack((a_record(f"video {n}", 8, **changes) for n in range(1000)), tmp_path / "train.json")
    size = (tmp_path / "train.json").stat().st_size
    stream = load_semtrack("semtrack", tmp_path / "train.json", "train", streaming=True, videos=False)
    tracemalloc.start()
    try:
        assert sum(1 for _ in stream) == 1000
        assert tracemalloc.get_traced_memory()[1] < 3 * size
    finally:
        tracemalloc.stop()


def zipped(files):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return data.getvalue()


def hub_copy(monkeypatch, folder):
    """A local folder in the hub's place."""
    asked = []

    def snapshot_download(repo_id, repo_type, local_dir):
        asked.append((repo_id, repo_type))
        shutil.copytree(folder, local_dir, dirs_exist_ok=True)
        return str(local_dir)

    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", snapshot_download)
    return asked


@pytest.mark.parametrize("top", ["", "vidor-dataset/annotation/"])
def test_vidor_comes_from_the_hub(tmp_path, monkeypatch, top):
    local = write_vidor(tmp_path / "vidor", train=["101"], validation=["201"])
    (tmp_path / "hub").mkdir()
    for split in ("training", "validation"):
        files = {f"{top}{p.relative_to(local)}": p.read_bytes() for p in (local / split).rglob("*.json")}
        (tmp_path / "hub" / f"{split}-annotation.zip").write_bytes(zipped({f"{top}{split}/._x.json": b"", **files}))
    videos = {f"some/video/{p.relative_to(local / 'video')}": p.read_bytes() for p in local.rglob("*.mp4")}
    (tmp_path / "hub" / "training-video-part1.zip").write_bytes(zipped(videos))
    asked = hub_copy(monkeypatch, tmp_path / "hub")
    data = load_semtrack("vidor", tmp_path / "here", download=True)
    assert asked == [("shangxd/vidor", "dataset")]
    assert {split: ids(rows) for split, rows in data.items()} == {"train": ["101"], "validation": ["201"]}
    assert Path(data["train"][0]["video"]["path"]) == tmp_path / "here" / "video" / "0000" / "101.mp4"
    before = (tmp_path / "here" / "video" / "0000" / "101.mp4").stat().st_mtime_ns
    load_semtrack("vidor", tmp_path / "here", download=True)
    assert (tmp_path / "here" / "video" / "0000" / "101.mp4").stat().st_mtime_ns == before  # not unpacked again


def test_vidvrd_comes_from_the_hub(tmp_path, monkeypatch):
    (tmp_path / "hub").mkdir()
    files, videos = {}, {}
    for split, name in (("train", "ILSVRC2015_train_00005003"), ("test", "ILSVRC2015_train_00010001")):
        write_relation_file(a_relation_record(name), tmp_path / "one.json")
        files[f"vidvrd-dataset/{split}/{name}.json"] = (tmp_path / "one.json").read_bytes()
        videos[f"videos/{name}.mp4"] = b"video"
    (tmp_path / "hub" / "vidvrd-annotations.zip").write_bytes(zipped(files))
    (tmp_path / "hub" / "vidvrd-videos-part1.zip").write_bytes(zipped(videos))
    asked = hub_copy(monkeypatch, tmp_path / "hub")
    data = load_semtrack("vidvrd", tmp_path / "here", download=True)
    assert asked == [("shangxd/imagenet-vidvrd", "dataset")]
    assert {split: len(rows) for split, rows in data.items()} == {"train": 1, "test": 1}


def test_a_damaged_archive_and_a_hub_out_of_reach_are_one_clear_error(tmp_path, monkeypatch):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "vidvrd-annotations.zip").write_bytes(zipped({"train/a.json": b"{}"})[:40])
    hub_copy(monkeypatch, tmp_path / "hub")
    with pytest.raises(SourceError, match="vidvrd-annotations.zip': not a whole zip file"):
        load_semtrack("vidvrd", tmp_path / "here", download=True)
    (tmp_path / "hub" / "vidvrd-annotations.zip").write_bytes(zipped({"read.me": b""}))
    with pytest.raises(SourceError, match=r"expected \*.json files, found read.me"):
        load_semtrack("vidvrd", tmp_path / "there", download=True)

    def unreachable(**_):
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(SourceError, match=r"datasets/shangxd/vidor: cannot be downloaded \(no route to host\); check"):
        load_semtrack("vidor", tmp_path / "here", download=True)


def test_a_registered_builder_answers_to_load_dataset(tmp_path, monkeypatch):
    from datasets import packaged_modules

    if not hasattr(packaged_modules, "_PACKAGED_DATASETS_MODULES"):
        pytest.skip("this version of datasets has no private table of packaged modules")
    monkeypatch.setitem(packaged_modules._PACKAGED_DATASETS_MODULES, "semtrack", None)
    register()
    folder = write_vidor(tmp_path / "vidor")
    rows = datasets.load_dataset("semtrack", "vidor", data_dir=str(folder), split="train")
    assert ids(rows) == TRAIN
    stream = datasets.load_dataset("semtrack", "vidor", data_dir=str(folder), split="validation", streaming=True)
    assert ids(stream) == ["201", "202"]


def test_registering_says_so_where_datasets_has_no_table(monkeypatch):
    monkeypatch.delattr(loading.packaged_modules, "_PACKAGED_DATASETS_MODULES")
    with pytest.raises(RuntimeError, match="has no table of packaged modules; use load_semtrack"):
        register()


def test_the_builder_works_as_a_script_of_datasets_3(tmp_path):
    """SEMTRACK_DATASETS3_PYTHON names a Python that has datasets 3 and this project's dependencies."""
    python = os.environ.get("SEMTRACK_DATASETS3_PYTHON")
    if not python:
        pytest.skip("no Python with datasets 3 (set SEMTRACK_DATASETS3_PYTHON)")
    folder = write_vidor(tmp_path / "vidor")
    code = f"""
import datasets, json
assert datasets.__version__.startswith("3."), datasets.__version__
from dataset_script.rows import row_to_record
place = dict(path="dataset_script/semtrack.py", name="vidor", data_dir={str(folder)!r}, trust_remote_code=True)
rows = datasets.load_dataset(**place, split="train", num_proc=2)
stream = datasets.load_dataset(**place, split="validation", streaming=True)
print(json.dumps([[row["video_id"] for row in rows], [row["video_id"] for row in stream],
                  row_to_record(rows[0]).targets[1].boxes[3]]))
"""
    places = {"HF_DATASETS_CACHE": tmp_path / "cache", "HF_MODULES_CACHE": tmp_path / "code", "PYTHONPATH": REPOSITORY}
    environment = os.environ | {name: str(place) for name, place in places.items()}
    found = subprocess.run(
        [python, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(found.stdout.splitlines()[-1]) == [TRAIN, ["201", "202"], [30.0, 34.0, 10.0, 10.0]]
