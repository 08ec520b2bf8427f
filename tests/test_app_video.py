"""What videos the demo takes, and how it reads single frames of them."""

import av
import numpy as np
import pytest
from app_clips import colour_clip
from video_files import cut, encode, error_of, noisy, picture

from modeling_semtrack.app_video import (
    EXAMPLES,
    Limits,
    _KeptFrames,
    example_path,
    forget_frames,
    frame_at,
    from_preview,
    open_clip,
    preview,
    preview_size,
    read_backwards,
    read_forwards,
)
from modeling_semtrack.decoding import Container
from modeling_semtrack.video import VideoReader


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return colour_clip(tmp_path_factory.mktemp("clip"), 30)


def test_a_good_clip_has_its_times_and_no_note(path):
    clip = open_clip(path, "mine.mp4")
    with VideoReader(path) as reader:
        assert clip.times == tuple(frame.time for frame in reader)
    assert (clip.width, clip.height, clip.last, clip.whole, clip.complete, clip.note) == (120, 90, 29, True, True, None)


def test_of_a_long_video_the_beginning_is_used(path):
    """With a note that says so, by frames or by seconds."""
    clip = open_clip(path, "mine.mp4", Limits(frames=10))
    assert clip.last == 9 and not clip.whole and clip.complete and "first 10 frames" in clip.note
    assert open_clip(path, "mine.mp4", Limits(seconds=0.5)).last == 14


def test_a_damaged_tail_is_told_and_the_rest_is_used(tmp_path):
    path = cut(encode(tmp_path / "cut.mkv", noisy(40)), 0.6)
    clip = open_clip(path, "cut.mkv")
    assert not clip.complete and 2 <= clip.last < 39 and "damaged" in clip.note


def text(path):
    path.write_text("not a video " * 50)


def four_gigabytes(path):
    """Sparse: it takes no room here."""
    with path.open("wb") as file:
        file.truncate(4 << 30)


def sound(path):
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        container.mux(stream.encode(audio_frame()))


def audio_frame():
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
    frame.sample_rate = 8000
    return frame


@pytest.mark.parametrize(
    "make, words",
    [
        (text, "cannot be opened as a video"),
        (lambda path: path.touch(), "0 bytes"),
        (four_gigabytes, "has 4096 MB"),
        (sound, "no video"),
        (lambda path: encode(path, [picture()]), "single frame"),
        (lambda path: encode(path, [picture()] * 3, crf=0), "limit is 0 MB"),
        (lambda path: None, "upload it again"),
    ],
)
def test_what_is_no_video_is_refused_without_its_path(tmp_path, make, words):
    """In one line that names the file as its owner does: the server's folders are nobody's business."""
    path = tmp_path / "upload.mp4"
    make(path)
    limits = Limits(file_bytes=100) if "0 MB" in words else None
    message = error_of(lambda: open_clip(path, "holiday.mp4", limits))
    assert "holiday.mp4" in message and words in message and str(tmp_path) not in message


def test_large_frames_are_refused_undecoded(path, monkeypatch):
    """8K frames would fill the memory: their size is known before."""
    monkeypatch.setattr(Container, "frames", lambda self: pytest.fail("decoded"))
    assert "limit is 100 pixels" in error_of(lambda: open_clip(path, "mine.mp4", Limits(side=100)))


def test_backwards_is_forwards_in_reverse(path):
    """Also if only four frames fit into memory at once."""
    clip = open_clip(path, "mine.mp4")
    forwards = [(f.index, f.time, f.image) for f in read_forwards(clip, 0)][:22]
    backwards = list(read_backwards(clip, 21, budget=4 * 3 * 120 * 90))
    assert [(f.index, f.time) for f in backwards] == [(index, time) for index, time, _ in forwards[::-1]]
    assert all(np.array_equal(f.image, image) for f, (_, _, image) in zip(backwards, forwards[::-1]))


def test_single_frames_are_those_of_the_video(path):
    clip = open_clip(path, "mine.mp4", Limits(frames=20))
    frames = [frame.image for frame in read_forwards(clip, 0)]
    assert len(frames) == 20 and np.array_equal(frame_at(clip, 7), frames[7])
    assert np.array_equal(frame_at(clip, 500), frames[-1])


def test_a_second_look_at_a_frame_reads_nothing(path):
    """Until the frames of its folder are forgotten; what is kept never exceeds its budget by more than one frame."""
    clip = open_clip(path, "mine.mp4")
    first = frame_at(clip, 3)
    assert frame_at(clip, 3) is first and not first.flags.writeable
    forget_frames(path.parent)
    assert frame_at(clip, 3) is not first
    kept = _KeptFrames(budget=2 * first.nbytes)
    shown = [kept.get(clip, index) for index in (0, 1, 0, 2)]
    assert kept.get(clip, 0) is shown[0] and kept.get(clip, 1) is not shown[1]


def test_an_expired_video_is_told_readably(tmp_path):
    path = colour_clip(tmp_path, 3)
    clip = open_clip(path, "mine.mp4")
    path.unlink()
    for read in (lambda: frame_at(clip, 0), lambda: next(read_forwards(clip, 0))):
        message = error_of(read)
        assert "upload it again" in message and str(tmp_path) not in message


def test_places_in_the_shown_picture_are_places_in_the_video(tmp_path):
    """A large frame is shown smaller; clicks on it still mean pixels of the video."""
    clip = open_clip(encode(tmp_path / "wide.mp4", [picture(step, 400, 1920) for step in (0, 1)]), "wide.mp4")
    assert preview_size(clip) == (960, 200) and preview(clip, frame_at(clip, 0)).shape == (200, 960, 3)
    assert from_preview(clip, (480, 100)) == (960, 200)


def test_the_nearest_frame_to_a_time(path):
    clip = open_clip(path, "mine.mp4")
    assert clip.frame_near(clip.times[11] + 0.01) == 11 and clip.frame_near(99) == 29


def test_an_example_is_made_once(tmp_path, monkeypatch):
    """On first use; afterwards the file is only read."""
    synthetic = pytest.importorskip("dataset_script.synthetic", exc_type=ImportError)
    seeds = []

    def generated(config, seed):
        seeds.append(seed)
        return None, iter([picture(step) for step in range(5)])

    monkeypatch.setattr(synthetic, "generate_video", generated)
    made = example_path(EXAMPLES[0], tmp_path / "cache")
    assert open_clip(made, "example.mp4").last == 4
    assert example_path(EXAMPLES[0], tmp_path / "cache") == made and seeds == [EXAMPLES[0].seed]
