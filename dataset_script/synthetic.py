"""Synthetic videos with exact truth: photo-textured actors and objects that interact on photo backgrounds.

Every video has a main subject with one to four episodes of interaction, pauses without any in between,
often a second subject, passers-by, look-alikes, occluders, and a moving camera. Truth (boxes, intervals)
comes from the geometry that is rendered, never from estimates.

What counts as an interaction (S = subject, O = object, "touch" = their sides meet; positions are those of the
feet on the ground, free of camera motion; intervals start and end with the motion they describe):

==============  ================================================================================  ======
interaction     definition                                                                        weight
==============  ================================================================================  ======
approach        S walks straight to the side of O, which stays; the distance shrinks                  10
move away       S stands by O and walks off; O stays, the distance grows                              20
follow          O walks ahead; S walks on O's trail, at a distance that stays the same                16
push            S touches O from behind; both move in the direction from S to O                       14
carry           O stays at the upper body (an animal's mouth) of S while S walks                      11
pick up         S stands by O; O rises from the ground to where S carries things (0.4 to 0.8 s)        3
pull            S touches O; both move in the direction from O to S                                    9
circle          S walks around O, which stays, by more than half a turn                                7
chase           O runs; S runs faster on O's trail and closes in                                       5
drop            O leaves the hands of the standing S and falls to the ground                         1.5
throw           after a short swing O leaves the standing S on a ballistic path and lands              3
hit             S strikes O in a quick lunge with contact; O jolts away and comes to rest            2.2
hide behind     from beside a wall O, S goes behind it and stays there, out of sight                 1.6
==============  ================================================================================  ======

The weights are the shares with which episodes are chosen (``SyntheticConfig.interaction_weights``). What an
episode needs first is played and annotated as well, so that events are counted otherwise than episodes:
getting to an object from afar is an approach (about a third of all events), carrying starts with picking up
unless the video starts with full hands, who has to do something else drops what it holds, leaving a hiding
place is moving away. Two interactions at once occur where somebody approaches with full hands.

An interaction is annotated where both sides can be seen: subject and object each have a box in at least
:data:`LEAST_SEEN_FRAMES` frames and in the share :data:`LEAST_SEEN_SHARE` of its frames. When a box exists
is told in :mod:`dataset_script.synthetic_scene`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord
from dataset_script.sources.semtrack import write_semtrack
from dataset_script.synthetic_casting import Casting, Role, play, roam
from dataset_script.synthetic_scene import Scene, camera_path, random_look
from dataset_script.synthetic_sprites import CATEGORIES, PhotoLibrary
from dataset_script.synthetic_stage import Stage
from modeling_semtrack.trajectory import Box
from modeling_semtrack.video import VideoWriter

SOURCE = "synthetic"
INTERACTION_WEIGHTS: dict[str, float] = {
    "approach": 10.0,
    "move away": 20.0,
    "follow": 16.0,
    "push": 14.0,
    "carry": 11.0,
    "pick up": 3.0,
    "pull": 9.0,
    "circle": 7.0,
    "chase": 5.0,
    "drop": 1.5,
    "throw": 3.0,
    "hit": 2.2,
    "hide behind": 1.6,
}
INTERACTIONS = tuple(INTERACTION_WEIGHTS)
LEAST_SEEN_FRAMES, LEAST_SEEN_SHARE = 3, 0.2
ACTOR_HEIGHTS = (25.0, 110.0)  # pixels in a frame of 240
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
        interaction_weights: How often each interaction is chosen as an episode; a long tail by default.
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
    interaction_weights: Mapping[str, float] = field(default_factory=lambda: dict(INTERACTION_WEIGHTS))
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
        for name in ("cutout_share", "validation_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        unknown = sorted(set(self.interaction_weights) - set(INTERACTIONS))
        if (
            unknown
            or min(self.interaction_weights.values(), default=0) < 0
            or not any(self.interaction_weights.values())
        ):
            raise ValueError(
                f"interaction_weights must give weights >= 0, not all 0, to some of {list(INTERACTIONS)}, "
                f"got {dict(self.interaction_weights)}"
            )


def generate_video(config: SyntheticConfig, seed: int) -> tuple[VideoRecord, Iterator[np.ndarray]]:
    """Makes one video; the same configuration and seed always give the same one.

    Args:
        config: What it should look like.
        seed: Which one.

    Returns:
        The record with exact boxes and intervals, and its frames, rendered one at a time as they are asked
        for: uint8 ``[height, width, 3]``, RGB.
    """
    scene, role = build_scene(config, seed)
    boxes = scene.boxes()
    stage = scene.stage
    targets = [
        TargetRecord(e.track_id, e.sprite.category, boxes[e.track_id], main=e is role.actor)
        for e in stage.entities
        if e.track_id is not None
    ]
    name = f"synthetic_{seed:06d}"
    record = VideoRecord(
        video_id=name,
        file_name=f"videos/{name}.mp4",
        width=config.width,
        height=config.height,
        fps=config.fps,
        num_frames=len(scene.camera),
        targets=targets,
        interactions=[event for event in stage.events if _can_be_seen(event, boxes)],
        prompt=_prompt(boxes[role.actor.track_id], role.actor.sprite.category, config.width),
        source=SOURCE,
        metadata={"seed": seed, "camera": scene.look.camera},
    )
    return record, scene.frames()


def build_scene(config: SyntheticConfig, seed: int) -> tuple[Scene, Role]:
    """The played scene behind a video, and its main role."""
    rng = np.random.default_rng(seed)
    photos = _photo_library(config.images, config.cutouts)
    look = random_look(rng)
    num_frames = max(2, round(rng.uniform(*config.seconds) * config.fps))
    low, high = (h * config.height / 240 for h in ACTOR_HEIGHTS)
    height = float(np.exp(rng.uniform(np.log(1.1 * low), np.log(0.87 * high))))
    top = min(0.8, max(0.5, (height + 12) / config.height)) * config.height
    stage = Stage(STAGE_WIDTHS[look.camera] * config.width, config.height, top, config.fps, rng)
    casting = Casting(stage, photos, height, config.interaction_weights, config.cutout_share, rng)
    main = casting.role(int(rng.integers(1, 5)))
    scripts = [play(stage, main)]
    if rng.random() < 0.35:
        scripts.append(play(stage, casting.role(int(rng.integers(1, 3)))))
    if rng.random() < 0.3:
        scripts.append(roam(stage, casting.actor(str(rng.choice(("person", "animal"))), rng.uniform(0.7, 1.2))))
    if rng.random() < 0.4:
        twin = casting.double(main.actor if rng.random() < 0.6 else main.episodes[0][1])
        if twin.is_actor and rng.random() < 0.5:
            scripts.append(roam(stage, twin))
    for _ in range(int(rng.choice((0, 1, 2), p=(0.72, 0.2, 0.08)))):
        casting.occluder()
    background = photos.photo(rng)
    stage.run(scripts, num_frames)
    camera = camera_path(look, stage, main.actor, config.width, config.height, num_frames, rng)
    scene = Scene(stage, background, camera, look, config.width, config.height, int(rng.integers(2**31)))
    return scene, main


def synthesize(output_dir: str | Path, videos: int, seed: int, config: SyntheticConfig | None = None,
               progress: Callable[[int, int], None] | None = None) -> Path:  # fmt: skip
    """Writes a data set of synthetic videos: ``videos/<name>.mp4`` and ``annotations.json``.

    The annotations (SemTrack layout) appear last and complete; ``metadata["split"]`` of each video is
    ``"train"`` or ``"validation"``.

    Args:
        output_dir: Folder to write to, created if need be.
        videos: Number of videos.
        seed: Seed of the first video; the next ones count up.
        config: What they look like; None takes the defaults.
        progress: Called with (videos done, videos in all) after each video.

    Returns:
        Path of the annotations.

    Raises:
        ValueError: If ``videos`` is less than 1.
        FileExistsError: If the folder already holds annotations.
    """
    config = config or SyntheticConfig()
    folder = Path(output_dir)
    annotations = folder / "annotations.json"
    if videos < 1:
        raise ValueError(f"videos must be at least 1, got {videos}")
    if annotations.exists():
        raise FileExistsError(f"'{folder}' already holds annotations.json; name another folder or remove it")
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    split = np.random.default_rng(seed).permutation(videos) < round(config.validation_share * videos)
    records = []
    for number in range(videos):
        record, frames = generate_video(config, seed + number)
        record.metadata["split"] = "validation" if split[number] else "train"
        with VideoWriter(folder / record.file_name, config.fps) as writer:
            for index, frame in enumerate(frames):
                writer.write(frame, index / config.fps)
        records.append(record)
        if progress is not None:
            progress(number + 1, videos)
    write_semtrack(records, annotations, categories=CATEGORIES, interactions=INTERACTIONS,
                   description="Synthetic videos with exact truth")  # fmt: skip
    return annotations


def _can_be_seen(event: InteractionRecord, boxes: Mapping[int, Mapping[int, Box]]) -> bool:
    """Whether subject and object are visible long enough for the interaction to be annotated."""
    frames = range(event.start_frame, event.end_frame)
    seen = min(sum(frame in boxes[track] for frame in frames) for track in (event.subject, event.object))
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
