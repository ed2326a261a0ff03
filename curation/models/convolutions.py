"""A convolutional image tower made quick on a CPU: it computes the same from fewer passes over memory."""

from __future__ import annotations

from functools import partial
from typing import Any

AT_ONCE = 8
"""Pictures a pass. Features of 64 pictures of 224 px at once are 300 MB a layer: memory, not arithmetic."""


def quickened(tower: Any) -> None:
    """Change a tower for inference, in place; pictures' sides are multiples of all strides together.

    Each batch normalisation goes into the convolution before it, padding into the convolution after it, and
    features lie with channels last. Layers must be named in the order in which they run, as in timm's
    EfficientNets.
    """
    import torch

    _fold(tower)
    for module in list(tower.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, torch.nn.Conv2d):
                setattr(module, name, _on_onednn(_padded(layer)))
    tower.to(memory_format=torch.channels_last)


def _fold(module: Any) -> None:
    """Take normalisations into convolutions (what they do is linear too); what follows them stays."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    before: tuple[str, Any] = ("", None)
    for name, layer in list(module.named_children()):
        if isinstance(before[1], torch.nn.Conv2d) and isinstance(layer, torch.nn.BatchNorm2d):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], layer))
            setattr(module, name, getattr(layer, "act", torch.nn.Identity()))
        else:
            _fold(layer)
        before = (name, layer)


def _padded(layer: Any) -> Any:
    """Return a convolution that pads by itself instead of copying its input, as TensorFlow's `same` does.

    `same` pads one more row below than above, which torch cannot. A kernel with a row of zeros on top,
    padded above and below alike, sees the same.
    """
    import torch
    from timm.layers import Conv2dSame

    if not isinstance(layer, Conv2dSame):
        return layer
    size, stride = layer.kernel_size[0], layer.stride[0]
    above = (size - stride) // 2
    below = size - stride - above
    extra = below - above
    with torch.device("meta"):
        padded = torch.nn.Conv2d(
            layer.in_channels, layer.out_channels, size + extra, stride, below, groups=layer.groups
        )
    weight = torch.nn.functional.pad(layer.weight.detach(), (extra, 0, extra, 0))
    padded.weight, padded.bias = torch.nn.Parameter(weight), layer.bias
    return padded.eval()


def _on_onednn(layer: Any) -> Any:
    """Return a convolution that always takes oneDNN's kernels where there are any.

    By itself torch takes others for fewer than 16 pictures on one thread. They are slower, and their last
    bits differ, so that a vector would depend on the number of threads.
    """
    import torch

    weight = layer.weight
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if there and weight.device.type == "cpu" and weight.dtype == torch.float32:
        layer.forward = partial(_convolved, layer)
    return layer


def _convolved(layer: Any, features: Any) -> Any:
    import torch

    return torch.mkldnn_convolution(
        features, layer.weight, layer.bias, layer.padding, layer.stride, layer.dilation, layer.groups
    )
