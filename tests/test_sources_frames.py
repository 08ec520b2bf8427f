"""Sizes of frames, without decoding them whole."""

import pytest
from tracking_sets import write_images

from dataset_script.sources.frames import FrameInfo, probe
from dataset_script.sources.reading import SourceError
from modeling_semtrack.video import VideoError


def test_a_folder_is_measured_by_its_first_image(tmp_path):
    write_images(tmp_path, 3, size=(20, 10))
    (tmp_path / "00000002.jpg").write_bytes(b"not looked at")
    assert probe(tmp_path) == FrameInfo(20, 10, 3, None)


def test_a_real_video_is_measured_without_decoding_it(shared_data):
    info = probe(shared_data / "sot/TLD_car/car.mpg")
    assert (info.width, info.height, info.count, info.fps) == (320, 240, 945, 25)


def test_what_cannot_be_measured_is_named(tmp_path):
    with pytest.raises(SourceError, match="missing': expected a folder with frames .*there is none"):
        probe(tmp_path / "missing")
    with pytest.raises(SourceError, match=r"expected frames \(.jpg, .png\), found nothing"):
        probe(tmp_path)
    (tmp_path / "1.jpg").write_bytes(b"no image")
    with pytest.raises(SourceError, match="1.jpg': not a readable image"):
        probe(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match="a.mp4"):
        probe(tmp_path / "a.mp4")
