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
DepthModel = Callable[[Image, float], WaitForDepth]
"""Starts on a (h, w, 3) uint8 RGB image with a vertical focal length in pixels, and returns a
function that waits for its (h, w) float32 depth; it can be called again."""
DeviationModel = Callable[[Image, NDArray[np.float32]], NDArray[np.float32]]
"""From an image and a depth network's (h, w) float32 depth to the standard deviation of its
logarithm, (h, w) float32."""
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
        deviation: of `depth`, computed for the frames that somebody asks about; None: unknown.
    """

    depth: DepthModel
    labels: LabelModel
    frozen: DepthModel | None = None
    affine: bool = False
    deviation: DeviationModel | None = None
