"""What train.py refuses before the first step, in one line, leaving no folder."""

import json

import pytest
from tiny_models import tiny_model
from training_files import a_record, save, validation, write_annotated

pytest.importorskip("accelerate", reason="training needs the extra 'train'")

from dataset_script.records import InteractionRecord
from modeling_semtrack import SemTrackModel

pytest_plugins = ["stage_runs"]


def refused(run, message, **arguments):
    """The run ends with one line that says so, and leaves no folder."""
    with pytest.raises(SystemExit, match=message) as error:
        run("refused", **arguments)
    assert "\n" not in str(error.value)


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
        ({"backdrops": "photos", "passes": 2}, "backdrops belong to a semantic or meta stage of 3 --passes or more"),
        ({"stage": "joint", "backdrops": "photos", "passes": 3}, "backdrops belong to a semantic or meta stage"),
        ({"backdrops": "nowhere", "passes": 3}, "'nowhere' must hold two photos or more"),
        ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
        ({"log_every": 0}, "log_every must be 1 or more, got 0"),
        ({"ema": 1.0}, "ema is a decay"),
        ({"model": "nowhere"}, "'nowhere' is not a folder"),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(run, semantic, changes, message):
    refused(run, message, **semantic | changes)
