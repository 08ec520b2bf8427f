"""The stages and options of train.py: what each trains, what stays bit by bit, what is written, and what is refused."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import tiny_model, tiny_processor
from training_files import a_record, moving, training_in_process, write_annotated, write_sequence

pytest.importorskip("accelerate", reason="training needs the extra 'train'")

import train
from dataset_script.records import InteractionRecord
from modeling_semtrack import SemTrackModel
from modeling_semtrack.checkpoint import load_checkpoint
from modeling_semtrack.long_tail import InteractionLoss

HEAD, READOUT = "semantic_head.", "semantic_head.readout."
CLASSIFIER = f"{READOUT}interaction_classifier."
SHORT = {
    "learning_rate": 1e-2,
    "workers": 0,
    "log_every": 1,
    "steps": 2,
    "batch_size": 2,
    "mixed_precision": "no",
    "schedule": "constant",
    "warmup": 0.0,
}


def validation(**changes):
    return a_record("validation", metadata={"split": "validation"}, **changes)


def save(model, folder):
    model.save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of videos and sequences, and models that know what they show."""
    folder = tmp_path_factory.mktemp("files")
    often = [InteractionRecord(1, "push", 2, start, start + 4) for start in (0, 6, 12)]
    second = a_record("second", frames=17, interactions=[*often, InteractionRecord(1, "wave", None, 8, 16)])
    write_annotated(folder / "videos", a_record("first"), second, validation())
    write_sequence(folder / "sequences" / "walk", moving(4))
    write_sequence(folder / "sequences" / "run", moving(3))
    (folder / "exclude.txt").write_text("run\n")
    torch.manual_seed(0)
    labels = {"id2interaction": {0: "push", 1: "wave"}, "id2object": {0: "ball"}}
    small = {"num_hidden_layers": 1, "num_semantic_layers": 1}
    for stem in ("patch", "resnet"):
        save(tiny_model(stem, **labels, **small), folder / stem)
    return folder


@pytest.fixture(scope="module")
def features(files):
    """Where runs of the first test leave the features for the others."""
    return files / "features.pt"


@pytest.fixture
def semantic(files, features):
    """Arguments of a run on the videos' features that goes on with the model's head."""
    return described(files) | {"stage": "semantic", "keep_head": True, "features": features}


@pytest.fixture
def meta(semantic):
    return semantic | {"stage": "meta", "inner_steps": 2, "inner_rate": 0.05}


@pytest.fixture
def joint(files):
    return described(files) | {"stage": "joint", "keep_head": True, "clip_steps": 3}


@pytest.fixture
def tracking(files):
    names = {"sequences": files / "sequences", "exclude": files / "exclude.txt"}
    return SHORT | names | {"stage": "tracking", "model": files / "patch"}


def described(files):
    annotated = {"annotations": files / "videos" / "annotations.json", "videos": files / "videos"}
    return SHORT | annotated | {"model": files / "patch", "clip_steps": 5}


@pytest.fixture
def run(tmp_path):
    """Runs train.main and gives the saved weights, the log and the folder."""
    with training_in_process() as call:

        def run(name="run", **arguments):
            call(tmp_path / name, **arguments)
            rows = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
            weights = load_file(tmp_path / name / "model" / "model.safetensors")
            return SimpleNamespace(weights=weights, log=rows, folder=tmp_path / name)

        yield run


def before(files, stem="patch"):
    return load_file(files / stem / "model.safetensors")


def changed(weights, others):
    """Names of the weights that differ; both must have the same ones."""
    assert weights.keys() == others.keys()
    return {name for name in weights if not torch.equal(weights[name], others[name])}


def refused(run, message, **arguments):
    """The run ends with one line that says so, and leaves no folder."""
    with pytest.raises(SystemExit, match=message) as error:
        run("refused", **arguments)
    assert "\n" not in str(error.value)


# Stages


@pytest.mark.parametrize(
    "settings",
    [
        {"fast": "head"},
        {"fast": "head", "first_order": True},
        {"fast": "semantic"},
        {"fast": "semantic", "first_order": True},
        {"fast": "head", "interaction_loss": "balanced_softmax"},
    ],
)
def test_the_meta_stage_trains_all_of_the_semantic_head_and_nothing_else(run, files, meta, settings):
    """The fast weights are but what adapts inside an episode; the outer loss teaches the whole head."""
    done = run(**meta, **settings)
    assert changed(done.weights, before(files)) == {name for name in done.weights if name.startswith(HEAD)}
    assert set(done.log[0]) == {"step", "rate", "loss", "interaction", "object", "object_box"}
    model, _ = load_checkpoint(done.folder / "model")
    assert model.config.id2interaction == {0: "push", 1: "wave"}


