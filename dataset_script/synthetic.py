"""Synthetic videos with exact truth: jointed persons, animals and objects that interact in painted scenes.

Every video has a main subject with some episodes of interaction, pauses without any in between, often a second
subject, passers-by, look-alikes, occluders, bystanders, weather, and a moving camera. Some start with a composite
event: two interactions at once, or three actors. Truth (boxes, intervals) comes from the geometry that is rendered,
never from estimates. What the interactions are and how often they occur is told in
:mod:`dataset_script.synthetic_law`, the scene types are in :mod:`dataset_script.synthetic_places`.

An interaction is annotated where both sides can be seen: subject and object (if any) each have a box in at least
:data:`LEAST_SEEN_FRAMES` frames and in the share :data:`LEAST_SEEN_SHARE` of its frames. When a box exists
is told in :mod:`dataset_script.synthetic_scene`.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from dataset_script import media
from dataset_script.records import Box, InteractionRecord, TargetRecord, VideoRecord
from dataset_script.sources.semtrack import write_semtrack
from dataset_script.synthetic_casting import Casting, Role
from dataset_script.synthetic_law import INTERACTIONS, Plan, depends_on_scene, draw_plan, zipf_weights
from dataset_script.synthetic_photos import PhotoLibrary
from dataset_script.synthetic_places import PLACES, choose_place, paint
from dataset_script.synthetic_play import play, roam
from dataset_script.synthetic_props import CATEGORIES
from dataset_script.synthetic_scene import Scene, camera_path, random_look
from dataset_script.synthetic_stage import Script, Stage

SOURCE = "synthetic"
LEAST_SEEN_FRAMES, LEAST_SEEN_SHARE = 3, 0.2
ACTOR_HEIGHTS = (30.0, 125.0)  # pixels in a frame of 240
STAGE_WIDTHS = {"static": 1.0, "pan": 1.3, "track": 1.7}  # of the frame's width


@dataclass(frozen=True)
class SyntheticConfig:
    """What synthetic videos look like.

    Attributes:
        width: Width of the frames in pixels, even.
        height: Height of the frames in pixels, even.
        fps: Frames per second.
        seconds: Least and greatest length of a video.
        images: Folder of photos for backgrounds and textures; None takes those inside scikit-image.
        cutouts: Folder of masks ``<stem>.png`` of photos in ``images``; then some actors and objects are
            cut-outs of real things, with the category ``"thing"``.
        cutout_share: Probability that an actor or object is a cut-out, where there are any.
        zipf_exponent: Exponent of the law by which interactions are drawn as episodes; 0 makes all equal.
        interaction_weights: How often each interaction is drawn as an episode, in place of the law.
        composite_share: Share of the videos with a composite event (among those weighted interactions).
        validation_share: Share of the videos that :func:`synthesize` marks as validation split.

    Raises:
        ValueError: If a size, rate, length or share is out of range, or an interaction is unknown.
    """

    width: int = 320
    height: int = 240
    fps: float = 25.0
    seconds: tuple[float, float] = (3.0, 5.0)
    images: Path | None = None
    cutouts: Path | None = None
    cutout_share: float = 0.5
    zipf_exponent: float = 0.8
    interaction_weights: Mapping[str, float] | None = None
    composite_share: float = 0.3
    validation_share: float = 0.1

    def __post_init__(self) -> None:
        if self.width < 64 or self.height < 64 or self.width % 2 or self.height % 2:
            raise ValueError(f"width and height must be even and at least 64, got {self.width}x{self.height}")
        if not self.fps > 0:
            raise ValueError(f"fps must be positive, got {self.fps}")
        if len(self.seconds) != 2 or not 0 < self.seconds[0] <= self.seconds[1]:
            raise ValueError(f"seconds must be (least, greatest), 0 < least <= greatest, got {self.seconds}")
        if self.cutouts is not None and self.images is None:
            raise ValueError("cutouts are masks of the photos in images: name that folder too (images=...)")
        for name in ("cutout_share", "composite_share", "validation_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if not (math.isfinite(self.zipf_exponent) and self.zipf_exponent >= 0):
            raise ValueError(f"zipf_exponent must be a number >= 0, got {self.zipf_exponent}")
        given = self.weights
        if set(given) - set(INTERACTIONS) or min(given.values(), default=0) < 0 or not any(given.values()):
            raise ValueError(
                f"interaction_weights must give weights >= 0, not all 0, to some of {list(INTERACTIONS)}, "
                f"got {dict(given)}"
            )

    @property
    def weights(self) -> dict[str, float]:
        """How often each interaction is drawn as an episode, by the law or as given."""
        return zipf_weights(self.zipf_exponent) if self.interaction_weights is None else dict(self.interaction_weights)


def generate_video(config: SyntheticConfig, seed: int) -> tuple[VideoRecord, Iterator[np.ndarray]]:
    """Makes one video; the same configuration and seed always give the same one.

    Args:
        config: What it should look like.
        seed: Which one.

    Returns:
        The record with exact boxes and intervals, and its frames, rendered one at a time as they are asked
        for: uint8 ``[height, width, 3]``, RGB. The record's metadata tell the seed, the camera, the scene type
        (``"scene"``), the drawn episodes, the composite event (``"composites"``), and under
        ``"scene_dependent"`` the positions in its interactions of those that the subject's motion alone does
        not tell (:data:`dataset_script.synthetic_law.SHARED_MOTIONS`).
    """
    video = _build(config, seed)
    stage, boxes = video.scene.stage, video.scene.boxes()
    targets = [
        TargetRecord(e.track_id, e.sprite.category, boxes[e.track_id], main=e is video.main.actor)
        for e in stage.entities
        if e.track_id is not None
    ]
    kinds = {target.track_id: target.category for target in targets}
    events = [event for event in stage.events if _can_be_seen(event, boxes)]
    name = f"synthetic_{seed:06d}"
    record = VideoRecord(
        video_id=name,
        file_name=f"videos/{name}.mp4",
        width=config.width,
        height=config.height,
        fps=config.fps,
        num_frames=len(video.scene.camera),
        targets=targets,
        interactions=events,
        prompt=_prompt(boxes[video.main.actor.track_id], video.main.actor.sprite.category, config.width),
        source=SOURCE,
        metadata={
            "seed": seed,
            "camera": video.scene.look.camera,
            "scene": video.place,
            "episodes": video.plan.episodes,
            "composites": list(video.plan.composites),
            "scene_dependent": [
                i for i, e in enumerate(events) if depends_on_scene(e.interaction, kinds.get(e.object))
            ],
        },
    )
    return record, video.scene.frames()


def build_scene(config: SyntheticConfig, seed: int) -> tuple[Scene, Role]:
    """The played scene behind a video, and its main role."""
    video = _build(config, seed)
    return video.scene, video.main


@dataclass(frozen=True)
class _Video:
    plan: Plan
    place: str
    scene: Scene
    main: Role


def _build(config: SyntheticConfig, seed: int) -> _Video:
    rng = np.random.default_rng(seed)
    photos = _photo_library(config.images, config.cutouts)
    seconds = rng.uniform(*config.seconds)
    plan = draw_plan(config.weights, config.composite_share, seconds, rng)
    place = choose_place(plan.episodes, rng)
    look = random_look(PLACES[place], rng)
    height = _actor_height(config, plan, rng)
    stage = _stage(config, place, STAGE_WIDTHS[look.camera] * config.width, height, "cross" in plan.episodes, rng)
    casting = Casting(stage, photos, height, config.cutout_share, rng)
    roles = [casting.role(plan.roles[0], *plan.composites), *(casting.role(names) for names in plan.roles[1:])]
    scripts = [play(stage, role) for role in roles] + _others(stage, casting, roles[0], place, rng)
    background = paint(place, photos, stage.width, stage.top, config.width, config.height, stage.crossing, rng)
    num_frames = max(2, round(seconds * config.fps))
    stage.run(scripts, num_frames)
    camera = camera_path(look, stage, roles[0].actor, config.width, config.height, num_frames, rng)
    scene = Scene(stage, background, camera, look, config.width, config.height, int(rng.integers(2**31)))
    return _Video(plan, place, scene, roles[0])


def _actor_height(config: SyntheticConfig, plan: Plan, rng: np.random.Generator) -> float:
    """Height of the main actor; gestures need pixels, climbing needs room above the head."""
    low, high = (h * config.height / 240 for h in ACTOR_HEIGHTS)
    if set(plan.episodes) & {"climb", "jump over"} or "ride" in plan.episodes:
        high *= 0.75
    if set(plan.episodes) & {"handshake", "hug", "punch", "kick", "point", "wave to", "drink from", "give"}:
        low *= 1.6
    return float(np.exp(rng.uniform(np.log(1.1 * low), np.log(0.87 * high))))


def _stage(config: SyntheticConfig, place: str, width: float, actor_height: float, crossed: bool,
           rng: np.random.Generator) -> Stage:  # fmt: skip
    """The empty stage of a place, with a zebra crossing where one is needed (and sometimes where none is)."""
    kind = PLACES[place]
    least = 0.3 if kind.open_ground else 0.5
    top = min(0.8, max(least, (actor_height + 12) / config.height)) * config.height
    crossing = None
    if kind.crossing and (crossed or rng.random() < 0.3):
        wide = rng.uniform(0.28, 0.42) * config.width
        left = rng.uniform(0.28, 0.72) * width - 0.5 * wide
        crossing = (left, top + 0.15 * (config.height - top), left + wide, top + 0.85 * (config.height - top))
    return Stage(width, config.height, top, config.fps, rng, place == "court", crossing,
                 depth=0.08 if kind.open_ground else 0.3)  # fmt: skip


def _others(stage: Stage, casting: Casting, main: Role, place: str, rng: np.random.Generator) -> list[Script]:
    """Passers-by, look-alikes, bystanders and occluders; gives the scripts of those who move."""
    scripts = []
    if rng.random() < 0.3:
        scripts.append(roam(stage, casting.actor(str(rng.choice(("person", "animal"))), rng.uniform(0.7, 1.2), True)))
    if rng.random() < 0.4:
        first = main.episodes[0].object
        twin = casting.double(main.actor if first is None or rng.random() < 0.6 else first)
        if twin.is_actor and rng.random() < 0.5:
            scripts.append(roam(stage, twin))
    low, high = PLACES[place].bystanders
    for _ in range(int(rng.integers(low, high + 1))):
        someone = casting.bystander()
        if rng.random() < 0.25:
            scripts.append(roam(stage, someone))
    for _ in range(int(rng.choice((0, 1, 2), p=(0.72, 0.2, 0.08)))):
        casting.occluder()
    return scripts


def synthesize(output_dir: str | Path, videos: int, seed: int, config: SyntheticConfig | None = None,
               progress: Callable[[int, int], None] | None = None, workers: int = 1) -> Path:  # fmt: skip
    """Writes a data set of synthetic videos: ``videos/<name>.mp4`` and ``annotations.json``.

    The annotations (SemTrack layout) appear last and complete; ``metadata["split"]`` of each video is
    ``"train"`` or ``"validation"``.

    Args:
        output_dir: Folder to write to, created if need be.
        videos: Number of videos.
        seed: Seed of the first video; the next ones count up.
        config: What they look like; None takes the defaults.
        progress: Called with (videos done, videos in all) after each video.
        workers: Number of processes; the files do not depend on it.

    Returns:
        Path of the annotations.

    Raises:
        ValueError: If ``videos`` or ``workers`` is less than 1.
        FileExistsError: If the folder already holds annotations.
    """
    config = config or SyntheticConfig()
    folder = Path(output_dir)
    annotations = folder / "annotations.json"
    if videos < 1:
        raise ValueError(f"videos must be at least 1, got {videos}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if annotations.exists():
        raise FileExistsError(f"'{folder}' already holds annotations.json; name another folder or remove it")
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    split = np.random.default_rng(seed).permutation(videos) < round(config.validation_share * videos)
    records = []
    make = partial(_write_video, folder, config)
    with ExitStack() as stack:
        spread = map
        if workers > 1:
            pool = ProcessPoolExecutor(min(workers, videos), mp_context=multiprocessing.get_context("spawn"))
            spread = stack.enter_context(pool).map
        for number, record in enumerate(spread(make, range(seed, seed + videos))):
            record.metadata["split"] = "validation" if split[number] else "train"
            records.append(record)
            if progress is not None:
                progress(number + 1, videos)
    write_semtrack(records, annotations, categories=CATEGORIES, interactions=INTERACTIONS,
                   description="Synthetic videos with exact truth")  # fmt: skip
    return annotations


def _write_video(folder: Path, config: SyntheticConfig, seed: int) -> VideoRecord:
    record, frames = generate_video(config, seed)
    with media.VideoWriter(folder / record.file_name, config.fps) as writer:
        for index, frame in enumerate(frames):
            writer.write(frame, index / config.fps)
    return record


def _can_be_seen(event: InteractionRecord, boxes: Mapping[int, Mapping[int, Box]]) -> bool:
    """Whether subject and object are visible long enough for the interaction to be annotated."""
    frames = range(event.start_frame, event.end_frame)
    tracks = [track for track in (event.subject, event.object) if track is not None]
    seen = min(sum(frame in boxes[track] for frame in frames) for track in tracks)
    return seen >= max(LEAST_SEEN_FRAMES, LEAST_SEEN_SHARE * len(frames))


def _prompt(boxes: Mapping[int, Box], category: str, width: int) -> str:
    """Names the main subject by its category and where it is first seen."""
    if not boxes:
        return f"the {category}"
    x, _, w, _ = boxes[min(boxes)]
    place = (x + 0.5 * w) / width
    side = "on the left" if place < 0.36 else "on the right" if place > 0.64 else "in the middle"
    return f"the {category} {side}"


@lru_cache(maxsize=2)
def _photo_library(images: Path | None, cutouts: Path | None) -> PhotoLibrary:
    return PhotoLibrary(images, cutouts)
