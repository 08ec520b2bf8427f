"""Counts of a data set, their long tail, and the figure."""

import json
import re
from pathlib import Path

import pytest
import yaml
from PIL import Image
from test_validate import BOX, make_video

from dataset_script.records import TargetRecord
from dataset_script.registry import SOURCES, read_records
from dataset_script.statistics import DatasetStatistics, save_long_tail, tail

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def statistics():
    """Two videos of 20 frames at 10 per second: 3 pushes, 1 hug, 2 persons, 2 dogs, a track without a name."""
    counted = DatasetStatistics()
    pushes = [(1, "push", 2, start, start + 5) for start in (0, 5, 10)]
    counted.add(make_video(*pushes), "train")
    unnamed = [TargetRecord(1, "person", {0: BOX, 4: BOX}, True), TargetRecord(2, "dog", {}, False)]
    unnamed.append(TargetRecord(3, None, {1: BOX}, False))
    counted.add(make_video((1, "hug", None, 0, 20), targets=unnamed, source="other", prompt="the person"), "test")
    return counted


def test_counts_by_hand(statistics):
    total = statistics.total
    assert (total["videos"], total["frames"], total["seconds"]) == (2, 40, 4.0)
    assert (total["tracks"], total["boxes"], total["main targets"]) == (5, 43, 2)
    assert (total["events"], total["events without an object"], total["videos with a sentence"]) == (4, 1, 1)
    assert statistics.classes["interactions"] == {"push": 3, "hug": 1}
    assert statistics.classes["categories"] == {"person": 2, "dog": 2}, "a track without a name is no class"


def test_the_report_is_plain_json_by_source_and_split(statistics):
    report = json.loads(json.dumps(statistics.to_dict()))
    assert list(report["sources"]) == ["test", "other"] and list(report["splits"]) == ["train", "test"]
    assert report["seconds per event"] == {"5%": 0.5, "median": 0.5, "95%": 1.775, "mean": 0.875}
    assert report["interactions"]["counts"] == {"push": 3, "hug": 1}


def test_what_a_source_does_not_annotate_is_counted_as_that():
    counted = DatasetStatistics()
    counted.add(make_video(interactions=None), None)
    assert counted.total["videos without annotated interactions"] == 1 and counted.total["events"] == 0


def test_the_tail_of_a_long_tailed_set():
    facts = tail({"a": 150, "b": 50, "c": 20, "d": 5})
    assert (facts["many"], facts["medium"], facts["few"], facts["imbalance"]) == (1, 2, 1, 30)
    assert list(facts["counts"]) == ["a", "b", "c", "d"]


def test_gini_is_zero_for_equal_counts_and_near_one_for_a_single_frequent_class():
    assert tail({"a": 7, "b": 7})["gini"] == 0
    assert tail({str(n): 1 for n in range(99)} | {"a": 10**6})["gini"] > 0.98
    assert tail({"a": 1, "b": 3})["gini"] == 0.25  # |1-3| summed over pairs: 4 / (2 * 2 * 4)


def test_the_card_section_is_a_table_and_the_classes(statistics):
    lines = statistics.to_markdown().splitlines()
    assert lines[0] == "| | videos | frames | seconds | tracks | boxes | events |"
    assert lines[-5].startswith("| all | 2 | 40 | 4 | 5 | 43 | 4 |")
    assert lines[-3].startswith("**2 interactions** (counted in events;") and lines[-3].endswith(": push 3, hug 1.")


def test_the_data_sets_card_names_every_source_and_has_a_readable_head():
    head, text = (ROOT / "dataset_script" / "README.md").read_text(encoding="utf-8").split("---\n", 2)[1:]
    assert {"license", "pretty_name", "task_categories"} <= set(yaml.safe_load(head))
    assert [name for name in (*SOURCES, "synthetic") if f"`{name}`" not in text] == []
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert pictures and all((ROOT / "dataset_script" / name).is_file() for name in pictures)


def test_the_card_says_of_ut_interaction_what_the_command_counts(shared_data):
    counted = DatasetStatistics()
    for record in read_records("ut_interaction", shared_data / "ut_interaction"):
        counted.add(record, None)
    assert counted.to_markdown() in (ROOT / "dataset_script" / "README.md").read_text(encoding="utf-8")


def test_the_figure_is_a_picture_with_both_kinds(statistics, tmp_path):
    save_long_tail(statistics, tmp_path / "tail.png")
    picture = Image.open(tmp_path / "tail.png")
    assert picture.width > 800 and len(picture.convert("RGB").getcolors(1 << 20)) > 20


def test_a_figure_of_nothing_or_of_no_known_kind_is_refused(statistics, tmp_path):
    with pytest.raises(ValueError, match="no classes to draw"):
        save_long_tail(DatasetStatistics(), tmp_path / "tail.png")
    with pytest.raises(ValueError, match="image file such as tail.png"):
        save_long_tail(statistics, tmp_path / "tail.xyz")
    assert list(tmp_path.iterdir()) == []
