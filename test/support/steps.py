# SPDX-License-Identifier: Apache-2.0
"""Steps of a stream with known motion, without a network."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.gate.by_image import Decision, Motion
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.observation import Observation
from depth_recog.method.pair import Pair, Step
from depth_recog.method.pose.estimator import PoseEstimate
from depth_recog.method.tracking.tracks import Correspondences

Float = NDArray[np.float64]
CAMERA = Camera(4, 2, 4.0, 4.0, 2.0, 1.0)
_NONE = np.zeros((0, 2), np.float32)


class PosesAlike(NamedTuple):
    """Poses that are known beforehand."""

    static: PoseEstimate
    dynamic: PoseEstimate
    target: PoseEstimate


def rigid(rotation: object, translation: object) -> Float:
    """Return the (4, 4) transform of a rotation vector and a translation."""
    result = np.eye(4)
    result[:3, :3] = cv2.Rodrigues(np.asarray(rotation, np.float64))[0]
    result[:3, 3] = translation
    return result


def frame(stamp_ns: int, name: str = "") -> Observation:
    grey = np.zeros((2, 4), np.uint8)
    return Observation(
        name or str(stamp_ns),
        stamp_ns,
        np.zeros((2, 4, 3), np.uint8),
        CAMERA,
        np.ones((2, 4), np.float32),
        grey,
    )


def alone(stamp_ns: int) -> Step:
    """A frame without a pair."""
    return Step(frame(stamp_ns), None)


def paired(first_ns: int, second_ns: int, static: PoseEstimate) -> Step:
    """A frame with a partner."""
    first, second = frame(first_ns), frame(second_ns)
    correspondences = Correspondences(_NONE, _NONE, 0)
    still = Decision(Motion.STILL, "")
    poses = PosesAlike(static, static, static)
    pair = Pair(first, second, correspondences, poses, np.ones((4, 4)), still)
    return Step(second, pair)


def estimate(
    T_second_from_first: Float, covariance: Float | None = None, inliers: int = 12
) -> PoseEstimate:
    """Return a found pose; by default of so few inliers that their errors are independent."""
    return PoseEstimate(T_second_from_first, True, "", 99, inliers, covariance)
