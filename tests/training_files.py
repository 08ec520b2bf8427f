"""Small photos, sequences and annotated videos for the tests of training; the target is red, and nothing else is."""

import os
import sys
from contextlib import contextmanager
from unittest import mock

import numpy as np
from PIL import Image
from tiny_models import noise_frame, tiny_processor

from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord
from dataset_script.sources.otb import read_sequences
from dataset_script.sources.semtrack import write_semtrack
from modeling_semtrack.video import VideoWriter

RED, BLUE = (255, 0, 0), (0, 0, 255)


def red_frame(box, height=90, width=120, seed=0):
    """A green and blue texture with a red rectangle at `box` (xywh whole pixels; None: nowhere)."""
    frame = noise_frame(height, width, seed)
    frame[..., 0] = 0
    if box is not None:
        x, y, w, h = (int(v) for v in box)
        frame[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = RED
    return frame


def box_of(mask):
    """The xywh box of the True pixels, or None."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    x, y = int(columns.min()), int(rows.min())
    return (x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y)


def red_box(image):
    """Where the red rectangle is: xywh, or None."""
    return box_of(image[..., 0] > 127)


def write_photos(folder, masks=None, count=3, height=90, width=120):
    """Photos with a red ellipse each, and the masks of the ellipses."""
    y, x = np.mgrid[:height, :width]
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        inside = ((x / width - 0.5) / 0.2) ** 2 + ((y / height - 0.4) / 0.3) ** 2 < 1
        photo = red_frame(None, height, width, seed=number)
        photo[inside] = RED
        Image.fromarray(photo).save(folder / f"photo{number}.png")
        if masks is not None:
            write_mask(masks / f"photo{number}.png", inside)
    return folder


def write_mask(path, inside):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((255 * inside).astype(np.uint8)).save(path)


def write_sequence(folder, boxes, masks=False, height=90, width=120):
    """One OTB-like sequence of a red rectangle; None where the target is absent."""
    (folder / "img").mkdir(parents=True)
    rows = []
    for index, box in enumerate(boxes):
        frame = red_frame(box, height, width, seed=index)
        Image.fromarray(frame).save(folder / "img" / f"{index + 1:04d}.png")
        rows.append("NaN,NaN,NaN,NaN" if box is None else ",".join(map(str, box)))
        if masks:
            write_mask(folder / "mask" / f"{index + 1:04d}.png", frame[..., 0] > 127)
    (folder / "groundtruth.txt").write_text("\n".join(rows) + "\n")
    return read_sequences(folder)[0]


def moving(count, side=16):
    """Boxes of a rectangle that crosses the frame."""
    return [(4 + 3 * index, 10 + 2 * index, side, side + 4) for index in range(count)]


def a_record(video_id="one", frames=20, **changes):
    """A person pushes a ball, waves meanwhile, and does nothing before and after; a dog is only there."""
    person = {index: (4.0 + 2 * index, 20.0, 14.0, 24.0) for index in range(frames)}
    ball = {index: (24.0 + 2 * index, 34.0, 10.0, 10.0) for index in range(frames)}
    fields = {
        "video_id": video_id,
        "file_name": f"{video_id}.mp4",
        "width": 96,
        "height": 72,
        "fps": 25.0,
        "num_frames": frames,
        "targets": [
            TargetRecord(1, "person", person, True),
            TargetRecord(2, "ball", ball, False),
            TargetRecord(3, "dog", {index: (70.0, 4.0, 12.0, 12.0) for index in range(frames)}, False),
        ],
        "interactions": [InteractionRecord(1, "push", 2, 4, 12), InteractionRecord(1, "wave", None, 8, 16)],
        "prompt": None,
        "source": "test",
    }
    return VideoRecord(**(fields | changes))


def write_annotated(folder, *records):
    """The annotation file of the records, with their videos beside it: the first target is red, the second blue."""
    folder.mkdir(parents=True, exist_ok=True)
    for record in records:
        with VideoWriter(folder / record.file_name, record.fps, preset="ultrafast", crf=10) as writer:
            for index in range(record.num_frames):
                frame = red_frame(record.targets[0].boxes.get(index), record.height, record.width, seed=1)
                for target in record.targets[1:2]:
                    if index in target.boxes:
                        x, y, w, h = (int(v) for v in target.boxes[index])
                        frame[y : y + h, x : x + w] = BLUE
                writer.write(frame, index / record.fps)
    write_semtrack(records, folder / "annotations.json")
    return folder / "annotations.json"


def command_line(arguments):
    """Arguments by name as words; a list is several values of one."""
    words = []
    for name, value in arguments.items():
        words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return words


@contextmanager
def training_in_process():
    """Gives a function of (output folder, arguments by name) that runs train.main here, on one CPU process."""
    from accelerate.state import AcceleratorState, GradientState

    import train

    def forget():
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()

    def call(output, **arguments):
        forget()
        with mock.patch.object(sys, "argv", ["train.py", *command_line({"output_dir": output} | arguments)]):
            train.main()

    kept = {name: value for name, value in os.environ.items() if name != "WORLD_SIZE"}
    with mock.patch.dict(os.environ, kept | {"ACCELERATE_USE_CPU": "true"}, clear=True):
        yield call
        forget()


def validation(**changes):
    """The record of a held-out video."""
    return a_record("validation", metadata={"split": "validation"}, **changes)


def save(model, folder):
    """A checkpoint of a tiny model; the folder."""
    model.save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder
