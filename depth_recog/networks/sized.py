# SPDX-License-Identifier: Apache-2.0
"""Each network sees images of the size that it was trained on, whatever size a frame has.

A frame goes through the pipeline at one size, the largest of its networks': features are then found
again to a smaller part of the scene. A network that was trained on smaller images is given smaller
ones, and its answer is enlarged.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from depth_recog.method.recognizer import DepthModel, ScoreModel


def resampled(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, H, W) float to (height, width) `size`, pixels counted from their centres."""
    if image.shape[2:] == size:
        return image
    return nn.functional.interpolate(
        image, size=size, mode="bilinear", align_corners=False, antialias=True
    )


@dataclass(frozen=True)
class SizedDepth:
    """A `DepthModel` that is asked at (height, width) `size`."""

    model: DepthModel
    size: tuple[int, int]

    def __call__(self, image: Tensor, focal: Tensor) -> Tensor:
        """See `DepthModel`: the focal length shrinks with the image."""
        height, width = image.shape[2:]
        answer = self.model(resampled(image, self.size), focal * (self.size[0] / height))
        return nn.functional.interpolate(
            answer, size=(height, width), mode="bilinear", align_corners=False
        )


@dataclass(frozen=True)
class SizedScores:
    """A `ScoreModel` that is asked at (height, width) `size`."""

    model: ScoreModel
    size: tuple[int, int]

    def __call__(self, image: Tensor) -> Tensor:
        """See `ScoreModel`."""
        height, width = image.shape[2:]
        answer = self.model(resampled(image, self.size))
        return nn.functional.interpolate(
            answer, size=(height, width), mode="bilinear", align_corners=False
        )
