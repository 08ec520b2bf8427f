"""Reading and writing video: what a reader gives, bounded memory, real clips, and the writer."""

import gc
import http.server
import io
import os
import threading
import weakref
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from video_files import OneWay, encode, error_of, picture

from modeling_semtrack.video import TICKS, Frame, VideoError, VideoReader, VideoWriter


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """30 frames of 64x48 at 30 frames per second."""
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", [picture(i) for i in range(30)], crf=4)


def test_frames_carry_index_time_and_contiguous_rgb(clip):
    with VideoReader(clip) as reader:
        frames = list(reader)
        assert (reader.width, reader.height, reader.fps, reader.frame_count) == (64, 48, 30.0, 30)
        assert reader.duration == pytest.approx(1.0)
        assert reader.complete and reader.incomplete_reason is None and reader.damaged_packets == 0
    assert all(isinstance(frame, Frame) for frame in frames)
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.time for frame in frames] == [i / 30 for i in range(30)]
    for i, frame in enumerate(frames):
        assert frame.image.dtype == np.uint8 and frame.image.flags.c_contiguous
        assert np.abs(frame.image.astype(int) - picture(i)).mean() < 3


def test_path_string_bytes_and_file_objects_give_the_same_frames(clip):
    data = clip.read_bytes()
    spent = io.BytesIO(data)
    spent.seek(0, io.SEEK_END)
    expected = [frame.image for frame in VideoReader(clip)]
    for source in (str(clip), data, spent, clip.open("rb")):
        with VideoReader(source) as reader:
            assert np.array_equal([frame.image for frame in reader], expected)
    assert not spent.closed


def test_iterating_again_starts_again_and_ends_the_first_iteration(clip):
    with VideoReader(clip) as reader:
        first = iter(reader)
        assert [next(first).index, next(first).index] == [0, 1]
        assert not reader.complete and "not read to its end" in reader.incomplete_reason
        assert [frame.index for frame in reader] == list(range(30))
        assert reader.complete
        assert "ended when its reader was closed or restarted" in error_of(lambda: next(first))
    assert "is closed" in error_of(lambda: iter(reader))


def test_an_iteration_over_a_closed_reader_raises(clip):
    with VideoReader(clip) as reader:
        frames = iter(reader)
        next(frames)
    assert "closed" in error_of(lambda: next(frames))


def test_a_frame_is_found_by_its_index_or_the_error_says_how_many_there_are(clip):
    with VideoReader(clip) as reader:
        expected = list(reader)[17]
        found = reader.read_frame(17)
        assert (found.index, found.time) == (17, expected.time) and np.array_equal(found.image, expected.image)
        message = error_of(lambda: reader.read_frame(30))
        assert "no frame 30" in message and "30 frames, 0 to 29" in message and str(clip) in message
        assert "got -1" in error_of(lambda: reader.read_frame(-1))


def test_a_source_that_cannot_seek_is_read_once(tmp_path):
    data = encode(tmp_path / "clip.mkv", [picture(i) for i in range(5)]).read_bytes()
    with VideoReader(OneWay(data)) as reader:
        assert "only once" in error_of(lambda: reader.read_frame(1))
        assert len(list(reader)) == 5
        assert "only once" in error_of(lambda: iter(reader))


def test_a_url_is_read_once(clip):
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=clip.parent)
    handler.func.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with VideoReader(f"{address}/{clip.name}") as reader:
            assert len(list(reader)) == 30
            assert "only once" in error_of(lambda: iter(reader))
        assert "Not Found" in error_of(lambda: VideoReader(f"{address}/missing.mp4"))
        server.shutdown()


