# SPDX-License-Identifier: Apache-2.0
"""The patent's order without any thought for speed, on Monodepth2's networks as published.

ResNet-18 and its decoder for the depth; a pose network on ResNet-18, once for each of the static,
the dynamic and the unmasked pair of images. No segmentation network: the masks are given. Random
weights: the time does not depend on them. Source: Godard et al., "Digging into Self-Supervised
Monocular Depth Estimation", 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (64, 64, 128, 256, 512)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.skip = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


class ResNet18(nn.Module):
    """Features at strides 2 to 32."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        conv = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(64), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, 1)
        pairs = zip(WIDTHS[:-1], WIDTHS[1:], (1, 2, 2, 2), strict=True)
        self.stages = nn.ModuleList(
            nn.Sequential(_Block(i, o, s), _Block(o, o, 1)) for i, o, s in pairs
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [self.stem(x)]
        x = self.pool(features[0])
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def _conv(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(inputs, outputs, 3), nn.ELU(inplace=True))


class DepthNet(nn.Module):
    """Encoder, decoder with skip connections, and the disparity at full size."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ResNet18()
        inputs, outputs = (512, 256, 128, 64, 32), (256, 128, 64, 32, 16)
        skips = (256, 128, 64, 64, 0)
        self.reduce = nn.ModuleList(_conv(i, o) for i, o in zip(inputs, outputs, strict=True))
        self.merge = nn.ModuleList(_conv(o + s, o) for o, s in zip(outputs, skips, strict=True))
        self.head = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(16, 1, 3), nn.Sigmoid())

    def forward(self, image: Tensor) -> Tensor:
        *skips, x = self.encoder((image - 0.45) / 0.225)
        for reduce, merge in zip(self.reduce, self.merge, strict=True):
            x = nn.functional.interpolate(reduce(x), scale_factor=2, mode="nearest")
            x = merge(torch.cat((x, skips.pop()), 1) if skips else x)
        return self.head(x)


class PoseNet(nn.Module):
    """Six numbers from a pair of images."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ResNet18(6)
        self.head = nn.Sequential(
            nn.Conv2d(512, 256, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, 1, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, 1, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 12, 1),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        pair = (torch.cat((first, second), 1) - 0.45) / 0.225
        return self.head(self.encoder(pair)[-1]).mean((2, 3)) * 0.01
