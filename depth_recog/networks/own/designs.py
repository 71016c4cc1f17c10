# SPDX-License-Identifier: Apache-2.0
"""The own networks' sizes as tables: `own/` builds torch modules from them, `graphs/` ONNX graphs.

Sources: Gupta and Akin, "Accelerator-aware Neural Network Design using AutoML", 2020; Sandler et
al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018; Howard et al., "Searching for
MobileNetV3", 2019.
"""

from __future__ import annotations

from typing import NamedTuple

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

EDGETPU_CHANNELS = (16, 24, 40, 128)
"""Of the features at strides 2, 4, 8 and 16."""


class EdgeTpuSetting(NamedTuple):
    """A block of MobileNet-EdgeTPU; a fused one has no depthwise convolution."""

    fused: bool
    hidden: int
    kernel: int
    outputs: int
    stride: int = 1
    dilation: int = 1


EDGETPU = (
    EdgeTpuSetting(True, 128, 3, 24, stride=2),
    *[EdgeTpuSetting(True, 96, 3, 24)] * 3,
    EdgeTpuSetting(True, 192, 3, 40, stride=2),
    *[EdgeTpuSetting(True, 160, 3, 40)] * 3,
    EdgeTpuSetting(False, 320, 3, 72, stride=2),
    *[EdgeTpuSetting(False, 288, 3, 72)] * 3,
    EdgeTpuSetting(False, 576, 3, 72),
    *[EdgeTpuSetting(False, 288, 3, 72)] * 3,
    EdgeTpuSetting(False, 576, 5, 120),
    *[EdgeTpuSetting(False, 480, 5, 120, dilation=2)] * 3,
    EdgeTpuSetting(False, 960, 3, 144, dilation=2),
)
EDGETPU_TAPS = (3, 7)
EDGETPU_WIDENED = (0, 4, 8, 12, 16, 20)
"""First blocks of a stage: without a residual even where the sizes would allow one."""


class V2Setting(NamedTuple):
    """A stage of MobileNetV2."""

    expand: int
    outputs: int
    repeats: int
    stride: int


MOBILENET_V2 = (
    V2Setting(1, 16, 1, 1),
    V2Setting(6, 24, 2, 2),
    V2Setting(6, 32, 3, 2),
    V2Setting(6, 64, 4, 2),
    V2Setting(6, 96, 3, 1),
    V2Setting(6, 160, 3, 2),
    V2Setting(6, 320, 1, 1),
)
MOBILENET_V2_TAPS = (1, 3, 6, 13, 17)
"""Index of the last layer at strides 2, 4, 8, 16, 32."""


class V3Setting(NamedTuple):
    """A block of MobileNetV3."""

    inputs: int
    kernel: int
    hidden: int
    outputs: int
    squeeze: bool
    hardswish: bool
    stride: int


MOBILENET_V3_SMALL = (
    V3Setting(16, 3, 16, 16, True, False, 2),
    V3Setting(16, 3, 72, 24, False, False, 2),
    V3Setting(24, 3, 88, 24, False, False, 1),
    V3Setting(24, 5, 96, 40, True, True, 2),
    V3Setting(40, 5, 240, 40, True, True, 1),
    V3Setting(40, 5, 240, 40, True, True, 1),
    V3Setting(40, 5, 120, 48, True, True, 1),
    V3Setting(48, 5, 144, 48, True, True, 1),
    V3Setting(48, 5, 288, 96, True, True, 2),
    V3Setting(96, 5, 576, 96, True, True, 1),
    V3Setting(96, 5, 576, 96, True, True, 1),
)
MOBILENET_V3_SMALL_TAPS = (0, 1, 3, 8, 11)
MOBILENET_V3_EPS = 1e-3
"""Added to a variance by MobileNetV3's batch normalisation; torch's default elsewhere."""

POSE_UNIT = (0.02, 0.02, 0.02, 1.0, 1.0, 1.0)
"""Rotation (radians) and translation (metres) for an output of 1: about the largest in a tenth of a
second on a road, so that all six numbers are learnt equally fast."""
