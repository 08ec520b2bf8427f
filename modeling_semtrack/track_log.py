"""A compact record of where a target was, frame by frame."""

from __future__ import annotations

import math
from array import array

from .trajectory import Box, TrackedFrame

FIELDS = 7  # frame index, time, x, y, width, height, presence


class TrackLog:
    """Append-only list of frames in 56 bytes each."""

    def __init__(self) -> None:
        self._values = array("d")

    def __len__(self) -> int:
        return len(self._values) // FIELDS

    def append(self, frame_index: int, time: float, box: Box | None, presence: float) -> None:
        """Adds a frame; box is xywh pixels, or None where the target is not visible."""
        self._values.extend((frame_index, time, *(box or (math.nan,) * 4), presence))

    def frames(self) -> list[TrackedFrame]:
        """All frames so far."""
        rows = (self._values[start : start + FIELDS] for start in range(0, len(self._values), FIELDS))
        return [
            TrackedFrame(int(row[0]), row[1], None if math.isnan(row[2]) else tuple(row[2:6]), row[6]) for row in rows
        ]
