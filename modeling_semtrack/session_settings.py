"""How a session behaves over time."""

from __future__ import annotations

from dataclasses import dataclass, field

from .events import EventSettings


@dataclass(frozen=True)
class SessionSettings:
    """How a session behaves; the network's own settings are in its config.

    Attributes:
        window_influence: How much places far from the last one are mistrusted, in [0, 1].
        size_rate: How fast the box's size follows what the network sees, in (0, 1].
        template_interval: Frames between renewals of the dynamic template.
        template_presence: Presence and centre score needed to renew it.
        lost_after: Frames in a row without the target after which the whole frame is searched.
        search_interval: Frames between two such searches.
        found_presence: Presence from which what is found after a miss counts as the same target, there or elsewhere.
        remembered_steps: Semantic steps of each target that may be labelled later ([`SemTrackSession.adapt`]); at 5
            steps a second, 1,000 are the last 3 minutes and take 10 MB.
        events: When interactions start, last and count.

    Raises:
        ValueError: If a value is out of its range.
    """

    window_influence: float = 0.4
    size_rate: float = 0.8
    template_interval: int = 10
    template_presence: float = 0.5
    lost_after: int = 5
    search_interval: int = 3
    found_presence: float = 0.7
    remembered_steps: int = 1000
    events: EventSettings = field(default_factory=lambda: EventSettings(0.5, 0.25, min_duration=0.4))

    def __post_init__(self) -> None:
        for name in ("window_influence", "size_rate", "template_presence", "found_presence"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in ("template_interval", "lost_after", "search_interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 frame, got {getattr(self, name)}")
        if self.remembered_steps < 0:
            raise ValueError(f"remembered_steps must be 0 or more, got {self.remembered_steps}")
