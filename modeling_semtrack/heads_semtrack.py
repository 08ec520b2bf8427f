"""The two heads on the shared features: where the target is, and what it does."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn

from .activity_semtrack import SemTrackActivity, activity_size
from .configuration_semtrack import SemTrackConfig
from .layers_semtrack import (
    SemTrackDecoderLayer,
    SemTrackPositionEmbedding,
    additive_mask,
    at_least_float32,
    grid_centers,
)
from .memory_semtrack import SemTrackMemory

SCORE_PRIOR = 0.01  # initial probability of a cell to be the centre (Lin et al., "Focal Loss", ICCV 2017)
OFFSET_RANGE = 1.5  # a cell may point at a centre this many cells away


class SemTrackScoreConv(nn.Conv2d):
    """Last layer of the score map: its bias starts at `prior_bias`, so that the map starts at `SCORE_PRIOR`.

    A class of its own, because transformers initialises custom models only through the modules that hold
    the parameters themselves.
    """

    prior_bias = -math.log((1 - SCORE_PRIOR) / SCORE_PRIOR)


class SemTrackBoxHead(nn.Module):
    """Centre score map with offset and size per cell (CenterNet; OSTrack, Ye et al., ECCV 2022), and presence."""

    def __init__(self, config: SemTrackConfig) -> None:
        super().__init__()
        channels = config.box_head_channels
        self.trunk = nn.Conv2d(config.hidden_size, channels, 3, padding=1)
        self.score = _branch(channels, 1, SemTrackScoreConv)
        self.offset = _branch(channels, 2)
        self.size = _branch(channels, 2)
        self.presence = nn.Sequential(
            nn.Linear(2 * config.hidden_size + 1, config.hidden_size), nn.GELU(), nn.Linear(config.hidden_size, 1)
        )

    def forward(
        self, view_embeds: torch.Tensor, target_embeds: torch.Tensor, grid: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Locates the target in a view.

        Args:
            view_embeds: [batch, rows * columns, hidden].
            target_embeds: [batch, hidden].
            grid: (rows, columns) of the view's tokens.

        Returns:
            score_logits [batch, rows, columns], box_map [batch, 4, rows, columns] (cxcywh normalised to the
            view), presence_logits [batch]; all float32.
        """
        rows, columns = grid
        features = view_embeds.transpose(1, 2).unflatten(-1, grid)  # [batch, hidden, rows, columns]
        # A copy, because a single view with these strides passes for channels-last and is then computed as it is not
        features = nn.functional.gelu(self.trunk(features.clone(memory_format=torch.channels_last)))
        score_logits = at_least_float32(self.score(features)[:, 0])
        offset = OFFSET_RANGE * torch.tanh(at_least_float32(self.offset(features)))
        size = torch.sigmoid(at_least_float32(self.size(features)))
        scale = torch.tensor([columns, rows], dtype=torch.float32, device=offset.device)[None, :, None, None]
        centers = grid_centers(rows, columns, offset.device).T.unflatten(-1, grid)  # [2, rows, columns]
        box_map = torch.cat([centers + offset / scale, size], dim=1)

        weights = score_logits.flatten(1).softmax(-1).to(view_embeds.dtype)  # [batch, rows * columns]
        found = torch.einsum("bn,bnd->bd", weights, view_embeds)
        best = score_logits.flatten(1).amax(-1, keepdim=True).sigmoid().to(view_embeds.dtype)
        presence_logits = self.presence(torch.cat([target_embeds, found, best], dim=-1))[:, 0]
        return score_logits, box_map, at_least_float32(presence_logits)


class SemTrackEmbeds(NamedTuple):
    """What the semantic head has gathered at each step.

    Attributes:
        activity: [..., activity size], what happens around the target ([`SemTrackActivity`]).
        queries: [..., queries, hidden], each may have found an interaction and its object.
    """

    activity: torch.Tensor
    queries: torch.Tensor


