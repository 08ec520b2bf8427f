"""BenSMOT: 3,292 videos of people with their tracks, captions and pairwise interactions (WordNet senses).

Home page: https://github.com/HengLan/SMOT (annotation format: BenSMOT.md there). For research.
Citation: Li et al., "Beyond MOT: Semantic Multi-Object Tracking", ECCV 2024.

Folder, after download::

    data_dir/train/dancing_with_child/01Ss_Kfo6ag_0/imgs/001.jpg ...
                                                    gt/gt.txt               frame,id,left,top,width,height,...
                                                    video_caption.txt
                                                    instance_captions.txt   woman0: A woman in the red blouse ...
                                                    interactions.graphml    edges with a list of senses
    data_dir/test/...

The n-th line of ``instance_captions.txt`` is the track with the n-th smallest id. The number in an image's name
is its frame in ``gt.txt``; numbers may leave gaps, a record counts the images. Boxes whose width or height is
negative name the opposite corner; they are turned over. Some videos come without captions and interactions.

The source tells who interacts with whom and how, but not when: an interaction lasts from the first to the last
frame that shows both, and ``metadata["interaction_times"]`` is ``"presence"``. It states no frame rate either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from dataset_script.records import Box, InteractionRecord, TargetRecord, VideoRecord

from .frames import list_images, probe
from .reading import (
    Broken,
    Cell,
    SourceError,
    contents,
    find_splits,
    integer,
    listed,
    number,
    parse_row,
    read_each,
    read_rows,
)
from .sequences import NOMINAL_FPS

SOURCE = "bensmot"
FOLDERS = {"train": ("train",), "test": ("test",)}
PERSON = "person"  # the category of a track without a caption: all targets of BenSMOT are people
SENSE = re.compile(r"[A-Za-z_'-]+\.[anrsv]\.\d+")  # of WordNet: shake_hands.v.01
COLUMNS: dict[str, Cell] = {
    "frame": integer(1),
    "id": integer(0),
    "left": number(),
    "top": number(),
    "width": number(),
    "height": number(),
}


def read_bensmot(data_dir: str | Path, split: str | None = None, broken: list[Broken] | None = None
                 ) -> Iterator[VideoRecord]:  # fmt: skip
    """Streams the videos by split, activity and name.

    A person with a caption is a main target; its category is what the annotators call it (``"man"``). The
    interactions are WordNet senses (``"talk.v.01"``), or plain words where the annotators left the list.
    Captions go into ``metadata["captions"]`` (by track id) and ``metadata["summary"]``.

    Args:
        data_dir: The folder; see above.
        split: ``"train"``, ``"test"``, or None for all that is there.
        broken: None to raise at the first broken video, or the list that collects them.

    Raises:
        SourceError: If the folder is not BenSMOT, or (with ``broken`` None) a video is broken.
        ValueError: If there is no split of that name.
    """
    root, what = Path(data_dir), "the videos of BenSMOT (<activity>/<video>/gt/gt.txt)"
    for name, folder in find_splits(root, split, FOLDERS, what).items():
        videos = sorted(path.parent.parent for path in folder.glob("*/*/gt/gt.txt"))
        if not videos:
            raise SourceError(folder, f"expected {what}, found {contents(folder)}; give the folder of its parents")
        yield from read_each(videos, lambda video, name=name: _record(video, root, name), broken, lambda video: video)


def _record(folder: Path, root: Path, split: str) -> VideoRecord:
    info = probe(folder / "imgs")
    boxes = _boxes(folder / "gt" / "gt.txt", _frame_numbers(folder / "imgs"))
    captions = _captions(folder / "instance_captions.txt", sorted(boxes))
    names = {track: name for track, (name, _) in captions.items()}
    interactions, matched_by = _interactions(folder / "interactions.graphml", names, boxes, info.count)
    summary = folder / "video_caption.txt"
    return VideoRecord(
        video_id=f"{folder.parent.name}/{folder.name}",
        file_name=(folder / "imgs").relative_to(root).as_posix(),
        width=info.width,
        height=info.height,
        fps=NOMINAL_FPS,
        num_frames=info.count,
        targets=[
            TargetRecord(track, _category(names.get(track)), frames, track in captions)
            for track, frames in sorted(boxes.items())
        ],
        interactions=interactions,
        prompt=next(iter(captions.values()))[1] if len(captions) == 1 else None,
        source=SOURCE,
        metadata={
            "split": split,
            "fps_assumed": True,
            "activity": folder.parent.name,
            "captions": {str(track): caption for track, (_, caption) in captions.items()},
            **({"summary": summary.read_text(encoding="utf-8-sig").strip()} if summary.is_file() else {}),
            **({"interaction_times": "presence", "persons_matched_by": matched_by} if matched_by else {}),
        },
    )


def _frame_numbers(images: Path) -> dict[int, int]:
    """Index of each image by the number in its name."""
    numbers = {}
    for index, path in enumerate(list_images(images)):
        if not path.stem.isdecimal():
            raise SourceError(path, "expected an image named by its frame's number, like 001.jpg")
        numbers[int(path.stem)] = index
    return numbers


def _boxes(path: Path, index_of: Mapping[int, int]) -> dict[int, dict[int, Box]]:
    """Boxes by track and frame; of two rows for the same, the first."""
    boxes: dict[int, dict[int, Box]] = {}
    for row in read_rows(path):
        if len(row.cells) < len(COLUMNS):
            raise SourceError(row.where, f"expected {', '.join(COLUMNS)} and more, got {len(row.cells)} cells")
        cells = parse_row(row._replace(cells=row.cells[: len(COLUMNS)]), COLUMNS)
        frame = index_of.get(cells["frame"])
        if frame is None:
            raise SourceError(row.where, f"there is no image of frame {cells['frame']}")
        boxes.setdefault(cells["id"], {}).setdefault(frame, _turned_over(cells))
    return boxes


def _turned_over(cells: Mapping[str, Any]) -> Box:
    width, height = cells["width"], cells["height"]
    return cells["left"] + min(width, 0), cells["top"] + min(height, 0), abs(width), abs(height)


def _captions(path: Path, tracks: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Name and caption by track."""
    if not path.is_file():
        return {}
    lines = [(n, line) for n, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1) if line.strip()]
    named = {}
    for place, line in lines:
        name, colon, caption = (part.strip() for part in line.partition(":"))
        if not colon or not name or name in named:
            raise SourceError(f"'{path}', line {place}", f"expected a new 'name: caption', got {line[:60]!r}")
        named[name] = caption
    if len(named) > len(tracks):
        raise SourceError(path, f"captions {len(named)} persons, but gt.txt has {len(tracks)} tracks")
    return dict(zip(tracks, named.items()))


