"""The stages and options of train.py: what each trains, what stays bit by bit, and what is written."""

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import tiny_model
from training_files import save

pytest.importorskip("accelerate", reason="training needs the extra 'train'")

import train
from modeling_semtrack import SemTrackModel, training_stages
from modeling_semtrack.checkpoint import load_checkpoint
from modeling_semtrack.long_tail import InteractionLoss
from modeling_semtrack.training_activity import fit_activity

pytest_plugins = ["stage_runs"]

HEAD, READOUT = "semantic_head.", "semantic_head.readout."
CLASSIFIER, ACTIVITY = f"{READOUT}activity_classifier.", f"{HEAD}activity."


def before(files, stem="patch"):
    return load_file(files / stem / "model.safetensors")


def changed(weights, others):
    """Names of the weights that differ; both must have the same ones."""
    assert weights.keys() == others.keys()
    return {name for name in weights if not torch.equal(weights[name], others[name])}


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
def test_the_meta_stage_trains_all_of_the_semantic_head_but_its_codes_and_nothing_else(run, files, meta, settings):
    """The fast weights are but what adapts inside an episode; the outer loss teaches the whole head.

    The projection to the codes of the activity is never descended; the classifier of the activity learns.
    """
    done = run(**meta, **settings)
    learned = {name for name in done.weights if name.startswith(HEAD) and not name.startswith(ACTIVITY)}
    assert f"{CLASSIFIER}weight" in learned and changed(done.weights, before(files)) == learned
    assert set(done.log[0]) == {"step", "rate", "loss", "activity", "interaction", "object", "object_box"}
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
    buffers = {f"{ACTIVITY}center", f"{ACTIVITY}scale"}
    stay = {name for name in done.weights if name.startswith(("stem.", "text_projection.")) or name in buffers}
    assert len(stay) > len(buffers) and done.weights.keys() - changed(done.weights, before(files)) == stay
    tracking = {"score", "box_l1", "box_giou", "presence"}
    assert set(done.log[0]) == {"step", "rate", "loss", *tracking, "activity", "interaction", "object", "object_box"}


@pytest.fixture
def fitted(monkeypatch):
    """The weights of the head as each fitting of its activity has left them."""
    after = []

    def fit(trainer, *given, **named):
        fit_activity(trainer, *given, **named)
        after.append({n: value.clone() for n, value in trainer.model.state_dict().items() if n.startswith(HEAD)})

    monkeypatch.setattr(training_stages, "fit_activity", fit)
    return after


def test_the_joint_stage_fits_the_activity_of_a_new_head_and_goes_on_with_a_trained_one(run, joint, fitted):
    run("kept", **joint)
    assert not fitted
    done = run("new", **joint | {"keep_head": False})
    (start,) = fitted
    assert torch.equal(done.weights[f"{ACTIVITY}center"], start[f"{ACTIVITY}center"])
    assert start[f"{ACTIVITY}center"].abs().max() > 0.01
    assert not torch.equal(done.weights[f"{CLASSIFIER}weight"], start[f"{CLASSIFIER}weight"])


@pytest.mark.parametrize("keep_head", [True, False])
def test_in_the_semantic_stage_the_activity_stays_as_fitted_and_the_queries_learn(
    run, files, semantic, fitted, keep_head
):
    done = run(**semantic | {"keep_head": keep_head})
    (start,) = fitted
    parts = {name for name in start if name.startswith((ACTIVITY, CLASSIFIER))}
    assert changed(start, {name: done.weights[name] for name in start}) == start.keys() - parts
    assert parts <= changed(done.weights, before(files))


def test_in_the_meta_stage_a_new_head_s_activity_is_fitted_and_its_classifier_goes_on_learning(run, meta, fitted):
    done = run(**meta | {"keep_head": False})
    (start,) = fitted
    stay = {name for name in start if name.startswith(ACTIVITY)}
    assert stay and changed(start, {name: done.weights[name] for name in start}) == start.keys() - stay


def test_what_goes_on_is_not_fitted_again(run, semantic, meta, fitted, tmp_path):
    """A resumed run, a second stage of the classifier, and meta-learning of a trained head."""
    run("whole", **semantic | {"steps": 1})
    assert len(fitted) == 1
    run("whole", **semantic | {"steps": 1}, resume=True)
    run("second", **semantic, retrain="crt")
    run("meta", **meta)
    assert len(fitted) == 1


def test_features_are_kept_in_a_folder_that_is_not_there_yet(run, semantic, tmp_path):
    run("first", **semantic | {"features": tmp_path / "kept" / "features.pt"})
    assert (tmp_path / "kept" / "features.pt").exists()


def test_a_new_head_is_made_for_the_labels_of_the_videos(run, files, joint, tmp_path):
    model = tiny_model(num_hidden_layers=1, num_semantic_layers=1)  # four interactions, three objects
    done = run(**joint | {"keep_head": False, "model": save(model, tmp_path / "other")})
    assert SemTrackModel.from_pretrained(done.folder / "model").config.id2interaction == {0: "push", 1: "wave"}
    assert done.weights[f"{CLASSIFIER}weight"].shape[0] == 3


# Second stages and losses


def test_crt_trains_the_activity_classifier_anew_and_nothing_else(run, files, semantic):
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
def test_the_interaction_loss_changes_the_terms_of_the_interactions_alone(run, semantic, name):
    plain, other = (run(loss, **semantic, interaction_loss=loss).log[0] for loss in ("cross_entropy", name))
    assert other["activity"] != plain["activity"] and other["interaction"] != plain["interaction"]
    assert other["object"] == plain["object"] and other["object_box"] == plain["object_box"]


def test_ldam_reweights_in_the_last_fifth_of_the_run(run, semantic, monkeypatch):
    phases = []
    forward = InteractionLoss.forward
    monkeypatch.setattr(
        InteractionLoss, "forward", lambda self, *given: phases.append(self.reweighted) or forward(self, *given)
    )
    run(**semantic | {"steps": 5}, interaction_loss="ldam")
    steps = phases[-12:]  # the check before the first step, then the steps: activity and queries each
    assert steps == [False] * 10 + [True] * 2 and not any(phases[:-12])  # before that the activity is fitted


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
