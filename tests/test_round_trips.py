"""Records survive the formats that can say what they say."""

import json
import random
from itertools import islice

import pytest

from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord
from dataset_script.sources.mot import read_mot
from dataset_script.sources.otb import read_otb
from dataset_script.sources.semtrack import read_semtrack, write_semtrack
from dataset_script.sources.ut_interaction import read_ut_interaction
from dataset_script.sources.vidor import read_vidor, write_vidor

NAMES = ("unknown", "dog", "Gerät", "ball/sports_ball", 'a "quoted", [odd] name', "犬", None)


def random_record(rng: random.Random, number: int) -> VideoRecord:
    """A record with everything that records can say: gaps, unknown frames, unnamed classes, no interactions."""
    frames = rng.randint(1, 40)
    annotated = rng.choice([None, (), tuple(sorted(rng.sample(range(frames), rng.randint(0, frames))))])
    known = range(frames) if annotated is None else annotated
    targets = [
        TargetRecord(
            track,
            rng.choice(NAMES),
            {f: tuple(rng.uniform(0.01, 900) for _ in range(4)) for f in rng.sample(known, rng.randint(0, len(known)))},
            rng.random() < 0.5,
        )
        for track in rng.sample(range(-3, 99), rng.randint(0, 5))
    ]
    return VideoRecord(
        video_id=f"set {number}/väter",
        file_name=f"videos/{number}.mp4",
        width=rng.randint(1, 4000),
        height=rng.randint(1, 4000),
        fps=rng.choice([25.0, 29.97, 30000 / 1001]),
        num_frames=frames,
        targets=targets,
        interactions=rng.choice([None, random_events(rng, [t.track_id for t in targets], frames)]),
        prompt=rng.choice([None, "der Hund, der „bellt“\nund läuft"]),
        source=rng.choice(["vidor", "synthetic"]),
        metadata=rng.choice([{}, {"a": [1, None, {"b": 0.1}], "ü": "\\u00fc"}]),
        annotated_frames=annotated,
    )


def random_events(rng, tracks, frames):
    events = []
    for _ in range(rng.randint(0, 6) if tracks else 0):
        start = rng.randint(0, frames - 1)
        subject, other = rng.choice(tracks), rng.choice([*tracks, None])
        name, end = rng.choice(["push", "drück", "walk_left"]), rng.randint(start + 1, frames)
        events.append(InteractionRecord(subject, name, None if other == subject else other, start, end))
    return events


@pytest.mark.parametrize("seed", range(5))
def test_any_record_comes_back_from_the_semtrack_layout_exactly(tmp_path, seed):
    rng = random.Random(seed)
    records = [random_record(rng, number) for number in range(12)]
    write_semtrack(records, tmp_path / "annotations.json")
    assert read_semtrack(tmp_path / "annotations.json") == records


def test_a_class_called_unknown_is_not_a_missing_name(tmp_path):
    targets = [TargetRecord(1, "unknown", {}, True), TargetRecord(2, None, {}, True)]
    record = VideoRecord("v", "v.mp4", 4, 4, 25.0, 1, targets, [], None, "test")
    write_semtrack([record], tmp_path / "a.json")
    assert [target.category for target in read_semtrack(tmp_path / "a.json")[0].targets] == ["unknown", None]


def test_real_records_come_back_from_the_semtrack_layout_exactly(tmp_path, shared_data):
    records = [
        *islice(read_ut_interaction(shared_data / "ut_interaction"), 12),
        *islice(read_mot(shared_data / "annotations/mot/MOT17"), 1, 2),
        *islice(read_otb(shared_data / "sot"), 2, 6),
    ]
    assert len(records) == 17
    write_semtrack(records, tmp_path / "annotations.json")
    assert read_semtrack(tmp_path / "annotations.json") == records


@pytest.fixture
def vidor(tmp_path, shared_data):
    """The three authentic VidOR files in the published layout."""
    for path in (shared_data / "annotations/vidor").glob("[0-9]*.json"):
        target = tmp_path / "vidor/training/0000" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())
    return tmp_path / "vidor"


def test_vidor_to_semtrack_to_vidor_keeps_every_relation_box_and_name(tmp_path, vidor):
    records = list(read_vidor(vidor))
    assert [len(record.interactions) for record in records] == [15, 40, 4]
    write_semtrack(records, tmp_path / "semtrack.json")
    for record in read_semtrack(tmp_path / "semtrack.json"):
        path = tmp_path / "again/training/0000" / f"{record.video_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_vidor(record, path)
    assert list(read_vidor(tmp_path / "again")) == records


def test_the_vidor_file_that_comes_out_has_the_relations_and_boxes_of_the_one_that_went_in(tmp_path, vidor):
    """Compared as JSON, so that reader and writer cannot agree on something wrong."""
    for record in read_vidor(vidor):
        write_semtrack([record], tmp_path / "semtrack.json")
        (again,) = read_semtrack(tmp_path / "semtrack.json")
        write_vidor(again, tmp_path / "out.json")
        before = json.loads((vidor / f"training/0000/{record.video_id}.json").read_text())
        after = json.loads((tmp_path / "out.json").read_text())
        assert after["relation_instances"] == before["relation_instances"]
        assert sorted(map(str, after["subject/objects"])) == sorted(map(str, before["subject/objects"]))
        boxes = [
            [{(row["tid"], *row["bbox"].values(), row["generated"]) for row in rows} for rows in data["trajectories"]]
            for data in (before, after)
        ]
        assert boxes[0] == boxes[1]
        same = ("video_id", "video_path", "frame_count", "fps", "width", "height", "version")
        assert [after[key] for key in same] == [before[key] for key in same]
