"""The `semtrack` command: arguments, messages and exit codes. What it does is in `commands*.py`.

Exit codes: 0 done; 1 the video broke off, the result is marked incomplete (evaluate: some videos were left
out; validate: the data has errors); 2 bad input, one line on stderr says what, and no output is written.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from .export import FORMATS

DTYPES = ("float32", "bfloat16", "float16")
DEVICES = ("cpu", "cuda")
SCORE_MODES = ("strict", "official")
BODIES = {  # where not in commands.py
    "score": "commands_metrics",
    "evaluate": "commands_metrics",
    "validate": "commands_data",
    "annotate": "commands_data",
}
BROKE_OFF = 1
BAD_INPUT = 2
INTERRUPTED = 130  # what shells report after Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: What follows `semtrack` on the command line; None takes it from there.

    Returns:
        The exit code.
    """
    notes = _Notes()
    logger = logging.getLogger(__package__)
    logger.addHandler(notes)
    try:
        args = _parser().parse_args(arguments)
        body = BODIES.get(args.command, "commands")
        module = import_module(f".{body}", __package__)  # brings the model in; arguments are checked without it
        code = getattr(module, args.command)(args)
        sys.stdout.flush()
    except (ValueError, OSError, ImportError) as error:
        _say("error", _one_line(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        _say("error", "interrupted")
        return INTERRUPTED
    finally:
        logger.removeHandler(notes)
    ends = code == BROKE_OFF and args.command not in ("evaluate", "validate")  # which are about many videos
    for line in notes.lines:
        _say("warning", f"{line}; the result ends there and is marked incomplete" if ends else line)
    return code


class _Notes(logging.Handler):
    """Keeps what the package warns of, each line once: a video that is tracked and rendered is read twice."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Takes in a log record."""
        line = record.getMessage()
        if line not in self.lines:
            self.lines.append(line)


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument like any other bad input."""

    def error(self, message: str) -> NoReturn:
        """Raises instead of printing the usage."""
        raise ValueError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="semtrack", description="Follow one target in a video and tell what it does.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_track(commands.add_parser("track", help="follow a target through a video"))
    _add_benchmark(commands.add_parser("benchmark", help="score trackers on annotated sequences"))
    _add_synthesize(commands.add_parser("synthesize", help="make videos with exact truth"))
    _add_evaluate(commands.add_parser("evaluate", help="score the model on annotated videos"))
    _add_score(commands.add_parser("score", help="compare predictions with the truth, without a model"))
    _add_validate(commands.add_parser("validate", help="check annotations, and count what is in them"))
    _add_annotate(commands.add_parser("annotate", help="propose annotations for a review, and merge reviewed ones"))
    _add_demo(commands.add_parser("demo", help="see it work, on a synthetic clip or on a video of yours"))
    return parser


def _add_track(parser: argparse.ArgumentParser) -> None:
    parser.description = "Follow a target through a video; the result goes to a file, or to stdout."
    parser.add_argument("video", metavar="VIDEO", help="video file, folder of images, 'webcam:0' or stream URL")
    _add_prompt(parser.add_mutually_exclusive_group(required=True))
    parser.add_argument("--frame", type=int, default=0, metavar="N", help="frame of the box or point (default 0)")
    parser.add_argument("--label", metavar="NAME", help="what the target is called in the results")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the result goes (default: stdout)")
    parser.add_argument("--format", choices=FORMATS, help="default: by the suffix of --output, json on stdout")
    parser.add_argument("--render", type=Path, metavar="FILE", help="also write the video with the result drawn in")
    parser.add_argument("--timeline", type=Path, metavar="FILE", help="also write a figure of what happened when")
    parser.add_argument(
        "--semantic-stride",
        type=int,
        metavar="N",
        help="frames between semantic steps, 0 for tracking only (default: the model's own)",
    )
    _add_model(parser)


def _add_benchmark(parser: argparse.ArgumentParser) -> None:
    parser.description = "Score trackers on OTB-like sequences; prints one JSON object."
    parser.add_argument("--sequences", type=Path, required=True, metavar="DIR", help="folder of sequences")
    parser.add_argument("--include", type=Path, metavar="FILE", help="names to run, one a line (default: all)")
    parser.add_argument("--peers", default="", metavar="NAMES", help="also run some of csrt,kcf,nanotrack (OpenCV)")
    parser.add_argument("--nanotrack-weights", type=Path, metavar="DIR", help="folder with NanoTrack's ONNX files")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the scores go (default: stdout)")
    parser.add_argument(
        "--semantic-stride", type=int, default=0, metavar="N", help="frames between semantic steps (default 0: none)"
    )
    _add_model(parser)


def _add_synthesize(parser: argparse.ArgumentParser) -> None:
    parser.description = "Make videos with exact truth: DIR/videos/*.mp4 and DIR/annotations.json."
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--videos", type=_whole_number, default=10, metavar="N", help="how many (default 10)")
    parser.add_argument("--seed", type=_whole_number, default=0, metavar="S", help="of the first video (default 0)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="photos to use (default: those of scikit-image)")
    parser.add_argument("--cutouts", type=Path, metavar="DIR", help="masks <name>.png of the photos' main objects")
    parser.add_argument(
        "--seconds", type=float, nargs=2, default=(3.0, 5.0), metavar="S", help="shortest, longest video"
    )
    parser.add_argument("--tail", type=float, default=0.8, metavar="S", help="Zipf exponent of the interactions")
    parser.add_argument("--workers", type=_whole_number, default=1, metavar="N", help="processes (default 1)")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Track every main object of annotated videos from its first true box on, and print the scores of tracks, "
        "interactions and semantic trajectories as JSON."
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="annotations in the SemTrack layout")
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR", help="folder of the annotated videos")
    parser.add_argument("--limit", type=_whole_number, metavar="N", help="only the first N videos")
    parser.add_argument("--fps", type=float, metavar="F", help="frame rate of videos for which the file names none")
    parser.add_argument(
        "--semantic-stride",
        type=int,
        metavar="N",
        help="frames between semantic steps, 0 for tracking only (default: the model's own)",
    )
    parser.add_argument("--mode", choices=SCORE_MODES, default="strict", help="of ST-mAP; default: strict")
    parser.add_argument("--confidence", action="store_true", help="also 95%% bootstrap intervals by video")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the scores go (default: stdout)")
    parser.add_argument("--table", type=Path, metavar="FILE", help="also write a CSV table with a line per video")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="also draw which videos and interactions fail")
    parser.add_argument("--predictions-output", type=Path, metavar="FILE", help="also write what was predicted (JSONL)")
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="FILE",
        help="what an earlier run predicted, scored as it is: only the other videos are tracked (after Ctrl-C)",
    )
    _add_model(parser)


def _add_score(parser: argparse.ArgumentParser) -> None:
    parser.description = "Score predicted tracks and relations (ST-mAP, TrackMAP, HOTA, CLEAR, MTI, Identity) as JSON."
    parser.add_argument("--truth", type=Path, required=True, metavar="FILE", help="annotations in the SemTrack layout")
    parser.add_argument("--predictions", type=Path, required=True, metavar="FILE", help="list of predicted boxes, JSON")
    parser.add_argument(
        "--mode",
        choices=SCORE_MODES,
        default="strict",
        help="strict (default), or official for the published numbers with their defects",
    )
    parser.add_argument(
        "--max-relations",
        type=_whole_number,
        metavar="N",
        help="strict mode only: how many relations of a predicted list count, the best first (default 1)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the scores go (default: stdout)")


def _add_validate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Check annotations: boxes, holes in tracks, intervals, who is there during an interaction, repeated and "
        "contradicting events, categories, names, videos in two splits. Exit code 1 if there are errors."
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="PATH", help="annotation files or folders of the source"
    )
    parser.add_argument("--source", default="semtrack", metavar="NAME", help="format of --data (default: semtrack)")
    parser.add_argument("--fps", type=float, metavar="F", help="frame rate of videos for which the file names none")
    parser.add_argument("--videos", type=Path, metavar="DIR", help="also check the videos: size, length, look-alikes")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write everything that was found as JSON")
    parser.add_argument(
        "--fix",
        type=Path,
        metavar="FILE",
        help="also write the data with boxes clipped, intervals cut, repeated events dropped (SemTrack layout)",
    )
    parser.add_argument("--statistics", action="store_true", help="also count videos, tracks, events and classes")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="also draw how often each class occurs")


def _add_annotate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "First stage: track targets of VIDEO (those of --point and --box, or what stands out) and write a review "
        "file. Second stage: edit it. Third stage: --merge what was accepted into annotations."
    )
    parser.add_argument("video", metavar="VIDEO", nargs="?", help="video file or folder of images")
    group = parser.add_argument_group("targets")
    group.add_argument("--box", type=float, nargs=4, action="append", metavar=("X", "Y", "W", "H"), help="box, pixels")
    group.add_argument("--point", type=float, nargs=2, action="append", metavar=("X", "Y"), help="a pixel on a target")
    parser.add_argument("--frame", type=_whole_number, default=0, metavar="N", help="frame of the prompts (default 0)")
    parser.add_argument("--targets", type=_whole_number, default=4, metavar="N", help="how many to find (default 4)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="review file, or merged annotations")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="also write a contact sheet to review by")
    parser.add_argument("--merge", type=Path, metavar="REVIEW", help="a reviewed file; no VIDEO then")
    parser.add_argument("--into", type=Path, metavar="FILE", help="annotations (SemTrack layout) that --merge adds to")
    _add_model(parser)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write trajectory.json, annotated.mp4 and timeline.png to DIR (and synthetic.mp4 without --video); "
        "those of an earlier demo are replaced."
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--video", metavar="VIDEO", help="your video (default: a synthetic clip)")
    _add_prompt(parser.add_mutually_exclusive_group())
    _add_model(parser)


def _add_prompt(group: argparse._MutuallyExclusiveGroup) -> None:
    group.add_argument("--box", type=float, nargs=4, metavar=("X", "Y", "W", "H"), help="the target's box, pixels")
    group.add_argument("--point", type=float, nargs=2, metavar=("X", "Y"), help="a pixel on the target")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", metavar="DIR", help="folder of a saved model (default: $SEMTRACK_MODEL, then the bundled weights)"
    )
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="default: cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="arithmetic of the model (default: float32)")


def _whole_number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got '{text}'")
    return int(text)


def _one_line(error: Exception) -> str:
    """The message; of the system's errors the file and the reason, without the number."""
    if isinstance(error, OSError) and error.strerror:
        return f"'{error.filename}': {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


def _say(kind: str, text: str) -> None:
    print(f"semtrack: {kind}: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
