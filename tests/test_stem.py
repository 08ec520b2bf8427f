"""Stems: feature maps of the promised shape, exact batch-norm folding, TensorFlow's padding."""

import pytest
import torch
from tiny_models import STEMS, VIEW_SIZE, tiny_config, tiny_model
from torch import nn

from modeling_semtrack.stem_semtrack import (
    IMAGES_IN_CACHE,
    ConvStem,
    InvertedResidual,
    build_stem,
    same_padding,
)

STRIDES = {"patch": 16, "conv": 16, "resnet": 8, "dinov2": 16}
EPS = 1e-3


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
def test_a_stem_gives_one_cell_per_stride(stem, size):
    module = build_stem(tiny_config(stem)).eval()
    features = module(torch.randn(2, 3, *size))
    assert features.shape == (2, module.channels, size[0] // STRIDES[stem], size[1] // STRIDES[stem])


def test_tokens_come_row_by_row():
    """A change in the top right corner of a view shows in the last cell of the first row."""
    model = tiny_model("patch")
    plain = torch.zeros(1, 3, VIEW_SIZE, VIEW_SIZE)
    marked = plain.clone()
    marked[..., :8, -8:] = 3.0
    (first, grid), (second, _) = model.embed(plain), model.embed(marked)
    change = (first - second).abs().sum(-1)[0].unflatten(0, grid)
    assert change.nonzero().tolist() == [[0, grid[1] - 1]]


def test_the_conv_stem_is_efficientnet_lite0_up_to_stride_16():
    stem = ConvStem()
    assert 0.68e6 < sum(parameter.numel() for parameter in stem.parameters()) < 0.72e6
    assert stem.channels == 112 and stem.stride == 16


@pytest.mark.parametrize("kernel, stride, size", [(3, 1, 7), (3, 2, 8), (5, 1, 8), (5, 2, 16)])
def test_padding_is_that_of_tensorflow(kernel, stride, size):
    """TensorFlow pads so that ceil(size / stride) cells come out, the odd pixel at the end."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    before, after = total // 2, total - total // 2
    assert same_padding(kernel, stride) == (before, after, before, after)


def test_many_images_are_computed_in_parts_with_the_same_result():
    stem = ConvStem().eval()
    images = torch.randn(2 * IMAGES_IN_CACHE + 1, 3, 32, 32)
    expected = torch.cat([stem(image[None]) for image in images])
    torch.testing.assert_close(stem(images), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_convolving_and_clipping_at_once_changes_no_bit(dtype):
    """Without gradients the CPU does both at once; with them one after the other."""
    stem = ConvStem().eval().to(dtype)
    images = torch.randn(2, 3, 64, 64, dtype=dtype)
    expected = stem(images)
    assert expected.grad_fn is not None
    with torch.no_grad():
        assert torch.equal(stem(images), expected)


def test_a_stem_does_not_change_its_input():
    images = torch.randn(2, 3, 32, 32)
    before = images.clone()
    ConvStem()(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    "shape, residual", [((3, 1, 6, 8, 8), True), ((3, 2, 6, 8, 8), False), ((3, 1, 1, 8, 4), False)]
)
def test_only_blocks_that_keep_the_shape_have_a_residual(shape, residual):
    block = InvertedResidual(*shape).eval()
    for parameter in block.project.parameters():
        nn.init.zeros_(parameter)
    features = torch.randn(1, 8, 6, 6)
    if residual:
        assert torch.equal(block(features), features)
    else:
        assert (block(features) == 0).all()


# EfficientNet-Lite0 weights


def lite0_weights(stem):
    """A random state dict in the layout of `efficientnet-lite-pytorch`, and its layers by name."""
    weights = {}

    def add(convolution, name, norm):
        channels = convolution.weight.shape[0]
        weights[f"{name}.weight"] = torch.randn_like(convolution.weight) / convolution.weight[0].numel() ** 0.5
        weights[f"{norm}.weight"] = torch.rand(channels) + 0.5
        weights[f"{norm}.bias"] = torch.randn(channels)
        weights[f"{norm}.running_mean"] = torch.randn(channels)
        weights[f"{norm}.running_var"] = torch.rand(channels) + 0.5

    add(stem.entry, "_conv_stem", "_bn0")
    for index, block in enumerate(stem.blocks):
        prefix = f"_blocks.{index}."
        if block.expand is not None:
            add(block.expand, prefix + "_expand_conv", prefix + "_bn0")
        add(block.depthwise, prefix + "_depthwise_conv", prefix + "_bn1")
        add(block.project, prefix + "_project_conv", prefix + "_bn2")
    return weights | {"_fc.weight": torch.randn(10, 1280)}


def reference(images, weights, stem):
    """The network as published: convolutions without bias, each followed by its batch norm."""

    def layer(features, name, norm, like):
        kernel, stride = like.kernel_size[0], like.stride[0]
        features = nn.functional.pad(features, same_padding(kernel, stride) if kernel > 1 else (0,) * 4)
        features = nn.functional.conv2d(features, weights[f"{name}.weight"], stride=stride, groups=like.groups)
        mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        scale, shift = weights[f"{norm}.weight"], weights[f"{norm}.bias"]
        return nn.functional.batch_norm(features, mean, variance, scale, shift, eps=EPS)

    features = layer(images, "_conv_stem", "_bn0", stem.entry).clamp(0, 6)
    for index, block in enumerate(stem.blocks):
        prefix, hidden = f"_blocks.{index}.", features
        if block.expand is not None:
            hidden = layer(hidden, prefix + "_expand_conv", prefix + "_bn0", block.expand).clamp(0, 6)
        hidden = layer(hidden, prefix + "_depthwise_conv", prefix + "_bn1", block.depthwise).clamp(0, 6)
        hidden = layer(hidden, prefix + "_project_conv", prefix + "_bn2", block.project)
        features = features + hidden if block.residual else hidden
    return features


def test_folded_batch_norms_compute_the_same():
    stem = ConvStem().eval()
    weights = lite0_weights(stem)
    stem.load_lite0(weights, eps=EPS)
    images = torch.randn(2, 3, 64, 64)
    expected = reference(images, weights, stem)
    assert expected.std() > 0.1
    torch.testing.assert_close(stem(images), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["_conv_stem.weight", "_blocks.10._bn2.running_var"])
def test_missing_lite0_weights_are_named(name):
    stem = ConvStem()
    weights = lite0_weights(stem)
    del weights[name]
    with pytest.raises(ValueError, match=f"lack '{name}'"):
        stem.load_lite0(weights)


def test_lite0_weights_of_another_shape_are_named():
    stem = ConvStem()
    weights = lite0_weights(stem) | {"_blocks.3._project_conv.weight": torch.zeros(1, 2, 3, 3)}
    message = r"'_blocks.3._project_conv' must have shape \(40, 144, 1, 1\), got \(1, 2, 3, 3\)"
    with pytest.raises(ValueError, match=message):
        stem.load_lite0(weights)
