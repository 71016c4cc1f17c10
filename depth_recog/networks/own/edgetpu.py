# SPDX-License-Identifier: Apache-2.0
"""MobileNet-EdgeTPU with DeepLab's dilated last stage and image pooling, for images of any size.

Early blocks are a fused 3x3 convolution and a projection, later ones are inverted residuals. There
is no batch normalisation: in the published weights it is folded into the convolutions.

Sources: Gupta and Akin, "Accelerator-aware Neural Network Design using AutoML", 2020 (the
backbone); Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017 (the
dilated end and the image pooling).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from depth_recog.networks.own.designs import (
    EDGETPU,
    EDGETPU_CHANNELS,
    EDGETPU_TAPS,
    EDGETPU_WIDENED,
    EdgeTpuSetting,
)

CHANNELS = EDGETPU_CHANNELS
_FEATURES = 1280
_CONTEXT = 128


def _conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    # For sizes that are multiples of the stride this samples the pixels 0, s, 2s, ..., as
    # TensorFlow's padding does for the 513 pixels of the published weights.
    padding = dilation * (kernel // 2)
    kind = nn.Conv2d if dilation == 1 else _DilatedConv
    return kind(inputs, outputs, kernel, stride, padding, dilation, groups)


class _DilatedConv(nn.Conv2d):
    """A convolution in float32, also under autocast.

    oneDNN's bfloat16 gradient of a dilated depthwise convolution has errors as large as itself,
    and is sometimes infinite (torch 2.13, CPU with AVX512-BF16).
    """

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))


class _EdgeTpuBlock(nn.Module):
    def __init__(self, inputs: int, setting: EdgeTpuSetting, residual: bool) -> None:
        super().__init__()
        hidden, kernel = setting.hidden, setting.kernel
        if setting.fused:
            layers = [_conv(inputs, hidden, kernel, setting.stride), nn.ReLU(inplace=True)]
        else:
            spread = _conv(hidden, hidden, kernel, setting.stride, setting.dilation, hidden)
            layers = [_conv(inputs, hidden), nn.ReLU(inplace=True), spread, nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, _conv(hidden, setting.outputs))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class EdgeTpuEncoder(nn.Module):
    """Features at strides 2, 4 and 8, and with the context of the whole image at stride 16.

    A feature at stride s is centred on the first pixel of its cell (0, s, 2s, ...), not on the
    centre of the cell. 2.6 M parameters.
    """

    channels = CHANNELS

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, 24, 3, 2), nn.ReLU(inplace=True), _conv(24, CHANNELS[0]))
        blocks, channels = [], CHANNELS[0]
        for index, setting in enumerate(EDGETPU):
            blocks.append(_EdgeTpuBlock(channels, setting, residual=index not in EDGETPU_WIDENED))
            channels = setting.outputs
        self.blocks = nn.ModuleList(blocks)
        self.last = _conv(channels, _FEATURES)
        self.local = _conv(_FEATURES, _CONTEXT)
        self.pooled = _conv(_FEATURES, _CONTEXT)
        self.joined = _conv(2 * _CONTEXT, CHANNELS[-1])

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return feature maps at strides 2, 4, 8, 16.

        Args:
            image: (B, 3, H, W) float, 0..1, RGB.

        Returns:
            Four tensors (B, CHANNELS[i], ceil(H / 2^(i+1)), ceil(W / 2^(i+1))).
        """
        x = self.stem(image * (255 / 128) - 1)
        taps = [x]
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in EDGETPU_TAPS:
                taps.append(x)
        x = self.last(x).relu_()
        context = self.pooled(x.mean((2, 3), keepdim=True)).relu_()
        local = self.local(x).relu_()
        joined = torch.cat((context.expand_as(local), local), 1)
        return [*taps, self.joined(joined).relu_()]
