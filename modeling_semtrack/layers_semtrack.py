"""Building blocks of the joint encoder and the heads: position features, attention, layers."""

from __future__ import annotations

import math

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_semtrack import SemTrackConfig


class SemTrackPositionEmbedding(nn.Module):
    """Linear map of the sines and cosines of continuous coordinates (Fourier features)."""

    def __init__(self, num_coordinates: int, hidden_size: int, num_bands: int = 6) -> None:
        super().__init__()
        self.num_bands = num_bands
        self.projection = nn.Linear(num_coordinates * (2 * num_bands + 1), hidden_size)

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """[..., num_coordinates], values around [-1, 1] -> [..., hidden_size]."""
        coordinates = coordinates.float()  # half precision would blur the high frequencies
        bands = math.pi * 2.0 ** torch.arange(self.num_bands, device=coordinates.device)
        angles = (coordinates[..., None] * bands).flatten(-2)  # [..., num_coordinates * num_bands]
        features = torch.cat([coordinates, angles.sin(), angles.cos()], dim=-1)
        return self.projection(features.to(self.projection.weight.dtype))


def grid_centers(rows: int, columns: int, device: torch.device) -> torch.Tensor:
    """Centres (x, y) of a grid's cells in [0, 1], row by row: [rows * columns, 2]."""
    ys = (torch.arange(rows, device=device) + 0.5) / rows
    xs = (torch.arange(columns, device=device) + 0.5) / columns
    return torch.stack([xs.repeat(rows), ys.repeat_interleave(columns)], dim=-1)


class SemTrackAttention(nn.Module):
    """Multi-head attention through transformers' attention interface (eager or SDPA)."""

    def __init__(self, config: SemTrackConfig) -> None:
        super().__init__()
        self.config = config
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = False
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        key_value_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        more: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Self-attention, or cross-attention where `key_value_states` is given.

        Args:
            hidden_states: [batch, queries, hidden].
            key_value_states: [batch, keys, hidden] or None.
            attention_mask: Additive [batch, 1, 1, keys (and more)] or None.
            more: [batch, 2, more keys, hidden], keys and values to attend to as well.

        Returns:
            [batch, queries, hidden], and the weights [batch, heads, queries, keys] where eager computes them.
        """
        pair = self.keys_and_values(hidden_states if key_value_states is None else key_value_states)
        if more is not None:
            pair = (torch.cat([here, there], dim=1) for here, there in zip(pair, more.unbind(1)))
        query, key, value = (
            states.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # [batch, heads, tokens, head_dim]
            for states in (self.q_proj(hidden_states), *pair)
        )
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention)
        output, weights = attend(self, query, key, value, attention_mask, scaling=self.scaling, dropout=0.0)
        return self.o_proj(output.flatten(-2)), weights

    def keys_and_values(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What is attended to of some tokens, each as `states`: [batch, tokens, hidden]."""
        return self.k_proj(states), self.v_proj(states)


def eager_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention written out: the reference for SDPA, and the one with a second derivative."""
    weights = torch.matmul(query * scaling, key.transpose(2, 3))
    if attention_mask is not None:
        weights = weights + attention_mask
    weights = nn.functional.softmax(weights, dim=-1)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class SemTrackMLP(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, config: SemTrackConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[..., hidden] -> [..., hidden]."""
        return self.fc2(self.activation(self.fc1(hidden_states)))


class SemTrackLayer(GradientCheckpointingLayer):
    """Pre-norm transformer layer of the joint encoder."""

    def __init__(self, config: SemTrackConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = SemTrackAttention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = SemTrackMLP(config)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        more: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[batch, tokens, hidden] -> [batch, tokens, hidden]; `more` to attend to as in [`SemTrackAttention`]."""
        states = self.norm1(hidden_states)
        hidden_states = hidden_states + self.attention(states, attention_mask=attention_mask, more=more)[0]
        return hidden_states + self.mlp(self.norm2(hidden_states))

    def read(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As [`forward`], with what the tokens offer to others as `more`; calls nothing that records its output."""
        states = self.norm1(hidden_states)
        hidden_states = hidden_states + self.attention.forward(states, attention_mask=attention_mask)[0]
        offered = torch.stack(self.attention.keys_and_values(states), dim=1)  # [batch, 2, tokens, hidden]
        return hidden_states + self.mlp(self.norm2(hidden_states)), offered


class SemTrackDecoderLayer(GradientCheckpointingLayer):
    """Pre-norm layer of the semantic head: queries attend to each other, then to the context."""

    def __init__(self, config: SemTrackConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attention = SemTrackAttention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.cross_attention = SemTrackAttention(config)
        self.norm3 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = SemTrackMLP(config)
        self.dropout = nn.Dropout(config.semantic_dropout)

    def forward(
        self, queries: torch.Tensor, context: torch.Tensor, context_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[batch, queries, hidden] and [batch, keys, hidden] -> [batch, queries, hidden]."""
        queries = queries + self.dropout(self.self_attention(self.norm1(queries))[0])
        queries = queries + self.dropout(self.cross_attention(self.norm2(queries), context, context_mask)[0])
        return queries + self.dropout(self.mlp(self.norm3(queries)))


def additive_mask(valid: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Boolean [batch, keys] (True = attend) -> additive [batch, 1, 1, keys]."""
    mask = torch.zeros(valid.shape, dtype=dtype, device=valid.device)
    return mask.masked_fill(~valid, torch.finfo(dtype).min)[:, None, None, :]


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """Half precision to float32; float64 stays, so that gradients can be checked exactly."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
