"""Splits: stable, by video, the published ones respected, and never crossed by a video that sources share."""

from collections import Counter

import pytest
from training_files import a_record

from dataset_script.sources.reading import SourceError
from dataset_script.splits import SPLITS, common_splits, hashed_split, read_splits, split_of, video_key, write_splits


def from_source(source, video_id, split=None, **metadata):
    told = metadata if split is None else metadata | {"split": split}
    return a_record(video_id, source=source, metadata=told)


def test_the_hash_places_a_video_where_it_always_did():
    """These are pinned: a change would move videos of data sets that people have trained on."""
    keys = ("otb:Basketball", "otb:Bird2", "otb:Jogging", "synthetic:0", "synthetic:7", "ut_interaction:seq3")
    assert [hashed_split(key) for key in keys] == ["train", "test", "train", "test", "train", "test"]


def test_hashed_shares_are_80_10_10():
    counts = Counter(hashed_split(f"video:{number}") for number in range(20_000))
    assert [counts[split] / 20_000 for split in SPLITS] == pytest.approx([0.8, 0.1, 0.1], abs=0.01)


@pytest.mark.parametrize(
    "told, split", [("train", "train"), ("training", "train"), ("val", "validation"), ("Test", "test")]
)
def test_a_published_split_stands(told, split):
    assert split_of(from_source("vidor", "1", told)) == split


def test_a_split_of_another_name_is_an_error():
    with pytest.raises(ValueError, match="video '1': split must be one of .* got 'minival'"):
        split_of(from_source("vidor", "1", "minival"))


SHARED = {
    "VidOR, VidSTG and YFCC100M": (
        from_source("vidor", "2401075277"),
        from_source("vidstg", "2401075277_12_0", video="2401075277"),
        from_source("vidor", "2401075277", yfcc100m={"id": "2401075277", "hash": "f69ebe5b"}),
    ),
    "TAO and YFCC100M, by hash": (
        from_source("tao", "train/YFCC100M/v_f69ebe5b731d3e87c1a3992ee39c3b7e"),
        from_source("semtrack", "YFCC100M/v_f69ebe5b731d3e87c1a3992ee39c3b7e"),
    ),
    "VidVRD and ILSVRC": (
        from_source("vidvrd", "ILSVRC2015_train_00005004"),
        a_record("0", file_name="train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00005004", source="ilsvrc_vid"),
    ),
    "AVA and TAO": (
        from_source("ava", "-IELREHX_js"),
        from_source("tao", "val/AVA/-IELREHX_js_scene_3_1200-2000"),
    ),
    "HACS and TAO": (
        from_source("hacs", "--0edUL8zmA"),
        from_source("tao", "train/HACS/Dodgeball_v_--0edUL8zmA_scene_0_0-1555"),
    ),
    "YouTube in GOT-10k, TrackingNet and BenSMOT": (
        from_source("got10k", "GOT-10k_Train_000001", url="https://youtu.be/P-fKM-2DHoM"),
        from_source("trackingnet", "P-fKM-2DHoM_2"),
        from_source("bensmot", "dancing/P-fKM-2DHoM_0"),
    ),
    "LaSOT and TAO": (from_source("lasot", "zebra-6"), from_source("tao", "train/LaSOT/zebra-6")),
    "MOT16 and every detector of MOT17": (
        from_source("mot", "MOT16-09", sequence="MOT16-09"),
        from_source("mot", "MOT17-09-DPM", sequence="MOT17-09"),
        from_source("mot", "MOT17-09-SDP", sequence="MOT17-09"),
    ),
    "clips of one sequence": (
        from_source("ut_interaction", "set1/0_1_4", sequence="seq1"),
        from_source("ut_interaction", "set1/5_1_2", sequence="seq1"),
    ),
}


@pytest.mark.parametrize("records", SHARED.values(), ids=SHARED)
def test_a_video_that_sources_share_has_one_key_and_one_split(records):
    assert len({video_key(record) for record in records}) == 1
    assert len({split_of(record) for record in records}) == 1


def test_other_videos_have_keys_of_their_own():
    records = [
        from_source("vidor", "2401075277"),
        from_source("vidor", "2401075278"),
        from_source("otb", "2401075277"),
        from_source("mot", "MOT17-10-DPM", sequence="MOT17-10"),
        from_source("mot", "TUD-Campus", sequence="TUD-Campus"),
        from_source("bensmot", "not a YouTube name"),
    ]
    assert len({video_key(record) for record in records}) == len(records)


def test_sources_that_contradict_each_other_settle_for_the_most_reserved_split():
    vidor, vidstg = from_source("vidor", "7", "training"), from_source("vidstg", "7_0_0", "validation", video="7")
    vrd, vid = from_source("vidvrd", "ILSVRC2015_train_1", "train"), from_source("ilsvrc_vid", "x", "train")
    settled = common_splits([vidor, vidstg, vrd, vid])
    assert split_of(vidor) != split_of(vidstg)
    assert split_of(vidor, settled) == split_of(vidstg, settled) == settled["yfcc100m:7"] == "validation"
    assert split_of(vrd, settled) == "train"
    assert common_splits([vidstg, vid, vrd, vidor]) == settled


def test_a_published_split_wins_over_a_hashed_one_whatever_comes_first():
    hidden = next(r for n in range(99) if split_of(r := from_source("yfcc100m", str(n))) == "test")
    known = from_source("vidor", hidden.video_id, "train")
    for records in ([hidden, known], [known, hidden]):
        settled = common_splits(records)
        assert split_of(hidden, settled) == split_of(known, settled) == "train"


def test_the_table_of_yfcc100m_tells_that_tao_and_vidor_share_a_video():
    row = {"id": "2401075277", "hash": "f69ebe5b"}
    vidor = from_source("vidor", "2401075277", "train")
    tao = from_source("tao", "val/YFCC100M/v_f69ebe5b", "validation")
    assert set(common_splits([vidor, tao]).values()) == {"train", "validation"}
    for joined in (from_source("vidor", "2401075277", "train", yfcc100m=row), from_source("tao", "x", yfcc100m=row)):
        for records in ([vidor, tao, joined], [joined, tao, vidor]):
            assert common_splits(records) == {"yfcc100m:2401075277": "validation", "yfcc100m:f69ebe5b": "validation"}


def test_settled_splits_are_kept_in_a_file(tmp_path):
    splits = common_splits([from_source("otb", str(number)) for number in range(30)])
    write_splits(splits, tmp_path / "splits.json")
    assert read_splits(tmp_path / "splits.json") == splits


def test_a_file_with_another_split_is_an_error(tmp_path):
    (tmp_path / "splits.json").write_text('{"otb:a": "dev"}')
    with pytest.raises(SourceError, match="splits.json': 'otb:a' must be in one of .* got 'dev'"):
        read_splits(tmp_path / "splits.json")
