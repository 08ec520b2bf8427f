"""Clips and sessions of which it is known what should happen."""

import math

from colour_model import RED, ColourModel
from tiny_models import noise_frame, square_frame, tiny_processor

from modeling_semtrack import SemTrackSession

RATE = 0.04  # seconds per frame
NOTHING = square_frame({})
BOX = (20.0, 30.0, 14.0, 14.0)  # of the square of `clip`, in its first frame


def clip(count=30):
    """A square that moves over texture."""
    frames = []
    for index in range(count):
        frame = noise_frame()
        x, y = 20 + 2 * index, 30 + int(8 * math.sin(index / 4))
        frame[y : y + 14, x : x + 14] = (250, 220, 20)
        frames.append(frame)
    return frames


def red_at(x, y=40, side=12):
    """A grey frame with a red square."""
    return square_frame({(x, y, side): RED})


def colours(model=None, settings=None, **options):
    """A session that follows colours."""
    return SemTrackSession(model or ColourModel(), tiny_processor(), settings, **options)


def run(session, frames, start=0, rate=RATE):
    """Steps through frames; the states by frame."""
    return [session.step(frame, (start + index) * rate) for index, frame in enumerate(frames)]