def _category(name: str | None) -> str:
    return (name or "").rstrip("0123456789").lower() or PERSON


def _interactions(path: Path, names: Mapping[int, str], boxes: Mapping[int, Mapping[int, Box]], frames: int
                  ) -> tuple[list[InteractionRecord] | None, str | None]:  # fmt: skip
    """Who does what with whom, None where it is not annotated; and how persons were found in the graph."""
    if not path.is_file():
        return None, None
    nodes, edges = _graph(path)
    track_of, matched_by = _match(path, nodes, names, sorted(boxes))
    events = []
    for place, (source, target, senses) in enumerate(edges, start=1):
        if source not in track_of or target not in track_of:
            why = f"expected nodes among {listed(nodes)}, got {source!r} and {target!r}"
            raise SourceError(f"'{path}', edge {place}", why)
        subject, other = track_of[source], track_of[target]
        start, end = _presence(boxes[subject], boxes[other], frames)
        other = None if other == subject else other
        events += [InteractionRecord(subject, sense, other, start, end) for sense in _senses(senses)]
    return events, matched_by


def _graph(path: Path) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Nodes, and edges as (source, target, list of senses)."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        line, column = error.position
        raise SourceError(f"'{path}', line {line}, column {column}", f"not complete GraphML ({error.msg})") from error
    nodes = [node.get("id", "").strip() for node in root.iterfind(".//{*}node")]
    edges = [
        (edge.get("source", "").strip(), edge.get("target", "").strip(), _text(edge))
        for edge in root.iterfind(".//{*}edge")
    ]
    return nodes, edges


def _text(edge: ElementTree.Element) -> str:
    """What the edge's data say; some tools write numbers beside the senses."""
    texts = [(data.text or "").strip() for data in edge.iterfind("{*}data")]
    return ",".join(text for text in texts if text and not re.fullmatch(r"[-+.\d]+", text))


def _match(path: Path, nodes: Sequence[str], names: Mapping[int, str], tracks: Sequence[int]
           ) -> tuple[dict[str, int], str]:  # fmt: skip
    """Track of each node: by its name, or by their order where annotators numbered persons otherwise."""
    by_name = {name.lower(): track for track, name in names.items()}
    found = {node: by_name[node.lower()] for node in nodes if node.lower() in by_name}
    if len(found) == len(nodes):
        return found, "name"
    if len(nodes) == len(tracks):
        return dict(zip(nodes, tracks)), "order"
    unknown = listed([node for node in nodes if node not in found])
    why = f"cannot tell which of the {len(tracks)} tracks is {unknown}: the captions name {listed(by_name) or 'nobody'}"
    raise SourceError(path, why)


def _presence(first: Mapping[int, Box], second: Mapping[int, Box], frames: int) -> tuple[int, int]:
    """First frame that shows both and the one after the last; the whole video where none does."""
    both = first.keys() & second.keys()
    return (min(both), max(both) + 1) if both else (0, frames)


def _senses(text: str) -> list[str]:
    """The senses of an edge, each once: ``look.v.01,talk.v.01``, also where a dot stands for the comma."""
    found = [sense for part in text.split(",") for sense in SENSE.findall(part) or [part.strip()] if sense]
    return list(dict.fromkeys(found))
