# SPDX-License-Identifier: Apache-2.0
"""`pnp`, the default estimator: a robust pose with covariance from correspondences and depth."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.pose.estimator import PoseEstimate, PosePair
from depth_recog.method.pose.refinement import FEW_STEPS, STEPS, refine
from depth_recog.method.tracking.tracks import at

LEAST_POINTS = 8
LEAST_INLIERS = 6
TOLERANCE = 1.5
_ITERATIONS = 100
_CONFIDENCE = 0.999


def lift(
    pixels: NDArray[np.float32], depth: NDArray[np.float32], camera: Camera
) -> NDArray[np.float64]:
    """Return the points Z K^-1 (u, v, 1) of (N, 2) pixels (u, v) on a (H, W) depth map.

    Returns:
        (N, 3) float64, in the depth's unit; not finite where the depth is not.
    """
    z = at(depth, pixels).astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinite depth at the principal point: 0 times infinity
        x, y = camera.rays(pixels[:, 0], pixels[:, 1])
        return np.stack((x * z, y * z, z), 1)


class PnpEstimator:
    """Perspective-n-point (Ke and Roumeliotis, 2017) in RANSAC, then `refinement`.

    The translation is in D1's unit: a depth that is wrong by a factor gives a translation that is
    wrong by this factor, and the right rotation.
    """

    name = "pnp"

    def estimate(self, pair: PosePair) -> PoseEstimate:
        """See `PoseEstimator.estimate`."""
        return self.estimate_from(pair, None)

    def estimate_from(self, pair: PosePair, guess: Matrix | None) -> PoseEstimate:
        """Estimate from a guess (4, 4) close to the solution, without RANSAC; None for RANSAC."""
        points = lift(pair.correspondences.first, pair.depth, pair.camera)
        usable = np.isfinite(points).all(1) & (points[:, 2] > 0)
        points = points[usable]
        pixels = pair.correspondences.second[usable].astype(np.float64)
        if len(points) < LEAST_POINTS:
            return PoseEstimate(
                why=f"{len(points)} correspondences with depth, {LEAST_POINTS} needed",
                points=len(points),
            )
        start, agreeing = guess, len(points)
        if start is None:
            start, agreeing = _ransac(points, pixels, pair.camera)
        if agreeing < LEAST_INLIERS:
            return PoseEstimate(
                why=f"{agreeing} of {len(points)} correspondences agree on a motion, "
                f"{LEAST_INLIERS} needed",
                points=len(points),
                inliers=agreeing,
            )
        places = pair.correspondences.first[usable]
        steps = STEPS if guess is None else FEW_STEPS
        refined = refine(points, pixels, places, start, pair.camera, steps)
        agreeing = int(refined.inliers.sum())
        finite = np.isfinite(refined.T_second_from_first).all()
        if not finite or agreeing < LEAST_INLIERS:
            return PoseEstimate(why="the refinement diverged", points=len(points))
        return PoseEstimate(
            refined.T_second_from_first, True, "", len(points), agreeing, refined.covariance
        )


def _ransac(
    points: NDArray[np.float64], pixels: NDArray[np.float64], camera: Camera
) -> tuple[Matrix, int]:
    """Return the motion (4, 4) with the most inliers, and their number; 0 if there is none."""
    guess = np.eye(4)
    cv2.setRNGSeed(0)  # so that the same pair gives the same pose in every process
    try:
        found, rotation, translation, inliers = cv2.solvePnPRansac(
            points,
            pixels,
            camera.matrix,
            None,
            iterationsCount=_ITERATIONS,
            reprojectionError=TOLERANCE,
            confidence=_CONFIDENCE,
            flags=cv2.SOLVEPNP_AP3P,
        )
    except cv2.error:
        # OpenCV raises an error for degenerate points (all in one place).
        return guess, 0
    if not found or inliers is None:
        return guess, 0
    guess[:3, :3] = cv2.Rodrigues(rotation)[0]
    guess[:3, 3] = translation[:, 0]
    return guess, len(inliers) if np.isfinite(guess).all() else 0
