"""Small folders in the published layouts of tracking sets, for the readers' tests."""

from pathlib import Path

from PIL import Image


def write_images(folder: Path, count: int, size=(64, 48), first: int = 1, digits: int = 8) -> Path:
    """``count`` empty images, named by their numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.new("L", size).save(folder / f"{number:0{digits}d}.jpg")
    return folder


def write_text(path: Path, text: str) -> Path:
    """A text file, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
