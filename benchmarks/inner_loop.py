"""One outer step of meta-learning: our inner loop beside those of `higher` and `torchopt`.

    pip install higher==0.2.1 torchopt==0.7.3
    python -m benchmarks.inner_loop [--rounds 12]

All start from the same weights and see the same 8 episodes, 5 inner steps and loss (matching included); the gradient
reaches the whole semantic head through the inner gradients. `second_order` adapts the whole head, `anil` its linear
readout. Prints one JSON object: median processor seconds of interleaved rounds on one thread, ours as a share of the
faster peer's second-order time (with the target; by the median of the rounds and by the shortest runs), the peers' own
way to do ANIL for comparison, the largest relative difference of the outer gradients, and the peak memory of a process
of its own for each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from modeling_semtrack import SemTrackConfig, SemTrackModel
from modeling_semtrack.loss_semtrack import SemTrackTargets
from modeling_semtrack.meta_learning import Episode, InnerLoopSettings, MetaEpisode
from modeling_semtrack.motion_semtrack import MOTION_SIZE
from modeling_semtrack.surroundings_semtrack import COLUMNS, ROWS
from modeling_semtrack.training_clips import SemanticTrainer

EPISODES, INNER_STEPS, RATE = 8, 5, 0.01
CLIPS, STEPS, SIDE, HIDDEN, EVENTS = 2, 4, 4, 128, 2
KINDS = {"second_order": "semantic", "anil": "head"}
TARGETS = {"second_order": 1.0, "anil": 0.45}  # shares of the faster peer's second-order time
PEERS = ("higher", "torchopt")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--once", nargs=2, metavar=("LIBRARY", "KIND"), help="one step alone; prints its peak memory")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    missing = [name for name in PEERS if find_spec(name) is None]
    if missing:
        sys.exit(
            f"{' and '.join(missing)} must be installed to compare with: pip install higher==0.2.1 torchopt==0.7.3"
        )
    trainer, episodes = new_trainer(), [new_episode(seed) for seed in range(EPISODES)]
    if arguments.once:
        outer_step(trainer, episodes, *arguments.once)
        status = Path("/proc/self/status").read_text().splitlines()
        print(int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 2**10)
        return
    print(json.dumps(measure(trainer, episodes, arguments.rounds), indent=2))


def measure(trainer: SemanticTrainer, episodes: list[Episode], rounds: int) -> dict:
    """All numbers; every round runs each library once, each time in another order."""
    runs = [(library, kind) for kind in KINDS for library in ("ours", *PEERS)]
    gradients = {run: outer_step(trainer, episodes, *run)[1] for run in runs}  # warms up, too
    seconds: dict[tuple[str, str], list[float]] = {run: [] for run in runs}
    for number in range(rounds):
        for run in runs[number % len(runs) :] + runs[: number % len(runs)]:
            seconds[run].append(outer_step(trainer, episodes, *run)[0])
    median = {run: statistics.median(times) for run, times in seconds.items()}

    def share(kind: str, peers_kind: str) -> float:
        """Of the faster peer's time: the median over the rounds, whose runs share the machine's state."""
        pairs = [zip(seconds["ours", kind], seconds[peer, peers_kind]) for peer in PEERS]
        return max(statistics.median(ours / theirs for ours, theirs in pair) for pair in pairs)

    def least_share(kind: str) -> float:
        """The same of the shortest runs, which other work on the machine has disturbed least."""
        return min(seconds["ours", kind]) / min(min(seconds[peer, "second_order"]) for peer in PEERS)

    return {
        "seconds": {kind: {lib: median[lib, kind] for lib in ("ours", *PEERS)} for kind in KINDS},
        "share_of_faster_peer": {kind: share(kind, "second_order") for kind in KINDS},
        "share_of_faster_peer_by_shortest_runs": {kind: least_share(kind) for kind in KINDS},
        "target": TARGETS,
        "share_of_faster_peer_s_anil": share("anil", "anil"),
        "gradient_difference": {
            kind: max(float((gradients["ours", kind] - gradients[peer, kind]).norm()) for peer in PEERS)
            / float(gradients["ours", kind].norm())
            for kind in KINDS
        },
        "peak_mib": {kind: {lib: peak_mib(lib, kind) for lib in ("ours", *PEERS)} for kind in KINDS},
        "parameters": sum(p.numel() for p in trainer.model.semantic_head.parameters()),
        "rounds": rounds,
    }


def peak_mib(library: str, kind: str) -> float:
    """Peak resident memory of a process that takes one step."""
    command = [sys.executable, "-m", "benchmarks.inner_loop", "--once", library, kind]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def outer_step(
    trainer: SemanticTrainer, episodes: list[Episode], library: str, kind: str
) -> tuple[float, torch.Tensor]:
    """Processor seconds of one outer step, and the outer gradient."""
    trainer.zero_grad()
    step = {"ours": step_of_ours, "higher": step_of_higher, "torchopt": step_of_torchopt}[library]
    began = time.process_time()
    step(trainer, episodes, kind)
    spent = time.process_time() - began
    return spent, torch.cat([p.grad.flatten() for p in trainer.model.semantic_head.parameters()])


def step_of_ours(trainer: SemanticTrainer, episodes: list[Episode], kind: str) -> None:
    """As the meta stage of `train.py` does it."""
    MetaEpisode(trainer, InnerLoopSettings(KINDS[kind], INNER_STEPS, RATE))(episodes).loss.backward()


def step_of_higher(trainer: SemanticTrainer, episodes: list[Episode], kind: str) -> None:
    """As its documentation shows, on the adapting module."""
    import higher

    for episode in episodes:
        module, loss_of = adapting(trainer, episode, kind)
        optimizer = torch.optim.SGD(fast_parameters(module), RATE)
        with (
            sdpa_kernel(SDPBackend.MATH),
            higher.innerloop_ctx(module, optimizer, copy_initial_weights=False) as (patched, inner),
        ):
            for _ in range(INNER_STEPS):
                inner.step(loss_of(patched, episode.support))
            outer = loss_of(patched, episode.query) / len(episodes)
            outer.backward()


def step_of_torchopt(trainer: SemanticTrainer, episodes: list[Episode], kind: str) -> None:
    """As its documentation shows: the module's weights are replaced and put back."""
    import torchopt

    for episode in episodes:
        module, loss_of = adapting(trainer, episode, kind)
        fast = module if kind == "anil" else trainer.model.semantic_head
        inner = torchopt.MetaSGD(fast, lr=RATE)
        slow = torchopt.extract_state_dict(fast, by="reference")
        with sdpa_kernel(SDPBackend.MATH):
            for _ in range(INNER_STEPS):
                inner.step(loss_of(module, episode.support))
            outer = loss_of(module, episode.query) / len(episodes)
            outer.backward()
        torchopt.recover_state_dict(fast, slow)


