"""The reader of BenSMOT, on the layout that its authors document."""

import pytest
from tracking_sets import write_images, write_text

from dataset_script.records import InteractionRecord
from dataset_script.sources.bensmot import read_bensmot
from dataset_script.sources.reading import SourceError

GT = "1,1,10,20,30,40,1,1,1\n1,3,50,20,30,40,1,1,1\n2,1,12,20,30,40,1,1,1\n4,3,80,60,-30,-40,1,1,1\n4,5,0,0,9,9,1,1,1\n"
CAPTIONS = "woman0: A woman in the red blouse: she smiles.\nMan0: A man walks behind her.\n"
GRAPH = """<?xml version="1.0" encoding="utf-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="d0" for="edge" attr.name="relationship" attr.type="string"/>
  <graph edgedefault="directed">
    <node id="woman0"/><node id="man0"/>
    <edge source="woman0" target="man0"><data key="d0">look.v.01,talk.v.01</data></edge>
    <edge source="man0" target="woman0"><data key="d0">clap.v.04.take.v.04,cooperation</data></edge>
  </graph>
</graphml>
"""
NAME = "train/dancing_with_child/01Ss_Kfo6ag_0"


@pytest.fixture
def bensmot(tmp_path):
    make_video(tmp_path / NAME)
    return tmp_path


def make_video(folder, **files):
    """Images 001, 002 and 004: the numbers of frames leave gaps."""
    write_images(folder / "imgs", 2, digits=3)
    write_images(folder / "imgs", 1, first=4, digits=3)
    texts = {
        "gt/gt.txt": GT,
        "instance_captions.txt": CAPTIONS,
        "video_caption.txt": "Two dance.\n",
        "interactions.graphml": GRAPH,
    }
    for name, text in {**texts, **files}.items():
        write_text(folder / name, text)
    return folder


def test_tracks_captions_and_categories(bensmot):
    (record,) = read_bensmot(bensmot)
    assert (record.video_id, record.file_name) == ("dancing_with_child/01Ss_Kfo6ag_0", f"{NAME}/imgs")
    assert (record.width, record.height, record.num_frames) == (64, 48, 3)
    woman, man, bystander = record.targets
    assert woman.boxes == {0: (10, 20, 30, 40), 1: (12, 20, 30, 40)}
    assert man.boxes == {0: (50, 20, 30, 40), 2: (50, 20, 30, 40)}, "frame 4 is the third image; a turned over box"
    assert [(t.track_id, t.category, t.main) for t in record.targets] == [
        (1, "woman", True),
        (3, "man", True),
        (5, "person", False),
    ]
    assert bystander.boxes == {2: (0, 0, 9, 9)}
    assert record.metadata["captions"] == {
        "1": "A woman in the red blouse: she smiles.",
        "3": "A man walks behind her.",
    }
    assert (record.metadata["summary"], record.metadata["activity"]) == ("Two dance.", "dancing_with_child")


def test_interactions_last_as_long_as_both_are_seen_and_say_so(bensmot):
    (record,) = read_bensmot(bensmot, "train")
    assert record.interactions == [
        InteractionRecord(1, "look.v.01", 3, 0, 1),
        InteractionRecord(1, "talk.v.01", 3, 0, 1),
        InteractionRecord(3, "clap.v.04", 1, 0, 1),
        InteractionRecord(3, "take.v.04", 1, 0, 1),
        InteractionRecord(3, "cooperation", 1, 0, 1),
    ]
    assert (record.metadata["interaction_times"], record.metadata["persons_matched_by"]) == ("presence", "name")


def test_a_video_without_semantic_files_has_unknown_interactions(bensmot):
    for name in ("instance_captions.txt", "video_caption.txt", "interactions.graphml"):
        (bensmot / NAME / name).unlink()
    (record,) = read_bensmot(bensmot)
    assert record.interactions is None and record.prompt is None
    assert {(t.category, t.main) for t in record.targets} == {("person", False)}
    assert "interaction_times" not in record.metadata


def test_the_caption_of_the_only_captioned_person_is_the_prompt(bensmot):
    make_video(
        bensmot / NAME, **{"instance_captions.txt": "man0: A man waves.\n", "interactions.graphml": GRAPH[:1] * 0}
    )
    (bensmot / NAME / "interactions.graphml").unlink()
    (record,) = read_bensmot(bensmot)
    assert record.prompt == "A man waves."


def test_persons_that_the_graph_numbers_otherwise_are_found_by_their_order(bensmot):
    rows = "".join(row + "\n" for row in GT.splitlines() if row.split(",")[1] != "5")
    make_video(bensmot / NAME, **{"interactions.graphml": GRAPH.replace('"man0"', '"man1"'), "gt/gt.txt": rows})
    (record,) = read_bensmot(bensmot)
    assert record.interactions[0] == InteractionRecord(1, "look.v.01", 3, 0, 1)
    assert record.metadata["persons_matched_by"] == "order"


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("gt/gt.txt", "1,1,10,20\n", r"gt.txt', line 1: expected frame, id, left.*got 4 cells"),
        ("gt/gt.txt", "3,1,10,20,30,40\n", r"gt.txt', line 1: there is no image of frame 3"),
        ("gt/gt.txt", "x,1,1,10,20,30\n", r"gt.txt', line 1, column 1 \(frame\): expected an integer"),
        (
            "instance_captions.txt",
            "a woman dances\n",
            r"instance_captions.txt', line 1: expected a new 'name: caption'",
        ),
        ("interactions.graphml", GRAPH[:300], r"interactions.graphml', line 6, column \d+: not complete GraphML"),
        ("interactions.graphml", GRAPH.replace('"man0"', '"man1"'), r"cannot tell which of the 3 tracks is man1"),
        ("interactions.graphml", GRAPH.replace('target="man0"', 'target="x"'), r"edge 1: expected nodes among woman0"),
    ],
    ids=["cells", "frame", "shifted column", "caption", "truncated", "person", "edge"],
)
def test_a_broken_file_is_named_and_the_video_can_be_passed_over(bensmot, name, content, message):
    make_video(bensmot / "train/dancing_with_child/zz")
    write_text(bensmot / NAME / name, content)
    with pytest.raises(SourceError, match=message):
        list(read_bensmot(bensmot))
    broken = []
    assert [r.video_id for r in read_bensmot(bensmot, broken=broken)] == ["dancing_with_child/zz"]
    assert len(broken) == 1


def test_a_wrong_folder_says_what_was_expected_and_what_was_found(tmp_path, shared_data):
    with pytest.raises(SourceError, match=r"expected the videos of BenSMOT .* \(train or test\), found .*ava/"):
        list(read_bensmot(shared_data / "annotations"))
    (tmp_path / "train").mkdir()
    with pytest.raises(SourceError, match="train': expected the videos of BenSMOT .*, found nothing"):
        list(read_bensmot(tmp_path))
