"""SemTrackConfig: the network's shape and its label maps."""

# No `from __future__ import annotations` here: @strict checks types only where they are not strings.

from typing import Any, Self

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.models.auto import CONFIG_MAPPING

STEMS = ("conv", "patch", "backbone")
SEMANTIC_HEADS = ("query", "none")


@strict
class SemTrackConfig(PreTrainedConfig):
    """Configuration of a [`SemTrackModel`].

    Args:
        stem (`str`, defaults to `"conv"`): What turns pixels into tokens: `"conv"` (EfficientNet-Lite0 blocks
            0 to 10, stride 16), `"patch"` (linear patch embedding) or `"backbone"` (`backbone_config`).
        backbone_config (`dict` or `PreTrainedConfig`, *optional*): Any backbone of transformers'
            `AutoBackbone` with one output feature map; required for, and only for, `stem="backbone"`.
        patch_size (`int`): Side of a patch in pixels for `stem="patch"`.
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size (`int`): Joint encoder.
        box_head_channels (`int`): Channels of the box head's convolutions.
        text_embed_size (`int`): Width of the text embeddings that a text prompt brings.
        semantic_head (`str`): `"query"` (activity part and object queries) or `"none"`.
        num_interaction_queries, num_semantic_layers (`int`): Shape of the semantic head.
        semantic_dropout (`float`): Dropout in the layers of the semantic head, in [0, 1).
        use_scene_context, use_temporal_memory (`bool`): Whether the semantic head sees the whole frame and what
            surrounds the target, and the past of the target.
        context_grid (`int`): The semantic head sees search region and scene in at most `context_grid ** 2` cells each.
        memory_length (`int`): Semantic steps that the causal memory holds.
        memory_grid (`int`): Each remembered step keeps the target's embedding and `memory_grid ** 2` pooled
            cells of its search region.
        id2interaction, id2object (`dict[int, str]`): Label maps, ids counted from 0 without holes.
        semantic_stride (`int`): Frames from one semantic step to the next.
        presence_threshold (`float`): Presence probability from which the target counts as visible.
        score_loss_weight ... object_box_loss_weight (`float`): Weights of the loss terms.
        none_weight (`float`): Weight of "none" in the interaction and object cross-entropies.

    Raises:
        ValueError: If `backbone_config` or a label map is malformed.
        huggingface_hub.errors.StrictDataclassError: If a value has the wrong type, or the values do not fit
            together; the message names them.
    """

    model_type = "semtrack"

    # Stem
    stem: str = "conv"
    backbone_config: dict | PreTrainedConfig | None = None
    patch_size: int = 16

    # Joint encoder
    hidden_size: int = 192
    num_hidden_layers: int = 6
    num_attention_heads: int = 3
    intermediate_size: int = 768
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.07  # about the inverse root of hidden_size: 0.02 would leave attention flat
    text_embed_size: int = 384

    # Heads
    box_head_channels: int = 96
    semantic_head: str = "query"
    num_interaction_queries: int = 8
    num_semantic_layers: int = 2
    semantic_dropout: float | int = 0.1
    use_scene_context: bool = True
    use_temporal_memory: bool = True
    context_grid: int = 8
    memory_length: int = 8
    memory_grid: int = 4
    id2interaction: dict[int, str] | dict[str, str] | None = None
    id2object: dict[int, str] | dict[str, str] | None = None

    # Inference
    semantic_stride: int = 5
    presence_threshold: float = 0.5

    # Loss
    score_loss_weight: float | int = 1.0
    box_l1_loss_weight: float | int = 5.0
    box_giou_loss_weight: float | int = 2.0
    presence_loss_weight: float | int = 1.0
    activity_loss_weight: float | int = 1.0
    interaction_loss_weight: float | int = 1.0
    object_loss_weight: float | int = 1.0
    object_box_loss_weight: float | int = 2.0
    none_weight: float | int = 0.2

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.backbone_config, dict):
            self.backbone_config = _backbone_config_from_dict(self.backbone_config)
        self.id2interaction = _label_map(self.id2interaction, "id2interaction")
        self.id2object = _label_map(self.id2object, "id2object")
        super().__post_init__(**kwargs)

    @property
    def sub_configs(self) -> dict[str, type]:
        """The backbone's configuration, where there is one: attention settings spread to it."""
        return {} if self.backbone_config is None else {"backbone_config": type(self.backbone_config)}

    @property
    def num_interactions(self) -> int:
        """Number of interaction classes, "none" not counted."""
        return len(self.id2interaction)

    @property
    def num_objects(self) -> int:
        """Number of object classes, "none" not counted."""
        return len(self.id2object)

    @property
    def interaction2id(self) -> dict[str, int]:
        """Inverse of `id2interaction`."""
        return {name: index for index, name in self.id2interaction.items()}

    @property
    def object2id(self) -> dict[str, int]:
        """Inverse of `id2object`."""
        return {name: index for index, name in self.id2object.items()}

    def validate_architecture(self) -> None:
        """Checks that the fields fit together (run on construction)."""
        if self.stem not in STEMS:
            raise ValueError(f"stem must be one of {', '.join(STEMS)}, got '{self.stem}'")
        if (self.stem == "backbone") != (self.backbone_config is not None):
            raise ValueError(
                f"backbone_config belongs to stem='backbone' and only to it, got stem='{self.stem}' "
                f"with backbone_config={'set' if self.backbone_config is not None else 'None'}"
            )
        if self.semantic_head not in SEMANTIC_HEADS:
            raise ValueError(f"semantic_head must be one of {', '.join(SEMANTIC_HEADS)}, got '{self.semantic_head}'")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of "
                f"num_attention_heads ({self.num_attention_heads})"
            )
        counts = ("patch_size", "num_hidden_layers", "context_grid", "memory_length", "memory_grid", "semantic_stride")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 <= self.semantic_dropout < 1.0:
            raise ValueError(f"semantic_dropout must lie in [0, 1), got {self.semantic_dropout}")
        if not 0.0 < self.presence_threshold < 1.0:
            raise ValueError(f"presence_threshold must lie between 0 and 1, got {self.presence_threshold}")

    @classmethod
    def tiny(cls, **overrides: Any) -> Self:
        """`semtrack-tiny`: EfficientNet-Lite0 stem, width 192, for two CPU cores."""
        return cls(**overrides)

    @classmethod
    def small(cls, **overrides: Any) -> Self:
        """`semtrack-small`: DINOv2-S stem (patch 14), width 384."""
        backbone = {
            "model_type": "dinov2",
            "hidden_size": 384,
            "num_hidden_layers": 12,
            "num_attention_heads": 6,
            "image_size": 518,
            "out_features": ["stage12"],
            "use_mask_token": False,
        }
        shape = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536, "box_head_channels": 192}
        shape["initializer_range"] = 0.05
        return cls(**{"stem": "backbone", "backbone_config": backbone, **shape, **overrides})

    @classmethod
    def base(cls, **overrides: Any) -> Self:
        """`semtrack-base`: linear patch-16 stem, ViT-B encoder, the shape of OSTrack."""
        shape = {
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "box_head_channels": 256,
            "initializer_range": 0.036,
        }
        return cls(**{"stem": "patch", **shape, **overrides})


def _backbone_config_from_dict(data: dict) -> PreTrainedConfig:
    if data.get("model_type") not in CONFIG_MAPPING:
        raise ValueError(
            "backbone_config needs the model_type of a transformers backbone (for example 'dinov2'), "
            f"got {data.get('model_type')!r}"
        )
    fields = {name: value for name, value in data.items() if name != "model_type"}
    return CONFIG_MAPPING[data["model_type"]](**fields)


def _label_map(labels: dict | None, name: str) -> dict[int, str]:
    """Label map with int keys (JSON turns them into strings), checked to be 0..n-1 and free of duplicates."""
    result = {int(key): value for key, value in (labels or {}).items()}
    if sorted(result) != list(range(len(result))):
        raise ValueError(
            f"{name} must number its labels 0 to {len(result) - 1} without holes, got ids {sorted(result)}"
        )
    if len(set(result.values())) != len(result):
        doubles = sorted({v for v in result.values() if list(result.values()).count(v) > 1})
        raise ValueError(f"{name} must not name a label twice, got {doubles} more than once")
    return dict(sorted(result.items()))
