# SPDX-License-Identifier: Apache-2.0
"""The own networks' encoders and decoder as graphs: what `networks/own/` computes with torch."""

from __future__ import annotations

import numpy as np

from depth_recog.networks.graphs.writer import Writer
from depth_recog.networks.own import designs
from depth_recog.networks.own.designs import EdgeTpuSetting, V3Setting

_EPS = 1e-5
"""Added to a variance by torch's batch normalisation."""


def convolution(
    w: Writer,
    x: str,
    name: str,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    padding: int | None = None,
) -> str:
    """A convolution with its bias, padded with zeros so that stride 1 keeps the size."""
    kernel = w.weight(f"{name}.weight")
    pads = dilation * (kernel.shape[2] // 2) if padding is None else padding
    bias = w.weight(f"{name}.bias")
    return w.convolution(x, kernel, bias, stride, pads, dilation, groups)


def normalised(
    w: Writer, x: str, names: tuple[str, str], stride: int = 1, groups: int = 1, eps: float = _EPS
) -> str:
    """A convolution without bias and its batch normalisation, folded into one convolution.

    Args:
        w: the graph.
        x: input.
        names: of convolution and batch normalisation.
        stride: of the convolution.
        groups: of the convolution.
        eps: see `_EPS`.
    """
    conv, norm = names
    scale, shift, mean, variance = (
        w.weight(f"{norm}.{part}").astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = scale / np.sqrt(variance + eps)
    kernel = w.weight(f"{conv}.weight") * scale[:, None, None, None]
    bias = shift - mean * scale
    return w.convolution(x, kernel, bias, stride, kernel.shape[2] // 2, 1, groups)


def edgetpu(w: Writer, x: str, at: str) -> list[str]:
    """`EdgeTpuEncoder`: features at strides 2, 4, 8, 16 of an image in 0..255."""
    x = w.op("Sub", w.op("Mul", x, w.constant(1 / 128)), w.constant(1))
    x = w.op("Relu", convolution(w, x, f"{at}.stem.0", stride=2))
    x = convolution(w, x, f"{at}.stem.2")
    taps = [x]
    for index, setting in enumerate(designs.EDGETPU):
        y = _edgetpu_block(w, x, f"{at}.blocks.{index}.layers", setting)
        x = y if index in designs.EDGETPU_WIDENED else w.op("Add", x, y)
        if index in designs.EDGETPU_TAPS:
            taps.append(x)
    x = w.op("Relu", convolution(w, x, f"{at}.last"))
    context = w.op("Relu", convolution(w, w.mean(x), f"{at}.pooled"))
    local = w.op("Relu", convolution(w, x, f"{at}.local"))
    # The context is equal at all pixels: its part of the joined convolution is computed once.
    kernel, bias = w.weight(f"{at}.joined.weight"), w.weight(f"{at}.joined.bias")
    half = kernel.shape[1] // 2
    everywhere = w.convolution(context, kernel[:, :half], bias)
    joined = w.op("Add", w.convolution(local, kernel[:, half:]), everywhere)
    return [*taps, w.op("Relu", joined)]


def _edgetpu_block(w: Writer, x: str, at: str, setting: EdgeTpuSetting) -> str:
    stride, dilation = setting.stride, setting.dilation
    if setting.fused:
        x = w.op("Relu", convolution(w, x, f"{at}.0", stride))
        return convolution(w, x, f"{at}.2")
    x = w.op("Relu", convolution(w, x, f"{at}.0"))
    x = w.op("Relu", convolution(w, x, f"{at}.2", stride, dilation, setting.hidden))
    return convolution(w, x, f"{at}.4")


def mobilenet_v2(w: Writer, x: str, at: str) -> list[str]:
    """MobileNetV2's features at strides 2, 4, 8, 16, 32 of an image in 0..255."""
    x = _imagenet(w, x, 1)
    x = _relu6(w, normalised(w, x, (f"{at}.features.0.0", f"{at}.features.0.1"), 2))
    taps, index = [], 0
    for setting in designs.MOBILENET_V2:
        for repeat in range(setting.repeats):
            index += 1
            y, here, layer = x, f"{at}.features.{index}.conv", 0
            if setting.expand != 1:
                y = _relu6(w, normalised(w, y, (f"{here}.0.0", f"{here}.0.1")))
                layer = 1
            names = f"{here}.{layer}.0", f"{here}.{layer}.1"
            hidden = len(w.weight(f"{names[0]}.weight"))
            y = _relu6(w, normalised(w, y, names, 1 if repeat else setting.stride, hidden))
            y = normalised(w, y, (f"{here}.{layer + 1}", f"{here}.{layer + 2}"))
            x = w.op("Add", x, y) if repeat else y
            if index in designs.MOBILENET_V2_TAPS:
                taps.append(x)
    return taps


def mobilenet_v3_small(w: Writer, x: str, at: str, images: int = 1) -> list[str]:
    """MobileNetV3-small's features at strides 2 to 32 of images in 0..255, stacked by channel."""
    x = _imagenet(w, x, images)
    stem = f"{at}.features.0.0", f"{at}.features.0.1"
    x = w.op("HardSwish", normalised(w, x, stem, 2, eps=designs.MOBILENET_V3_EPS))
    taps = [x]
    for index, setting in enumerate(designs.MOBILENET_V3_SMALL, 1):
        y = _v3_block(w, x, f"{at}.features.{index}.block", setting)
        same = setting.stride == 1 and setting.inputs == setting.outputs
        x = w.op("Add", x, y) if same else y
        if index in designs.MOBILENET_V3_SMALL_TAPS:
            taps.append(x)
    return taps


def _v3_block(w: Writer, x: str, at: str, setting: V3Setting) -> str:
    act = "HardSwish" if setting.hardswish else "Relu"
    layer = 0

    def next_norm(x: str, stride: int = 1, groups: int = 1) -> str:
        nonlocal layer
        names = f"{at}.{layer}.0", f"{at}.{layer}.1"
        layer += 1
        return normalised(w, x, names, stride, groups, designs.MOBILENET_V3_EPS)

    if setting.hidden != setting.inputs:
        x = w.op(act, next_norm(x))
    x = w.op(act, next_norm(x, setting.stride, setting.hidden))
    if setting.squeeze:
        gate = w.op("Relu", convolution(w, w.mean(x), f"{at}.{layer}.fc1"))
        gate = w.op("HardSigmoid", convolution(w, gate, f"{at}.{layer}.fc2"), alpha=1 / 6, beta=0.5)
        x = w.op("Mul", x, gate)
        layer += 1
    return next_norm(x)


def decoder(
    w: Writer, features: list[str], sizes: list[tuple[int, int]], at: str, steps: int
) -> list[str]:
    """`UpsamplingDecoder`: its features, coarsest first.

    Args:
        w: the graph.
        features: the encoder's tensors, finest first.
        sizes: (height, width) of the image and of each of `features`.
        at: name of the decoder.
        steps: number of upsampling blocks.
    """
    x, outputs = features[-1], []
    skips: list[str | None] = [*reversed(features[:-1]), None]
    for step, skip in zip(range(steps), skips, strict=False):
        x = w.op("Elu", reflected(w, x, f"{at}.blocks.{step}.reduce.0"))
        x = w.resized(x, sizes[len(features) - step - 1], "nearest")
        if skip is not None:
            x = w.op("Concat", x, skip, axis=1)
        x = w.op("Elu", reflected(w, x, f"{at}.blocks.{step}.merge.0"))
        outputs.append(x)
    return outputs


def reflected(w: Writer, x: str, name: str) -> str:
    """A 3x3 convolution of an image padded by reflection."""
    return convolution(w, w.padded(x, 1, 1, "reflect"), name, padding=0)


def _imagenet(w: Writer, x: str, images: int) -> str:
    mean, std = (
        np.tile(np.array(values) * 255, images)[None, :, None, None]
        for values in (designs.IMAGENET_MEAN, designs.IMAGENET_STD)
    )
    return w.op("Mul", w.op("Sub", x, w.constant(mean)), w.constant(1 / std))


def _relu6(w: Writer, x: str) -> str:
    return w.clipped(x, 0, 6)
