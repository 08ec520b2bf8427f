"""SemanticTrackingPipeline: a video and a prompt in, a SemanticTrajectory out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from transformers import Pipeline
from transformers.image_processing_utils import BaseImageProcessor

from .processing_semtrack import SemTrackProcessor
from .session_semtrack import SemTrackSession
from .session_settings import SessionSettings
from .trajectory import SemanticTrajectory
from .video import Source, VideoError, VideoReader

SESSION_OPTIONS = ("settings", "semantic_stride")
PROMPT_OPTIONS = ("box", "point", "frame", "category", "progress")


class SemanticTrackingPipeline(Pipeline):
    """Tracks one target through a video and tells what it does.

    Example:
        pipe = pipeline("semantic-tracking", model=model, image_processor=processor)
        trajectory = pipe("clip.mp4", point=(310, 220))
    """

    _load_processor = False
    _load_image_processor = True
    _load_feature_extractor = False
    _load_tokenizer = False
    _load_video_processor = False

    def __call__(self, inputs: Source | Sequence[Source], **kwargs: Any) -> SemanticTrajectory | list:
        """Follows a target through a video.

        Args:
            inputs: Video as path, bytes, file object, frame folder or stream URL; a list is a batch of videos.
            box: The target's box in frame `frame`, xywh pixels.
            point: A click on the target in frame `frame`, (x, y) pixels. Exactly one of box and point.
            frame: 0-based index of the frame that the prompt refers to; tracking starts there.
            category: What the target is called in the results.
            settings: `SessionSettings`.
            semantic_stride: Frames between semantic steps, 0 for tracking only.
            progress: Called with the index of every finished frame.

        Returns:
            The trajectory; `complete` is False if the video broke off.

        Raises:
            VideoError: If the video cannot be read or is shorter than `frame`.
            ValueError: If the prompt does not fit the frame.
        """
        return super().__call__(inputs, **kwargs)

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict, dict, dict]:
        unknown = sorted(set(kwargs) - {*SESSION_OPTIONS, *PROMPT_OPTIONS})
        if unknown:
            known = ", ".join(PROMPT_OPTIONS + SESSION_OPTIONS)
            raise TypeError(f"unknown argument {', '.join(unknown)}; semantic-tracking takes {known}")
        return {}, kwargs, {}

    def preprocess(self, input_: Source, **kwargs: Any) -> dict[str, Any]:
        """Only names the video: it is read frame by frame while it is tracked."""
        return {"video": input_}

    def _forward(
        self,
        model_inputs: dict[str, Any],
        box: Sequence[float] | None = None,
        point: Sequence[float] | None = None,
        frame: int = 0,
        category: str | None = None,
        progress: Callable[[int], None] | None = None,
        settings: SessionSettings | None = None,
        semantic_stride: int | None = None,
    ) -> dict[str, SemanticTrajectory]:
        processor = self.image_processor
        if isinstance(processor, BaseImageProcessor):  # loaded from the Hub, its own class exists more than once
            processor = SemTrackProcessor(processor)
        session = SemTrackSession(self.model, processor, settings, semantic_stride, first_frame=frame)
        target = None
        with VideoReader(model_inputs["video"]) as reader:
            for current in reader:
                if current.index < frame:
                    continue
                if target is None:
                    target = session.add_target(current.image, box=box, point=point, category=category)
                session.step(current.image, time=current.time)
                if progress is not None:
                    progress(current.index)
            if target is None:
                seen = current.index + 1
                raise VideoError(f"frame must be between 0 and {seen - 1} (the video has {seen} frames), got {frame}")
            return {"trajectory": session.trajectory(target, complete=reader.complete)}

    def postprocess(self, model_outputs: dict[str, SemanticTrajectory], **kwargs: Any) -> SemanticTrajectory:
        """Unwraps the trajectory."""
        return model_outputs["trajectory"]
