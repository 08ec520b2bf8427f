"""One run through a source: pixels, times, damage, broken files, folders, and what is no video."""

import io
import logging
import os
import re
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image
from video_files import OneWay, cut, encode, error_of, garbage, noisy, picture

from modeling_semtrack.decoding import Clock
from modeling_semtrack.video import VideoReader

# Pixels


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_and_mirroring_are_applied(tmp_path, degrees, mirrored):
    corners = np.full((48, 64, 3), 128, np.uint8)
    corners[:24, :32], corners[24:, 32:] = (200, 30, 40), (20, 180, 60)
    path = encode(tmp_path / "clip.mp4", [corners], crf=4, rotation=(degrees, mirrored))
    expected = np.rot90(corners, degrees // 90)
    expected = expected[:, ::-1] if mirrored else expected
    with VideoReader(path) as reader:
        (frame,) = reader
        assert frame.image.shape == (reader.height, reader.width, 3) == expected.shape
        assert frame.image.flags.c_contiguous
        assert np.abs(frame.image.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("pixels", ["yuv420p10le", "gray", "gray16le", "bgra", "rgb48le", "yuv444p"])
def test_every_pixel_format_becomes_8_bit_rgb(tmp_path, pixels):
    image = picture(width=63)
    grey = "gray" in pixels
    if grey:
        image = np.repeat(image[..., :1], 3, axis=2)
    (frame,) = VideoReader(encode(tmp_path / "clip.mkv", [image], codec="ffv1", pixels=pixels))
    assert frame.image.shape == (48, 63, 3) and frame.image.dtype == np.uint8 and frame.image.flags.c_contiguous
    assert np.abs(frame.image.astype(int) - image).mean() < 4


def test_drawing_on_a_frame_does_not_reach_the_next_ones(tmp_path):
    """RGB codecs hand out the picture that the next frame is built on."""
    path = encode(tmp_path / "clip.mov", [picture()] * 3, codec="qtrle", pixels="rgb24")
    for frame in VideoReader(path):
        assert np.array_equal(frame.image, picture())
        frame.image[:] = 0


# Times


def test_a_gif_keeps_its_uneven_times(tmp_path):
    images = [Image.fromarray(picture(9 * i)) for i in range(4)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=[100, 200, 50, 400])
    assert [frame.time for frame in VideoReader(tmp_path / "a.gif")] == [0.0, 0.1, 0.3, 0.35]


def test_a_stream_without_timestamps_counts_by_its_nominal_rate(tmp_path):
    with VideoReader(encode(tmp_path / "clip.h264", [picture(i) for i in range(6)])) as reader:
        assert [frame.time for frame in reader] == pytest.approx([i / reader.fps for i in range(6)])


def test_timestamps_in_order_of_decoding_are_recognised(tmp_path):
    def misplace(packet):
        packet.pts = packet.dts
        return packet

    path = encode(tmp_path / "clip.mp4", [picture(i) for i in range(30)], change=misplace, bf=3)
    frames = list(VideoReader(path))
    shown = [np.argmin([np.abs(f.image.astype(int) - picture(i)).mean() for i in range(30)]) for f in frames]
    assert len(frames) > 25 and (np.diff(shown) > 0).all()
    assert [frame.time for frame in frames] == pytest.approx((np.array(shown) - shown[0]) / 30)


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        ([5, 6, 8, 9], [0, 1, 3, 4]),
        ([5, 6, 6, 7], [0, 1, 1.25, 2]),
        ([5, 6, None, 8], [0, 1, 2, 3]),
        ([None, None, 9, 10], [0, 1, 2, 3]),
        ([50, 51, 3, 4, 6], [0, 1, 2, 3, 5]),
    ],
    ids=["uneven", "repeated", "missing", "missing first", "set back"],
)
def test_times_increase_strictly_whatever_the_timestamps_do(stamps, times):
    clock = Clock(interval=Fraction(1))
    frames = [SimpleNamespace(pts=stamp, dts=stamp, time_base=Fraction(1)) for stamp in stamps]
    assert [clock.tick(frame) for frame in frames] == times