def test_frames_of_another_size_are_scaled_and_restarted_timestamps_count_on(tmp_path):
    first = encode(tmp_path / "a.ts", [picture(i) for i in range(60)])
    second = encode(tmp_path / "b.ts", [picture(i, 96, 128) for i in range(60)])
    (tmp_path / "both.ts").write_bytes(first.read_bytes() + second.read_bytes())
    with VideoReader(tmp_path / "both.ts") as reader:
        frames = list(reader)
    assert len(frames) == 120 and {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert np.diff([frame.time for frame in frames]) == pytest.approx(1 / 30, abs=1e-6)


def test_memory_does_not_grow_with_the_video(tmp_path):
    path = encode(tmp_path / "long.mp4", [picture(i, 480, 640) for i in range(10)] * 30, preset="ultrafast")
    alive, most, start = [], 0, 0.0
    with VideoReader(path) as reader:
        for frame in reader:
            alive = [image for image in (*alive, weakref.ref(frame.image)) if image() is not None]
            most = max(most, len(alive))
            start = resident() if frame.index == 60 else start
    assert most <= 3
    assert resident() - start < 70  # holding the frames would take 210 MiB


def resident():
    """Resident memory in MiB; 0 where the system does not say."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if status.exists() else 0.0


def test_real_clips_open_and_decode_with_ascending_times(shared_data):
    sizes = {}
    for path in sorted((shared_data / "clips").iterdir()):
        with VideoReader(path) as reader:
            frames = [frame for frame, _ in zip(reader, range(12), strict=False)]
            sizes[path.name] = (reader.width, reader.height)
        times = [frame.time for frame in frames]
        assert times[0] == 0.0 and (np.diff(times) > 0).all(), path.name
        assert len(frames) == 12 or path.name == "mmtracking_demo.mp4"
    assert len(sizes) >= 24
    assert sizes["sam2_dog.mp4"] == (1280, 720) and sizes["cotracker_bear.mp4"] == (854, 480)


# The writer


def write(path, images, times=None, fps=30.0, **options):
    with VideoWriter(path, fps, **options) as writer:
        for place, image in enumerate(images):
            writer.write(image, None if times is None else times[place])
    return path


def test_what_is_written_is_read_back_with_exact_times_and_close_pixels(tmp_path):
    times = [0.0, 0.001, 1001 / 24000, 1 / 30, 0.2, 1.75, 30.0]
    times.sort()
    images = [picture(i) for i in range(len(times))]
    with VideoReader(write(tmp_path / "clip.mp4", images, times)) as reader:
        frames = list(reader)
        assert reader.complete and reader.duration == pytest.approx(30 + 1 / 30)
    assert [frame.time for frame in frames] == times
    for frame, image in zip(frames, images, strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 4
    assert os.listdir(tmp_path) == ["clip.mp4"]


def test_any_time_is_kept_to_the_time_base(tmp_path):
    times = np.cumsum(np.random.default_rng(3).uniform(1 / TICKS, 0.5, 40))
    times -= times[0]
    frames = list(VideoReader(write(tmp_path / "clip.mp4", [picture()] * 40, times)))
    assert [frame.time for frame in frames] == [round(time * TICKS) / TICKS for time in times]


@pytest.mark.parametrize("fps", [25.0, 24000 / 1001, 30000 / 1001, 7.5])
def test_without_times_the_rate_gives_them(tmp_path, fps):
    with VideoReader(write(tmp_path / "clip.mov", [picture()] * 12, fps=fps)) as reader:
        assert [frame.time for frame in reader] == pytest.approx([i / fps for i in range(12)], abs=0.5 / TICKS)
        assert reader.fps == pytest.approx(fps)


@pytest.mark.parametrize("size", [(1, 1), (47, 63), (48, 63), (47, 64)])
def test_odd_sizes_are_padded_by_repeating_the_edge(tmp_path, size):
    height, width = size
    (frame,) = VideoReader(write(tmp_path / "clip.mp4", [picture(0, height, width)], crf=4))
    assert frame.image.shape == (height + height % 2, width + width % 2, 3)
    expected = picture(0, height, width)[np.arange(frame.image.shape[0]).clip(max=height - 1)]
    expected = expected[:, np.arange(frame.image.shape[1]).clip(max=width - 1)]
    assert np.abs(frame.image.astype(int) - expected).mean() < 4


def test_the_file_is_plain_h264_that_plays_while_it_loads(tmp_path):
    data = write(tmp_path / "clip.mp4", [picture(i) for i in range(9)]).read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")
    with av.open(io.BytesIO(data)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.colorspace) == ("h264", "yuv420p", 1)


def test_a_better_quality_makes_a_larger_file(tmp_path):
    images = [picture(i) for i in range(9)]
    small, large = (
        write(tmp_path / "small.mp4", images, crf=40),
        write(tmp_path / "large.mp4", images, crf=10),
    )
    assert large.stat().st_size > 1.5 * small.stat().st_size


def test_an_exception_leaves_nothing_and_the_old_file_untouched(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="mine"), VideoWriter(tmp_path / "clip.mp4", 30) as writer:
        for i in range(40):
            writer.write(picture(i))
        raise RuntimeError("mine")
    assert os.listdir(tmp_path) == ["clip.mp4"] and (tmp_path / "clip.mp4").read_bytes() == b"old"


def test_no_frame_is_an_error_that_leaves_nothing(tmp_path):
    def nothing():
        with VideoWriter(tmp_path / "clip.mp4", 30):
            pass

    assert "no frame was written" in error_of(nothing)
    assert not os.listdir(tmp_path)


def test_a_writer_that_is_dropped_leaves_nothing(tmp_path):
    writer = VideoWriter(tmp_path / "clip.mp4", 30)
    writer.write(picture())
    del writer
    gc.collect()
    assert not os.listdir(tmp_path)


def test_a_full_disk_is_one_clear_error_that_leaves_nothing(tmp_path):
    resource = pytest.importorskip("resource", reason="file size limits are for POSIX systems")
    noise = np.random.default_rng(0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        message = error_of(
            lambda: write(tmp_path / "clip.mp4", (noise.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(90)))
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "clip.mp4" in message and "too large" in message
    assert not os.listdir(tmp_path)


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    for name, words in {
        "folder.mp4": "is a folder",
        "missing/clip.mp4": "create it first",
        "file/clip.mp4": "create it first",
        "clip.webm": ".mp4, .m4v, .mov",
    }.items():
        message = error_of(lambda name=name: VideoWriter(tmp_path / name, 30))
        assert words in message and name in message
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.mp4"]


def test_arguments_out_of_range_are_refused(tmp_path):
    for arguments in ({"fps": 0}, {"fps": float("nan")}, {"crf": 52}, {"crf": 1.5}, {"preset": "quick"}):
        (name, value) = next(iter(arguments.items()))
        message = error_of(lambda arguments=arguments: VideoWriter(tmp_path / "a.mp4", **{"fps": 30, **arguments}))
        assert message.startswith(name) and str(value) in message
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("image", "time", "words"),
    [
        (picture(0, 40, 64), 1.0, "64x48 like the first one, got 64x40"),
        (picture().astype(np.float32), 1.0, "got float32"),
        (picture()[..., 0], 1.0, r"uint8 \[48, 64\]"),
        (picture()[..., :2], 1.0, r"\[48, 64, 2\]"),
        (np.zeros((0, 4, 3), np.uint8), 1.0, "must have pixels"),
        ([[1]], 1.0, "got list"),
        (picture(), 0.5, "must ascend"),
        (picture(), -1.0, "0 or more"),
        (picture(), float("nan"), "0 or more"),
        (picture(), None, "for every frame"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_and_nothing_is_left(tmp_path, image, time, words):
    with pytest.raises(VideoError, match=words), VideoWriter(tmp_path / "clip.mp4", 30) as writer:
        writer.write(picture(), 0.5)
        writer.write(image, time)
    assert not os.listdir(tmp_path)


def test_a_closed_writer_takes_no_frame(tmp_path):
    with VideoWriter(tmp_path / "clip.mp4", 30) as writer:
        writer.write(picture())
    assert "is closed" in error_of(lambda: writer.write(picture()))
