# SPDX-License-Identifier: Apache-2.0
"""The pose network of blocks 104 and 105: two frames in, six numbers out."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from depth_recog.networks.own.designs import POSE_UNIT
from depth_recog.networks.own.encoders import ENCODERS


class PoseNetwork(nn.Module):
    """An encoder on both images stacked by channel, and a small convolutional head.

    Args:
        encoder: a key of `ENCODERS`.
        width: channels of the head.
    """

    def __init__(self, encoder: str = "mobilenet_v3_small", width: int = 128) -> None:
        super().__init__()
        self.encoder = ENCODERS[encoder]()
        stem = cast(nn.Sequential, self.encoder.features[0])
        first = cast(nn.Conv2d, stem[0])
        stem[0] = nn.Conv2d(6, first.out_channels, 3, 2, 1, bias=False)
        channels = self.encoder.channels[-1]
        self.head = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 6, 1),
        )
        # Almost no motion before training.
        last = cast(nn.Conv2d, self.head[-1])
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(cast(nn.Parameter, last.bias))
        self.register_buffer("unit", torch.tensor(POSE_UNIT), persistent=False)
        self.unit: Tensor

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Load ImageNet weights; the first layer gets half of them for each of the two images."""
        key = "features.0.0.weight"
        self.encoder.load_imagenet({**state, key: torch.cat((state[key], state[key]), 1) / 2})

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the motion between two frames.

        Args:
            first: (B, 3, H, W) float, 0..1, RGB; the earlier frame.
            second: (B, 3, H, W) float, 0..1, RGB.

        Returns:
            (B, 6) float: rotation vector in radians and translation in the depth network's unit,
            of T_second_from_first (see `method.geometry.se3`).
        """
        features = self.encoder(torch.cat((first, second), 1))[-1]
        vector: Tensor = self.head(features).mean((2, 3)) * self.unit
        return vector
