# SPDX-License-Identifier: Apache-2.0
"""The depth network of block 102: an encoder and a decoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from depth_recog.networks.own.decoder import UpsamplingDecoder
from depth_recog.networks.own.deviation import DeviationHead
from depth_recog.networks.own.edgetpu import EdgeTpuEncoder
from depth_recog.networks.own.encoders import ENCODERS, Encoder

SCALES = 3


class DepthNetwork(nn.Module):
    """Encoder, decoder and a sigmoid head at strides 1, 2 and 4.

    The head's sigmoid s in 0..1 gives the inverse depth 1 / far + s (1 / near - 1 / far) for a
    camera with a focal length of `canonical_focal` pixels. An object's size in pixels depends on
    depth and focal length alike, so for another camera the depth is multiplied by focal /
    canonical_focal (Yin et al., "Metric3D", 2023).

    Args:
        encoder: a key of `ENCODERS`, or "edgetpu".
        widths: decoder channels, from half the encoder's last stride to stride 1.
        near: smallest depth at the canonical focal length, metres.
        far: largest depth at the canonical focal length, metres.
        canonical_focal: focal length in pixels, at the network's input size.
        deviation: whether it has a head for the standard deviation of log depth, which `forward`
            does not compute.
    """

    def __init__(
        self,
        encoder: str = "mobilenet_v2",
        widths: tuple[int, ...] = (128, 96, 64, 48, 24),
        near: float = 0.5,
        far: float = 120.0,
        canonical_focal: float = 244.0,
        deviation: bool = False,
    ) -> None:
        super().__init__()
        self.encoder: Encoder | EdgeTpuEncoder
        self.encoder = EdgeTpuEncoder() if encoder == "edgetpu" else ENCODERS[encoder]()
        self.decoder = UpsamplingDecoder(self.encoder.channels, tuple(widths))
        self.heads = nn.ModuleList(
            nn.Conv2d(width, 1, 3, padding=1, padding_mode="reflect")
            for width in reversed(widths[-SCALES:])
        )
        self.near, self.far, self.canonical_focal = near, far, canonical_focal
        for head in self.heads:
            # About 15 m everywhere before training; a bias of 0 would mean about 2 near.
            nn.init.constant_(head.bias, -3.5)  # type: ignore[arg-type]
            nn.init.normal_(head.weight, std=0.01)  # type: ignore[arg-type]
        self.deviation = DeviationHead() if deviation else None

    def _inverse_depth(self, sigmoid: Tensor, focal: Tensor) -> Tensor:
        inverse = 1 / self.far + sigmoid * (1 / self.near - 1 / self.far)
        return inverse * (self.canonical_focal / focal).view(-1, 1, 1, 1)

    def inverse_depths(self, image: Tensor, focal: Tensor) -> list[Tensor]:
        """Return inverse depth at strides 1, 2 and 4, for the multi-scale loss.

        Args:
            image: (B, 3, H, W) float, 0..1, RGB.
            focal: (B,) float, vertical focal length of `image`, pixels.

        Returns:
            (B, 1, H, W), (B, 1, H/2, W/2), (B, 1, H/4, W/4); 1 / metres, or up to scale.
        """
        size = (image.shape[2], image.shape[3])
        features = self.decoder(self.encoder(image), size)
        maps = reversed(features[-SCALES:])
        return [
            self._inverse_depth(_sigmoid(head, x), focal)
            for head, x in zip(self.heads, maps, strict=True)
        ]

    def with_log_deviation(self, image: Tensor, focal: Tensor) -> tuple[Tensor, Tensor]:
        """Return inverse depth and the log of the deviation, to train the head for it.

        No gradient reaches the rest of the network. Arguments as of `inverse_depths`.

        Returns:
            (B, 1, H, W) each: 1 / metres or up to scale, and not limited.
        """
        assert self.deviation is not None
        with torch.no_grad():
            inverse = self.inverse_depths(image, focal)[0]
        return inverse, self.deviation(image, 1 / inverse)

    def deviation_times(self, factor: float) -> None:
        """Multiply the deviation that the head gives, for calibration."""
        assert self.deviation is not None
        self.deviation.last.bias.data += math.log(factor)

    def forward(self, image: Tensor, focal: Tensor) -> Tensor:
        """Return the depth of an image.

        Args:
            image: (B, 3, H, W) float, 0..1, RGB; H and W multiples of 32.
            focal: (B,) float, vertical focal length of `image`, pixels.

        Returns:
            (B, 1, H, W) float, along the optical axis; metres where the weights are metric.
        """
        with torch.autocast(image.device.type, enabled=False):
            # In float32: in bfloat16 nearly all of the depth error would come from the encoder.
            encoded = self.encoder(image)
        features = self.decoder(encoded, (image.shape[2], image.shape[3]))
        return 1 / self._inverse_depth(_sigmoid(self.heads[0], features[-1]), focal)


def _sigmoid(head: nn.Module, x: Tensor) -> Tensor:
    """Run a head in float32: bfloat16 resolves depth to 1 % only."""
    with torch.autocast(x.device.type, enabled=False):
        return torch.sigmoid(head(x.float()))
