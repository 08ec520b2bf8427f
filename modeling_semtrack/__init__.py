"""SemTrack: what a target in a video does, not only where it is."""

from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor

from .configuration_semtrack import SemTrackConfig
from .modeling_semtrack import SemTrackModel, SemTrackOutput
from .processing_semtrack import SemTrackImageProcessor, SemTrackProcessor
from .trajectory import InteractionEvent, SemanticTrajectory

AutoConfig.register("semtrack", SemTrackConfig, exist_ok=True)
AutoModel.register(SemTrackConfig, SemTrackModel, exist_ok=True)
AutoImageProcessor.register(SemTrackConfig, image_processor_classes={"pil": SemTrackImageProcessor}, exist_ok=True)
AutoProcessor.register(SemTrackConfig, SemTrackProcessor, exist_ok=True)

__all__ = [
    "InteractionEvent",
    "SemTrackConfig",
    "SemTrackImageProcessor",
    "SemTrackModel",
    "SemTrackOutput",
    "SemTrackProcessor",
    "SemanticTrajectory",
]
