# SPDX-License-Identifier: Apache-2.0
"""The interface of the pose estimators (block 105, claim 4).

One estimator serves for the static pose (dynamic objects masked), the dynamic pose (static objects
masked) and the target pose (nothing masked); the caller masks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.masking import masked_image
from depth_recog.method.tracking.tracks import Correspondences


@dataclass(frozen=True)
class PosePair:
    """The input of an estimator: two frames after masking.

    Attributes:
        first: (H, W, 3) uint8 RGB, I1.
        second: (H, W, 3) uint8 RGB, I2.
        correspondences: with both ends on unmasked pixels.
        depth: (H, W) float32, D1.
        camera: intrinsics of both images.
        scale: factor that was applied to the depth network's output to give `depth`.
        keep_first: (H, W) bool, pixels of I1 that are not masked; None if none is.
        keep_second: (H, W) bool, likewise of I2.
    """

    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    correspondences: Correspondences
    depth: NDArray[np.float32]
    camera: Camera
    scale: float = 1.0
    keep_first: NDArray[np.bool_] | None = None
    keep_second: NDArray[np.bool_] | None = None

    def masked_images(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return both images, (H, W, 3) uint8, with masked pixels set to 0."""
        first, second = self.first, self.second
        if self.keep_first is not None:
            first = masked_image(first, ~self.keep_first)
        if self.keep_second is not None:
            second = masked_image(second, ~self.keep_second)
        return first, second


@dataclass(frozen=True)
class PoseEstimate:
    """A motion, or the reason why there is none.

    Attributes:
        T_second_from_first: (4, 4) float64, translation in D1's unit; identity if not `ok`.
        ok: whether the estimate may be used.
        why: the reason if it may not.
        points: number of correspondences used (of pixels, for a network).
        inliers: number of those that agree with the estimate.
        covariance: (6, 6) float64 of rotation vector (radians) and translation (D1's unit), for a
            motion perturbed as exp(r) R, t + dt; None if the estimator gives none.
    """

    T_second_from_first: Matrix = field(default_factory=lambda: np.eye(4))
    ok: bool = False
    why: str = ""
    points: int = 0
    inliers: int = 0
    covariance: NDArray[np.float64] | None = None


class PoseEstimator(Protocol):
    """Estimates motions; see `pnp.py`, `epipolar.py` and `network.py`."""

    name: str

    def estimate(self, pair: PosePair) -> PoseEstimate:
        """Return T_second_from_first; a pair that cannot be solved gives `ok` False, no error."""
        ...