class SemTrackReading(NamedTuple):
    """What the readout makes of it; all float32, the last class of all logits is "none".

    Attributes:
        activity_logits: [..., interactions + 1], what the target does.
        interaction_logits: [..., queries, interactions + 1], which query speaks for an interaction.
        object_logits: [..., queries, objects + 1], the object of what a query speaks for.
        object_boxes: [..., queries, 4], where that is, cxcywh normalised to the scene.
    """

    activity_logits: torch.Tensor
    interaction_logits: torch.Tensor
    object_logits: torch.Tensor
    object_boxes: torch.Tensor


class SemTrackReadout(nn.Module):
    """The last, linear part of the semantic head: what the target does, with what, and where that is.

    It stands apart because it is all that adapts to a few labelled moments (ANIL, Raghu et al., ICLR 2020).
    """

    def __init__(self, config: SemTrackConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.activity_classifier = nn.Linear(activity_size(config), config.num_interactions + 1)
        self.interaction_classifier = nn.Linear(hidden, config.num_interactions + 1)
        self.object_classifier = nn.Linear(hidden, config.num_objects + 1)
        self.object_box = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 4))

    def forward(self, embeds: SemTrackEmbeds) -> SemTrackReading:
        """Reads the embeddings of any number of steps."""
        activity, queries = embeds
        return SemTrackReading(
            at_least_float32(self.activity_classifier(activity)),
            at_least_float32(self.interaction_classifier(queries)),
            at_least_float32(self.object_classifier(queries)),
            at_least_float32(self.object_box(queries)).sigmoid(),
        )


