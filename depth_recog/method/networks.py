# SPDX-License-Identifier: Apache-2.0
"""The networks of a stream as functions: each starts on an image, and its result is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
WaitForDepth = Callable[[], NDArray[np.float32]]
"""Waits for a depth network's (h, w) float32 result."""
WaitForResult = Callable[[], NDArray[np.float32]]
"""Waits for (h, w) float32 depth; or (2, h, w), depth and the standard deviation of its log."""
DepthModel = Callable[[Image, float], WaitForResult]
"""Starts on a (h, w, 3) uint8 RGB image with a vertical focal length in pixels, and returns a
function that waits for its (h, w) float32 depth, or (2, h, w) depth and the standard deviation of
its logarithm; it can be called again."""
LabelModel = Callable[[Image], Callable[[], NDArray[np.uint8]]]
"""Starts on a (h, w, 3) uint8 RGB image, and returns a function that waits for its (h, w) uint8
class ids; it can be called again."""


class Networks(NamedTuple):
    """What computes depth and labels.

    Attributes:
        depth: the depth network.
        labels: the segmentation network.
        frozen: a depth network for the object gate alone, not trained meanwhile: one that is being
            trained on a moving object learns a wrong depth that explains the motion, and with it
            the gate would call the object still. None: the gate uses `depth`.
        affine: whether scale and shift of the depth network's inverse depth differ from image to
            image, see `stream_affine`.
    """

    depth: DepthModel
    labels: LabelModel
    frozen: DepthModel | None = None
    affine: bool = False


def depth_of(wait: WaitForResult) -> WaitForDepth:
    """The depth alone, of a network that may give its standard deviation too."""

    def depth() -> NDArray[np.float32]:
        result = wait()
        return result if result.ndim == 2 else result[0]

    return depth


def deviation_of(wait: WaitForResult) -> Callable[[], NDArray[np.float32] | None]:
    """The standard deviation alone; None of a network that gives none."""

    def deviation() -> NDArray[np.float32] | None:
        result = wait()
        return None if result.ndim == 2 else result[1]

    return deviation
