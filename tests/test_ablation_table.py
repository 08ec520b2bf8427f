"""The ablation's report tells mean and spread of what was run, beside words that it leaves alone."""

import json

import pytest

pytest.importorskip("matplotlib")

from benchmarks.ablation_table import BEGIN, END, aggregate, write_report


def some_scores(f1):
    groups = {"overall": f1, "many": f1 + 1, "medium": None, "few": f1 - 1, "scene_dependent": f1}
    one = {"f1": groups, "accuracy": dict(groups), "micro_f1": f1}
    return {"none": one, "support": one, "chosen": {"thresholds": [0.3, 0.4]}}


def a_report():
    row = {"section": "The claim", "title": "full", "scores": aggregate([some_scores(40.0), some_scores(44.0)])}
    return {"rows": {"full": row}, "tracking": {"ao": 0.7, "sr50": 0.8, "models": 3, "boxes": 12}}


def test_mean_and_sample_deviation():
    both = aggregate([some_scores(40.0), some_scores(44.0)])
    assert both["none"]["f1"]["overall"] == {"mean": 42.0, "std": pytest.approx(8**0.5)}
    assert both["none"]["f1"]["medium"] is None
    assert aggregate([some_scores(40.0)])["none"]["micro_f1"] == {"mean": 40.0, "std": 0.0}


def test_words_around_the_tables_stay(tmp_path):
    page = tmp_path / "ablation.md"
    page.write_text(f"# Ours\n\n{BEGIN}\nold\n{END}\n\nFindings.\n")
    write_report(tmp_path / "ablation", a_report())
    text = page.read_text()
    assert text.startswith("# Ours\n") and text.endswith("Findings.\n") and "old" not in text
    assert "| full | 42.0 ± 2.8 | 43.0 ± 2.8 | - | 41.0 ± 2.8 |" in text
    assert json.loads((tmp_path / "ablation.json").read_text())["rows"]["full"]["title"] == "full"
    assert (tmp_path / "ablation.png").stat().st_size > 1000


def test_a_page_without_a_place_for_tables_is_refused(tmp_path):
    (tmp_path / "ablation.md").write_text("# Mine\n")
    with pytest.raises(ValueError, match="has no place for the tables"):
        write_report(tmp_path / "ablation", a_report())
    assert (tmp_path / "ablation.md").read_text() == "# Mine\n"
