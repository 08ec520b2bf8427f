"""What is read from the middle is what reading from the start gives, or else nothing."""

import itertools

import numpy as np
import pytest
from video_files import cut, encode, noisy, picture

from modeling_semtrack.app_seek import images_from, survey
from modeling_semtrack.app_video import open_clip, read_forwards
from modeling_semtrack.decoding import Container
from modeling_semtrack.video import VideoReader

WINDOW = {"seconds": 60.0, "frames": 1000, "side": 4096}


def moving(count):
    return [picture(3 * step) for step in range(count)]


@pytest.mark.parametrize(
    "name, options",
    [
        ("plain.mp4", {"g": 10}),
        ("b_frames.mp4", {"g": 12, "bf": 3}),
        ("open_gop.mp4", {"g": 12, "bf": 3, "x264-params": "open-gop=1:keyint=12:scenecut=0"}),
        ("one_key.mp4", {"g": 250}),
        ("all_keys.mkv", {"g": 1}),
        ("refresh.mp4", {"x264-params": "intra-refresh=1:keyint=12"}),
        ("mpeg4.avi", {"codec": "mpeg4", "g": 10}),
        ("turned.mp4", {"g": 10, "rotation": (90, False)}),
        ("mpeg2.ts", {"codec": "mpeg2video", "g": 10, "bf": 2}),
    ],
)
def test_from_anywhere_the_frames_are_those_of_the_whole(tmp_path, name, options):
    """Pixel by pixel and time by time, whatever the codec does between key frames."""
    path = encode(tmp_path / name, moving(45), **options)
    clip = open_clip(path, name)
    with VideoReader(path) as reader:
        frames = list(reader)
    assert clip.times == tuple(frame.time for frame in frames)
    for start in (0, 1, 9, 10, 11, 23, 37, 44):
        read = list(read_forwards(clip, start))
        assert [(f.index, f.time) for f in read] == [(f.index, f.time) for f in frames[start:]]
        assert all(np.array_equal(f.image, g.image) for f, g in zip(read, frames[start:]))


def test_little_is_decoded_to_get_into_the_middle(tmp_path, monkeypatch):
    """From the last key frame before it, and pictures are made of wanted frames alone."""
    path = encode(tmp_path / "long.mp4", moving(60), g=10, bf=0, sc_threshold=0)
    timetable = survey(path, **WINDOW)
    assert timetable.keys == (0, 10, 20, 30, 40, 50)
    decoded, made = [], []
    decode, image = Container._decode, Container._image
    monkeypatch.setattr(Container, "_decode", lambda self, packet: decoded.extend(f := decode(self, packet)) or f)
    monkeypatch.setattr(Container, "_image", lambda self, frame: made.append(frame) or image(self, frame))
    images = images_from(path, timetable, 44)
    assert len(list(itertools.islice(images, 2))) == 2
    assert len(made) == 2 and len(decoded) <= 16


def test_the_survey_makes_no_pictures(tmp_path, monkeypatch):
    path = encode(tmp_path / "clip.mp4", moving(12))
    monkeypatch.setattr(Container, "_image", lambda self, frame: pytest.fail("made a picture"))
    timetable = survey(path, **WINDOW)
    assert len(timetable.times) == 12 and timetable.whole and timetable.missing is None


def test_a_window_ends_by_time_or_by_count(tmp_path):
    path = encode(tmp_path / "clip.mp4", moving(30))
    for window, expected in (({"seconds": 0.5}, 15), ({"frames": 7}, 7)):
        timetable = survey(path, **(WINDOW | window))
        assert len(timetable.times) == expected and not timetable.whole and timetable.missing is None


def test_damaged_videos_are_not_sought_in(tmp_path):
    """They are read from the start as ever."""
    whole = encode(tmp_path / "whole.mkv", noisy(40), g=10)
    data = bytearray(whole.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(data)
    clip = open_clip(broken, "broken.mkv")
    with VideoReader(broken) as reader:
        frames = [frame.image for frame in reader]
    assert len(frames) == clip.last + 1
    assert all(np.array_equal(f.image, g) for f, g in zip(read_forwards(clip, 5), frames[5:], strict=True))


def test_another_file_under_the_same_name_gives_no_wrong_frames(tmp_path):
    """Timestamps that differ from those that were surveyed end the reading."""
    path = encode(tmp_path / "clip.mp4", moving(30), g=10)
    timetable = survey(path, **WINDOW)
    encode(path, moving(15), g=10)
    assert len(list(images_from(path, timetable, 12))) == 3
    cut(path, 0.2)
    assert list(images_from(path, timetable, 12)) == []
