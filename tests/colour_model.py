"""A stand-in for the network that can be reasoned about: it finds a target by its colour."""

from types import SimpleNamespace

import torch
from tiny_models import tiny_config
from torch.nn.functional import adaptive_avg_pool2d

from modeling_semtrack.heads_semtrack import SemTrackEmbeds, SemTrackReading
from modeling_semtrack.layers_semtrack import grid_centers
from modeling_semtrack.modeling_semtrack import SemTrackTrack

GRID = (16, 16)
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
SURE = 6.0  # logit


class SplitReadout(torch.nn.Module):
    """Takes activities for their logits, and queries for interaction, object and box logits side by side."""

    def __init__(self, config):
        super().__init__()
        self.parts = (config.num_interactions + 1, config.num_objects + 1, 4)

    def forward(self, embeds):
        interactions, objects, boxes = embeds.queries.split(self.parts, dim=-1)
        return SemTrackReading(embeds.activity, interactions, objects, boxes.sigmoid())


class ColourModel:
    """Has the methods of `SemTrackModel` that a session calls, and remembers the calls.

    Features are the mean colours of 16x16 cells; a prompt token is the colour in the middle of a template,
    or a place to look up. The target is where the view has the colour of the first token.

    Attributes:
        embedded: Batch size of each call of `embed`.
        tracked: (view, batch size) of each call of `track`.
        templates: For each call of `embed_templates` the colours of its templates.
        described: For each call of `decode` its boxes, windows, times and memory.
        presence: Logit that replaces the presence of targets that are in the view.
        score: Logit of the centre of targets that are in the view.
        interactions: (interaction, object, logit) of the queries; an interaction's activity has its greatest logit.
    """

    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, **config):
        self.config = tiny_config(**config)
        self.semantic_head = SimpleNamespace(readout=SplitReadout(self.config))
        self.embedded, self.tracked, self.templates, self.described = [], [], [], []
        self.presence = self.score = SURE
        self.interactions = [(1, 0, SURE)]

    def eval(self):
        return self

    def embed(self, pixel_values):
        self.embedded.append(len(pixel_values))
        return adaptive_avg_pool2d(pixel_values, GRID).flatten(2).transpose(1, 2), GRID

    def embed_templates(self, pixel_values, boxes):
        colours = pixel_values[..., pixel_values.shape[-2] // 2, pixel_values.shape[-1] // 2]
        self.templates.append(colours[0].tolist())
        return colours

    def embed_points(self, coordinates, labels):
        return torch.cat([coordinates, torch.full_like(coordinates[..., :1], torch.inf)], dim=-1)

    def read_prompt(self, prompt_embeds, prompt_mask=None):
        return prompt_embeds

    def track(self, view_features, grid, point_embeds=None, prompt_states=None, prompt_mask=None, view="search"):
        prompt_embeds = prompt_states if point_embeds is None else point_embeds
        self.tracked.append((view, len(view_features)))
        places = grid_centers(*grid, self.device)
        share = torch.stack(
            [self._share(features, token, places) for features, token in zip(view_features, prompt_embeds[:, 0])]
        )
        area = share.sum(1)  # cells
        centers = (share @ places) / area.clamp_min(1e-6)[:, None]
        seen = area > 0.5
        boxes = torch.cat([centers, (area / len(places)).sqrt()[:, None].expand(-1, 2)], dim=1)
        best = torch.cdist(centers, places).argmin(1)
        scores = torch.full_like(share, -SURE)
        scores[torch.arange(len(best)), best] = torch.where(seen, self.score, -SURE)
        return SemTrackTrack(
            score_logits=scores.unflatten(1, grid),
            box_map=boxes[:, :, None, None].expand(-1, -1, *grid),
            presence_logits=torch.where(seen, self.presence, -SURE),
            target_embeds=prompt_embeds[:, 0],
            view_features=view_features,
            view_embeds=view_features,
            grid=grid,
        )

    @staticmethod
    def _share(features, token, places):
        """How much of each cell [cells] has the colour that a token means."""
        if token[2].isinf():
            token = features[(places - token[:2]).abs().sum(1).argmin()]
        share = (features @ token / (token @ token).clamp_min(1e-6)).clamp(0, 1)
        return torch.where(share > 0.05, share, 0.0)

    def decode(self, track, motion, target_boxes, view_windows, times, scene, memory):
        places = {"boxes": target_boxes, "windows": view_windows, "motion": motion}
        self.described.append({**places, "times": times, "memory": memory})
        shape = (*times.shape, self.config.num_interaction_queries)
        interactions = torch.zeros(*shape, self.config.num_interactions + 1)
        objects = torch.zeros(*shape, self.config.num_objects + 1)
        interactions[..., -1] = 2 * SURE
        activity = torch.zeros_like(interactions[:, :, 0])
        activity[..., -1] = 0.0 if self.interactions else 2 * SURE
        for interaction, _, logit in sorted(self.interactions, key=lambda told: told[2]):
            activity[..., interaction] = logit
        for query, (interaction, kind, logit) in enumerate(self.interactions):
            interactions[:, :, query, -1] = 0.0
            interactions[:, :, query, interaction] = logit
            objects[:, :, query, kind] = SURE
        memory.times = torch.cat([memory.times[:, 1:], times], dim=1)
        boxes = torch.logit(torch.tensor([0.5, 0.5, 0.25, 0.25])).expand(*shape, 4)
        return SemTrackEmbeds(activity, torch.cat([interactions, objects, boxes], dim=-1)), memory
