# SPDX-License-Identifier: Apache-2.0
"""The depth network sees pictures of the size that it was trained on, whatever size a frame has.

Masks, features and the gate gain by larger pictures, in which small things are found again more
exactly. A depth network does not: things that are larger than in its training look nearer to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from depth_recog.method.geometry.viewport import size_alike
from depth_recog.method.recognizer import DepthModel


@dataclass(frozen=True)
class SizedDepth:
    """A `DepthModel` that is asked at its own size, and whose answer is enlarged.

    Attributes:
        model: the network.
        trained: (width, height) in training, pixels.
    """

    model: DepthModel
    trained: tuple[int, int]

    def __call__(self, image: Tensor, focal: Tensor) -> Tensor:
        """See `DepthModel`; the focal length shrinks with the image."""
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
