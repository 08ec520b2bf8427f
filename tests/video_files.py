"""Small videos for the tests: made, cut and damaged on purpose."""

import io

import av
import numpy as np
import pytest

from modeling_semtrack.video import VideoError


def picture(step=0, height=48, width=64):
    """A smooth coloured picture whose look depends on the step."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin((x + 3 * step) / 17), np.sin((y + step) / 13), np.sin((x + y) / 29)]
    return (127 + 100 * np.stack(waves, -1)).astype(np.uint8)


def encode(path, images, codec="libx264", pixels="yuv420p", change=lambda packet: packet, **options):
    """Write images at 30 frames per second with plain PyAV; `change` may alter each packet."""
    rotation = options.pop("rotation", None)
    muxer = options.pop("muxer", {})
    with av.open(str(path), "w", options=muxer) as container:
        stream = container.add_stream(codec, rate=30, options={key: str(value) for key, value in options.items()})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        if rotation is not None:
            stream.set_display_rotation(rotation[0], hflip=rotation[1])
        for image in [*images, None]:
            frame = None if image is None else av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux([change(packet) for packet in stream.encode(frame)])
    return path


def garbage(packet):
    """The packet with a payload that no decoder takes for a JPEG image."""
    noise = av.Packet(b"noise" * 20)
    noise.pts, noise.dts, noise.time_base, noise.stream = (
        packet.pts,
        packet.dts,
        packet.time_base,
        packet.stream,
    )
    return noise


def noisy(count, height=48, width=64):
    """Images that compress badly, so that files can be cut in the middle of their data."""
    return [np.random.default_rng(i).integers(0, 255, (height, width, 3), dtype=np.uint8) for i in range(count)]


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def error_of(run):
    """The message of the VideoError that `run` raises: always one line."""
    with pytest.raises(VideoError) as caught:
        run()
    assert "\n" not in str(caught.value)
    return str(caught.value)


class OneWay(io.RawIOBase):
    """A binary stream that cannot seek, like a pipe; fails after `limit` bytes where given."""

    def __init__(self, data, limit=None):
        self._data, self._limit = io.BytesIO(data), limit

    def readable(self):
        return True

    def readinto(self, buffer):
        if self._limit is not None and self._data.tell() > self._limit:
            raise OSError(5, "the cable is unplugged")
        return self._data.readinto(buffer)
