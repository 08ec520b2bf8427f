"""SemTrack: what a target in a video does, not only where it is."""

from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from .adaptation import AdaptationSettings, LabelledMoment
from .configuration_semtrack import SemTrackConfig
from .events import EventSettings
from .modeling_semtrack import SemTrackModel, SemTrackOutput
from .pipeline_semtrack import SemanticTrackingPipeline
from .processing_semtrack import SemTrackImageProcessor, SemTrackProcessor
from .session_semtrack import SemTrackSession, TargetState
from .session_settings import SessionSettings
from .trajectory import InteractionEvent, SemanticTrajectory

AutoConfig.register("semtrack", SemTrackConfig, exist_ok=True)
AutoModel.register(SemTrackConfig, SemTrackModel, exist_ok=True)
AutoImageProcessor.register(SemTrackConfig, image_processor_classes={"pil": SemTrackImageProcessor}, exist_ok=True)
AutoProcessor.register(SemTrackConfig, SemTrackProcessor, exist_ok=True)
PIPELINE_REGISTRY.register_pipeline(
    "semantic-tracking", pipeline_class=SemanticTrackingPipeline, pt_model=AutoModel, type="multimodal"
)
# A folder saved from these classes carries their code, and loads without this package (trust_remote_code=True).
SemTrackConfig.register_for_auto_class("AutoConfig")
SemTrackModel.register_for_auto_class("AutoModel")
SemTrackImageProcessor.register_for_auto_class("AutoImageProcessor")
SemTrackProcessor.register_for_auto_class("AutoProcessor")

__all__ = [
    "AdaptationSettings",
    "EventSettings",
    "InteractionEvent",
    "LabelledMoment",
    "SemTrackConfig",
    "SemTrackImageProcessor",
    "SemTrackModel",
    "SemTrackOutput",
    "SemTrackProcessor",
    "SemTrackSession",
    "SemanticTrackingPipeline",
    "SemanticTrajectory",
    "SessionSettings",
    "TargetState",
]
