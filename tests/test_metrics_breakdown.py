"""The table and the figure of what fails where."""

import csv
import sys

import pytest
from matplotlib.image import imread
from metric_rows import FAR, event, row, track

from metrics.semtrack import breakdown
from metrics.semtrack.breakdown import COLUMNS, save_breakdown, video_table, write_table
from metrics.semtrack.rows import pair_rows
from modeling_semtrack.files import OutputError

TRUTH = [event(0, 50), event(60, 90, "hug", "person"), event(60, 80, "hug", "dog")]


@pytest.fixture
def pairs():
    """A perfect video, one of which two events of three are missed, and one without anything."""
    wrong = [event(0, 50), event(60, 90, "kick", "person"), event(20, 40, "kick", "person")]
    truths = [row(TRUTH, video_id="good"), row(TRUTH, video_id="poor"), row([], video_id="calm")]
    guesses = [row(TRUTH, video_id="good"), row(wrong, video_id="poor"), row([], [track(box=FAR)], video_id="calm")]
    return pair_rows(guesses, truths)


def drawn(monkeypatch, pairs, path, **options):
    """The figure that `save_breakdown` saves."""
    figures = []
    monkeypatch.setattr(breakdown, "_draw", lambda *a, draw=breakdown._draw: figures.append(draw(*a)) or figures[0])
    save_breakdown(pairs, path, **options)
    return figures[0]


class TestTable:
    def test_each_video_says_what_was_found_missed_and_invented(self, pairs):
        good, poor, calm = video_table(pairs)
        assert list(good) == list(COLUMNS)
        assert good["ao"] == good["accuracy"] == good["f1"] == 1
        assert (good["events"], good["found"], good["missed"], good["invented"]) == (3, 3, "", "")
        assert (poor["found"], poor["missed"], poor["invented"]) == (1, "hug x2", "kick x2")
        assert poor["accuracy"] == 0.5  # of 100 frames, 0 to 19, 40 to 59 and 90 to 99
        assert (calm["ao"], calm["f1"], calm["events"]) == (0, None, 0)

    def test_the_threshold_decides_what_is_found(self):
        late = pair_rows([row([event(20, 50)])], [row([event(0, 50)])])
        assert video_table(late)[0]["found"] == 1
        assert video_table(late, tiou=0.7)[0]["missed"] == "push"

    def test_undefined_scores_are_empty_cells(self, pairs, tmp_path):
        write_table(video_table(pairs), tmp_path / "t.csv")
        with open(tmp_path / "t.csv", newline="") as file:
            lines = list(csv.DictReader(file))
        assert [line["video_id"] for line in lines] == ["good", "poor", "calm"]
        assert (lines[2]["f1"], lines[2]["ao"], lines[1]["missed"]) == ("", "0.0", "hug x2")


class TestFigure:
    def test_it_shows_all_videos_first_then_the_worst(self, pairs, tmp_path, monkeypatch):
        figure = drawn(monkeypatch, pairs, tmp_path / "f.png")
        bars, matrix = figure.axes
        assert [label.get_text() for label in bars.get_yticklabels()] == ["all videos", "calm", "poor", "good"]
        assert [label.get_text() for label in matrix.get_xticklabels()] == ["hug (4)", "push (2)", "kick (0)"]
        assert imread(tmp_path / "f.png").shape[1] > 600

    def test_a_cell_is_the_f1_of_an_interaction_in_a_video(self, pairs, tmp_path, monkeypatch):
        _, matrix = drawn(monkeypatch, pairs, tmp_path / "f.svg").axes
        cells = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in matrix.texts}
        assert cells == {
            (0, 0): "67", (0, 1): "100", (0, 2): "+",  # all: hug in 30 of 60 frames
            (2, 0): "0", (2, 1): "100", (2, 2): "+",  # poor: kick is said, never true
            (3, 0): "100", (3, 1): "100",  # good
        }  # fmt: skip

    def test_of_many_videos_it_shows_the_worst_and_says_so(self, pairs, tmp_path, monkeypatch):
        monkeypatch.setattr(breakdown, "MOST_VIDEOS", 1)
        figure = drawn(monkeypatch, pairs, tmp_path / "f.pdf")
        assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["all videos", "calm"]
        assert figure.get_suptitle().endswith("the 1 worst of 3 videos")

    def test_long_names_keep_their_end(self, tmp_path, monkeypatch):
        name = "a/very/long/name/of/a/folder/with/clip_17"
        figure = drawn(monkeypatch, pair_rows([], [row(TRUTH, video_id=name)]), tmp_path / "f.png")
        label = figure.axes[0].get_yticklabels()[1].get_text()
        assert label.endswith("/with/clip_17") and label.startswith("…") and len(label) == breakdown.LONGEST_NAME

    def test_videos_without_interactions_still_have_their_bars(self, tmp_path, monkeypatch):
        figure = drawn(monkeypatch, pair_rows([row()], [row()]), tmp_path / "f.png")
        assert figure.axes[1].texts[0].get_text() == "no interactions"
        assert figure.axes[0].patches[1].get_width() == 1

    def test_what_cannot_be_drawn_is_refused(self, pairs, tmp_path, monkeypatch):
        with pytest.raises(ValueError, match="ends in .png, .*got 'f.mp4'"):
            save_breakdown(pairs, "f.mp4")
        with pytest.raises(ValueError, match="at least one video"):
            save_breakdown([], tmp_path / "f.png")
        with pytest.raises(OutputError, match="there is no folder"):
            save_breakdown(pairs, tmp_path / "none" / "f.png")
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        monkeypatch.setattr(breakdown, "find_spec", lambda name: None)
        with pytest.raises(ImportError, match="pip install matplotlib"):
            save_breakdown(pairs, tmp_path / "f.png")
        assert list(tmp_path.iterdir()) == []
