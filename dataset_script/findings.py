"""What a check of annotations reports, and the words for frames in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

ERROR, WARNING = "error", "warning"
MOST_RUNS = 5  # runs of frames that a finding lists


@dataclass(frozen=True)
class Finding:
    """Something in the annotations that is wrong, or that somebody should look at.

    Attributes:
        severity: ``"error"`` (it contradicts the record's rules or itself) or ``"warning"`` (it may be right).
        check: Name of the check, for example ``"box outside"``.
        video_id: The video, or "" for what concerns the whole set.
        where: Track, event and frames.
        message: What was found and what was expected.

    Raises:
        ValueError: If the severity is another word.
    """

    severity: str
    check: str
    video_id: str
    where: str
    message: str

    def __post_init__(self) -> None:
        if self.severity not in (ERROR, WARNING):
            raise ValueError(f"severity must be '{ERROR}' or '{WARNING}', got '{self.severity}'")

    def to_dict(self) -> dict[str, Any]:
        """The finding as plain JSON types."""
        return asdict(self)


def runs(frames: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Half-open runs ``[start, end)`` of consecutive numbers in ascending ones."""
    start = end = None
    for frame in frames:
        if frame != end:
            if start is not None:
                yield start, end
            start = frame
        end = frame + 1
    if start is not None:
        yield start, end


def in_words(frames: Iterable[int]) -> str:
    """``"frames 3, 7-9"`` for 3, 7, 8, 9; long lists are cut short."""
    spans = list(runs(frames))
    words = [str(start) if end == start + 1 else f"{start}-{end - 1}" for start, end in spans[:MOST_RUNS]]
    more = f" and {len(spans) - MOST_RUNS} more stretches" if len(spans) > MOST_RUNS else ""
    single = len(spans) == 1 and spans[0][1] == spans[0][0] + 1
    return f"frame{'' if single else 's'} {', '.join(words)}{more}"
