# SPDX-License-Identifier: Apache-2.0
"""`pnp`: pose from correspondences and D1's depth, robust, with a covariance. The default."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.camera import Camera
from depth_recog.method.correspondences import at
from depth_recog.method.pose import PoseEstimate, PosePair

LEAST_POINTS = 8
LEAST_INLIERS = 6
TOLERANCE = 1.5
_ITERATIONS = 100
_CONFIDENCE = 0.999


def lift(
    pixels: NDArray[np.float32], depth: NDArray[np.float32], camera: Camera
) -> NDArray[np.float64]:
    """Z K^-1 (u, v, 1): pixels to points.

    Args:
        pixels: (N, 2) float32, (u, v).
        depth: (H, W) float32, along the optical axis.
        camera: intrinsics.

    Returns:
        (N, 3) float64, in the depth's unit; not finite where the depth is not.
    """
    z = at(depth, pixels).astype(np.float64)
    with np.errstate(invalid="ignore"):  # the sky, straight ahead: 0 times infinity
        x = (pixels[:, 0] - camera.cx) / camera.fx * z
        y = (pixels[:, 1] - camera.cy) / camera.fy * z
    return np.stack((x, y, z), 1)


class PnpEstimator:
    """Perspective-n-point in a RANSAC loop, refined on its inliers (Levenberg-Marquardt).

    D1's unit is the translation's unit: a depth that is wrong by a factor gives a translation that
    is wrong by the same factor and the right rotation.
    """

    name = "pnp"

    def estimate(self, pair: PosePair) -> PoseEstimate:
        """See `PoseEstimator.estimate`."""
        points = lift(pair.matches.first, pair.depth, pair.camera)
        usable = np.isfinite(points).all(1) & (points[:, 2] > 0)
        points = points[usable]
        pixels = pair.matches.second[usable].astype(np.float64)
        if len(points) < LEAST_POINTS:
            return PoseEstimate(
                why=f"{len(points)} correspondences with depth, {LEAST_POINTS} needed",
                points=len(points),
            )
        k = pair.camera.matrix
        cv2.setRNGSeed(0)  # the same pair gives the same pose, in every process
        try:
            found, rotation, translation, inliers = cv2.solvePnPRansac(
                points,
                pixels,
                k,
                None,
                iterationsCount=_ITERATIONS,
                reprojectionError=TOLERANCE,
                confidence=_CONFIDENCE,
                flags=cv2.SOLVEPNP_EPNP,
            )
        except cv2.error:
            # OpenCV gives up on degenerate points (all in one place) by throwing.
            found, inliers = False, None
        if not found or inliers is None or len(inliers) < LEAST_INLIERS:
            agreeing = 0 if inliers is None else len(inliers)
            return PoseEstimate(
                why=f"{agreeing} of {len(points)} correspondences agree on a motion, "
                f"{LEAST_INLIERS} needed",
                points=len(points),
                inliers=agreeing,
            )
        chosen = inliers[:, 0]
        rotation, translation = cv2.solvePnPRefineLM(
            points[chosen],
            pixels[chosen],
            k,
            None,
            rotation,
            translation,
        )
        matrix = np.eye(4)
        matrix[:3, :3] = cv2.Rodrigues(rotation)[0]
        matrix[:3, 3] = translation[:, 0]
        if not np.isfinite(matrix).all():
            return PoseEstimate(why="the refinement diverged", points=len(points))
        covariance = reprojection_covariance(points[chosen], pixels[chosen], matrix, pair.camera)
        return PoseEstimate(matrix, True, "", len(points), len(chosen), covariance)


def reprojection_covariance(
    points: NDArray[np.float64],
    pixels: NDArray[np.float64],
    T_second_from_first: NDArray[np.float64],
    camera: Camera,
) -> NDArray[np.float64]:
    """Covariance of a least-squares pose: s^2 (J^T J)^-1, s the residuals' deviation.

    Args:
        points: (N, 3) float64, in the first camera's frame.
        pixels: (N, 2) float64, where they are seen in I2.
        T_second_from_first: (4, 4) float64, the solution.
        camera: intrinsics.

    Returns:
        (6, 6) float64 for (rotation vector, translation), the motion perturbed as exp(r) R, t + dt.
    """
    rotated = points @ T_second_from_first[:3, :3].T
    x, y, z = (rotated + T_second_from_first[:3, 3]).T
    fx, fy = camera.fx, camera.fy
    residual = np.stack((fx * x / z + camera.cx, fy * y / z + camera.cy), 1) - pixels
    zero = np.zeros_like(z)
    by_point = np.stack(
        (
            np.stack((fx / z, zero, -fx * x / z**2), 1),
            np.stack((zero, fy / z, -fy * y / z**2), 1),
        ),
        1,
    )
    a, b, c = rotated.T
    # d(exp(r) q) / dr = -hat(q) at r = 0.
    by_rotation = np.stack((zero, c, -b, -c, zero, a, b, -a, zero), 1).reshape(-1, 3, 3)
    jacobian = np.concatenate((by_point @ by_rotation, by_point), 2).reshape(-1, 6)
    freedom = max(residual.size - 6, 1)
    variance = float((residual**2).sum()) / freedom
    # The pseudo-inverse: a pose that the points leave open is uncertain, not an error.
    return variance * np.linalg.pinv(jacobian.T @ jacobian, hermitian=True)
