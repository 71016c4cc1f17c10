# SPDX-License-Identifier: Apache-2.0
"""Runs a depth network at the image size that it was trained on, whatever size the frame has.

Masks, features and the gate get better with larger images. A depth network does not: objects that
are larger in the image than in its training look nearer to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from depth_recog.method.geometry.viewport import size_alike

DepthOfTensors = Callable[[Tensor, Tensor], Tensor]
"""(1, 3, H, W) float 0..1 and (1,) focal length in pixels -> (1, 1, H, W) depth."""


@dataclass(frozen=True)
class SizedDepth:
    """A `DepthOfTensors` that resizes the image to the network's size, and the depth back.

    Attributes:
        model: the network.
        trained: (width, height) in training, pixels.
    """

    model: DepthOfTensors
    trained: tuple[int, int]

    def __call__(self, image: Tensor, focal: Tensor) -> Tensor:
        """See `DepthOfTensors`; the focal length is scaled with the image."""
        height, width = image.shape[2:]
        own = size_alike(width, height, self.trained)
        if own == (width, height):
            return self.model(image, focal)
        shrunk = nn.functional.interpolate(
            image, size=own[::-1], mode="bilinear", align_corners=False, antialias=True
        )
        answer = self.model(shrunk, focal * (own[1] / height))
        return nn.functional.interpolate(
            answer, size=(height, width), mode="bilinear", align_corners=False
        )
