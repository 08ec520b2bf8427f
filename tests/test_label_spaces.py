"""Every source's names are mapped into one space, or listed."""

import json
from dataclasses import replace

import pytest

from dataset_script.label_spaces import (
    KINDS,
    LabelCounts,
    count_labels,
    frequency_groups,
    unified_categories,
    unified_interactions,
    unify,
    unify_category,
    unify_interaction,
    unmapped,
)
from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord


def make_record(interactions, source="vidvrd", categories=("person", "bicycle")):
    targets = [TargetRecord(i, name, {0: (1, 2, 3, 4)}, True) for i, name in enumerate(categories, start=1)]
    return VideoRecord("v", "v.mp4", 64, 48, 25.0, 100, targets, interactions, None, source)


def names_in(path):
    """Class names of one of the OpenVoc-VidVRD lists."""
    return [name for name in json.loads(path.read_text())["cls2id"] if name != "__background__"]


@pytest.fixture(scope="module")
def annotations(shared_data):
    return shared_data / "annotations"


def test_all_132_predicates_of_vidvrd_are_mapped_and_compounds_taken_apart(annotations):
    names = names_in(annotations / "vidvrd/VidVRD_pred_class_spilt_info_v2.json")
    assert len(names) == 132 and all(unify_interaction(name, "vidvrd") for name in names)
    assert unify_interaction("walk_left", "vidvrd") == ("walk", "left of")
    assert unify_interaction("swim_with", "vidvrd") == ("swim", "accompany")
    assert unify_interaction("toward", "vidvrd") == ("approach",)


def test_all_50_predicates_and_80_objects_of_vidor_are_mapped(annotations):
    predicates = names_in(annotations / "vidor/VidOR_PredClass_spilt_info_v2.json")
    objects = names_in(annotations / "vidor/VidOR_OjbectClass_spilt_info_v2.json")
    assert len(predicates) == 50 and len(objects) == 80
    for source in ("vidor", "vidstg"):
        assert all(unify_interaction(name, source) for name in predicates)
        assert all(unify_category(name, source) for name in objects)
    assert unify_interaction("shake_hand_with", "vidor") == ("shake hand with",)
    assert unify_interaction("lift", "vidor") == ("pick up",)
    assert unify_category("panda", "vidor") == "giant_panda"


def test_the_categories_of_the_official_evaluation_keep_their_names(annotations):
    names = (annotations / "semtrack/object_classes_eval_85.txt").read_text().split()
    assert len(names) == 85 and set(names) <= set(unified_categories())
    assert [unify_category(name, "semtrack") for name in names] == names


def test_the_objects_of_vidvrd_meet_those_of_vidor(annotations):
    names = names_in(annotations / "vidvrd/VidVRD_class_spilt_info.json")
    assert len(names) == 35 and all(unify_category(name, "vidvrd") for name in names)
    assert unify_category("domestic_cat", "vidvrd") == unify_category("cat", "vidor") == "cat"
    assert unify_category("bus", "vidvrd") == unify_category("bus/truck", "vidor") == "bus/truck"


def test_the_evaluated_actions_of_ava_and_the_other_twenty_are_mapped(annotations):
    lines = (annotations / "ava/label_map.txt").read_text().splitlines()
    names = [line.split(": ", 1)[1] for line in lines if line.strip()]
    assert len(names) == 60 and all(unify_interaction(name, "ava") for name in names)
    assert unify_interaction("talk to (e.g., self, a person, a group)", "ava") == ("speak to",)
    assert unify_interaction("kick (a person)", "ava") == unify_interaction("kick (an object)", "ava") == ("kick",)
    assert unify_interaction("play board game", "ava") == ("play board game",)


def test_senses_of_bensmot_are_mapped_by_their_word_and_the_odd_ones_listed(annotations):
    senses = [line.split("\t")[0] for line in (annotations / "bensmot/interactions.tsv").read_text().splitlines()]
    missing = [sense for sense in senses if unify_interaction(sense, "bensmot") is None]
    assert len(senses) == 328 and len(missing) == 45
    assert "baptism.n.01" in missing and "money.n.01" in missing
    assert unify_interaction("talk.v.01", "bensmot") == unify_interaction("converse.v.01", "bensmot") == ("speak to",)
    assert unify_interaction("embrace.v.02", "bensmot") == ("hug",)
    assert unify_interaction("pass.v.20", "bensmot") == ("throw",), "one sense may differ from the word's other ones"
    assert unify_interaction("pass.v.05", "bensmot") == ("give",)


