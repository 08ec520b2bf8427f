"""Trains SemTrack with Accelerate: `accelerate launch train.py --stage tracking --images photos/ --output_dir runs/a`.

Stages:
    tracking  the stem's projection, the joint encoder and the box head, on views with template and point prompts
    semantic  the semantic head on clips with interactions: its activity part is fitted before the first step, the
              rest learns; the tracker is frozen and stays as it is
    joint     both branches end to end, on clips with interactions
    meta      the semantic head, so that it adapts quickly: each video is an episode (MAML and its relatives)

One run holds one stage; the next one starts from its result (`--model`). Every run can be stopped and
resumed at its last checkpoint (`--resume`) with the same result as one that was never stopped.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DynamoBackend, ProjectConfiguration, gather_object, send_to_device, set_seed
from huggingface_hub import HfApi
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import get_scheduler

from dataset_script.semantic_data import AnnotatedVideo, label_maps
from modeling_semtrack import SemTrackConfig, SemTrackImageProcessor, SemTrackModel, SemTrackProcessor
from modeling_semtrack.checkpoint import export_checkpoint, load_checkpoint
from modeling_semtrack.lite0 import load_lite0
from modeling_semtrack.long_tail import InteractionLoss, begin_retraining, finish_retraining
from modeling_semtrack.meta_learning import fast_weights
from modeling_semtrack.model_card import write_model_card
from modeling_semtrack.training_arguments import SCHEDULES, TrainArguments, check_arguments, parse_arguments
from modeling_semtrack.training_clips import SemanticTrainer
from modeling_semtrack.training_stages import Stage, annotated_videos, check_labels, new_stage

# Accelerate saves what `main` registers after everything else: a checkpoint with this file is complete.
LAST_FILE_OF_CHECKPOINT = "custom_checkpoint_2.pkl"
SECOND_PHASE = 0.8  # share of the steps after which LDAM re-weights (Cao et al., NeurIPS 2019: 160 of 200 epochs)
# Parts that have been fitted to the clips before the first step; meta-learning goes on with the classifier
FITTED = {
    "semantic": ("semantic_head.activity.", "semantic_head.readout.activity_classifier."),
    "meta": ("semantic_head.activity.",),
}
MAY_CHANGE = ("resume", "workers", "report_to", "push_to_hub")  # between a run and its resumption


def main(words: Sequence[str] | None = None) -> None:
    """One run, from arguments (the command line's, where none are given) to a saved model."""
    args = parse_arguments(words)
    output = Path(args.output_dir)
    accelerator = Accelerator(
        mixed_precision=args.mixed_precision,
        gradient_accumulation_steps=args.gradient_accumulation,
        dynamo_backend=DynamoBackend.INDUCTOR if args.compile else DynamoBackend.NO,
        log_with=None if args.report_to == "none" else args.report_to,
        project_config=ProjectConfiguration(str(output), automatic_checkpoint_naming=True, total_limit=2),
    )
    if int(os.environ.get("WORLD_SIZE", "1")) != accelerator.num_processes:
        raise RuntimeError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']} but Accelerate runs {accelerator.num_processes} process(es): "
            "set ACCELERATE_USE_CPU=true for several CPU processes"
        )
    with told_in_one_line():
        check_arguments(args)
        check_output(args, output)
        set_seed(args.seed)
        videos = annotated_videos(args, "train")
        model, processor = load_model(args, videos)
        model.to(accelerator.device)
        network = with_lora(model, args) if args.lora_rank else model
        trainable = select_trainable(model, args)
        stage = new_stage(args, model, processor, videos)
        first = stage.dataset(args.batch_size, 0)
    trainable += [p for name, p in stage.trained.named_parameters() if name.startswith("rates.")]
    optimizer = torch.optim.AdamW(trainable, lr=args.learning_rate, weight_decay=args.weight_decay)
    schedule = new_schedule(optimizer, args)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(args.ema)) if args.ema else None
    kept = network if average is None else average.module
    progress = Progress()
    for state in (progress, schedule, average or nn.Module()):  # the schedule is not prepared: it counts steps here
        accelerator.register_for_checkpointing(state)
    per_step = args.batch_size * args.gradient_accumulation * accelerator.num_processes
    trained, optimizer = accelerator.prepare(stage.trained, optimizer)
    check_all_learn(accelerator, trained, stage.collate([first[index] for index in range(args.batch_size)]))
    set_seed(args.seed, device_specific=True)  # processes drop out other units
    if args.resume:
        resume(accelerator, output, progress)
    loader = DataLoader(
        stage.dataset(args.steps * per_step, progress.step * per_step),
        args.batch_size,
        collate_fn=stage.collate,
        num_workers=args.workers,
        generator=torch.Generator(),  # its own: a resumed run must not draw twice from the saved random state
    )
    loader = accelerator.prepare(loader)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        write_arguments(args, output)
    if args.report_to != "none":
        accelerator.init_trackers(
            "semtrack", {k: v for k, v in asdict(args).items() if isinstance(v, int | float | str)}
        )

    bar = tqdm(total=args.steps, initial=progress.step, disable=not accelerator.is_main_process, unit="step")
    training_mode(trained, model, args)
    running: dict[str, float] = {}
    for batch in loader:
        if progress.step >= SECOND_PHASE * args.steps:
            begin_second_phase(stage.trained)
        with accelerator.accumulate(trained):
            output_of_batch = trained(**batch)
            accelerator.backward(output_of_batch.loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(trainable, args.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
        if not accelerator.sync_gradients:
            continue
        schedule.step()
        progress.step += 1
        bar.update()
        if average is not None:
            average.update_parameters(network)
        update_running(running, output_of_batch)
        if progress.step % args.log_every == 0:
            bar.set_postfix({name: f"{value:.3f}" for name, value in running.items()})
            log(accelerator, output, progress.step, {"rate": schedule.get_last_lr()[0], **running})
        if args.evaluate_every and (progress.step % args.evaluate_every == 0 or progress.step == args.steps):
            scores = evaluate(accelerator, stage, kept)
            training_mode(trained, model, args)
            log(accelerator, output, progress.step, {f"held_out/{name}": value for name, value in scores.items()})
            if accelerator.is_main_process and progress.is_best(next(iter(scores.values()))):
                save_model(finished(kept), processor, output / "best")
        if progress.step % args.save_every == 0 or progress.step == args.steps:
            accelerator.save_state()
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        model = finished(kept)
        save_model(model, processor, output / "model")
        held_out = held_out_scores(output)
        name = args.push_to_hub or str(output / "model")
        write_model_card(output / "model", name, model.config, given_arguments(args), held_out[-1] if held_out else {})
        shutil.rmtree(output / "checkpoint", ignore_errors=True)  # of this run, where it is resumed after its end
        export_checkpoint(model, processor, output / "checkpoint")
        print(as_table(held_out), end="")
        print(f"trained model: {output / 'model'} (for the Hub), {output / 'checkpoint'} (compact)")
        if args.push_to_hub:
            upload(output / "model", args.push_to_hub)
    accelerator.end_training()


class Progress:
    """Optimizer steps done and the best score so far, saved with every checkpoint."""

    def __init__(self) -> None:
        self.step = 0
        self.best = -float("inf")

    def is_best(self, score: float) -> bool:
        """Whether a score is better than all before it, which it then becomes."""
        better = score > self.best
        self.best = max(self.best, score)
        return better

    def state_dict(self) -> dict[str, float]:
        """Both numbers."""
        return {"step": self.step, "best": self.best}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Restores them."""
        self.step, self.best = int(state["step"]), state["best"]


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """What is wrong with the arguments, the data or the model to start from ends the run with a line."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise SystemExit(" ".join(str(error).split())) from error


def check_output(args: TrainArguments, output: Path) -> None:
    """Refuses to overwrite a run, or to resume it with other arguments."""
    saved = output / "arguments.json"
    if args.resume:
        if not saved.exists():
            raise SystemExit(f"nothing to resume in '{output}': it has no arguments.json; start without --resume")
        before = json.loads(saved.read_text())
        changed = [k for k, v in asdict(args).items() if k not in MAY_CHANGE and before.get(k) != v]
        if changed:
            raise SystemExit(f"'{output}' was started with other arguments: {', '.join(changed)}; use a new output_dir")
    elif saved.exists():
        raise SystemExit(f"'{output}' already holds a run; pass --resume true to go on, or another --output_dir")


def write_arguments(args: TrainArguments, output: Path) -> None:
    """Marks the folder as a run, once its data and model are known to load."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "arguments.json").write_text(json.dumps(asdict(args), indent=2) + "\n")


def load_model(args: TrainArguments, videos: list[AnnotatedVideo]) -> tuple[SemTrackModel, SemTrackProcessor]:
    """The model to start from; where interactions are learned, its label maps are those of the videos."""
    fields = json.loads(Path(args.model_config).read_text()) if args.model_config else {}
    if args.model is None:
        model = SemTrackModel(SemTrackConfig(**fields))
        if args.lite0 and model.config.stem == "conv":
            load_lite0(model.stem)
        return model, SemTrackProcessor(SemTrackImageProcessor())
    model, processor = load_checkpoint(args.model)
    if args.stage == "tracking":
        return model, processor
    if not videos:
        raise SystemExit(
            f"no training video is in {args.annotations}: all are excluded, unannotated or of other splits"
        )
    if args.keep_head:
        check_labels(videos, model.config, "training")
        return model, processor
    return with_new_head(model, videos, fields), processor


def with_new_head(tracker: SemTrackModel, videos: list[AnnotatedVideo], fields: dict) -> SemTrackModel:
    """A model with the tracker's weights and a new semantic head for what the videos show.

    Raises:
        ValueError: If there is one interaction only, or the configuration's fields change more than the head.
    """
    id2interaction, id2object = label_maps(videos)
    if len(id2interaction) < 2:
        names = ", ".join(id2interaction.values()) or "none"
        raise ValueError(f"the training videos must show two interactions or more to tell apart, got {names}")
    config = tracker.config.to_dict() | {"id2interaction": id2interaction, "id2object": id2object} | fields
    model = SemTrackModel(SemTrackConfig.from_dict(config))
    head = "semantic_head."
    made = {name: value.shape for name, value in model.state_dict().items() if not name.startswith(head)}
    weights = {name: value for name, value in tracker.state_dict().items() if not name.startswith(head)}
    other = sorted(
        n for n in made.keys() | weights.keys() if n not in made or n not in weights or made[n] != weights[n].shape
    )
    if other:
        raise ValueError(
            f"model_config changes '{other[0]}', which is trained already; name fields of the semantic head"
        )
    model.load_state_dict(weights, strict=False)  # all but the semantic head, which is a new one
    return model


def with_lora(model: SemTrackModel, args: TrainArguments) -> PeftModel:
    """Puts low-rank updates into the attention of the branches that the stage trains."""
    encoder, head = r"layers\.\d+\.attention", r"semantic_head\.layers\.\d+\.(self|cross)_attention"
    where = {"tracking": encoder, "joint": f"({encoder}|{head})"}.get(args.stage, head)
    return get_peft_model(model, LoraConfig(r=args.lora_rank, target_modules=rf"{where}\.(q_proj|v_proj)"))


def select_trainable(model: SemTrackModel, args: TrainArguments) -> list[nn.Parameter]:
    """Freezes what the stage does not train; with LoRA only the low-rank matrices and the heads' last layers learn."""
    if args.retrain:
        model.requires_grad_(False)
        return [p.requires_grad_(True) for p in begin_retraining(model.semantic_head.readout, args.retrain)]
    semantic = ("semantic_head.",)
    frozen = ("text_projection.",) + (("stem.",) if args.freeze_stem else ())
    for name, parameter in model.named_parameters():
        learns = name.startswith(semantic) if args.stage in ("semantic", "meta") else not name.startswith(frozen)
        if args.stage == "tracking":
            learns = learns and not name.startswith(semantic)
        if args.lora_rank:
            learns = learns and ("lora_" in name or name.startswith(("box_head.", "semantic_head.readout.")))
        if args.stage in ("semantic", "meta") and name.startswith(FITTED[args.stage]):
            learns = False
        parameter.requires_grad_(learns)
    if args.stage == "meta" and args.algorithm == "reptile":
        fast = fast_weights(SemanticTrainer(model), args.fast)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(f"model.{name}" in fast)
    if args.activation_checkpointing:
        model.activation_checkpointing_enable()
    return [p for p in model.parameters() if p.requires_grad]


def new_schedule(optimizer: torch.optim.Optimizer, args: TrainArguments) -> torch.optim.lr_scheduler.LambdaLR:
    """Warm-up, then as the schedule's name says, down to zero (but for "constant")."""
    extra = {}
    if args.schedule == "trapezoid":
        extra = {"num_decay_steps": round(args.decay * args.steps), "decay_type": "linear"}
    warmup = round(args.warmup * args.steps)
    return get_scheduler(SCHEDULES[args.schedule], optimizer, warmup, args.steps, extra)


def training_mode(trained: nn.Module, model: SemTrackModel, args: TrainArguments) -> None:
    """Everything learns, but a frozen backbone's batch norms keep their statistics, too."""
    trained.train()
    if args.freeze_stem:
        model.stem.eval()


def begin_second_phase(trained: nn.Module) -> None:
    """Tells the interaction loss that its second phase has come."""
    for module in trained.modules():
        if isinstance(module, InteractionLoss):
            module.reweight()


def check_all_learn(accelerator: Accelerator, trained: nn.Module, batch: dict) -> None:
    """One backward pass in vain: names trainable parameters that get no gradient, which processes would wait for."""
    batch = send_to_device(batch, accelerator.device)
    trained.eval()  # statistics must not move
    accelerator.backward(trained(**batch).loss)
    silent = [name for name, p in trained.named_parameters() if p.requires_grad and p.grad is None]
    trained.zero_grad()
    if silent:
        raise SystemExit(f"the loss does not reach {len(silent)} trainable parameters, among them {silent[0]}")


def resume(accelerator: Accelerator, output: Path, progress: Progress) -> None:
    """Loads the last checkpoint and goes on counting after it."""
    folders = sorted((output / "checkpoints").glob("checkpoint_*"), key=lambda p: int(p.name.split("_")[1]))
    cut_off = [folder for folder in folders if not zipfile.is_zipfile(folder / LAST_FILE_OF_CHECKPOINT)]
    folders = [folder for folder in folders if folder not in cut_off]
    if not folders:
        raise SystemExit(f"nothing to resume in '{output}/checkpoints': the run ended before its first checkpoint")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        for folder in cut_off:  # the run was stopped while it saved this one
            shutil.rmtree(folder)
    accelerator.load_state(str(folders[-1]))
    if accelerator.is_main_process:
        forget_rows(output / "log.jsonl", progress.step)
    accelerator.project_configuration.iteration = int(folders[-1].name.split("_")[1]) + 1


def forget_rows(log: Path, step: int) -> None:
    """Drops the rows of the log after a step: these steps are done again."""
    if log.exists():
        lines = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= step]
        log.write_text("".join(line + "\n" for line in lines))


def evaluate(accelerator: Accelerator, stage: Stage, model: nn.Module) -> dict[str, float]:
    """The stage's scores on its held-out data, each video counted once whatever the number of processes."""
    model.eval()
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    rows = stage.evaluate(base, accelerator.process_index, accelerator.num_processes)
    return stage.score(gather_object(rows))


def finished(network: nn.Module) -> SemTrackModel:
    """A copy of the model with everything folded in that training has added."""
    model = copy.deepcopy(network)
    if isinstance(model, PeftModel):
        model = model.merge_and_unload()
    if model.semantic_head is not None:
        finish_retraining(model.semantic_head.readout)
    return model


def save_model(model: SemTrackModel, processor: SemTrackProcessor, folder: Path) -> None:
    """Model, processor and their code."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def upload(folder: Path, repository: str) -> None:
    """Puts a saved model on the Hub."""
    api = HfApi()
    api.create_repo(repository, exist_ok=True)
    api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload a trained SemTrack model")


def held_out_scores(output: Path) -> list[dict[str, float]]:
    """The rows of `log.jsonl` with scores on the held-out data: `step` and the scores."""
    log = output / "log.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    judged = [row for row in rows if any(name.startswith("held_out/") for name in row)]
    return [{name.removeprefix("held_out/"): value for name, value in row.items()} for row in judged]


def as_table(rows: list[dict[str, float]]) -> str:
    """Scores by step, one line each; nothing where there are none."""
    lines = [list(rows[0])] if rows else []
    lines += [[str(row["step"]), *(f"{value:.3f}" for name, value in row.items() if name != "step")] for row in rows]
    return "".join("".join(f"{cell:>10}" for cell in line) + "\n" for line in lines)


def given_arguments(args: TrainArguments) -> dict:
    """The arguments that are not at their defaults and say how the model came about."""
    usual = asdict(TrainArguments(args.output_dir))
    return {k: v for k, v in asdict(args).items() if v != usual[k] and k not in (*MAY_CHANGE, "features")}


def update_running(running: dict[str, float], output) -> None:
    """Exponential averages of the loss terms."""
    for name, value in {"loss": output.loss, **output.losses}.items():
        value = float(value.detach())
        running[name] = 0.95 * running[name] + 0.05 * value if name in running else value


def log(accelerator: Accelerator, output: Path, step: int, row: dict[str, float]) -> None:
    """Appends a row to `log.jsonl` and reports it to the tracker."""
    accelerator.log(row, step=step)
    if accelerator.is_main_process:
        with open(output / "log.jsonl", "a") as file:
            file.write(json.dumps({"step": step, **row}) + "\n")


if __name__ == "__main__":
    main()
