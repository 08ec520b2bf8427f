"""SemTrackConfig: presets, label maps, JSON round trip, and what it refuses."""

import json

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from tiny_models import BACKBONES, INTERACTIONS, OBJECTS, STEMS, tiny_config

from modeling_semtrack import SemTrackConfig, SemTrackModel

PRESETS = ("tiny", "small", "base")


@pytest.mark.parametrize(
    "preset, smallest, largest", [("tiny", 4e6, 8e6), ("small", 35e6, 45e6), ("base", 100e6, 120e6)]
)
def test_presets_have_the_size_they_promise(preset, smallest, largest):
    with torch.device("meta"):
        model = SemTrackModel(getattr(SemTrackConfig, preset)())
    assert smallest < sum(parameter.numel() for parameter in model.parameters()) < largest


def test_tiny_fits_its_limit_with_the_label_maps_of_the_published_data_set():
    labels = {"id2interaction": {i: f"i{i}" for i in range(52)}, "id2object": {i: f"o{i}" for i in range(115)}}
    with torch.device("meta"):
        model = SemTrackModel(SemTrackConfig.tiny(**labels))
    assert sum(parameter.numel() for parameter in model.parameters()) < 8e6


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_takes_overrides(preset):
    config = getattr(SemTrackConfig, preset)(num_hidden_layers=3, id2object=OBJECTS)
    assert (config.num_hidden_layers, config.num_objects) == (3, 3)


@pytest.mark.parametrize("make", [*(getattr(SemTrackConfig, p) for p in PRESETS), lambda: tiny_config("resnet")])
def test_json_gives_the_same_configuration_back(make):
    config = make()
    data = json.loads(json.dumps(config.to_dict()))
    again = SemTrackConfig.from_dict(data)
    assert again.to_dict() == config.to_dict()
    assert type(again.backbone_config) is type(config.backbone_config)


@pytest.mark.parametrize("stem", STEMS)
def test_a_folder_gives_the_same_configuration_back(stem, tmp_path):
    config = tiny_config(stem, presence_threshold=0.3)
    config.save_pretrained(tmp_path)
    again = SemTrackConfig.from_pretrained(tmp_path)
    assert again.to_dict() == config.to_dict()
    assert again.id2interaction == INTERACTIONS  # ids are numbers again, not strings


def test_label_maps_can_be_read_both_ways():
    config = tiny_config()
    assert [config.interaction2id[name] for name in INTERACTIONS.values()] == list(INTERACTIONS)
    assert [config.object2id[name] for name in OBJECTS.values()] == list(OBJECTS)
    assert (config.num_interactions, config.num_objects) == (4, 3)


def test_without_label_maps_there_are_no_classes():
    config = SemTrackConfig()
    assert (config.num_interactions, config.num_objects) == (0, 0)


def test_label_maps_are_sorted_by_id():
    assert list(SemTrackConfig(id2object={"2": "c", "0": "a", "1": "b"}).id2object.items()) == [
        (0, "a"),
        (1, "b"),
        (2, "c"),
    ]


def test_a_backbone_may_be_given_as_a_configuration_object():
    config = tiny_config("dinov2")
    same = tiny_config("dinov2", backbone_config=config.backbone_config)
    assert same.to_dict() == config.to_dict()


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"stem": "convolution"}, r"stem must be one of conv, patch, backbone, got 'convolution'"),
        ({"stem": "backbone"}, r"backbone_config .* got stem='backbone' with backbone_config=None"),
        ({"stem": "conv", "backbone_config": BACKBONES["resnet"]}, r"got stem='conv' with backbone_config=set"),
        ({"semantic_head": "queries"}, r"semantic_head must be one of query, none, got 'queries'"),
        ({"hidden_size": 100}, r"hidden_size \(100\) must be a multiple of num_attention_heads \(3\)"),
        ({"patch_size": 0}, r"patch_size must be at least 1, got 0"),
        ({"num_hidden_layers": 0}, r"num_hidden_layers must be at least 1, got 0"),
        ({"memory_length": 0}, r"memory_length must be at least 1, got 0"),
        ({"memory_grid": -1}, r"memory_grid must be at least 1, got -1"),
        ({"semantic_stride": 0}, r"semantic_stride must be at least 1, got 0"),
        ({"presence_threshold": 1.0}, r"presence_threshold must lie between 0 and 1, got 1.0"),
        ({"hidden_size": "192"}, r"'hidden_size' expected int, got str"),
        ({"use_scene_context": "yes"}, r"'use_scene_context' expected bool, got str"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(fields, message):
    with pytest.raises(StrictDataclassError, match=message):
        SemTrackConfig(**fields)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"backbone_config": {"model_type": "vitt"}}, r"backbone_config .*model_type .* got 'vitt'"),
        ({"backbone_config": {"depths": [1]}}, r"backbone_config .*model_type .* got None"),
        ({"id2interaction": {0: "push", 2: "pull"}}, r"id2interaction must number .* 0 to 1 .* got ids \[0, 2\]"),
        ({"id2object": {0: "ball", 1: "ball"}}, r"id2object must not name a label twice, got \['ball'\]"),
    ],
)
def test_malformed_parts_are_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        SemTrackConfig(**fields)


def test_a_later_assignment_is_checked_too():
    config = SemTrackConfig()
    with pytest.raises(StrictDataclassError, match="hidden_size"):
        config.hidden_size = "wide"


def test_a_backbone_that_is_none_is_refused():
    """A model type that transformers knows but cannot use as a backbone fails with the name of its config."""
    with pytest.raises(ValueError, match="ViTConfig|'vit'"):
        SemTrackModel(SemTrackConfig(stem="backbone", backbone_config={"model_type": "vit"}))
