"""Lists of names in text files: the written splits."""

from __future__ import annotations

from pathlib import Path


def read_names(path: str | Path) -> set[str]:
    """Names in a text file, one per line; `#` starts a comment."""
    lines = (line.split("#")[0].strip() for line in Path(path).read_text().splitlines())
    return {line for line in lines if line}
