"""The `evaluate` module: loads alone and offline, streams, works in several processes, refuses bad rows."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from metric_rows import FAR, event, row, track

from metrics import metric_path
from metrics.semtrack.recognition import interaction_scores
from metrics.semtrack.rows import pair_rows
from metrics.semtrack.scoring import METRICS, score_rows
from metrics.semtrack.semantic_trajectory import trajectory_scores
from metrics.semtrack.semtrack import SemTrack
from metrics.semtrack.tracking import target_tracking_scores

RANK = """
import json, sys
import evaluate
path, cache, rank = sys.argv[1:]
predictions, references = json.load(open("rows.json"))
metric = evaluate.load(path, num_process=2, process_id=int(rank), experiment_id="two", cache_dir=cache, timeout=300)
for prediction, reference in list(zip(predictions, references))[int(rank)::2]:
    metric.add(prediction=prediction, reference=reference)
print(json.dumps(metric.compute(), allow_nan=False))
"""


def truth(number):
    """A video with a box that is pushed, and a walk."""
    tracks = [track(), track(2, range(10, 90), FAR, main=False, category="box")]
    events = [event(10, 40, object_track=2), event(50, 90, "walk", "")]
    return row(events, tracks, video_id=f"clip {number}")


def guess(number, shift=5, box=(12.0, 20.0, 40.0, 30.0)):
    """Nearly the truth."""
    located = (range(20, 35), FAR)
    events = [event(10 + shift, 40 + shift, score=0.8, located=located), event(60, 90, "wave", "", score=0.3)]
    return row(events, [track(box=list(box), score=0.9)], video_id=f"clip {number}")


TRUTHS = [truth(number) for number in range(3)]
GUESSES = [guess(number, shift=3 * number) for number in range(3)]


@pytest.fixture
def metric(tmp_path):
    return SemTrack(cache_dir=str(tmp_path))


class TestResults:
    def test_every_metric_is_what_its_own_function_says(self, metric):
        scores = metric.compute(predictions=GUESSES, references=TRUTHS, training_counts={"push": 200, "walk": 3})
        pairs = pair_rows(GUESSES, TRUTHS)
        assert list(scores) == ["mode", "num_videos", *METRICS]
        assert (scores["mode"], scores["num_videos"]) == ("strict", 3)
        assert scores["tracking"] == target_tracking_scores(pairs)
        assert scores["recognition"] == interaction_scores(pairs, {"push": 200, "walk": 3})
        assert scores["trajectory"] == trajectory_scores(pairs)
        assert scores["recognition"]["groups"]["few"]["recall"] == 0.0
        assert 0 < scores["trajectory"]["mAP"] < 1 and 0.9 < scores["tracking"]["ao"] < 1

    def test_the_truth_itself_is_perfect(self, metric):
        scores = metric.compute(predictions=TRUTHS, references=TRUTHS)
        assert scores["tracking"]["ao"] == scores["recognition"]["macro_f1"] == 1
        assert scores["trajectory"]["mAP"] == scores["trajectory"]["accuracy"] == scores["relations"]["mAP"] == 1
        assert scores["st_map"]["cls_comb_cls_av"]["STMAP"]["TI_AP_all"] == pytest.approx([1] * 6)
        assert scores["st_map"]["cls_comb_cls_av"]["HOTA"]["HOTA"] == pytest.approx([1] * 19)

    def test_only_the_chosen_metrics_are_computed(self, metric):
        scores = metric.compute(predictions=GUESSES, references=TRUTHS, metrics=["recognition", "tracking"])
        assert list(scores) == ["mode", "num_videos", "recognition", "tracking"]

    def test_all_of_it_is_json(self, metric):
        """Also where nearly everything is undefined: no events, no predictions."""
        silent = [row([], [track()], video_id=f"clip {number}") for number in range(2)]
        scores = metric.compute(predictions=[], references=silent, confidence=True, n_resamples=3)
        assert json.loads(json.dumps(scores, allow_nan=False)) == scores
        assert scores["recognition"]["micro_f1"] is None

    def test_modes_and_thresholds_reach_their_metrics(self, metric):
        options = [{}, {"mode": "official"}, {"tious": [0.9]}, {"association": "track_id"}]
        results = [metric.compute(predictions=GUESSES, references=TRUTHS, **option) for option in options]
        strict, official, tight, by_id = results
        assert official["mode"] == "official" and official["st_map"] != strict["st_map"]
        assert "mAP@0.9" in tight["trajectory"] and tight["trajectory"]["mAP"] < strict["trajectory"]["mAP"]
        assert by_id["tracking"] == strict["tracking"]

    def test_a_track_is_found_by_its_id_or_by_its_place(self, metric):
        guesses = [row([], [track(7)], video_id="clip 0")]
        by_place = metric.compute(predictions=guesses, references=TRUTHS[:1], metrics=["tracking"])
        by_id = metric.compute(predictions=guesses, references=TRUTHS[:1], metrics=["tracking"], association="track_id")
        assert (by_place["tracking"]["ao"], by_id["tracking"]["ao"]) == (1, 0)


class TestConfidence:
    def test_intervals_hold_their_scores(self, metric):
        scores = metric.compute(predictions=GUESSES, references=TRUTHS, confidence=True, n_resamples=20)
        intervals = scores["confidence"]["intervals"]
        low, high = intervals["tracking/ao"]
        assert low <= scores["tracking"]["ao"] <= high
        low, high = intervals["trajectory/mAP@0.7"]
        assert low < scores["trajectory"]["mAP@0.7"] < high
        low, high = intervals["st_map/STMAP/TI_AP_all"]
        assert low <= np.mean(scores["st_map"]["cls_comb_cls_av"]["STMAP"]["TI_AP_all"]) <= high
        assert intervals["st_map/STMAP/TI_AP_area_l"] is None  # -1: there are no large boxes
        assert scores["confidence"]["level"] == 0.95 and scores["confidence"]["n_resamples"] == 20

    def test_intervals_of_some_metrics(self, metric):
        scores = metric.compute(predictions=GUESSES, references=TRUTHS, confidence=["tracking"], n_resamples=5)
        assert {path.split("/")[0] for path in scores["confidence"]["intervals"]} == {"tracking"}
        assert "trajectory" in scores

    def test_the_seed_decides_the_draws(self):
        def intervals(seed):
            options = {"metrics": ["trajectory"], "confidence": True, "n_resamples": 8, "confidence_seed": seed}
            return score_rows(GUESSES, TRUTHS, **options)["confidence"]["intervals"]["trajectory/mAP@0.7"]

        assert intervals(0) == intervals(0)
        assert len({tuple(intervals(seed)) for seed in range(5)}) > 1


class TestRows:
    def test_streaming_gives_the_same_as_all_at_once(self, metric):
        at_once = metric.compute(predictions=GUESSES, references=TRUTHS)
        metric.add_batch(predictions=GUESSES[:2][::-1], references=TRUTHS[:2])  # in any order within a batch
        metric.add(prediction=GUESSES[2], reference=TRUTHS[2])
        assert metric.compute() == at_once
        metric.add_batch(predictions=GUESSES[:2], references=TRUTHS[:2])
        assert metric.compute(predictions=GUESSES[2:], references=TRUTHS[2:]) == at_once

    def test_a_video_without_a_prediction_counts_as_nothing_found(self, metric):
        left_out = metric.compute(predictions=GUESSES[:2], references=TRUTHS)
        empty = GUESSES[2] | {"tracks": [], "events": []}
        assert left_out == metric.compute(predictions=[*GUESSES[:2], empty], references=TRUTHS)
        assert left_out["tracking"]["ao"] < score_rows(GUESSES, TRUTHS)["tracking"]["ao"]
        metric.add_batch(predictions=GUESSES[:2], references=TRUTHS[:2])
        metric.add(reference=TRUTHS[2])
        assert metric.compute() == left_out

    def test_a_class_without_predictions_scores_zero(self, metric):
        scores = metric.compute(predictions=GUESSES, references=TRUTHS)
        assert scores["recognition"]["per_class"]["walk"]["f1"] == 0
        assert scores["trajectory"]["per_interaction"]["walk"]["AP"] == 0

    def test_numpy_values_are_as_good_as_lists(self, metric):
        tracks = [
            entry | {"boxes": np.array(entry["boxes"]), "frames": np.arange(100)} for entry in GUESSES[0]["tracks"]
        ]
        given = metric.compute(predictions=[GUESSES[0] | {"tracks": tracks}], references=TRUTHS[:1])
        assert given == metric.compute(predictions=GUESSES[:1], references=TRUTHS[:1])

    def test_unknown_videos_are_listed_up_to_three(self, metric):
        with pytest.raises(ValueError, match="no reference: 'clip 5', 'clip 6', 'clip 7' and 2 more"):
            metric.compute(predictions=[guess(number) for number in range(5, 10)], references=TRUTHS)

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"events": [event(40, 30)]}, r"video 'clip 0', predictions\[0\]\.events\[0\].* got \[40, 30\)"),
            ({"tracks": [track() | {"frames": [0]}]}, r"video 'clip 0', predictions\[0\]\.tracks\[0\].* 100 boxes"),
            ({"tracks": [track(box=[0.0, 0.0, -4.0, 2.0])]}, r"boxes\[0\] must have .* got \[0.0, 0.0, -4.0, 2.0\]"),
            ({"tracks": [track(score=float("nan"))]}, r"video 'clip 0', predictions\[0\]\.tracks\[0\]\.score .* nan"),
        ],
    )
    def test_a_bad_row_is_refused_when_it_is_added(self, metric, change, message):
        with pytest.raises(ValueError, match=message):
            metric.add(prediction=GUESSES[0] | change, reference=TRUTHS[0])
        assert metric.compute(predictions=GUESSES, references=TRUTHS)["num_videos"] == 3  # nothing of it stays

    def test_an_interaction_that_is_not_known_is_refused(self, metric):
        with pytest.raises(ValueError, match=r"'clip 0', predictions\[0\]\.events\[1\].* 2 known names, got 'wave'"):
            metric.compute(predictions=GUESSES, references=TRUTHS, interactions=["push", "walk"])

    def test_a_video_that_comes_in_two_batches_is_refused(self, metric):
        for _ in range(2):
            metric.add(prediction=GUESSES[0], reference=TRUTHS[0])
        with pytest.raises(ValueError, match="'clip 0', references.1.: this video_id has come before"):
            metric.compute()

    def test_nothing_to_score_is_refused(self, metric):
        with pytest.raises(ValueError, match="there is no video to score"):
            metric.compute()
        with pytest.raises(ValueError, match="predictions need references"):
            metric.compute(predictions=GUESSES)

    @pytest.mark.parametrize(
        "option, message",
        [
            ({"metrics": ["speed"]}, "metrics must be some of tracking, .*'speed'"),
            ({"metrics": "tracking"}, "as a list, got 'tracking'"),
            ({"metrics": []}, r"as a list, got \[\]"),
            ({"mode": "lenient"}, "mode must be one of strict, official, got 'lenient'"),
            ({"association": "name"}, "association must be one of viou, track_id, got 'name'"),
            ({"confidence": ["speed"]}, r"confidence must be .* got \['speed'\]"),
        ],
    )
    def test_impossible_options_are_refused(self, metric, option, message):
        with pytest.raises(ValueError, match=message):
            metric.compute(predictions=GUESSES, references=TRUTHS, **option)


class TestLoading:
    def test_two_processes_that_have_only_the_folder_score_like_one(self, tmp_path):
        """Each with its own part of the rows, offline, and without this repository on its path."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        (tmp_path / "rows.json").write_text(json.dumps([GUESSES, TRUTHS]))
        commands = [[sys.executable, "-P", "-c", RANK, metric_path(), str(tmp_path), rank] for rank in "01"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        ranks = [subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) for command in commands]
        (first, first_errors), (second, second_errors) = (rank.communicate(timeout=300) for rank in ranks)
        assert [rank.returncode for rank in ranks] == [0, 0], first_errors + second_errors
        assert json.loads(first) == score_rows(GUESSES, TRUTHS)
        assert json.loads(second) is None

    def test_a_process_without_videos_does_not_keep_the_first_one_waiting(self, tmp_path):
        def compute(rank):
            metric = SemTrack(cache_dir=str(tmp_path), num_process=2, process_id=rank, experiment_id="idle")
            return metric.compute(predictions=GUESSES, references=TRUTHS) if rank == 0 else metric.compute()

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(compute, range(2))
        assert first["num_videos"] == 3 and second is None

    def test_the_folder_is_found_from_anywhere(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert (Path(metric_path()) / "semtrack.py").is_file()

    def test_the_examples_of_the_card_run(self, tmp_path):
        """All of them, one after the other, in one session."""
        card = (Path(metric_path()) / "README.md").read_text()
        code = [block.split("```")[0] for block in card.split("```python\n")[1:]]
        assert len(code) >= 2
        exec("\n".join(code), {"__name__": "card"})