def adapting(
    trainer: SemanticTrainer, episode: Episode, kind: str
) -> tuple[nn.Module, Callable[[nn.Module, torch.Tensor], torch.Tensor]]:
    """The module that a peer adapts, and the loss of a part of the episode under it.

    For ANIL the peers get the readout alone, on embeddings that are decoded once, as ours does.
    """
    inputs = {name: value for name, value in episode.clips.items() if name != "labels"}
    if kind == "anil":
        embeds = trainer.decode(**inputs)[0]
        return (
            trainer.model.semantic_head.readout,
            lambda readout, part: trainer.judge(readout(embeds), episode.labels(part)).loss,
        )
    return trainer, lambda module, part: module(episode.labels(part), **inputs).loss


def fast_parameters(module: nn.Module) -> list[nn.Parameter]:
    """What adapts."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def new_trainer() -> SemanticTrainer:
    """A small semantic head of two layers, on a tracker that takes no part."""
    torch.manual_seed(0)
    config = SemTrackConfig(
        stem="patch",
        hidden_size=HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=4 * HIDDEN,
        semantic_dropout=0.0,
        memory_length=4,
        memory_grid=2,
        id2interaction={index: f"interaction {index}" for index in range(10)},
        id2object={index: f"object {index}" for index in range(6)},
    )
    model = SemTrackModel(config).requires_grad_(False)
    model.semantic_head.requires_grad_(True)
    projection = model.semantic_head.activity.projection  # it is fitted, not descended: torchopt takes all parameters
    for name, value in list(projection.named_parameters()):
        delattr(projection, name)
        projection.register_buffer(name, value.detach())
    return SemanticTrainer(model)


def new_episode(seed: int) -> Episode:
    """Random features and labels; every second step is support."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(CLIPS, STEPS, *shape, generator=generator)

    def boxes(*shape: int) -> torch.Tensor:
        return 0.1 + 0.4 * torch.rand(CLIPS, STEPS, *shape, 4, generator=generator)

    def classes(count: int) -> torch.Tensor:
        return torch.randint(count, (CLIPS, STEPS, EVENTS), generator=generator)

    cells = SIDE * SIDE
    described = torch.ones(CLIPS, STEPS, dtype=torch.bool)
    labels = SemTrackTargets(boxes(), described.float(), classes(10), classes(6), boxes(EVENTS), described)
    clips = {
        "regions": normal(ROWS * COLUMNS * 2 * HIDDEN),
        "motion": normal(MOTION_SIZE).abs(),
        **{name: normal(cells, HIDDEN) for name in ("view_embeds", "view_features", "scene_features")},
        **{"target_embeds": normal(HIDDEN), "target_boxes": boxes(), "view_windows": boxes()},
        **{"times": 0.2 * torch.arange(STEPS).repeat(CLIPS, 1), "grid": (SIDE, SIDE), "scene_grid": (SIDE, SIDE)},
        "labels": labels,
    }
    support = torch.arange(STEPS).repeat(CLIPS, 1) % 2 == 0
    return Episode(clips, support, ~support)


if __name__ == "__main__":
    main()
