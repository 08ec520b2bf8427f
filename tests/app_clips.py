"""A demo over a stand-in for the network that follows colours, and clips on which it is known what happens."""

from colour_model import GREEN, RED, ColourModel
from tiny_models import square_frame, tiny_processor
from video_files import encode

from modeling_semtrack.app_actions import Demo

FRAMES = 130
BOX = (10.0, 40.0, 12.0, 12.0)  # of the red square in the first frame; it moves right by half a pixel a frame


def colour_frames(count=FRAMES):
    """A red square that moves right above a green one that stays."""
    return [square_frame({(10 + index // 2, 40, 12): RED, (60, 70, 12): GREEN}) for index in range(count)]


def colour_clip(folder, count=FRAMES, name="clip.mp4"):
    return encode(folder / name, colour_frames(count), crf=10)


def colour_demo(**options):
    return Demo(ColourModel(), tiny_processor(), **options)


def overlap(one, other):
    """Intersection over union of two xywh boxes."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)