def test_the_synthetic_names_and_those_of_ut_interaction_are_mapped():
    from dataset_script.synthetic_law import INTERACTIONS
    from dataset_script.synthetic_props import CATEGORIES

    assert [name for name in INTERACTIONS if unify_interaction(name, "synthetic") is None] == []
    assert [name for name in CATEGORIES if unify_category(name, "synthetic") is None] == ["thing"]
    names = ("handshake", "hug", "kick", "point", "punch", "push")
    found = [unify_interaction(name, "ut_interaction") for name in names]
    assert found == [("shake hand with",), ("hug",), ("kick",), ("point to",), ("hit",), ("push",)]


def test_the_same_thing_has_one_name_whatever_the_source():
    said = {
        "vidor": "speak_to",
        "ava": "talk to (e.g., self, a person, a group)",
        "bensmot": "hash_out.v.01",
        "semtrack": "Speak-To",
    }
    assert {unify_interaction(name, source) for source, name in said.items()} == {("speak to",)}


def test_every_entry_of_the_tables_leads_into_the_space_and_no_further(annotations):
    """A unified name, read as a name of any source, still means itself: unifying twice is unifying once."""
    from dataset_script.label_spaces import _categories, _interactions

    assert len(set(unified_interactions())) == len(unified_interactions())
    for source in ("vidvrd", "vidor", "ava", "ut_interaction", "bensmot", "synthetic", "semtrack"):
        for names in _interactions(source).values():
            assert set(names) <= set(unified_interactions())
            again = {twice for name in names for twice in unify_interaction(name, source)}
            assert again == set(names)
        for name in set(_categories(source).values()) - {None}:
            assert unify_category(name, source) == name


def test_unify_takes_compounds_apart_and_joins_what_then_is_the_same():
    events = [
        InteractionRecord(1, "walk_left", 2, 0, 30),
        InteractionRecord(1, "run_left", 2, 30, 50),
        InteractionRecord(1, "left", 2, 60, 70),
        InteractionRecord(1, "never heard of", None, 5, 6),
    ]
    record = make_record(events)
    unified = unify(record)
    assert unified.interactions == [
        InteractionRecord(1, "walk", 2, 0, 30),
        InteractionRecord(1, "left of", 2, 0, 50),
        InteractionRecord(1, "never heard of", None, 5, 6),
        InteractionRecord(1, "run", 2, 30, 50),
        InteractionRecord(1, "left of", 2, 60, 70),
    ]
    assert unify(unified) == unified
    assert record.interactions == events, "the record itself is not changed"


def test_unify_leaves_unknown_interactions_unknown_and_boxes_alone():
    record = make_record(None, categories=("domestic_cat", None, "gizmo"))
    unified = unify(record)
    assert unified.interactions is None
    assert [target.category for target in unified.targets] == ["cat", None, "gizmo"]
    assert unified == replace(record, targets=unified.targets)
    assert unify(make_record([], source="synthetic", categories=("thing",))).targets[0].category is None


def test_names_without_a_counterpart_are_listed_with_how_often_they_occur():
    odd = [InteractionRecord(1, "yodel at", 2, i, i + 1) for i in range(3)] + [InteractionRecord(1, "ride", 2, 0, 9)]
    records = [make_record(odd, categories=("person", "gizmo")), make_record([], source="vidor")]
    assert unmapped(records)["vidvrd"].to_dict() == {"interactions": {"yodel at": 3}, "categories": {"gizmo": 1}}
    assert "vidor" not in unmapped(records)


def test_counts_per_source_make_the_frequency_groups():
    many = [InteractionRecord(1, "ride", 2, i, i + 1) for i in range(0, 90, 2)]
    records = [make_record(many), make_record([InteractionRecord(1, "hug", 2, 0, 9)], source="vidor")]
    counts = count_labels(records)
    assert counts["vidvrd"].interactions == {"ride": 45} and counts["vidor"].interactions == {"hug": 1}
    assert counts["vidvrd"].categories == {"person": 1, "bicycle": 1}
    assert frequency_groups(counts, many=40, few=5) == {"many": ["ride"], "medium": [], "few": ["hug"]}
    assert count_labels(records, unified=False)["vidvrd"].interactions == {"ride": 45}
    with pytest.raises(ValueError, match="few_shot"):
        frequency_groups({"a": LabelCounts()}, many=5, few=40)


def test_kinds_part_the_interactions():
    assert sum((unified_interactions(kind) for kind in KINDS), ()) == unified_interactions()
    assert "left of" in unified_interactions("position") and "left of" not in unified_interactions("action")
    with pytest.raises(ValueError, match="kinds of interactions are action.*got 'verb'"):
        unified_interactions("verb")
