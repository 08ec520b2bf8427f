"""Model-agnostic meta-learning (MAML, Finn et al., ICML 2017) of the semantic head: each video is an episode.

The *inner loop* adapts the fast weights to an episode's support steps by gradient descent; the *outer loss* is that
of the query steps under the adapted weights. The whole episode runs inside one module's `forward`
([`MetaEpisode`]), which is what a distributed wrapper needs to sum the outer gradients of all processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.func import functional_call
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_semtrack import SemTrackConfig
from .loss_semtrack import SemTrackTargets
from .modeling_semtrack import SemTrackOutput

if TYPE_CHECKING:
    from .training_clips import SemanticTrainer

FAST_WEIGHTS = ("head", "semantic", "lora")
ALGORITHMS = ("maml", "reptile")
READOUT = "model.semantic_head.readout."

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class InnerLoopSettings:
    """How an episode adapts the model.

    Attributes:
        fast: Which weights adapt: "head" (the linear readout alone: ANIL, Raghu et al., ICLR 2020), "semantic" (the
            whole semantic branch: MAML) or "lora" (the low-rank matrices that peft has put into the branch).
        steps: Gradient steps on the support set; 0 is ordinary training on the query set.
        rate: Inner learning rate, or the initial one where it is learned.
        first_order: Treat the inner gradients as constants (FOMAML): a third of the time.
        learn_rates: Learn one rate per fast weight element (Meta-SGD, Li et al., 2017).
        algorithm: "maml", or "reptile" (Nichol et al., 2018: move towards the weights adapted to all steps).

    Raises:
        ValueError: If a value is out of its range, or Reptile is asked to learn rates (it has no gradient for them).
    """

    fast: str = "head"
    steps: int = 3
    rate: float = 0.01
    first_order: bool = False
    learn_rates: bool = False
    algorithm: str = "maml"

    def __post_init__(self) -> None:
        if self.fast not in FAST_WEIGHTS:
            raise ValueError(f"fast must be one of {', '.join(FAST_WEIGHTS)}, got '{self.fast}'")
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm must be one of {', '.join(ALGORITHMS)}, got '{self.algorithm}'")
        if self.steps < 0 or not self.rate > 0:
            raise ValueError(f"steps must be 0 or more and rate above 0, got steps={self.steps}, rate={self.rate}")
        if self.algorithm == "reptile" and (self.learn_rates or self.steps == 0):
            raise ValueError("reptile needs at least one inner step and fixed rates; set steps and learn_rates=False")


def inner_loop(
    loss_of: Callable[[Weights], torch.Tensor],
    weights: Weights,
    steps: int,
    rates: float | Weights,
    first_order: bool = False,
) -> dict[str, torch.Tensor]:
    """Adapts weights by gradient descent (MAML, algorithm 1, line 6); they stay functions of the given ones.

    Args:
        loss_of: The support loss under given weights.
        weights: Where to start, by name; they must require gradients.
        steps: Gradient steps.
        rates: One inner learning rate for all, or tensors by name that broadcast with the weights.
        first_order: Do not differentiate through the inner gradients.
    """
    adapted = dict(weights)
    for _ in range(steps):
        gradients = torch.autograd.grad(loss_of(adapted), list(adapted.values()), create_graph=not first_order)
        adapted = {
            name: _descended(weight, gradient, rates if isinstance(rates, float) else rates[name])
            for (name, weight), gradient in zip(adapted.items(), gradients)
        }
    return adapted


def _descended(weight: torch.Tensor, gradient: torch.Tensor, rate: float | torch.Tensor) -> torch.Tensor:
    """`weight - rate * gradient` as one operation, which halves its part of the graph."""
    if isinstance(rate, float):
        return torch.add(weight, gradient, alpha=-rate)
    return torch.addcmul(weight, rate, gradient, value=-1)


def fast_weights(trainer: SemanticTrainer, fast: str) -> dict[str, nn.Parameter]:
    """The trainable parameters that adapt, by their names in the trainer.

    Raises:
        ValueError: If there are none, or activation checkpointing would recompute their layers in the backward pass,
            when the slow weights are back in place: the gradients would be wrong.
    """
    prefix = READOUT if fast == "head" else "model.semantic_head."
    found = {
        name: parameter
        for name, parameter in trainer.named_parameters()
        if parameter.requires_grad and name.startswith(prefix) and (fast != "lora" or "lora_" in name)
    }
    if not found:
        raise ValueError(f"no trainable weight is '{fast}'; for 'lora' add an adapter to the semantic head first")
    for name, module in trainer.named_modules():
        checkpointed = isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing
        if checkpointed and any(weight.startswith(name + ".") for weight in found):
            raise ValueError(f"activation checkpointing of '{name}' gives wrong gradients for fast weights; disable it")
    return found


@dataclass
class Episode:
    """Clips of one video and the steps of them that are labelled for the inner loop.

    Attributes:
        clips: Keyword arguments of [`SemanticTrainer`], labels included.
        support: [clips, steps] bool, True where a step belongs to the support set.
        query: [clips, steps] bool, True where a step belongs to the query set.
    """

    clips: dict[str, Any]
    support: torch.Tensor
    query: torch.Tensor

    def labels(self, part: torch.Tensor) -> SemTrackTargets:
        """The labels with all steps outside `part` marked as not annotated."""
        labels = self.clips["labels"]
        return SemTrackTargets(**{**vars(labels), "described": labels.described & part})

    def to(self, device: torch.device | str) -> Episode:
        """The same episode on another device."""
        clips = {name: value.to(device) if hasattr(value, "to") else value for name, value in self.clips.items()}
        return Episode(clips, self.support.to(device), self.query.to(device))


class MetaEpisode(nn.Module):
    """The outer loss of episodes; the module that Accelerate wraps.

    Args:
        trainer: Holds the model; its parameters are the slow weights.
        settings: Of the inner loop.
    """

    def __init__(self, trainer: SemanticTrainer, settings: InnerLoopSettings) -> None:
        super().__init__()
        self.trainer = trainer
        self.settings = settings
        self.rates: nn.ParameterDict | None = None
        fast = fast_weights(trainer, settings.fast)
        if settings.learn_rates:
            # A parameter's name must not hold dots; softplus keeps the rates positive.
            start = torch.tensor(settings.rate).expm1().log()
            self.rates = nn.ParameterDict({_flat(n): torch.full_like(p.data, start) for n, p in fast.items()})

    def forward(self, episodes: Sequence[Episode]) -> SemTrackOutput:
        """The mean outer loss; processes must hold equally many episodes.

        Each episode's graph is freed before the next one begins: the gradients are taken here, and the loss is a
        function of the slow weights that has them. Memory does not grow with the number of episodes.
        """
        slow = [parameter for parameter in self.parameters() if parameter.requires_grad]
        taken: list[torch.Tensor | None] = [None] * len(slow)
        losses = []
        for episode in episodes:
            loss = self._outer_loss(episode)
            gradients = torch.autograd.grad(loss["outer"] / len(episodes), slow, allow_unused=True)
            taken = [_sum(before, now) for before, now in zip(taken, gradients)]
            losses.append({name: value.detach() for name, value in loss.items()})
        terms = {name: torch.stack([loss[name] for loss in losses]).mean() for name in losses[0]}
        slope = sum((weight * gradient).sum() for weight, gradient in zip(slow, taken) if gradient is not None)
        return SemTrackOutput(loss=terms.pop("outer") + slope - slope.detach(), losses=terms)

    def adapt(self, episode: Episode) -> tuple[dict[str, torch.Tensor], Callable[..., SemTrackOutput]]:
        """Runs the inner loop of one episode.

        Returns:
            The adapted weights by name, and a function of weights and labels that gives the episode's output.
        """
        forward = self._forward_of(episode)
        support = episode.labels(episode.support)
        with self._second_derivative():
            weights = inner_loop(
                lambda weights: forward(weights, support).loss,
                fast_weights(self.trainer, self.settings.fast),
                self.settings.steps,
                self._inner_rates(),
                self.settings.first_order or self.settings.algorithm == "reptile",
            )
        return weights, forward

    def _outer_loss(self, episode: Episode) -> dict[str, torch.Tensor]:
        if self.settings.algorithm == "reptile":
            return self._reptile_loss(episode)
        weights, forward = self.adapt(episode)
        with self._second_derivative():
            output = forward(weights, episode.labels(episode.query))
        return {"outer": output.loss, **output.losses}

    def _reptile_loss(self, episode: Episode) -> dict[str, torch.Tensor]:
        """Half the squared distance to the adapted weights: its gradient is Reptile's step."""
        everything = episode.support | episode.query
        weights, forward = self.adapt(Episode(episode.clips, everything, everything))
        slow = fast_weights(self.trainer, self.settings.fast)
        distance = sum((slow[name] - adapted.detach()).square().sum() / 2 for name, adapted in weights.items())
        with torch.no_grad():
            losses = forward(weights, episode.labels(episode.query)).losses
        return {"outer": distance, **losses}

    def _forward_of(self, episode: Episode) -> Callable[[Weights, SemTrackTargets], SemTrackOutput]:
        """The trainer as a function of the fast weights; what does not depend on them is computed once.

        No weights of the head are tied, and looking for such takes a twentieth of the time of an episode.
        """
        inputs = {name: value for name, value in episode.clips.items() if name != "labels"}
        if self.settings.fast != "head":
            return lambda weights, labels: functional_call(
                self.trainer, dict(weights), (labels,), inputs, tie_weights=False
            )
        embeds = self.trainer.decode(**inputs, only=episode.clips["labels"].described)[0]
        readout = self.trainer.model.semantic_head.readout

        def read(weights: Weights, labels: SemTrackTargets) -> SemTrackOutput:
            local = {name.removeprefix(READOUT): weight for name, weight in weights.items()}
            return self.trainer.judge(functional_call(readout, local, (embeds,), tie_weights=False), labels)

        return read

    def _inner_rates(self) -> float | dict[str, torch.Tensor]:
        if self.rates is None:
            return float(self.settings.rate)
        names = fast_weights(self.trainer, self.settings.fast)
        return {name: nn.functional.softplus(self.rates[_flat(name)]) for name in names}

    def _second_derivative(self) -> AbstractContextManager:
        """Around what is differentiated twice; fused attention cannot be. The readout alone does not need it."""
        first_order = self.settings.first_order or self.settings.algorithm == "reptile"
        plain = first_order or self.settings.fast == "head" or self.settings.steps == 0
        return nullcontext() if plain else _written_out(self.trainer.model.config)


@contextmanager
def _written_out(config: SemTrackConfig) -> Iterator[None]:
    """Attention as plain matrix products: faster under two derivatives than the unfused form of SDPA."""
    usual = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = usual


def _sum(first: torch.Tensor | None, second: torch.Tensor | None) -> torch.Tensor | None:
    """The sum of gradients; None is the gradient of what a loss does not depend on."""
    return second if first is None else first if second is None else first + second


def _flat(name: str) -> str:
    return name.replace(".", "-")