class SemTrackSemanticHead(nn.Module):
    """Names the target's interactions ([`SemTrackActivity`]) and finds their objects.

    The objects are found by set prediction, after DETR (Carion et al., ECCV 2020): learned queries that know the
    target attend to its search region, to the scene and to a causal memory of the target's past. All keys carry
    their place relative to the target and their age.
    """

    def __init__(self, config: SemTrackConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden_size
        self.search_projection = nn.Linear(2 * hidden, hidden)
        self.target_projection = nn.Linear(hidden, hidden)
        self.queries = nn.Parameter(torch.empty(config.num_interaction_queries, hidden))
        # Absolute place, place and size relative to the target, age
        self.geometry = SemTrackPositionEmbedding(7, hidden)
        self.source_embedding = nn.Embedding(2 + int(config.use_scene_context), hidden)
        self.context_norm = nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(SemTrackDecoderLayer(config) for _ in range(config.num_semantic_layers))
        self.norm = nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.activity = SemTrackActivity(config)
        self.readout = SemTrackReadout(config)

    def decode(
        self,
        regions: torch.Tensor,
        motion: torch.Tensor,
        view_embeds: torch.Tensor,
        view_features: torch.Tensor,
        target_embeds: torch.Tensor,
        target_boxes: torch.Tensor,
        view_windows: torch.Tensor,
        times: torch.Tensor,
        grid: tuple[int, int],
        scene_features: torch.Tensor | None = None,
        scene_grid: tuple[int, int] | None = None,
        memory: SemTrackMemory | None = None,
        only: torch.Tensor | None = None,
    ) -> tuple[SemTrackEmbeds, SemTrackMemory | None]:
        """Gathers what the target does at each step of a clip.

        Args:
            regions: [batch, steps, cells * 2 * hidden], from [`read_cells`].
            motion: [batch, steps, MOTION_SIZE], from [`motion_around`].
            view_embeds, view_features: [batch, steps, tokens, hidden], search region after and before the
                joint encoder.
            target_embeds: [batch, steps, hidden].
            target_boxes: [batch, steps, 4], cxcywh normalised to the scene.
            view_windows: [batch, steps, 4], where the search region lies in the scene, cxcywh.
            times: [batch, steps], seconds.
            grid: (rows, columns) of the search region's tokens.
            scene_features: [batch, steps, scene tokens, hidden], before the joint encoder; needed with
                `use_scene_context`.
            scene_grid: (rows, columns) of the scene's tokens.
            memory: State after the previous clip, or None at the start.
            only: [batch, steps] bool, the steps whose queries to decode; all where it is None or names no step. The
                others are remembered, too, but their queries come back as zeros.

        Returns:
            Embeddings with [batch, steps] in front, and the memory after the last step.
        """
        batch, steps = times.shape
        cells = at_most(grid, self.config.context_grid)
        view_embeds, view_features = (pool_tokens(tokens, grid, cells) for tokens in (view_embeds, view_features))
        grid, past = cells, None
        codes = self.activity.encode(regions, motion, target_boxes)
        search = self.search_projection(torch.cat([view_embeds, view_features], dim=-1))
        centers = grid_centers(*grid, search.device)  # [tokens, 2]
        context = [search + self._place(_cells_to_boxes(centers, grid, view_windows), target_boxes, None, source=0)]
        valid = [torch.ones(batch, steps, search.shape[2], dtype=torch.bool, device=search.device)]
        if self.config.use_scene_context:
            if scene_features is None or scene_grid is None:
                raise ValueError("use_scene_context needs the scene: pass scene_pixel_values or scene_features")
            cells = at_most(scene_grid, self.config.context_grid)
            scene_features, scene_grid = pool_tokens(scene_features, scene_grid, cells), cells
            whole = torch.tensor([0.5, 0.5, 1.0, 1.0], device=search.device).expand(batch, steps, 4)
            boxes = _cells_to_boxes(grid_centers(*scene_grid, search.device), scene_grid, whole)
            context.append(scene_features + self._place(boxes, target_boxes, None, source=2))
            valid.append(torch.ones(scene_features.shape[:3], dtype=torch.bool, device=search.device))
        if self.config.use_temporal_memory:
            pooled = pool_tokens(search, grid, (self.config.memory_grid, self.config.memory_grid))
            history = self._extend(memory, pooled, codes, target_embeds, target_boxes, view_windows, times)
            past = history.before_each_of(steps)  # tensors [batch, steps, memory, ...]
            ages = (times[:, :, None] - past.times)[..., None].expand(past.boxes.shape[:-1])
            places = self._place(past.boxes.flatten(2, 3), target_boxes, ages.flatten(2, 3), source=1)
            context.append(past.tokens.flatten(2, 3) + places)
            valid.append(past.valid[..., None].expand(past.boxes.shape[:-1]).flatten(2, 3))
            memory = SemTrackMemory(*(t[:, -self.config.memory_length :].detach() for t in vars(history).values()))

        activity = self.activity(codes, target_boxes, times, past)
        keys = torch.cat(context, dim=2).flatten(0, 1)  # [batch * steps, keys, hidden]
        valid = torch.cat(valid, dim=2).flatten(0, 1)
        about_target = self.target_projection(target_embeds) + self._place(target_boxes, target_boxes, None, source=1)
        queries = (self.queries + about_target[:, :, None]).flatten(0, 1)  # [batch * steps, queries, hidden]
        if only is not None and not only.any():
            only = None  # attention over no row at all is not defined
        if only is not None:
            chosen = only.flatten().nonzero()[:, 0]  # [chosen], of batch * steps
            keys, valid, queries = keys[chosen], valid[chosen], queries[chosen]
        keys = self.context_norm(keys)
        mask = additive_mask(valid, keys.dtype)
        for layer in self.layers:
            queries = layer(queries, keys, mask)
        queries = self.norm(queries)
        if only is not None:
            queries = queries.new_zeros(batch * steps, *queries.shape[1:]).index_copy(0, chosen, queries)
        return SemTrackEmbeds(activity, queries.unflatten(0, (batch, steps))), memory

    def _place(
        self, boxes: torch.Tensor, target_boxes: torch.Tensor, ages: torch.Tensor | None, source: int
    ) -> torch.Tensor:
        """Embeds places [..., (keys,) 4] relative to the target's [batch, steps, 4], ages in seconds, and source."""
        if boxes.dim() > target_boxes.dim():
            target_boxes = target_boxes[:, :, None]
        boxes, target_boxes = boxes.float(), target_boxes.float().clamp_min(1e-3)
        scale = target_boxes[..., 2:].prod(-1, keepdim=True).sqrt()
        shift = torch.tanh((boxes[..., :2] - target_boxes[..., :2]) / (4 * scale))
        stretch = torch.tanh(torch.log(boxes[..., 2:].clamp_min(1e-3) / target_boxes[..., 2:]) / 2)
        age = torch.zeros_like(boxes[..., 0]) if ages is None else torch.tanh(ages.float() / 2)
        geometry = self.geometry(torch.cat([boxes[..., :2], shift, stretch, age[..., None]], dim=-1))
        return geometry + self.source_embedding.weight[source]

    def _extend(
        self,
        memory: SemTrackMemory | None,
        pooled: torch.Tensor,
        codes: torch.Tensor,
        target_embeds: torch.Tensor,
        target_boxes: torch.Tensor,
        view_windows: torch.Tensor,
        times: torch.Tensor,
    ) -> SemTrackMemory:
        """The memory with this clip's steps appended: [batch, memory_length + steps, ...]."""
        batch, steps = times.shape
        side = self.config.memory_grid
        cells = _cells_to_boxes(grid_centers(side, side, pooled.device), (side, side), view_windows)
        now = SemTrackMemory(
            tokens=torch.cat([target_embeds[:, :, None].to(pooled.dtype), pooled], dim=2),
            boxes=torch.cat([target_boxes[:, :, None].float(), cells], dim=2),
            codes=codes.to(pooled.dtype),
            times=times.float(),
            valid=torch.ones(batch, steps, dtype=torch.bool, device=pooled.device),
        )
        if memory is None:
            memory = SemTrackMemory.empty(self.config, batch, now.tokens.device, now.tokens.dtype)
        return SemTrackMemory.cat([memory, now], dim=1)


def at_most(grid: tuple[int, int], side: int) -> tuple[int, int]:
    """A grid (rows, columns) with at most `side` of each."""
    return min(grid[0], side), min(grid[1], side)


def pool_tokens(tokens: torch.Tensor, grid: tuple[int, int], cells: tuple[int, int]) -> torch.Tensor:
    """Averages a grid of tokens to other cells.

    Args:
        tokens: [batch, steps, rows * columns, hidden].
        grid, cells: (rows, columns) before and after.

    Returns:
        [batch, steps, cells, hidden].
    """
    if tuple(grid) == tuple(cells):
        return tokens
    images = tokens.flatten(0, 1).transpose(1, 2).unflatten(-1, grid)  # [batch * steps, hidden, rows, columns]
    images = nn.functional.adaptive_avg_pool2d(images, cells)
    return images.flatten(2).transpose(1, 2).unflatten(0, tokens.shape[:2])


def _branch(channels: int, outputs: int, last: type[nn.Conv2d] = nn.Conv2d) -> nn.Sequential:
    half = channels // 2
    return nn.Sequential(nn.Conv2d(channels, half, 3, padding=1), nn.GELU(), last(half, outputs, 1))


def _cells_to_boxes(cells: torch.Tensor, grid: tuple[int, int], windows: torch.Tensor) -> torch.Tensor:
    """Boxes of a window's grid cells: [cells, 2] in the window, [batch, steps, 4] -> [batch, steps, cells, 4]."""
    windows = windows.float()[:, :, None]  # [batch, steps, 1, 4]
    centers = windows[..., :2] + (cells - 0.5) * windows[..., 2:]
    sizes = windows[..., 2:] / torch.tensor([grid[1], grid[0]], device=windows.device)
    return torch.cat([centers, sizes.expand_as(centers)], dim=-1)
