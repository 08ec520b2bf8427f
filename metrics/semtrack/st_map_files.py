"""Reading a truth and predictions in the SemTrack layout from JSON files.

A million boxes as Python dicts take about a gigabyte. Here a box becomes columns as soon as it is parsed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .st_map_rows import BoxTable, BoxTableBuilder

IMAGE_FIELDS = ("id", "video_id", "frame_index")  # which are read


def read_truth(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The lists of a truth; ``annotations`` is a :class:`BoxTable`.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a complete JSON object with a list ``annotations``, or an annotation is bad.
    """
    truth, table = _read(path, predicted=False)
    if not isinstance(truth, dict) or not isinstance(truth.get("annotations"), list):
        raise ValueError(f"'{path}': expected an object with a list 'annotations'; is it the truth?")
    _check_taken(truth["annotations"], table, path)
    return truth | {"annotations": table}


def read_predictions(path: str | os.PathLike[str]) -> BoxTable:
    """The boxes of a file of predictions.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a complete JSON list, or a box is bad.
    """
    rows, table = _read(path, predicted=True)
    if not isinstance(rows, list):
        raise ValueError(f"'{path}': expected a list of boxes, got {type(rows).__name__}; is it the predictions?")
    _check_taken(rows, table, path)
    return table


def _read(path: str | os.PathLike[str], predicted: bool) -> tuple[Any, BoxTable]:
    """The content with None in place of each box, and the boxes."""
    builder = BoxTableBuilder(predicted)

    def take(row: dict[str, Any]) -> dict[str, Any] | None:
        if "image_id" in row or "bbox" in row:
            builder.add(row)
            return None
        if "frame_index" in row:  # an image, of which there are nearly as many
            return {field: row[field] for field in IMAGE_FIELDS if field in row}
        return row

    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"), object_hook=take)
    except json.JSONDecodeError as error:
        place = f"'{path}', line {error.lineno}, column {error.colno}"
        raise ValueError(f"{place}: not complete JSON ({error.msg}); it is damaged or cut short") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"'{path}', byte {error.start}: not UTF-8 text; expected a JSON file") from error
    return content, builder.finish()


def _check_taken(rows: list[Any], table: BoxTable, path: str | os.PathLike[str]) -> None:
    other = next((number for number, row in enumerate(rows) if row is not None), None)
    if other is not None:
        raise ValueError(
            f"'{path}', row {other}: expected an object with image_id, track_id and bbox, got {rows[other]!r}"
        )
    if len(rows) != len(table):
        raise ValueError(f"'{path}': {len(table) - len(rows)} boxes lie outside its list of boxes")