def test_the_order_of_the_inner_gradient_makes_a_difference(run, meta):
    first, second = (run(str(order), **meta, first_order=order).weights for order in (True, False))
    assert changed(first, second)


def test_learned_inner_rates_are_trained_and_are_no_part_of_the_model(run, files, meta):
    """They start at the inverse softplus of the given rate."""
    done = run(**meta, learn_rates=True)
    start = torch.tensor(meta["inner_rate"]).expm1().log()
    saved = load_file(done.folder / "checkpoints" / "checkpoint_0" / "model.safetensors")
    rates = {name: value for name, value in saved.items() if name.startswith("rates.")}
    assert {name.removeprefix("rates.").replace("-", ".") for name in rates} == {
        f"trainer.model.{name}".removeprefix("trainer.") for name in done.weights if name.startswith(READOUT)
    }
    assert all((value - start).abs().max() > 1e-4 for value in rates.values())
    assert done.weights.keys() == before(files).keys()


def test_reptile_moves_the_fast_weights_alone(run, files, meta):
    done = run(**meta, algorithm="reptile")
    assert changed(done.weights, before(files)) == {name for name in done.weights if name.startswith(READOUT)}


def test_the_joint_stage_trains_both_branches_and_not_the_stem(run, files, joint):
    done = run(**joint)
    stay = {name for name in done.weights if name.startswith(("stem.", "text_projection."))}
    assert stay and done.weights.keys() - changed(done.weights, before(files)) == stay
    tracking = {"score", "box_l1", "box_giou", "presence"}
    assert set(done.log[0]) == {"step", "rate", "loss", *tracking, "interaction", "object", "object_box"}


def test_a_new_head_is_made_for_the_labels_of_the_videos(run, files, joint, tmp_path):
    model = tiny_model(num_hidden_layers=1, num_semantic_layers=1)  # four interactions, three objects
    done = run(**joint | {"keep_head": False, "model": save(model, tmp_path / "other")})
    assert SemTrackModel.from_pretrained(done.folder / "model").config.id2interaction == {0: "push", 1: "wave"}
    assert done.weights[f"{CLASSIFIER}weight"].shape[0] == 3


# Second stages and losses


def test_crt_trains_the_interaction_classifier_anew_and_nothing_else(run, files, semantic):
    done = run(**semantic, retrain="crt", balance=1.0)
    assert changed(done.weights, before(files)) == {f"{CLASSIFIER}weight", f"{CLASSIFIER}bias"}


def test_lws_scales_the_classes_and_nothing_else(run, files, semantic):
    """One factor per class, "none" (the last) kept; the saved model is an ordinary one."""
    done, old = run(**semantic, retrain="lws", balance=1.0), before(files)
    assert changed(done.weights, old) == {f"{CLASSIFIER}weight", f"{CLASSIFIER}bias"} - (
        {f"{CLASSIFIER}bias"} if not old[f"{CLASSIFIER}bias"].any() else set()
    )
    ratio = done.weights[f"{CLASSIFIER}weight"] / old[f"{CLASSIFIER}weight"]
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-4)
    assert (ratio[:-1, 0] - 1).abs().min() > 1e-4 and (ratio[-1] == 1).all()


@pytest.mark.parametrize("name", ["focal", "balanced_softmax", "ldam"])
def test_the_interaction_loss_changes_the_interaction_term_alone(run, semantic, name):
    plain, other = (run(loss, **semantic, interaction_loss=loss).log[0] for loss in ("cross_entropy", name))
    assert other["interaction"] != plain["interaction"]
    assert other["object"] == plain["object"] and other["object_box"] == plain["object_box"]


def test_ldam_reweights_in_the_last_fifth_of_the_run(run, semantic, monkeypatch):
    phases = []
    forward = InteractionLoss.forward
    monkeypatch.setattr(
        InteractionLoss, "forward", lambda self, *given: phases.append(self.reweighted) or forward(self, *given)
    )
    run(**semantic | {"steps": 5}, interaction_loss="ldam")
    assert phases == [False, False, False, False, False, True]  # the check before the first step, then the steps


# Options


def test_ema_keeps_the_average_of_the_weights(run, semantic):
    """After two steps with decay d: d * (after step 1) + (1 - d) * (after step 2)."""
    one, two = (run(f"{steps}", **semantic | {"steps": steps}).weights for steps in (1, 2))
    average = run("average", **semantic, ema=0.75).weights
    assert changed(one, two)
    for name, value in average.items():
        assert torch.allclose(value, 0.75 * one[name] + 0.25 * two[name], atol=1e-6), name


def test_lora_on_the_tracker_changes_queries_values_and_the_box_head(run, files, tracking):
    """Merged, so that the saved model is an ordinary one."""
    done = run(**tracking, lora_rank=2)
    moved = changed(done.weights, before(files))
    attention = {n for n in done.weights if n.startswith("layers.") and "attention" in n}
    expected = {n for n in attention if n.endswith(("q_proj.weight", "v_proj.weight"))}
    assert moved == expected | {name for name in done.weights if name.startswith("box_head.")}
    model, _ = load_checkpoint(done.folder / "model")
    assert all(torch.equal(value, done.weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("first_order", [True, False])
def test_lora_may_be_what_adapts(run, files, meta, first_order):
    done = run(**meta, fast="lora", lora_rank=2, first_order=first_order)
    moved = changed(done.weights, before(files))
    low_rank = {f"{HEAD}layers.0.{kind}_attention.{p}_proj.weight" for kind in ("self", "cross") for p in "qv"}
    assert moved == low_rank | {name for name in done.weights if name.startswith(READOUT)}
    load_checkpoint(done.folder / "model")


def test_the_cosine_falls_to_zero_over_the_run(run, semantic):
    rates = [row["rate"] for row in run(**semantic | {"steps": 4, "schedule": "cosine"}).log]
    assert rates == pytest.approx([1e-2 * share for share in (0.8535534, 0.5, 0.1464466, 0.0)], abs=1e-9)


def test_the_best_model_is_kept_beside_the_last(run, semantic, monkeypatch):
    """By the first of the scores: here the second evaluation's."""
    scores = iter([0.1, 0.9, 0.5])
    monkeypatch.setattr(train, "evaluate", lambda *_: {"macro_f1": next(scores), "micro_f1": 0.0})
    done = run(**semantic | {"steps": 3, "evaluate_every": 1, "save_every": 1})
    best = load_file(done.folder / "best" / "model.safetensors")
    second = load_file(done.folder / "checkpoints" / "checkpoint_1" / "model.safetensors")
    assert all(torch.equal(value, second[f"model.{name}"]) for name, value in best.items())
    assert changed(best, done.weights)
    held_out = [row for row in done.log if "held_out/macro_f1" in row]
    assert [row["step"] for row in held_out] == [1, 2, 3] and held_out[1]["held_out/macro_f1"] == 0.9
    load_checkpoint(done.folder / "best")


@pytest.mark.parametrize(
    ("stage", "score"), [("tracking", "ao"), ("semantic", "macro_f1"), ("joint", "macro_f1"), ("meta", "macro_f1")]
)
def test_every_stage_is_judged_on_what_is_held_out(run, request, stage, score):
    done = run(**request.getfixturevalue(stage), evaluate_every=2)
    values = [row[f"held_out/{score}"] for row in done.log if f"held_out/{score}" in row]
    assert len(values) == 1 and 0 <= values[0] <= 1
    assert (done.folder / "best" / "config.json").exists()


def test_evaluation_changes_nothing_of_the_run(run, files, joint):
    """A frozen backbone's batch norms go on keeping their statistics."""
    arguments = joint | {"model": files / "resnet", "steps": 3}
    plain, judged = run("plain", **arguments), run("judged", **arguments, evaluate_every=1)
    assert not changed(plain.weights, judged.weights)
    assert any("running_mean" in name for name in plain.weights)


def test_learned_inner_rates_are_used_in_the_evaluation(run, meta, monkeypatch):
    seen = []
    loop = train.new_stage.__globals__["MetaEpisode"]._inner_rates

    def spy(self):
        rates = loop(self)
        seen.append(next(iter(rates.values())).detach().clone())
        return rates

    monkeypatch.setattr(train.new_stage.__globals__["MetaEpisode"], "_inner_rates", spy)
    run(**meta, learn_rates=True, evaluate_every=2)
    assert not torch.equal(seen[0], seen[-1])  # the last call is the evaluation's


def test_numbers_reach_the_tracker(run, semantic):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    done = run(**semantic, report_to="tensorboard")
    events = reader.EventAccumulator(str(next(done.folder.rglob("events.out.tfevents.*")).parent))
    events.Reload()
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([row["loss"] for row in done.log])


@pytest.mark.parametrize("stage", ["joint", "semantic"])
def test_activation_checkpointing_changes_no_number(run, request, stage):
    arguments = request.getfixturevalue(stage)
    plain, saving = (run(str(on), **arguments, activation_checkpointing=on) for on in (False, True))
    assert plain.log == saving.log and not changed(plain.weights, saving.weights)


def test_the_model_is_uploaded_on_demand(run, semantic, monkeypatch):
    calls = []

    class Hub:
        def create_repo(self, name, exist_ok):
            calls.append((name, exist_ok))

        def upload_folder(self, repo_id, folder_path, commit_message):
            calls.append((repo_id, sorted(path.name for path in folder_path.iterdir())))

    monkeypatch.setattr(train, "HfApi", Hub)
    run(**semantic, push_to_hub="someone/something")
    assert calls[0] == ("someone/something", True) and calls[1][0] == "someone/something"
    needed = {"README.md", "config.json", "model.safetensors", "modeling_semtrack.py", "processor_config.json"}
    assert needed <= set(calls[1][1])


def test_the_model_card_names_the_labels_the_arguments_and_the_scores(run, semantic, capsys):
    done = run(**semantic, evaluate_every=1)
    card = (done.folder / "model" / "README.md").read_text()
    score = done.log[-1]["held_out/macro_f1"]
    for text in ("Interactions: push, wave.", "Objects: ball.", '"stage": "semantic"', f"| macro_f1 | {score:.3f} |"):
        assert text in card, text
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["step", "macro_f1", "micro_f1"] and table[2].split()[:2] == ["2", f"{score:.3f}"]


@pytest.mark.parametrize("stage", ["semantic", "meta", "joint"])
def test_a_stopped_run_resumes_as_if_it_had_never_stopped(run, request, monkeypatch, tmp_path, stage):
    """Bit by bit, dropout included."""
    arguments = request.getfixturevalue(stage) | {"steps": 4, "save_every": 2, "ema": 0.5}
    whole = run("whole", **arguments).weights
    save_state = train.Accelerator.save_state

    def save_and_stop(self, *given, **named):
        save_state(self, *given, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train.Accelerator, "save_state", save_and_stop)
        run("stopped", **arguments)
    assert not (tmp_path / "stopped" / "model").exists()
    resumed = run("stopped", **arguments, resume=True)
    assert not changed(resumed.weights, whole) and [row["step"] for row in resumed.log] == [1, 2, 3, 4]


# What is refused, before the first step


def annotated(folder, *records):
    """Arguments that name the videos of records."""
    return {"annotations": write_annotated(folder, *records), "videos": folder, "features": folder / "features.pt"}


def test_videos_without_support_and_query_are_refused_before_their_features_are_computed(run, meta, tmp_path):
    once = [InteractionRecord(1, "push", 2, 4, 6), InteractionRecord(1, "wave", None, 12, 14)]
    videos = annotated(tmp_path / "short", a_record(interactions=once))
    refused(run, "no video has two labelled steps of one interaction", **meta | videos)
    assert not videos["features"].exists()


@pytest.mark.parametrize("stage", ["semantic", "meta", "joint"])
def test_one_interaction_alone_is_refused(run, request, tmp_path, stage):
    videos = annotated(tmp_path / "one", a_record(interactions=[InteractionRecord(1, "push", 2, 4, 12)]))
    refused(run, "two interactions or more.*got push", **request.getfixturevalue(stage) | videos | {"keep_head": False})


@pytest.mark.parametrize("keep_head", [True, False])
def test_an_empty_split_is_refused(run, semantic, tmp_path, keep_head):
    videos = annotated(tmp_path / "empty", validation())
    refused(run, "no training video is in .*annotations.json", **semantic | videos | {"keep_head": keep_head})


@pytest.mark.parametrize("stage", ["tracking", "semantic", "meta", "joint"])
def test_nothing_held_out_is_refused_where_scores_are_asked_for(run, request, tmp_path, stage):
    arguments = request.getfixturevalue(stage) | {"evaluate_every": 1}
    if stage == "tracking":
        arguments.pop("exclude")
    else:
        arguments |= annotated(tmp_path / "training", a_record())
    refused(run, "evaluate_every needs held-out", **arguments)


@pytest.mark.parametrize("stage", ["semantic", "meta", "joint"])
def test_labels_that_a_kept_head_does_not_know_are_refused(run, request, tmp_path, stage):
    videos = annotated(tmp_path / "new", a_record(interactions=[InteractionRecord(1, "juggle", 2, 4, 12)]))
    refused(run, "training videos show interactions .*no class for: juggle", **request.getfixturevalue(stage) | videos)


def test_objects_that_a_kept_head_does_not_know_are_refused(run, semantic, tmp_path):
    videos = annotated(tmp_path / "new", a_record(interactions=[InteractionRecord(1, "push", 3, 4, 12)]))
    refused(run, "training videos show objects .*no class for: dog", **semantic | videos)


def test_held_out_labels_that_no_training_video_shows_are_refused(run, joint, tmp_path):
    held_out = validation(interactions=[InteractionRecord(1, "juggle", 2, 4, 12)])
    videos = annotated(tmp_path / "new", a_record(), held_out) | {"keep_head": False, "evaluate_every": 1}
    videos.pop("features")
    refused(run, "held-out videos show interactions .*no class for: juggle", **joint | videos)


@pytest.mark.parametrize("keep_head", [True, False])
def test_a_checkpoint_of_another_shape_is_refused(run, files, semantic, tmp_path, keep_head):
    save(SemTrackModel.from_pretrained(files / "patch"), tmp_path / "odd")
    config = json.loads((tmp_path / "odd" / "config.json").read_text())
    (tmp_path / "odd" / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    refused(run, "do not match its config.json", **semantic | {"model": tmp_path / "odd", "keep_head": keep_head})


def test_a_new_head_does_not_change_the_tracker(run, semantic, tmp_path):
    (tmp_path / "fields.json").write_text('{"hidden_size": 64}')
    changes = {"keep_head": False, "model_config": tmp_path / "fields.json"}
    refused(run, "model_config changes '.*', which is trained already", **semantic | changes)


def test_features_of_another_network_are_refused(run, semantic, tmp_path, files):
    """Of another width, or only of other weights."""
    run("first", **semantic | {"features": tmp_path / "features.pt"})
    labels = {"id2interaction": {0: "push", 1: "wave"}, "id2object": {0: "ball"}}
    for width in (32, 64):
        other = save(tiny_model(hidden_size=width, **labels), tmp_path / str(width))
        arguments = semantic | {"features": tmp_path / "features.pt", "model": other}
        refused(run, "features.pt' are of another model or other labels", **arguments)


def test_kept_features_of_videos_that_are_now_held_out_are_refused(run, semantic, tmp_path):
    """Else the run would learn from what it is judged by."""
    run("first", **semantic)
    (tmp_path / "exclude.txt").write_text("second\n")
    refused(
        run,
        "hold '.*second.mp4', which this run leaves out",
        **semantic,
        exclude_videos=tmp_path / "exclude.txt",
    )


def test_a_folder_of_another_configuration_is_not_resumed(run, semantic):
    run("refused", **semantic)
    refused(run, "started with other arguments: learning_rate", **semantic | {"learning_rate": 1e-3, "resume": True})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interaction_loss": "hinge"}, "interaction_loss must be one of .*, got 'hinge'"),
        (
            {"stage": "joint", "interaction_loss": "focal"},
            "interaction_loss belongs to the semantic",
        ),
        ({"stage": "meta", "fast": "all"}, "fast must be one of"),
        ({"stage": "meta", "algorithm": "reptile", "learn_rates": True}, "reptile needs"),
        ({"stage": "meta", "fast": "lora"}, "need --lora_rank"),
        ({"stage": "meta", "mixed_precision": "fp16"}, "fp16 underflows; use bf16"),
        (
            {"stage": "meta", "fast": "semantic", "activation_checkpointing": True},
            "wrong gradients for fast",
        ),
        ({"retrain": "tau"}, "retrain must be one of None, crt, lws"),
        ({"retrain": "crt", "keep_head": False}, "retrain is a second stage"),
        ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
        ({"log_every": 0}, "log_every must be 1 or more, got 0"),
        ({"ema": 1.0}, "ema is a decay"),
        ({"model": "nowhere"}, "'nowhere' is not a folder"),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(run, semantic, changes, message):
    refused(run, message, **semantic | changes)
