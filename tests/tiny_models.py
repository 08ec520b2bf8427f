"""Networks small enough to be built in a test, and inputs that fit them."""

import numpy as np
import torch

from modeling_semtrack import SemTrackConfig, SemTrackImageProcessor, SemTrackModel, SemTrackProcessor
from modeling_semtrack.loss_semtrack import IGNORE, SemTrackTargets

INTERACTIONS = {0: "approach", 1: "chase", 2: "hit", 3: "carry"}
OBJECTS = {0: "ball", 1: "dog", 2: "person"}
VIEW_SIZE, TEMPLATE_SIZE = 64, 32
TEXT_SIZE = 24
PROMPTS = ("template", "point", "text")

BACKBONES = {
    "resnet": {
        "model_type": "resnet",
        "embedding_size": 8,
        "hidden_sizes": [8, 16],
        "depths": [1, 1],
        "layer_type": "basic",
        "out_features": ["stage2"],
    },
    "dinov2": {
        "model_type": "dinov2",
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "mlp_ratio": 2,
        "patch_size": 16,
        "image_size": VIEW_SIZE,
        "out_features": ["stage2"],
        "use_mask_token": False,
    },
}
STEMS = ("patch", "conv", *BACKBONES)


def tiny_config(stem="patch", **changes):
    """Two layers of width 32 on views of 64 pixels; the stem is one of `STEMS`."""
    fields = {
        "stem": "backbone" if stem in BACKBONES else stem,
        "backbone_config": BACKBONES.get(stem),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "text_embed_size": TEXT_SIZE,
        "box_head_channels": 16,
        "num_interaction_queries": 5,
        "num_semantic_layers": 2,
        "memory_length": 3,
        "memory_grid": 2,
        "semantic_stride": 3,
        "id2interaction": INTERACTIONS,
        "id2object": OBJECTS,
    }
    return SemTrackConfig(**(fields | changes))


def tiny_model(stem="patch", **changes):
    """A random network in eval mode, its weights large enough for its outputs to depend on its inputs."""
    changes = {"initializer_range": 0.1} | changes
    return SemTrackModel(tiny_config(stem, **changes)).eval()


def tiny_processor():
    return SemTrackProcessor(SemTrackImageProcessor(view_size=VIEW_SIZE, template_size=TEMPLATE_SIZE))


def prompt_inputs(*kinds, batch=2, words=3):
    """Random prompts of the given kinds (all of `PROMPTS` if none is named)."""
    inputs = {}
    if not kinds or "template" in kinds:
        inputs["template_pixel_values"] = torch.randn(batch, 2, 3, TEMPLATE_SIZE, TEMPLATE_SIZE)
        inputs["template_boxes"] = torch.tensor([0.5, 0.5, 0.6, 0.6]).repeat(batch, 2, 1)
    if not kinds or "point" in kinds:
        inputs["point_coords"] = torch.rand(batch, 2, 2)
        inputs["point_labels"] = torch.tensor([1.0, 0.0]).repeat(batch, 1)
    if not kinds or "text" in kinds:
        inputs["text_embeds"] = torch.randn(batch, words, TEXT_SIZE)
        inputs["text_mask"] = torch.ones(batch, words, dtype=torch.bool)
        inputs["text_mask"][-1, 1:] = False  # the last text is shorter
    return inputs


def view_inputs(batch=2, size=(VIEW_SIZE, VIEW_SIZE)):
    return {"pixel_values": torch.randn(batch, 3, *size)}


def clip_inputs(batch=2, steps=4):
    """Random clips of views with everything that the semantic head needs."""
    centers = 0.4 + 0.2 * torch.rand(batch, steps, 2)
    return {
        "pixel_values": torch.randn(batch, steps, 3, VIEW_SIZE, VIEW_SIZE),
        "scene_pixel_values": torch.randn(batch, steps, 3, VIEW_SIZE, VIEW_SIZE),
        "target_boxes": torch.cat([centers, torch.full_like(centers, 0.1)], dim=-1),
        "view_windows": torch.cat([centers, torch.full_like(centers, 0.4)], dim=-1),
        "times": 0.25 * torch.arange(steps).repeat(batch, 1),
        "earlier_pixel_values": torch.randn(batch, steps, 3, VIEW_SIZE, VIEW_SIZE),
        "earlier_times": 0.25 * torch.arange(steps).repeat(batch, 1) - 0.07,
    }


def clip_labels(batch=2, steps=4):
    """Labels of clips: two events per view, the second without an object."""
    nowhere = torch.full((4,), float("nan"))
    boxes = torch.stack([torch.tensor([0.7, 0.6, 0.2, 0.2]), nowhere])
    return SemTrackTargets(
        boxes=torch.tensor([0.4, 0.6, 0.3, 0.2]).repeat(batch, steps, 1),
        presence=torch.ones(batch, steps),
        interactions=torch.tensor([1, 3]).repeat(batch, steps, 1),
        objects=torch.tensor([2, len(OBJECTS)]).repeat(batch, steps, 1),
        object_boxes=boxes.repeat(batch, steps, 1, 1),
        described=torch.ones(batch, steps, dtype=torch.bool),
    )


def no_events(batch, events=2):
    """Label tensors (interactions, objects, object_boxes) of views in which nothing happens."""
    padding = torch.full((batch, events), IGNORE)
    return padding, padding.clone(), torch.full((batch, events, 4), float("nan"))


def noise_frame(height=90, width=120, seed=0):
    """A frame of coarse random texture."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (height // 6 + 1, width // 6 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(small.repeat(6, 0).repeat(6, 1)[:height, :width])


def square_frame(squares, height=90, width=120):
    """A grey frame with squares, given as {(x, y, side): RGB colour}."""
    frame = np.full((height, width, 3), 127, dtype=np.uint8)
    for (x, y, side), colour in squares.items():
        frame[y : y + side, x : x + side] = colour
    return frame
