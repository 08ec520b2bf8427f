"""What test_train_processes.py launches as two processes; writes what it found to the file that it is given.

python tests/training_processes.py REPORT.json
"""

import json
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from peft import LoraConfig, get_peft_model
from test_meta_learning import an_episode, doubles
from tiny_models import tiny_model

from modeling_semtrack.meta_learning import InnerLoopSettings, MetaEpisode
from modeling_semtrack.training_clips import SemanticTrainer

SETTINGS = {
    "anil": InnerLoopSettings("head", steps=2, rate=0.05),
    "first order": InnerLoopSettings("semantic", steps=2, rate=0.05, first_order=True),
    "second order": InnerLoopSettings("semantic", steps=2, rate=0.05),
    "learned rates": InnerLoopSettings("head", steps=2, rate=0.05, learn_rates=True),
    "lora": InnerLoopSettings("lora", steps=2, rate=0.05),
}
OPTIMIZER_STEPS, ACCUMULATION = 3, 2


def a_meta(name):
    """A small network in float64 whose semantic head learns by episodes."""
    torch.manual_seed(0)
    model = tiny_model(num_hidden_layers=1, num_semantic_layers=1)
    if name == "lora":
        target = r"semantic_head\.layers\.\d+\.(self|cross)_attention\.(q_proj|v_proj)"
        get_peft_model(model, LoraConfig(r=2, target_modules=target, init_lora_weights=False))
    for weight_name, weight in model.named_parameters():
        weight.requires_grad_(weight_name.startswith("semantic_head.") and (name != "lora" or "lora_" in weight_name))
    return MetaEpisode(SemanticTrainer(model.double()), SETTINGS[name])


def outer_gradients(meta, episodes):
    meta([doubles(episode) for episode in episodes]).loss.backward()
    return torch.cat([p.grad.flatten() for p in meta.parameters() if p.requires_grad])


def gradients_of_processes(accelerator, name):
    """Of one episode on each process, summed by the wrapper; beside them those of one process with all episodes."""
    alone = outer_gradients(a_meta(name), [an_episode(seed) for seed in range(accelerator.num_processes)])
    wrapped = accelerator.prepare(a_meta(name))
    together = outer_gradients(wrapped, [an_episode(accelerator.process_index)])
    return float((together - alone).abs().max() / alone.abs().max())


def weights_after_steps(accelerator, name):
    """Each process's weights after some optimizer steps with accumulation and clipping."""
    meta = a_meta(name)
    optimizer = torch.optim.AdamW([p for p in meta.parameters() if p.requires_grad], lr=1e-3)
    before = torch.cat([p.detach().flatten().clone() for p in meta.parameters() if p.requires_grad])
    wrapped, optimizer = accelerator.prepare(meta, optimizer)
    for step in range(OPTIMIZER_STEPS * ACCUMULATION):
        with accelerator.accumulate(wrapped):
            episode = an_episode(seed=accelerator.num_processes * step + accelerator.process_index)
            accelerator.backward(wrapped([doubles(episode)]).loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(wrapped.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    after = torch.cat([p.detach().flatten() for p in meta.parameters() if p.requires_grad])
    everyone = gather_object([after.tolist()])
    return {"equal": everyone[0] == everyone[1], "moved": bool((after != before).any())}


def main():
    accelerator = Accelerator(gradient_accumulation_steps=ACCUMULATION)
    assert accelerator.num_processes == 2, "launch two processes with ACCELERATE_USE_CPU=true"
    report = {
        "gradients": {name: gradients_of_processes(accelerator, name) for name in SETTINGS},
        "ranks": {name: weights_after_steps(accelerator, name) for name in ("anil", "second order")},
    }
    if accelerator.is_main_process:
        Path(sys.argv[1]).write_text(json.dumps(report))
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main()
