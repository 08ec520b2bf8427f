"""What the subcommands of `semtrack` that score results do; each takes parsed arguments, returns the exit code."""

from __future__ import annotations

import json
import logging
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from tqdm import tqdm

from dataset_script.sources.semtrack import read_semtrack
from metrics.semtrack.breakdown import check_figure, save_breakdown, video_table, write_table
from metrics.semtrack.rows import RowPair, pair_rows
from metrics.semtrack.scoring import METRICS, score_rows
from metrics.semtrack.st_map import PARTS, score_scenes
from metrics.semtrack.st_map_data import read_scenes
from metrics.semtrack.st_map_files import read_predictions, read_truth

from .checkpoint import find_checkpoint, load_checkpoint
from .command_output import bar, check_outputs
from .evaluation import (
    INTERRUPTED,
    Evaluation,
    annotated_interactions,
    check_videos,
    comparable,
    evaluate_videos,
    read_rows,
    write_rows,
)
from .files import atomic_path
from .session_semtrack import SemTrackSession

PROMPTED = "track_id"  # a target is tracked from its own true box, so that its track is known
RESAMPLES = 1000

logger = logging.getLogger(__name__)


def score(args: Namespace) -> int:
    """`semtrack score`: the scores of a file of predictions against the truth."""
    if args.mode == "official" and args.max_relations is not None:
        raise ValueError("--max-relations goes with --mode strict: official mode looks at whole lists")
    cut = {} if args.max_relations is None else {"max_relations": args.max_relations}
    with atomic_path(args.output) if args.output else nullcontext() as temporary:
        with tqdm(total=2 + len(PARTS), desc="scoring", unit="part", disable=None, file=sys.stderr) as bar:
            truth = read_truth(args.truth)
            bar.update()
            predictions = read_predictions(args.predictions)
            bar.update()
            scenes, predicted = read_scenes(truth, predictions, keep_last_of_a_name=args.mode == "official")
            del truth, predictions
            scores = score_scenes(scenes, predicted, args.mode, **cut, progress=lambda _: bar.update())
        text = json.dumps(scores, indent=2, allow_nan=False) + "\n"
        if temporary is None:
            sys.stdout.write(text)
        else:
            temporary.write_text(text, encoding="utf-8")
    return 0


def evaluate(args: Namespace) -> int:
    """`semtrack evaluate`: all scores of a model on annotated videos; Ctrl-C scores those that are done."""
    _check_evaluation_files(args)
    records = read_semtrack(args.data, fps=args.fps)
    interactions = annotated_interactions(records)
    done = read_rows(args.predictions, records) if args.predictions else {}
    records = records[: args.limit]
    check_videos(records, args.videos)
    if args.confidence and len(records) < 2:
        raise ValueError("--confidence draws videos anew, so it needs at least 2 of them; leave it out")
    model, processor = load_checkpoint(find_checkpoint(args.model), args.device, getattr(torch, args.dtype))

    def new_session(first_frame: int) -> SemTrackSession:
        return SemTrackSession(model, processor, semantic_stride=args.semantic_stride, first_frame=first_frame)

    stride = new_session(0).stride
    ahead = sum(record.num_frames for record in records if record.video_id not in done)
    with bar(ahead, "frame", "tracking") as tick:
        evaluation = evaluate_videos(records, args.videos, new_session, tick, done)
    if args.predictions_output:
        write_rows(evaluation.predictions, args.predictions_output)
    _warn_of_left_out(evaluation, args.predictions_output)
    if not evaluation.predictions:
        raise ValueError("none of the videos could be used, so there is nothing to score")
    predictions, ignored = comparable(evaluation.predictions, records, interactions)
    metrics = METRICS if stride and interactions else ("tracking",)
    scores = _scores(predictions, evaluation.references, metrics, args)
    scores |= {"left_out": evaluation.left_out, "ignored_interactions": dict(ignored.most_common())}
    scores |= {"semantic_stride": stride, "device": args.device, "dtype": args.dtype}
    _write_json(scores, args.output)
    _write_breakdown(pair_rows(predictions, evaluation.references), args)
    print(_headline(scores), file=sys.stdout if args.output else sys.stderr)
    return 1 if evaluation.left_out else 0


def _check_evaluation_files(args: Namespace) -> None:
    """What would otherwise show when the videos have been tracked."""
    files = {"output": args.output, "table": args.table, "figure": args.figure}
    check_outputs(None, **files, **{"predictions-output": args.predictions_output})
    if args.figure:
        check_figure(args.figure)


def _warn_of_left_out(evaluation: Evaluation, written: Path | None) -> None:
    interrupted = 0
    for video_id, reason in evaluation.left_out.items():
        if reason == INTERRUPTED:
            interrupted += 1
        else:
            logger.warning("video '%s' is left out: %s", video_id, reason)
    if interrupted:
        count = interrupted + len(evaluation.predictions)
        fix = f"go on with --predictions '{written}'" if written else "--predictions-output FILE keeps what is done"
        logger.warning("interrupted: %d of %d videos are not tracked and left out; %s", interrupted, count, fix)


def _scores(predictions: list[dict], references: list[dict], metrics: Sequence[str], args: Namespace) -> dict:
    """The scores, with intervals where they are asked for; those of ST-mAP would take far longer than all others."""
    with_interval = [name for name in metrics if name != "st_map"] if args.confidence else []
    if with_interval and len(references) < 2:
        logger.warning("no confidence intervals: they need at least 2 videos")
        with_interval = []
    steps = len(metrics) + (RESAMPLES + 1 if with_interval else 0)
    with bar(steps, "step", "scoring") as tick:
        return score_rows(
            predictions,
            references,
            metrics=metrics,
            mode=args.mode,
            association=PROMPTED,
            confidence=with_interval,
            n_resamples=RESAMPLES,
            progress=tick,
        )


def _write_breakdown(pairs: list[RowPair], args: Namespace) -> None:
    if args.table:
        write_table(video_table(pairs, PROMPTED), args.table)
    if args.figure:
        save_breakdown(pairs, args.figure, PROMPTED)


def _write_json(data: dict, path: Path | None) -> None:
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    if path is None:
        sys.stdout.write(text)
        return
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _headline(scores: dict) -> str:
    """The scores that are looked at first, in a line."""
    shown = [("average overlap", scores["tracking"]["ao"])]
    if "trajectory" in scores:
        shown.append(("interaction F1 (macro)", scores["recognition"]["macro_f1"]))
        shown += [(f"trajectory {name}", scores["trajectory"][name]) for name in ("mAP", "accuracy")]
    numbers = ", ".join(f"{name} {'undefined' if value is None else format(value, '.3f')}" for name, value in shown)
    count = scores["num_videos"]
    return f"{count} {'video' if count == 1 else 'videos'}: {numbers}"