# Damage and breaking off


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4", "clip.avi"])
def test_a_truncated_file_gives_its_frames_and_is_marked_incomplete(tmp_path, name, caplog):
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    muxer = {"movflags": "+faststart"} if name.endswith("mp4") else {}
    path = encode(tmp_path / name, noisy(60), codec=codec, muxer=muxer)
    with VideoReader(path) as reader:
        assert len(list(reader)) == 60 and reader.complete
    assert not caplog.records
    with VideoReader(cut(path, 0.5)) as reader:
        assert 15 < len(list(reader)) < 40
        assert not reader.complete and "breaks off after" in reader.incomplete_reason
    assert len(caplog.records) == 1 and name in caplog.text and "breaks off after" in caplog.text


def test_an_mp4_cut_before_its_index_is_refused(tmp_path):
    path = cut(encode(tmp_path / "clip.mp4", noisy(9)), 0.6)
    assert "expected a whole" in error_of(lambda: VideoReader(path))


def test_damage_in_the_middle_is_skipped_counted_and_reported_once(tmp_path, caplog):
    path = encode(tmp_path / "clip.mp4", noisy(60), g=6)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 20] = np.random.default_rng(1).bytes(len(data) // 20)
    path.write_bytes(data)
    with VideoReader(path) as reader, caplog.at_level(logging.INFO):
        frames = list(reader)
        assert 45 <= len(frames) < 60 and frames[-1].time > 1.9
        assert [frame.index for frame in frames] == list(range(len(frames)))
        assert reader.damaged_packets > 0 and reader.complete
        list(reader)
    assert len(caplog.records) == 1 and "damaged packets" in caplog.text


def test_decoding_that_dies_in_the_middle_is_incomplete(tmp_path):
    def spoil(packet):
        return garbage(packet) if packet.pts is not None and packet.pts * packet.time_base > 1 else packet

    with VideoReader(encode(tmp_path / "clip.mp4", noisy(60), "mjpeg", "yuvj420p", spoil)) as reader:
        assert len(list(reader)) == 31
        assert reader.damaged_packets == 29
        assert not reader.complete and "nothing can be decoded after" in reader.incomplete_reason


def test_a_source_that_fails_while_reading_ends_the_video_there(tmp_path):
    data = encode(tmp_path / "clip.mkv", noisy(90, 96, 128)).read_bytes()
    with VideoReader(OneWay(data, limit=len(data) // 2)) as reader:
        assert 10 < len(list(reader)) < 80
        assert not reader.complete and "unplugged" in reader.incomplete_reason


# Sources that are no video


def test_what_is_no_video_is_refused_in_one_line_that_names_it(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.txt").write_text("no video\n" * 99)
    (tmp_path / "text.mp4").write_text("no video\n" * 99)
    (tmp_path / "folder").mkdir()
    for name, words in {
        "missing.mp4": "No such file",
        "empty.mp4": "is empty",
        "text.txt": "is a text file",
        "text.mp4": "cannot be opened",
        "folder": "holds no images",
        "x" * 300: "too long",
    }.items():
        for source in (tmp_path / name, str(tmp_path / name)):
            message = error_of(lambda source=source: VideoReader(source))
            assert words in message and str(tmp_path / name) in message
    for source in (
        b"",
        b"no video",
        io.BytesIO(),
        io.StringIO("text"),
        os.devnull,
        "webcam:77",
        "ftp://a/b.mp4",
        3,
    ):
        error_of(lambda source=source: VideoReader(source))


def test_sound_alone_is_refused_even_with_a_cover_picture(tmp_path):
    for cover in (False, True):
        path = tmp_path / f"sound{cover}.mp4"
        with av.open(str(path), "w") as container:
            if cover:
                picture_stream = container.add_stream("mjpeg", rate=1)
                picture_stream.width, picture_stream.height, picture_stream.pix_fmt = 16, 16, "yuvj420p"
                picture_stream.disposition = av.stream.Disposition.attached_pic
            sound = container.add_stream("aac", rate=16000)
            if cover:
                container.mux(picture_stream.encode(av.VideoFrame(16, 16, "yuvj420p")) + picture_stream.encode())
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(sound.encode(frame) + sound.encode())
        assert "only sound" in error_of(lambda path=path: VideoReader(path))


def test_sound_beside_the_picture_is_passed_over(tmp_path):
    """The sound stream comes first, so a packet's stream number must not be taken for the picture's."""
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        sound, film = container.add_stream("aac", rate=16000), container.add_stream("libx264", rate=30)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        for i in range(30):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, 1024 * i
            container.mux(sound.encode(frame))
            container.mux(film.encode(av.VideoFrame.from_ndarray(picture(i), format="rgb24")))
        container.mux(sound.encode() + film.encode())
    with VideoReader(tmp_path / "clip.mkv") as reader:
        assert len(list(reader)) == 30 and reader.complete


def test_a_file_without_one_good_frame_is_refused_at_once(tmp_path):
    path = encode(tmp_path / "clip.mp4", noisy(5), "mjpeg", "yuvj420p", garbage)
    assert re.search("no frame .* can be decoded .*damaged", error_of(lambda: VideoReader(path)))


def test_a_password_in_a_url_is_not_shown():
    message = error_of(lambda: VideoReader("rtsp://me:secret@127.0.0.1:9/live"))
    assert "secret" not in message and "127.0.0.1:9/live" in message and "refused" in message


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path):
    path = tmp_path / "secret.mp4"
    path.touch(mode=0o000)
    assert "Permission denied" in error_of(lambda: VideoReader(path))


# Folders of images


def test_a_folder_is_read_in_natural_order_at_the_given_rate(tmp_path):
    for number in (10, 9, 1):
        Image.fromarray(np.full((20, 30, 3), number * 10, np.uint8)).save(tmp_path / f"img{number}.PNG")
    (tmp_path / "._img5.png").write_text("a stray of another system")
    (tmp_path / "notes.txt").write_text("not an image")
    with VideoReader(tmp_path, fps=10) as reader:
        frames = list(reader)
        assert (reader.width, reader.height, reader.fps, reader.frame_count) == (30, 20, 10, 3)
        assert reader.duration == pytest.approx(0.3) and reader.complete
        assert reader.read_frame(2).image[0, 0, 0] == 100
    assert [frame.image[0, 0, 0] for frame in frames] == [10, 90, 100]
    assert [frame.time for frame in frames] == [0.0, 0.1, 0.2]
    assert [frame.time for frame in VideoReader(tmp_path)] == [0.0, 1 / 25, 2 / 25]


def test_a_damaged_image_is_skipped_and_keeps_its_time(tmp_path, caplog):
    for number in range(4):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.jpg")
    cut(tmp_path / "1.jpg", 0.3)
    with VideoReader(tmp_path, fps=10) as reader:
        assert [(frame.index, frame.time) for frame in reader] == [(0, 0.0), (1, 0.2), (2, 0.3)]
        assert reader.damaged_packets == 1
    assert len(caplog.records) == 1


def test_images_are_turned_by_their_exif_and_16_bit_is_not_clipped(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(picture()).save(tmp_path / "0.png", exif=exif)
    Image.fromarray(np.full((64, 48), 32768, np.uint16)).save(tmp_path / "1.png")
    first, second = VideoReader(tmp_path)
    assert np.array_equal(first.image, np.rot90(picture(), -1))
    assert (second.image == 128).all() and second.image.shape == (64, 48, 3)


def test_a_rate_is_for_folders_only(tmp_path):
    path = encode(tmp_path / "clip.mp4", [picture()])
    assert "leave fps out" in error_of(lambda: VideoReader(path, fps=25))
    for rate in (0, -1, float("nan"), float("inf")):
        assert "positive number" in error_of(lambda rate=rate: VideoReader(tmp_path, fps=rate))
