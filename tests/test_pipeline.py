"""SemanticTrackingPipeline: a file in one call gives what a session gives frame by frame."""

import logging

import pytest
from tiny_models import noise_frame, tiny_model, tiny_processor
from transformers import pipeline
from video_files import cut, encode, noisy

from modeling_semtrack import SemanticTrajectory, SemTrackSession, SessionSettings
from modeling_semtrack.events import EventSettings
from modeling_semtrack.video import VideoError, VideoReader

FRAMES, BOX, POINT = 12, [30.0, 20.0, 30.0, 40.0], (45.0, 40.0)
# Random weights are never sure: with these settings a target is seen in some frames and has events.
EAGER = SessionSettings(lost_after=2, events=EventSettings(0.2, 0.1, 0.05, 0.1))


@pytest.fixture(scope="module")
def model():
    return tiny_model(presence_threshold=0.3)


@pytest.fixture(scope="module")
def pipe(model):
    return pipeline("semantic-tracking", model=model, image_processor=tiny_processor())


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Noise that moves a little."""
    wide = noise_frame(90, 200)
    images = [wide[:, 3 * index : 3 * index + 120] for index in range(FRAMES)]
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", images)


@pytest.mark.parametrize("prompt", [{"box": BOX}, {"point": POINT}])
def test_a_file_in_one_call_equals_its_frames_one_by_one(pipe, model, clip, prompt):
    """Streaming equals offline: the same boxes, presences, times and events, to the last bit."""
    session = SemTrackSession(model, tiny_processor(), EAGER, semantic_stride=2)
    states = []
    with VideoReader(clip) as reader:
        for frame in reader:
            if frame.index == 0:
                target = session.add_target(frame.image, **prompt, category="dog")
            states += session.step(frame.image, time=frame.time)
    trajectory = pipe(str(clip), **prompt, category="dog", settings=EAGER, semantic_stride=2)
    assert trajectory.to_dict() == session.trajectory(target).to_dict()
    assert [(f.box, f.presence) for f in trajectory.frames] == [(s.box, s.presence) for s in states]
    assert trajectory.complete and trajectory.events and any(f.box for f in trajectory.frames[1:])


def test_tracking_starts_at_the_frame_of_the_prompt(pipe, clip):
    """Indices and times stay those of the video."""
    with VideoReader(clip) as reader:
        times = [frame.time for frame in reader]
    trajectory = pipe(str(clip), box=BOX, frame=5)
    assert [(f.frame_index, f.time) for f in trajectory.frames] == list(enumerate(times))[5:]
    assert trajectory.prompt == {"frame": 5, "box": BOX} and trajectory.frames[0].box == tuple(BOX)


def test_semantics_can_be_switched_off(pipe, clip):
    seen = pipe(str(clip), box=BOX, settings=EAGER)
    blind = pipe(str(clip), box=BOX, settings=EAGER, semantic_stride=0)
    assert seen.events and not blind.events and blind.frames == seen.frames


def test_a_list_of_videos_gives_a_list_of_trajectories(pipe, clip, tmp_path):
    other = encode(tmp_path / "other.mp4", [noise_frame(seed=1)] * 3)
    first, second = pipe([str(clip), str(other)], box=BOX)
    assert first.to_dict() == pipe(str(clip), box=BOX).to_dict()
    assert isinstance(second, SemanticTrajectory) and len(second.frames) == 3


@pytest.mark.parametrize("opened", [lambda path: path, lambda path: path.read_bytes(), lambda path: open(path, "rb")])
def test_paths_bytes_and_file_objects_are_videos(pipe, clip, opened):
    assert pipe(opened(clip), box=BOX).to_dict() == pipe(str(clip), box=BOX).to_dict()


def test_every_finished_frame_is_reported(pipe, clip):
    done = []
    pipe(str(clip), box=BOX, frame=3, progress=done.append)
    assert done == list(range(3, FRAMES))


def test_an_unknown_argument_is_refused_with_the_known_ones(pipe, clip):
    with pytest.raises(TypeError, match="unknown argument pont; semantic-tracking takes box, point, frame, category"):
        pipe(str(clip), pont=POINT)


@pytest.mark.parametrize("frame", [FRAMES, 999])
def test_a_frame_past_the_end_is_refused(pipe, clip, frame):
    with pytest.raises(VideoError, match=rf"between 0 and {FRAMES - 1} .* {FRAMES} frames\), got {frame}"):
        pipe(str(clip), box=BOX, frame=frame)


@pytest.mark.parametrize(
    "prompt, words",
    [
        ({}, "exactly one of box and point"),
        ({"box": BOX, "point": POINT}, "exactly one of box and point"),
        ({"box": [0, 0, 0, 5]}, "w, h > 0"),
        ({"point": (500, 5)}, "inside a 120x90 frame"),
        ({"box": BOX, "frame": -1}, "0 or more, got -1"),
        ({"box": BOX, "semantic_stride": -1}, "0 .* or more frames, got -1"),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused(pipe, clip, prompt, words):
    with pytest.raises(ValueError, match=words):
        pipe(str(clip), **prompt)


def test_a_video_that_breaks_off_gives_what_there_is(pipe, tmp_path, caplog):
    whole = encode(tmp_path / "whole.mp4", noisy(40, 90, 120), muxer={"movflags": "+faststart"})
    with caplog.at_level(logging.WARNING):
        trajectory = pipe(str(cut(whole, 0.5)), box=BOX)
    assert not trajectory.complete and 5 < len(trajectory.frames) < 35
    assert "breaks off" in caplog.text
