"""SemTrackModel: tensors in, SemTrackOutput out."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .activity_semtrack import SemTrackActivity, SemTrackRegionProjection
from .configuration_semtrack import SemTrackConfig
from .heads_semtrack import SemTrackBoxHead, SemTrackEmbeds, SemTrackReading, SemTrackScoreConv, SemTrackSemanticHead
from .layers_semtrack import (
    SemTrackAttention,
    SemTrackLayer,
    SemTrackPositionEmbedding,
    additive_mask,
    grid_centers,
)
from .loss_semtrack import SemTrackTargets, semtrack_loss
from .memory_semtrack import SemTrackMemory
from .motion_semtrack import MOTION_SIZE, motion_around
from .stem_semtrack import build_stem
from .surroundings_semtrack import read_cells

# Rows of the type embedding: what kind of token this is.
TYPES = {
    "search": 0,
    "scene": 1,
    "template_outside": 2,
    "template_inside": 3,
    "dynamic_outside": 4,
    "dynamic_inside": 5,
    "point_negative": 6,
    "point_positive": 7,
    "text": 8,
}


@dataclass
class SemTrackOutput(ModelOutput):
    """What the model sees. With clips, every shape below has `steps` after `batch`.

    Attributes:
        loss: Weighted sum of the terms that the given labels allow, or None without labels.
        losses: The unweighted terms by name.
        score_logits: [batch, rows, columns], where the target's centre is.
        box_map: [batch, 4, rows, columns], the box that each cell proposes, cxcywh normalised to the view.
        pred_boxes: [batch, 4], the box of the best cell, cxcywh normalised to the view.
        presence_logits: [batch], whether the target is visible in the view.
        target_embeds: [batch, hidden].
        activity_logits: [batch, interactions + 1], what the target does; the last class is "none".
        interaction_logits: [batch, queries, interactions + 1], which query speaks for an interaction.
        object_logits: [batch, queries, objects + 1]; the last class is "none".
        object_boxes: [batch, queries, 4], cxcywh normalised to the scene.
        memory: State of the semantic head after the last step, to be passed to the next call.
        hidden_states, attentions: Of the joint encoder, where asked for: the target, clicked points and the view, which
            attend to themselves and, in the last places, to templates and text.
    """

    loss: torch.Tensor | None = None
    losses: dict[str, torch.Tensor] | None = None
    score_logits: torch.Tensor | None = None
    box_map: torch.Tensor | None = None
    pred_boxes: torch.Tensor | None = None
    presence_logits: torch.Tensor | None = None
    target_embeds: torch.Tensor | None = None
    activity_logits: torch.Tensor | None = None
    interaction_logits: torch.Tensor | None = None
    object_logits: torch.Tensor | None = None
    object_boxes: torch.Tensor | None = None
    memory: SemTrackMemory | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class SemTrackTrack:
    """Result of [`SemTrackModel.track`] for a batch of views; shapes as in [`SemTrackOutput`].

    `view_features` and `view_embeds` [batch, tokens, hidden] are the view before and after the joint encoder.
    """

    score_logits: torch.Tensor
    box_map: torch.Tensor
    presence_logits: torch.Tensor
    target_embeds: torch.Tensor
    view_features: torch.Tensor
    view_embeds: torch.Tensor
    grid: tuple[int, int]

    def select(self, rows: list[int]) -> "SemTrackTrack":
        """The results of some of the views."""
        tensors = (value[rows] for name, value in vars(self).items() if name != "grid")
        return SemTrackTrack(*tensors, self.grid)


class SemTrackPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation of SemTrack models."""

    config: SemTrackConfig
    base_model_prefix = "semtrack"
    main_input_name = "pixel_values"
    input_modalities = ("video",)
    supports_gradient_checkpointing = True
    _no_split_modules = ["SemTrackLayer", "SemTrackDecoderLayer", "InvertedResidual"]
    _supports_sdpa = True
    _can_record_outputs = {
        "hidden_states": SemTrackLayer,
        "attentions": OutputRecorder(SemTrackAttention, index=1, layer_name="attention"),  # of a SemTrackLayer
    }

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SemTrackModel):
            init.normal_(module.target_token, std=self.config.initializer_range)
        elif isinstance(module, SemTrackSemanticHead):
            init.normal_(module.queries, std=1.0)
        elif isinstance(module, SemTrackScoreConv):
            init.constant_(module.bias, module.prior_bias)
        elif isinstance(module, SemTrackRegionProjection):
            init.normal_(module.weight, std=module.in_features**-0.5)
        elif isinstance(module, SemTrackActivity):
            init.zeros_(module.center)
            init.ones_(module.scale)


