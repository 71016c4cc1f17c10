# SPDX-License-Identifier: Apache-2.0
"""Block 105, claim 4: the motion between two frames, by one of three estimators.

The same estimator serves for the static pose (dynamic objects masked), the dynamic pose (static
objects masked) and the target pose (nothing masked): what is masked is the caller's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.masking import masked_image
from depth_recog.method.tracking.correspondences import Correspondences


@dataclass(frozen=True)
class PosePair:
    """Two frames as an estimator sees them, after masking.

    Attributes:
        first: (H, W, 3) uint8 RGB, I1.
        second: (H, W, 3) uint8 RGB, I2.
        correspondences: correspondences whose both ends are on unmasked pixels.
        depth: (H, W) float32, D1.
        camera: intrinsics of both images.
        scale: what the depth network's answer was multiplied with to give `depth`.
        keep_first: (H, W) bool, pixels of I1 that are not masked; None where none is.
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
        """Both images, (H, W, 3) uint8, masked pixels 0: made for those who look at pixels."""
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
        T_second_from_first: (4, 4) float64, translation in D1's unit; identity when not `ok`.
        ok: whether the estimate may be used.
        why: the reason when it may not.
        points: how many correspondences (or pixels, for a network) went in.
        inliers: how many of them agree.
        covariance: (6, 6) float64 of rotation vector (radians) and translation (D1's unit), for a
            motion perturbed as exp(r) R, t + dt; None where the estimator has none.
    """

    T_second_from_first: Matrix = field(default_factory=lambda: np.eye(4))
    ok: bool = False
    why: str = ""
    points: int = 0
    inliers: int = 0
    covariance: NDArray[np.float64] | None = None


class PoseEstimator(Protocol):
    """What every estimator offers."""

    name: str

    def estimate(self, pair: PosePair) -> PoseEstimate:
        """T_second_from_first of a pair; never raises for a pair that cannot be solved."""
        ...


class Poses(Protocol):
    """The three poses of a pair."""

    @property
    def static(self) -> PoseEstimate:
        """Of the static images (block 104)."""
        ...

    @property
    def dynamic(self) -> PoseEstimate:
        """Of the dynamic images (block 104)."""
        ...

    @property
    def target(self) -> PoseEstimate:
        """Of the images as they are (block 105)."""
        ...
