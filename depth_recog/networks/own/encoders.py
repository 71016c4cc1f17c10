# SPDX-License-Identifier: Apache-2.0
"""ImageNet encoders: MobileNetV2 and MobileNetV3-small.

The modules have torchvision's parameter names, so that its ImageNet weights can be loaded.
torchvision itself is not needed; it cannot be imported together with a CPU-only torch.

Sources: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018; Howard et
al., "Searching for MobileNetV3", 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from depth_recog.errors import WeightsError
from depth_recog.networks.own.designs import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    MOBILENET_V2,
    MOBILENET_V2_TAPS,
    MOBILENET_V3_EPS,
    MOBILENET_V3_SMALL,
    MOBILENET_V3_SMALL_TAPS,
    V3Setting,
)

_V3_NORM = partial(nn.BatchNorm2d, eps=MOBILENET_V3_EPS, momentum=0.01)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def _conv_norm_act(
    conv: nn.Conv2d,
    act: type[nn.Module] | None,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
) -> nn.Sequential:
    layers: list[nn.Module] = [conv, norm(conv.out_channels)]
    if act is not None:
        layers.append(act(inplace=True))
    return nn.Sequential(*layers)


class _InvertedResidualV2(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.residual = stride == 1 and inputs == outputs
        layers: list[nn.Module] = []
        if expand != 1:
            layers.append(_conv_norm_act(_conv(inputs, hidden, 1), nn.ReLU6))
        layers += [
            _conv_norm_act(_conv(hidden, hidden, 3, stride, hidden), nn.ReLU6),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class _SqueezeExcitation(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = x.mean((2, 3), keepdim=True)
        gate = nn.functional.relu(self.fc1(gate))
        return x * nn.functional.hardsigmoid(self.fc2(gate))


class _InvertedResidualV3(nn.Module):
    def __init__(self, setting: V3Setting) -> None:
        super().__init__()
        inputs, kernel, hidden, outputs, squeeze, hardswish, stride = setting
        act: type[nn.Module] = nn.Hardswish if hardswish else nn.ReLU
        self.residual = stride == 1 and inputs == outputs
        layers: list[nn.Module] = []
        if hidden != inputs:
            layers.append(_conv_norm_act(_conv(inputs, hidden, 1), act, _V3_NORM))
        depthwise = _conv(hidden, hidden, kernel, stride, hidden)
        layers.append(_conv_norm_act(depthwise, act, _V3_NORM))
        if squeeze:
            squeezed = max(8, (hidden // 4 + 4) // 8 * 8)
            layers.append(_SqueezeExcitation(hidden, squeezed))
        layers.append(_conv_norm_act(_conv(hidden, outputs, 1), None, _V3_NORM))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return x + y if self.residual else y


class Encoder(nn.Module):
    """A stack of layers whose last features at each stride are returned.

    Args:
        features: the layers, in torchvision's order.
        taps: index of the last layer at strides 2, 4, 8, 16, 32.
        channels: of these layers.
    """

    def __init__(self, features: nn.Sequential, taps: tuple[int, ...], channels: tuple[int, ...]):
        super().__init__()
        self.features = features
        self.taps = taps
        self.channels = channels
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return feature maps at strides 2, 4, 8, 16, 32.

        Args:
            image: (B, 3, H, W) float, 0..1, RGB; (B, 6, H, W) for a pair of frames.

        Returns:
            Five tensors (B, channels[i], ceil(H / 2^(i+1)), ceil(W / 2^(i+1))).
        """
        repeat = image.shape[1] // 3
        x = (image - self.mean.repeat(1, repeat, 1, 1)) / self.std.repeat(1, repeat, 1, 1)
        taps = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                taps.append(x)
        return taps

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Load torchvision's weights, without the classifier.

        Raises:
            WeightsError: `state` lacks a layer of this encoder.
        """
        keys = self.features.state_dict()
        missing = sorted(key for key in keys if f"features.{key}" not in state)
        if missing:
            raise WeightsError(f"ImageNet weights of another encoder: {missing[0]} is missing")
        self.features.load_state_dict({key: state[f"features.{key}"] for key in keys})


def mobilenet_v2() -> Encoder:
    """Build MobileNetV2 without last 1x1 convolution and classifier: 1.8 M parameters."""
    layers: list[nn.Module] = [_conv_norm_act(_conv(3, 32, 3, 2), nn.ReLU6)]
    channels = 32
    for expand, outputs, repeats, stride in MOBILENET_V2:
        for i in range(repeats):
            layers.append(_InvertedResidualV2(channels, outputs, stride if i == 0 else 1, expand))
            channels = outputs
    return Encoder(nn.Sequential(*layers), taps=MOBILENET_V2_TAPS, channels=(16, 24, 32, 96, 320))


def mobilenet_v3_small() -> Encoder:
    """Build MobileNetV3-small without last 1x1 convolution and classifier: 0.87 M parameters."""
    first = _conv_norm_act(_conv(3, 16, 3, 2), nn.Hardswish, _V3_NORM)
    layers: list[nn.Module] = [first, *(_InvertedResidualV3(s) for s in MOBILENET_V3_SMALL)]
    return Encoder(
        nn.Sequential(*layers), taps=MOBILENET_V3_SMALL_TAPS, channels=(16, 16, 24, 48, 96)
    )


ENCODERS = {"mobilenet_v2": mobilenet_v2, "mobilenet_v3_small": mobilenet_v3_small}
