"""Helpers of the source adapters' tests: published files laid out as after download, and damaged."""

import json
import shutil

import pytest

from dataset_script.sources.reading import SourceError


def place(source, target):
    """Copies a file to where the adapter expects it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target


def write_json(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def cut_short(path, share=0.5):
    """The file as it is when a download breaks off."""
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def error_of(records):
    """The message of the SourceError that reading raises: always one line."""
    with pytest.raises(SourceError) as caught:
        list(records)
    assert "\n" not in str(caught.value)
    return str(caught.value)