class SemTrackModel(SemTrackPreTrainedModel):
    """A prompted joint encoder with a box head and a semantic head on shared features.

    Prompt tokens (template crops, clicked points, text embeddings) and the tokens of a view (search region or
    scene) go through one encoder; the box head locates the target in the view and the semantic head tells
    what it does. See `docs/model.md`.
    """

    def __init__(self, config: SemTrackConfig) -> None:
        super().__init__(config)
        hidden = config.hidden_size
        self.stem = build_stem(config)
        self.stem_norm = nn.LayerNorm(self.stem.channels, eps=config.layer_norm_eps)
        self.stem_projection = nn.Linear(self.stem.channels, hidden)
        self.position = SemTrackPositionEmbedding(2, hidden)
        self.type_embedding = nn.Embedding(len(TYPES), hidden)
        self.target_token = nn.Parameter(torch.empty(hidden))
        self.text_projection = nn.Linear(config.text_embed_size, hidden)
        self.layers = nn.ModuleList(SemTrackLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.box_head = SemTrackBoxHead(config)
        self.semantic_head = SemTrackSemanticHead(config) if config.semantic_head == "query" else None
        self.post_init()

    def embed(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """Stem: [batch, 3, height, width] -> features [batch, tokens, hidden] and their grid (rows, columns)."""
        features = self.stem(pixel_values.to(self.stem_projection.weight.dtype))
        grid = (features.shape[2], features.shape[3])
        tokens = features.flatten(2).transpose(1, 2)  # [batch, tokens, channels]
        return self.stem_projection(self.stem_norm(tokens)), grid

    def embed_templates(self, pixel_values: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Template crops to prompt tokens.

        Args:
            pixel_values: [batch, templates, 3, height, width]. The first template is the user's; later ones
                come from the past of the track.
            boxes: [batch, templates, 4], the target in each crop, cxcywh normalised to the crop.

        Returns:
            [batch, templates * tokens, hidden]
        """
        batch, templates = boxes.shape[:2]
        features, grid = self.embed(pixel_values.flatten(0, 1))
        centers = grid_centers(*grid, features.device)  # [tokens, 2]
        distance = (centers - boxes[..., None, :2]).abs()  # [batch, templates, tokens, 2]
        inside = (distance <= boxes[..., None, 2:] / 2).all(-1).long()
        dynamic = torch.arange(templates, device=features.device).clamp_max(1)[:, None]
        kind = torch.where(dynamic.bool(), TYPES["dynamic_outside"], TYPES["template_outside"]) + inside
        tokens = features.unflatten(0, (batch, templates)) + self.position(2 * centers - 1)
        return (tokens + self.type_embedding(kind)).flatten(1, 2)

    def embed_points(self, coordinates: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Clicks to prompt tokens.

        Args:
            coordinates: [batch, points, 2], x and y normalised to the view.
            labels: [batch, points], 1 on the target and 0 off it.

        Returns:
            [batch, points, hidden]
        """
        return self.position(2 * coordinates - 1) + self.type_embedding(TYPES["point_negative"] + labels.long())

    def embed_text(self, text_embeds: torch.Tensor) -> torch.Tensor:
        """Text embeddings [batch, words, text_embed_size] to prompt tokens [batch, words, hidden]."""
        text_embeds = text_embeds.to(self.text_projection.weight.dtype)
        return self.text_projection(text_embeds) + self.type_embedding.weight[TYPES["text"]]

    def read_prompt(self, prompt_embeds: torch.Tensor, prompt_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Runs the encoder on templates and texts alone, once for all views in which they will be looked for.

        They attend to each other; target and view will attend to what each layer makes of them, as in the asymmetric
        mixed attention of MixFormer (Cui et al., CVPR 2022).

        Args:
            prompt_embeds: [batch, prompt tokens, hidden] from [`embed_templates`] and [`embed_text`].
            prompt_mask: [batch, prompt tokens] bool, False for padding; None if nothing is padding.

        Returns:
            [batch, layers, 2, prompt tokens, hidden], keys and values.
        """
        mask = None if prompt_mask is None else additive_mask(prompt_mask.bool(), prompt_embeds.dtype)
        offers = []
        for layer in self.layers:
            prompt_embeds, offered = layer.read(prompt_embeds, mask)
            offers.append(offered)
        return torch.stack(offers, dim=1)

    def track(
        self,
        view_features: torch.Tensor,
        grid: tuple[int, int],
        point_embeds: torch.Tensor | None = None,
        prompt_states: torch.Tensor | None = None,
        prompt_mask: torch.Tensor | None = None,
        view: str = "search",
    ) -> SemTrackTrack:
        """Locates the prompted targets in a batch of views.

        Args:
            view_features: [batch, tokens, hidden] from [`embed`].
            grid: (rows, columns) of the view.
            point_embeds: [batch, points, hidden] from [`embed_points`]. A click says no more than where to look, so
                its tokens see the view, too.
            prompt_states: [batch, layers, 2, prompt tokens, hidden] from [`read_prompt`].
            prompt_mask: [batch, prompt tokens] bool, as there.
            view: `"search"` (a region around the target) or `"scene"` (the whole frame).
        """
        batch, tokens = view_features.shape[:2]
        places = self.position(2 * grid_centers(*grid, view_features.device) - 1)
        view_tokens = view_features + places + self.type_embedding.weight[TYPES[view]]
        target = self.target_token.expand(batch, 1, -1)
        points = [] if point_embeds is None else [point_embeds]
        hidden_states = torch.cat([target, *points, view_tokens], dim=1)
        mask = None
        if prompt_mask is not None:
            mask = nn.functional.pad(prompt_mask.bool(), (hidden_states.shape[1], 0), value=True)
            mask = additive_mask(mask, hidden_states.dtype)
        for index, layer in enumerate(self.layers):
            hidden_states = layer(hidden_states, mask, None if prompt_states is None else prompt_states[:, index])
        hidden_states = self.norm(hidden_states)
        target_embeds, view_embeds = hidden_states[:, 0], hidden_states[:, -tokens:]
        score_logits, box_map, presence_logits = self.box_head(view_embeds, target_embeds, grid)
        return SemTrackTrack(score_logits, box_map, presence_logits, target_embeds, view_features, view_embeds, grid)

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        pixel_values: torch.Tensor,
        template_pixel_values: torch.Tensor | None = None,
        template_boxes: torch.Tensor | None = None,
        point_coords: torch.Tensor | None = None,
        point_labels: torch.Tensor | None = None,
        text_embeds: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        view: str = "search",
        scene_pixel_values: torch.Tensor | None = None,
        target_boxes: torch.Tensor | None = None,
        view_windows: torch.Tensor | None = None,
        times: torch.Tensor | None = None,
        earlier_pixel_values: torch.Tensor | None = None,
        earlier_times: torch.Tensor | None = None,
        memory: SemTrackMemory | None = None,
        labels: SemTrackTargets | None = None,
        **kwargs: object,
    ) -> SemTrackOutput:
        """Tracks in a batch of views, or tracks and describes a batch of clips.

        At least one prompt (template, point or text) is needed; several may be combined.

        Args:
            pixel_values: Views [batch, 3, height, width], or clips of views [batch, steps, 3, height, width].
            template_pixel_values: [batch, templates, 3, height, width], shared by all steps of a clip.
            template_boxes: [batch, templates, 4], cxcywh normalised to the crop.
            point_coords: [batch, points, 2], normalised to the view (of every step).
            point_labels: [batch, points], 1 on the target and 0 off it.
            text_embeds: [batch, words, text_embed_size].
            text_mask: [batch, words], False for padding.
            view: `"search"` or `"scene"`.
            scene_pixel_values: Whole frames, letterboxed, [batch, (steps,) 3, height, width].
            target_boxes: [batch, (steps,) 4], the target's box as far as known, cxcywh normalised to the
                scene. The semantic head runs where this, `view_windows` and `times` are given.
            view_windows: [batch, (steps,) 4], where the view lies in the scene, cxcywh.
            times: [batch, (steps)], seconds.
            earlier_pixel_values: The same region about `MOTION_SECONDS` before, as `pixel_values`. Without it nothing
                is seen to move.
            earlier_times: [batch, (steps)], seconds; where it is that of `times`, nothing is seen to move.
            memory: Output of the previous call on the same videos; None starts anew.
            labels: Truth of each view ([`SemTrackTargets`]); gives the loss.

        Raises:
            ValueError: If no prompt is given, or a part of the semantic inputs or of the earlier view is missing.
        """
        clip = pixel_values.dim() == 5
        batch = pixel_values.shape[0]
        steps = pixel_values.shape[1] if clip else 1
        prompt = self._prompt(template_pixel_values, template_boxes, point_coords, point_labels, text_embeds, text_mask)
        features, grid = self.embed(pixel_values.flatten(0, 1) if clip else pixel_values)
        if steps > 1:
            prompt = (None if part is None else part.repeat_interleave(steps, dim=0) for part in prompt)
        track = self.track(features, grid, *prompt, view=view)

        output = SemTrackOutput(
            score_logits=track.score_logits,
            box_map=track.box_map,
            pred_boxes=best_boxes(track.score_logits, track.box_map),
            presence_logits=track.presence_logits,
            target_embeds=track.target_embeds,
        )
        semantic_inputs = _whole({"target_boxes": target_boxes, "view_windows": view_windows, "times": times})
        earlier = _whole({"earlier_pixel_values": earlier_pixel_values, "earlier_times": earlier_times})
        if earlier and not semantic_inputs:
            raise ValueError("an earlier view is of use to the semantic head alone: pass target_boxes, too")
        if semantic_inputs and self.semantic_head is not None:
            inputs = semantic_inputs | earlier | {"pixel_values": pixel_values}
            self._describe_clip(output, track, scene_pixel_values, inputs, memory, (batch, steps))
        if labels is not None:
            output.losses = semtrack_loss(output, labels.flatten(clip), self.config)
            output.loss = sum(getattr(self.config, f"{name}_loss_weight") * v for name, v in output.losses.items())
        if clip:
            for name in ("score_logits", "box_map", "pred_boxes", "presence_logits", "target_embeds"):
                output[name] = output[name].unflatten(0, (batch, steps))
            for name in SemTrackReading._fields:
                if name in output:
                    output[name] = output[name].unflatten(0, (batch, steps))
        return SemTrackOutput(**vars(output))  # in the order of the fields: as a tuple it starts with the loss

    def decode(
        self,
        track: SemTrackTrack,
        motion: torch.Tensor,
        target_boxes: torch.Tensor,
        view_windows: torch.Tensor,
        times: torch.Tensor,
        scene: tuple[torch.Tensor, tuple[int, int]] | None,
        memory: SemTrackMemory | None,
    ) -> tuple[SemTrackEmbeds, SemTrackMemory | None]:
        """Runs the semantic head on tracked views, up to its readout.

        Args:
            track: Result of [`track`] for batch * steps views.
            motion: [batch, steps, MOTION_SIZE] from [`motion_around`].
            target_boxes, view_windows: [batch, steps, 4], cxcywh normalised to the scene.
            times: [batch, steps], seconds.
            scene: Features [batch or 1, steps, tokens, hidden] and grid of the scene from [`embed`]; one
                scene may serve all targets. None without `use_scene_context`.
            memory: State after the previous steps.

        Returns:
            As [`SemTrackSemanticHead.decode`].
        """
        batch, steps = times.shape
        features, scene_grid = scene if scene is not None else (None, None)
        if features is not None:
            features = features.expand(batch, -1, -1, -1)
        views = [t.unflatten(0, (batch, steps)) for t in (track.view_embeds, track.view_features)]
        return self.semantic_head.decode(
            read_cells(*views, target_boxes, view_windows, track.grid),
            motion,
            *views,
            track.target_embeds.unflatten(0, (batch, steps)),
            target_boxes,
            view_windows,
            times,
            track.grid,
            features,
            scene_grid,
            memory,
        )

    def _describe_clip(
        self,
        output: SemTrackOutput,
        track: SemTrackTrack,
        scene_pixel_values: torch.Tensor | None,
        inputs: dict[str, torch.Tensor],
        memory: SemTrackMemory | None,
        shape: tuple[int, int],
    ) -> None:
        """Fills the semantic fields of `output`, flattened to batch * steps."""
        scene = None
        if self.config.use_scene_context and scene_pixel_values is not None:
            features, scene_grid = self.embed(scene_pixel_values.reshape(-1, *scene_pixel_values.shape[-3:]))
            scene = (features.unflatten(0, shape), scene_grid)
        ends = {"times": 0, "earlier_times": 0, "pixel_values": 3, "earlier_pixel_values": 3}  # other dimensions
        given = {
            name: value.reshape(*shape, *value.shape[value.dim() - ends.get(name, 1) :])
            for name, value in inputs.items()
        }
        places = (given["target_boxes"], given["view_windows"], given["times"])
        motion = torch.zeros(*shape, MOTION_SIZE, device=self.device)
        if "earlier_times" in given:
            motion = motion_around(
                given["pixel_values"],
                given["earlier_pixel_values"],
                given["view_windows"],
                given["times"] - given["earlier_times"],
                given["target_boxes"],
            )
        embeds, output.memory = self.decode(track, motion, *places, scene, memory)
        for name, value in self.semantic_head.readout(embeds)._asdict().items():
            output[name] = value.flatten(0, 1)

    def _prompt(
        self,
        template_pixel_values: torch.Tensor | None,
        template_boxes: torch.Tensor | None,
        point_coords: torch.Tensor | None,
        point_labels: torch.Tensor | None,
        text_embeds: torch.Tensor | None,
        text_mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """What [`track`] needs of the prompts: points, what was read of templates and text, and its mask."""
        for first, second, names in (
            (template_pixel_values, template_boxes, "template_pixel_values and template_boxes"),
            (point_coords, point_labels, "point_coords and point_labels"),
        ):
            if (first is None) != (second is None):
                raise ValueError(f"{names} belong together, got only one of them")
        if text_mask is not None and (text_embeds is None or text_mask.shape != text_embeds.shape[:2]):
            raise ValueError(f"text_mask {tuple(text_mask.shape)} must match the words of text_embeds")
        points, states, mask, fixed = None, None, None, []
        if point_coords is not None:
            points = self.embed_points(point_coords, point_labels).to(self.target_token.dtype)
        if template_pixel_values is not None:
            fixed.append(self.embed_templates(template_pixel_values, template_boxes))
        if text_embeds is not None:
            fixed.append(self.embed_text(text_embeds))
        if fixed:
            embeds = torch.cat([prompt.to(self.target_token.dtype) for prompt in fixed], dim=1)
            if text_mask is not None:
                mask = nn.functional.pad(text_mask.bool(), (embeds.shape[1] - text_mask.shape[1], 0), value=True)
            states = self.read_prompt(embeds, mask)
        elif points is None:
            raise ValueError("no prompt: pass template_pixel_values with template_boxes, point_coords, or text_embeds")
        return points, states, mask


def _whole(inputs: dict[str, torch.Tensor | None]) -> dict[str, torch.Tensor]:
    """Inputs that belong together: all of them, or none."""
    given = {name: value for name, value in inputs.items() if value is not None}
    if given and len(given) < len(inputs):
        missing = sorted(inputs.keys() - given.keys())
        raise ValueError(f"{', '.join(inputs)} belong together, missing {missing}")
    return given


def best_boxes(score_logits: torch.Tensor, box_map: torch.Tensor) -> torch.Tensor:
    """The box of the best cell: [batch, rows, columns], [batch, 4, rows, columns] -> [batch, 4]."""
    best = score_logits.flatten(1).argmax(-1)[:, None, None].expand(-1, 4, 1)
    return box_map.flatten(2).gather(2, best)[..., 0]
