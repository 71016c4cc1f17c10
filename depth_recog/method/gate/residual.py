# SPDX-License-Identifier: Apache-2.0
"""What is left of a correspondence's displacement when the static pose is taken off.

e = p2 - project(T p1's point) = J delta + B tau + noise: a wrong depth moves the projection along
J, a motion of the point's own along B, a wrong pose along A.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.pose.refinement import linearised

Float = NDArray[np.float64]


class Residual(NamedTuple):
    """Of N correspondences.

    Attributes:
        pixels: (N, 2) float64, e, pixels.
        by_depth: (N, 2) float64, J = d project / d log Z, pixels.
        by_motion: (N, 2, 3) float64, B = d project / d X, pixels by unit of depth, X the point in
            the second camera's frame.
        by_pose: (N, 2, 6) float64, A = d project / d (r, dt), the pose perturbed as exp(r) R,
            t + dt.
    """

    pixels: Float
    by_depth: Float
    by_motion: Float
    by_pose: Float


def residual(
    T_second_from_first: Matrix,
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    depth: NDArray[np.float32],
    camera: Camera,
) -> Residual:
    """Residual and its derivatives.

    Args:
        T_second_from_first: (4, 4), the static pose.
        first: (N, 2) pixels (u, v) of I1.
        second: (N, 2) pixels (u, v) of I2.
        depth: (N,) of the first ones, in the pose's unit; positive.
        camera: intrinsics.
    """
    z = depth.astype(np.float64)
    x, y = camera.rays(*first.astype(np.float64).T)
    error, by_pose, by_depth, front = linearised(
        np.array((x * z, y * z, z)), second.astype(np.float64).T, T_second_from_first, camera
    )
    # A point that ends behind the camera has no projection, and proves nothing.
    error[:, ~front], by_pose[..., ~front], by_depth[:, ~front] = 0.0, 0.0, 0.0
    by_pose = np.ascontiguousarray(by_pose.T)
    return Residual(error.T, by_depth.T, by_pose[:, :, 3:], by_pose)
