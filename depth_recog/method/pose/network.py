# SPDX-License-Identifier: Apache-2.0
"""`network`: the patent's pose network, on masked images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry import se3
from depth_recog.method.pose.estimator import PoseEstimate, PosePair

PoseModel = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float64]]
"""(H, W, 3) uint8 RGB twice, the earlier image first -> (6,): rotation vector in radians and
translation of T_second_from_first."""


class NetworkEstimator:
    """A network that computes the motion from both images.

    Args:
        model: the network.
    """

    name = "network"

    def __init__(self, model: PoseModel) -> None:
        self._model = model

    def estimate(self, pair: PosePair) -> PoseEstimate:
        """See `PoseEstimator.estimate`."""
        images = pair.masked_images()
        seen = int(images[0].any(2).sum())
        if not seen:
            return PoseEstimate(why="every pixel of the first image is masked")
        matrix = se3.from_vector(np.asarray(self._model(*images), np.float64))
        # It was trained in the unit of the depth network's output.
        matrix[:3, 3] *= pair.scale
        if not np.isfinite(matrix).all():
            return PoseEstimate(why="the pose network's output is not finite", points=seen)
        return PoseEstimate(matrix, True, "", seen, seen)
