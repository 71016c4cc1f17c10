# SPDX-License-Identifier: Apache-2.0
"""What is left of a correspondence's displacement when the static pose is taken off.

e = p2 - project(T p1's point) = J delta + B tau + noise: a wrong depth moves the projection along
J, a motion of the point's own along B, a wrong pose along A.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.camera import Camera
from depth_recog.method.se3 import Matrix

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
    u, v = first.astype(np.float64).T
    x, y = (u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z
    turned = np.stack((x, y, z), 1) @ T_second_from_first[:3, :3].T
    px, py, pz = (turned + T_second_from_first[:3, 3]).T
    # A point that ends behind the camera has no projection: far away it is, and proves nothing.
    pz = np.where(pz > 1e-3 * z, pz, np.inf)
    zero = np.zeros_like(pz)
    by_motion = np.stack(
        (
            np.stack((camera.fx / pz, zero, -camera.fx * px / pz / pz), 1),
            np.stack((zero, camera.fy / pz, -camera.fy * py / pz / pz), 1),
        ),
        1,
    )
    a, b, c = turned.T
    # d(exp(r) q) / dr = -hat(q) at r = 0.
    turning = np.stack((zero, c, -b, -c, zero, a, b, -a, zero), 1).reshape(-1, 3, 3)
    seen = np.stack((camera.fx * px / pz + camera.cx, camera.fy * py / pz + camera.cy), 1)
    error = np.where(np.isfinite(pz)[:, None], second - seen, 0.0)
    return Residual(
        error,
        (by_motion @ turned[:, :, None])[:, :, 0],
        by_motion,
        np.concatenate((by_motion @ turning, by_motion), 2),
    )
