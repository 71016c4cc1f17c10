# SPDX-License-Identifier: Apache-2.0
"""The class scores of block 103: k preset objects, by default the 19 Cityscapes classes."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from depth_recog.networks.own.decoder import Decoder
from depth_recog.networks.own.deeplab import RefinedDeepLab
from depth_recog.networks.own.encoders import ENCODERS


class SegmentationNetwork(nn.Module):
    """Encoder and a decoder to stride 4; the scores are enlarged bilinearly.

    Args:
        encoder: a key of `ENCODERS`.
        widths: decoder channels at strides 16, 8, 4.
        classes: number of preset objects.
    """

    def __init__(
        self,
        encoder: str = "mobilenet_v2",
        widths: tuple[int, ...] = (96, 64, 48),
        classes: int = 19,
    ) -> None:
        super().__init__()
        self.encoder = ENCODERS[encoder]()
        self.decoder = Decoder(self.encoder.channels, tuple(widths))
        self.head = nn.Conv2d(widths[-1], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Class scores.

        Args:
            image: (B, 3, H, W) float, 0..1, RGB; H and W multiples of 32.

        Returns:
            (B, classes, H, W) float, before the softmax.
        """
        size = (image.shape[2], image.shape[3])
        scores = self.head(self.decoder(self.encoder(image), size)[-1])
        return nn.functional.interpolate(scores, size=size, mode="bilinear", align_corners=False)


DESIGNS: dict[str, type[nn.Module]] = {
    "decoder": SegmentationNetwork,
    "refined_deeplab": RefinedDeepLab,
}


def segmentation_network(design: str = "decoder", **settings: Any) -> nn.Module:
    """The network that a weights file names.

    Args:
        design: a key of `DESIGNS`; files from before there were several name none.
        settings: arguments of that class.

    Raises:
        KeyError: an unknown design.
    """
    return DESIGNS[design](**settings)
