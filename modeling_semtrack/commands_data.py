"""What the subcommands of `semtrack` that check and make annotations do; each takes parsed arguments, returns
the exit code."""

from __future__ import annotations

import json
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dataset_script.findings import ERROR
from dataset_script.layout_checks import check_layout, mended
from dataset_script.records import VideoRecord
from dataset_script.registry import read_records, source_named
from dataset_script.sources.reading import Broken, read_json
from dataset_script.sources.semtrack import annotation_files, read_semtrack, write_semtrack
from dataset_script.sources.semtrack_writer import REQUIRED_LISTS, UNNAMED
from dataset_script.statistics import save_long_tail
from dataset_script.validate import Validation, to_report, to_table

from .annotation_review import merge_review, propose, read_review, to_review, with_object_tracks, write_review
from .annotation_sheet import save_sheet
from .checkpoint import find_checkpoint, load_checkpoint
from .files import OutputError, atomic_path
from .video import VideoReader

SEMTRACK = "semtrack"
SHOWN = 5  # findings of each check in the table
SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def validate(args: Namespace) -> int:
    """`semtrack validate`: what is wrong with annotations; 1 if there are errors."""
    source_named(args.source)
    _check_validate_outputs(args)
    with ExitStack() as outputs:
        report = outputs.enter_context(atomic_path(args.output)) if args.output else None
        check = Validation(args.videos)
        with tqdm(unit="video", desc="checking", disable=None, file=sys.stderr) as bar:
            for path in args.data:
                _check_one(path, args, check, bar)
        findings, videos = check.finish(), check.statistics.total["videos"]
        facts: dict[str, Any] = {"data": [str(path) for path in args.data], "source": args.source}
        if args.fix:
            facts["mended"] = _mend(args.data[0], args)
        if args.statistics:
            facts["statistics"] = check.statistics.to_dict()
        if report:
            text = json.dumps(to_report(findings, videos, **facts), indent=2, ensure_ascii=False)
            report.write_text(text + "\n", encoding="utf-8")
        if args.figure:
            save_long_tail(check.statistics, args.figure)
    print(to_table(findings, SHOWN) if findings else "nothing to report")
    errors = sum(finding.severity == ERROR for finding in findings)
    print(f"\n{videos} videos: {errors} errors, {len(findings) - errors} warnings")
    if args.fix:
        print(f"{args.fix}: " + ", ".join(f"{count} {what}" for what, count in facts["mended"].items()))
    if args.statistics:
        print(f"\n{check.statistics.to_markdown()}")
    return 1 if errors else 0


def _check_validate_outputs(args: Namespace) -> None:
    if args.fix and len(args.data) > 1:
        raise ValueError(f"--fix mends one file at a time, got {len(args.data)} in --data")
    if args.fix and args.fix.exists():
        raise OutputError(f"cannot write '{args.fix}': it exists; --fix writes a new file, choose another name")
    if args.figure and args.figure.suffix.lower() not in (*SHEET_SUFFIXES, ".pdf", ".svg"):
        raise ValueError(f"--figure must be a picture such as tail.png, got '{args.figure}'")


def _check_one(path: Path, args: Namespace, check: Validation, bar: tqdm) -> None:
    """Checks one of the annotations in --data: row by row where it is a SemTrack file, and as records."""
    if args.source == SEMTRACK:
        for file in annotation_files(path):
            check.findings += check_layout(_layout(file))
    broken: list[Broken] = []
    for record in _records(path, args, broken):
        check.add(record, path.stem if len(args.data) > 1 else None)
        bar.update()
    for entry in broken:
        check.add_unreadable(entry.where, entry.why)


def _records(path: Path, args: Namespace, broken: list[Broken]) -> Iterator[VideoRecord]:
    options = {} if args.fps is None else {"fps": args.fps}
    return read_records(args.source, path, None, broken, **options)


def _layout(path: Path) -> dict[str, Any]:
    data = read_json(path)
    missing = [name for name in REQUIRED_LISTS if not isinstance(data.get(name), list)]
    if missing:
        raise ValueError(f"'{path}' is not in the SemTrack layout: it has no list {missing}; which --source is it?")
    return data


def _mend(path: Path, args: Namespace) -> dict[str, int]:
    """Writes what can safely be set right into --fix, in the SemTrack layout; how many rows changed."""
    if args.source == SEMTRACK and path.is_file():
        data = _layout(path)
    else:
        with tempfile.TemporaryDirectory(prefix="semtrack-") as folder:
            whole = Path(folder) / "annotations.json"
            write_semtrack(_records(path, args, []), whole)
            data = read_json(whole)
    data, changes = mended(data)
    with atomic_path(args.fix) as temporary:
        temporary.write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    return changes


def annotate(args: Namespace) -> int:
    """`semtrack annotate`: proposes tracks and events for a review, or merges a reviewed file."""
    if (args.video is None) == (args.merge is None):
        raise ValueError("give a VIDEO to propose for, or --merge REVIEW to take over what was accepted, not both")
    if args.merge is not None:
        return _merge(args)
    if args.into is not None:
        raise ValueError("--into goes with --merge: a proposal for a VIDEO is reviewed before it is merged")
    return _propose(args)


def _propose(args: Namespace) -> int:
    if args.output.exists():
        raise OutputError(f"cannot write '{args.output}': it exists and may hold a review; choose another name")
    if args.sheet and args.sheet.suffix.lower() not in SHEET_SUFFIXES:
        raise ValueError(f"--sheet must be a picture such as sheet.png, got '{args.sheet}'")
    with VideoReader(args.video) as reader:
        frames = reader.frame_count
    model, processor = load_checkpoint(find_checkpoint(args.model), args.device, getattr(torch, args.dtype))
    with tqdm(total=frames, unit="frame", desc="tracking", disable=None, file=sys.stderr) as bar:
        proposal = propose(
            args.video,
            model,
            processor,
            boxes=args.box or (),
            points=args.point or (),
            frame=args.frame,
            most=args.targets,
            progress=lambda index: bar.update(),
        )
    proposal = with_object_tracks(proposal)
    review = to_review(proposal)
    if args.sheet:
        save_sheet(args.video, proposal, review, args.sheet)
    write_review(review, args.output)
    print(f"{args.output}: {len(review['tracks'])} tracks and {len(review['events'])} events to review")
    return 0 if proposal.complete else 1


def _merge(args: Namespace) -> int:
    unused = [f"--{name}" for name in ("box", "point", "sheet") if getattr(args, name)]
    if unused:
        raise ValueError(f"{', '.join(unused)} belongs to proposing for a VIDEO, not to --merge")
    if args.output.exists():
        raise OutputError(f"cannot write '{args.output}': it exists; --merge writes a new file, choose another name")
    review = read_review(args.merge)
    records: list[VideoRecord] = []
    names: dict[str, list[str]] = {"categories": [], "interactions": []}
    if args.into is not None:
        records = read_semtrack(args.into)
        data = read_json(args.into)  # classes keep their ids
        names = {kind: [row["name"] for row in data.get(kind, ()) if row["name"] != UNNAMED] for kind in names}
    write_semtrack(merge_review(review, records), args.output, **names)
    for accept, word in ((True, "merged"), (False, "rejected"), (None, "not reviewed and not merged")):
        tracks, events = review.count(accept)
        print(f"{word}: {tracks} tracks, {events} events")
    return 0
