"""The ablation trains its rows with train.py, judges them, and does nothing twice."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_models import tiny_model, tiny_processor
from training_files import a_record, write_annotated

pytest.importorskip("accelerate", reason="training needs the extra 'train'")

from benchmarks import ablation, ablation_world
from benchmarks.ablation_grid import HEAD, VARIANTS
from benchmarks.ablation_world import APART, SHARED, SPLITS, World, followed_steps, make_models, tracks
from modeling_semtrack.checkpoint import load_checkpoint
from modeling_semtrack.training_arguments import check_arguments, parse_arguments

SIZES = {"crop": 64, "crop_factor": 2.0, "fps": 25.0, "stride": 3, "seeds": (0, 2, 4)}


def shortened(variant):
    return replace(variant, arguments={**variant.arguments, "steps": 2})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two videos in each split, and a random tracker of width 32 in place of the bundled one."""
    folder = tmp_path_factory.mktemp("world")
    for split in SPLITS:
        write_annotated(folder / split, a_record(f"{split}_one"), a_record(f"{split}_two"))
    bundled = folder / "bundled"
    tiny_model().save_pretrained(bundled)
    tiny_processor().save_pretrained(bundled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation_world, "BUNDLED", bundled)
        patch.setattr(ablation, "BUNDLED", bundled)
        patch.setattr(ablation, "VARIANTS", {name: shortened(variant) for name, variant in VARIANTS.items()})
        patch.setenv("ACCELERATE_USE_CPU", "true")
        patch.delenv("WORLD_SIZE", raising=False)
        world = World(folder, ("push", "wave"), (2, 2, 2), 1.0, (1.0, 1.0), **SIZES)
        ablation.prepare(world)
        yield world


def test_a_row_is_trained_and_judged_once(world, monkeypatch):
    first = ablation.run(world, "end_to_end", 0)
    assert 0 <= first["none"]["f1"]["overall"] <= 100 and first["support"]["per_class"].keys() == {"push", "wave"}
    monkeypatch.setattr(ablation.train, "main", lambda words: pytest.fail("trained again"))
    assert ablation.run(world, "end_to_end", 0) == json.loads(json.dumps(first))


def test_the_report_holds_what_was_run_and_the_untouched_tracker(world):
    ablation.run(world, "full", 0)
    report = ablation.summary(world, seeds=1)
    assert report["rows"]["full"]["seeds"] == 1
    assert report["tracking"]["models"] >= 1 and report["tracking"]["boxes"] > 0
    assert 0 <= report["tracking"]["ao"] <= 1


def test_every_row_is_a_command_line_that_train_accepts(world):
    for name, variant in VARIANTS.items():
        check_arguments(parse_arguments(ablation.words_of(world, name, 1)))
        assert variant.start is None or variant.start in VARIANTS


def test_the_classifier_apart_shares_nothing_with_the_tracker_but_the_imagenet_stem(world):
    tracker, apart = (load_checkpoint(world.model(source))[0].state_dict() for source in (SHARED, APART))
    same = [name for name in tracker if name.startswith("stem.") and not np.array_equal(tracker[name], apart[name])]
    assert not same
    for name in ("stem_projection.weight", "layers.0.attention.q_proj.weight", "target_token"):
        assert not np.array_equal(tracker[name], apart[name])


def test_models_are_not_made_again(world):
    file = world.model(SHARED) / "model.safetensors"
    before = file.stat().st_mtime_ns
    make_models(world, HEAD)
    assert file.stat().st_mtime_ns == before


def test_where_the_target_is_lost_its_last_box_stands_in_and_is_not_right(world):
    video, row = world.read("test")[0], tracks(world, "test")[0]
    model, _ = load_checkpoint(world.model(SHARED))
    track = row["tracks"][0] | {"track_id": 1, "frames": [0, 3], "boxes": [[1.0, 2.0, 9.0, 9.0], [4.0, 5.0, 9.0, 9.0]]}
    (labels, truth, tracked), *_ = followed_steps(video, row | {"tracks": [track]}, model.config)
    assert [label.frame_index for label in labels[:4]] == [0, 3, 6, 9]
    assert [label.box[:2] for label in labels[:4]] == [(1.0, 2.0), (4.0, 5.0), (4.0, 5.0), (4.0, 5.0)]
    assert np.isnan(tracked[2:]).all() and not np.isnan(tracked[:2]).any()
    assert truth[0].tolist() == [4.0, 20.0, 14.0, 24.0]
