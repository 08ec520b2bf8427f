"""What visitors of the demo take away: files of every format, and the code that does the same run again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from .app_state import Prompt, Visit
from .app_video import read_forwards
from .export import export_trajectories
from .rendering import FrameRenderer, save_timeline
from .video import VideoWriter

NAMES = {
    "json": "trajectory.json",
    "csv": "events.csv",
    "srt": "subtitles.srt",
    "coco": "coco.json",
    "semtrack": "semtrack.json",
}


def write_files(visit: Visit, folder: Path, progress: Callable[[int, int], None] | None = None) -> list[Path]:
    """Writes the results in all formats, the timeline and the annotated video.

    Args:
        visit: With results.
        folder: Where to; it exists.
        progress: Called with the number of drawn frames and their total.

    Returns:
        The files.

    Raises:
        ValueError: If there are no results.
    """
    if not visit.trajectories:
        raise ValueError("there are no results yet: press Track first")
    stem = re.sub(r"[^\w.-]+", "_", Path(visit.clip.name).stem)[:60] or "video"
    paths = []
    for layout, name in NAMES.items():
        path = folder / f"{stem}_{name}"
        paths.append(export_trajectories(visit.trajectories, path, layout, Path(visit.clip.name).name))
        if layout == "csv":
            paths.append(path.with_name(f"{path.stem}_track.csv"))
    paths.append(save_timeline(visit.trajectories, folder / f"{stem}_timeline.png"))
    paths.append(_annotated_video(visit, folder / f"{stem}_annotated.mp4", progress))
    return paths


def _annotated_video(visit: Visit, path: Path, progress: Callable[[int, int], None] | None) -> Path:
    clip, renderer = visit.clip, FrameRenderer(visit.trajectories)
    with VideoWriter(path, clip.fps) as writer:
        for frame in read_forwards(clip, 0):
            writer.write(renderer.draw(frame.image, frame.index), time=frame.time)
            if progress is not None:
                progress(frame.index + 1, clip.last + 1)
    return path


def as_python(visit: Visit, model: str) -> str:
    """Python code that does the visitor's run again, with the same results, in the folder that holds the video.

    Args:
        visit: With prompts.
        model: Folder of the checkpoint, as its owner would name it.
    """
    if not visit.prompts:
        return "# Pick a target first."
    head = [
        "from modeling_semtrack import SemTrackModel, SemTrackProcessor",
        f"model = SemTrackModel.from_pretrained({model!r})",
        f"processor = SemTrackProcessor.from_pretrained({model!r})",
    ]
    body = _pipeline_call(visit) if _is_one_call(visit) else _run_calls(visit)
    imports = [line for line in body if line.startswith(("from ", "import "))]
    rest = [line for line in body if line not in imports]
    return "\n".join([*imports, head[0], "", *head[1:], "", *rest]) + "\n"


def as_command_line(visit: Visit, model: str) -> str:
    """Commands that do the visitor's run again, or say what only Python can do.

    Args:
        visit: With prompts.
        model: Folder of the checkpoint, as its owner would name it.
    """
    if not visit.prompts:
        return "# Pick a target first."
    beyond = [
        ("corrections", len(visit.prompts) > len(visit.targets)),
        ("what was tracked backwards", bool(visit.reversed)),
        ("what you taught", bool(visit.taught)),
        ("where the window ends", not visit.clip.whole),
        ("where you stopped", _stopped_at(visit) is not None),
    ]
    missing = [what for what, there in beyond if there]
    lines = [f"# The command line knows nothing of {', '.join(missing)}: use Python for these."] if missing else []
    stem = Path(visit.clip.name).stem
    for target_id in visit.targets:
        prompt = visit.first_prompt(target_id)
        words = [
            "semtrack",
            "track",
            _not_an_option(visit.clip.name),
            "--box",
            *(repr(float(value)) for value in prompt.box),
        ]
        words += ["--frame", str(prompt.frame), "--model", model]
        words += [f"--label={prompt.category}"] if prompt.category else []
        words += [f"--output={stem}_{target_id}.json", f"--render={stem}_{target_id}.mp4"]
        lines.append(shlex.join(words))
    return "\n".join(lines) + "\n"


def _not_an_option(name: str) -> str:
    return f"./{name}" if name.startswith("-") else name


def _is_one_call(visit: Visit) -> bool:
    plain = visit.clip.whole and _stopped_at(visit) is None and not visit.reversed and not visit.taught
    return len(visit.prompts) == 1 and plain


def _stopped_at(visit: Visit) -> int | None:
    """Index of the last frame of a run that was stopped after all prompts; None for one to the end."""
    ends = [trajectory.frames[-1].frame_index for trajectory in visit.trajectories if trajectory.frames]
    stopped = bool(ends) and max(prompt.frame for prompt in visit.prompts) <= max(ends) < visit.clip.last
    return max(ends) if stopped else None


def _pipeline_call(visit: Visit) -> list[str]:
    (prompt,) = visit.prompts
    options = [f"box={_numbers(prompt)}", f"frame={prompt.frame}"]
    options += [f"category={prompt.category!r}"] if prompt.category else []
    return [
        "from transformers import pipeline",
        'pipe = pipeline("semantic-tracking", model=model, image_processor=processor)',
        f"trajectories = [pipe({visit.clip.name!r}, {', '.join(options)})]",
    ]


def _run_calls(visit: Visit) -> list[str]:
    name, whole = visit.clip.name, visit.clip.whole
    window = "" if whole else f", Limits(frames={visit.clip.last + 1})"
    lines = [
        "from modeling_semtrack.app_run import Run",
        "from modeling_semtrack.app_state import Prompt",
        f"from modeling_semtrack.app_video import {'open_clip' if whole else 'Limits, open_clip'}",
        *(["from modeling_semtrack import LabelledMoment"] if visit.taught else []),
        "prompts = [  # target, frame, box; a later box of the same target corrects it",
        *(f"    Prompt({p.target_id}, {p.frame}, {_numbers(p)}, {p.category!r})," for p in visit.prompts),
        "]",
        f"run = Run(model, processor, open_clip({name!r}, {name!r}{window}))",
        "for step in run.follow(prompts):",
        *_until(_stopped_at(visit)),
    ]
    begins = {t.target_id: t.frames[0].frame_index for t in visit.trajectories if t.frames}
    for target_id in visit.reversed:
        lines += [f"for step in run.follow_backwards(prompts[{visit.prompts.index(visit.first_prompt(target_id))}]):"]
        lines += _until(begins.get(target_id) or None)
    if visit.taught:
        moments = (f"LabelledMoment({m.target_id}, {m.time!r}, {m.interaction!r}, {m.object!r})" for m in visit.taught)
        lines += ["run.adapt([", *(f"    {moment}," for moment in moments), "])"]
    return [*lines, "trajectories = run.trajectories()"]


def _until(frame: int | None) -> list[str]:
    if frame is None:
        return ["    pass  # step.frame_index, step.image"]
    return [f"    if step.frame_index == {frame}:", "        break"]


def _numbers(prompt: Prompt) -> str:
    return f"({', '.join(repr(float(value)) for value in prompt.box)})"
