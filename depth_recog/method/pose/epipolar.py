# SPDX-License-Identifier: Apache-2.0
"""`epipolar`: the estimator of claim 4. Correspondences -> K^-1 p -> epipolar constraint -> R, t.

The constraint is (K^-1 p2)^T [t]x R (K^-1 p1) = 0; in the patent's order of the factors the
dimensions do not match. It leaves the length of t open, which is fitted against D1.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.pose.estimator import PoseEstimate, PosePair
from depth_recog.method.tracking.tracks import at

LEAST_POINTS = 12
LEAST_INLIERS = 10
TOLERANCE = 0.7
# Largest depth of an inlier, in baselines: OpenCV's default of 50 rejects most of a street.
_FARTHEST = 1e9
# Least standard deviation of the inliers across the line that fits them best, pixels.
_LEAST_SPREAD = 3.0
# Rays at a smaller angle than this are not triangulated.
_LEAST_PARALLAX = np.radians(0.15)


def camera_coordinates(pixels: NDArray[np.float32], camera: Camera) -> NDArray[np.float64]:
    """Return K^-1 p, (N, 3) float64 on the plane z = 1, of (N, 2) pixels (u, v)."""
    x, y = camera.rays(*pixels.astype(np.float64).T)
    return np.stack((x, y, np.ones_like(x)), 1)


def triangulated_depth(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    T_second_from_first: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the depth in the first camera where two rays come nearest; NaN if nearly parallel.

    Args:
        first: (N, 3) float64 camera coordinates in I1.
        second: (N, 3) float64 camera coordinates in I2.
        T_second_from_first: (4, 4) float64.

    Returns:
        (N,) float64, in the unit of the translation.
    """
    t = T_second_from_first[:3, 3]
    a = first @ T_second_from_first[:3, :3].T
    b = second
    # Least squares of z1 a + t = z2 b: two normal equations for each pair of rays.
    aa, bb, ab = (a * a).sum(1), (b * b).sum(1), (a * b).sum(1)
    at_, bt = a @ t, b @ t
    determinant = aa * bb - ab * ab
    sine = np.sqrt(np.maximum(determinant, 0) / (aa * bb))
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = (ab * bt - bb * at_) / determinant
    return np.where(sine > np.sin(_LEAST_PARALLAX), depth, np.nan)


class Unsolved(NamedTuple):
    """Why correspondences determine no motion, and how many agreed on one."""

    why: str
    inliers: int = 0


def essential_motion(
    first: NDArray[np.float64], second: NDArray[np.float64], camera: Camera
) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | Unsolved:
    """Find the motion that most correspondences agree on; no depth is needed.

    Args:
        first: (N, 3) float64 camera coordinates in I1.
        second: (N, 3) float64 camera coordinates in I2.
        camera: intrinsics of both images.

    Returns:
        T_second_from_first, (4, 4) float64 with a translation of length 1, and (N,) bool, the
        inliers in front of both cameras; or why there is none.
    """
    if len(first) < LEAST_POINTS:
        return Unsolved(f"{len(first)} correspondences, {LEAST_POINTS} needed")
    cv2.setRNGSeed(0)  # so that the same pair gives the same pose in every process
    focal = (camera.fx + camera.fy) / 2
    essential, inliers = cv2.findEssentialMat(
        first[:, :2].copy(),
        second[:, :2].copy(),
        np.eye(3),
        cv2.USAC_ACCURATE,
        0.999,
        TOLERANCE / focal,
    )
    if essential is None or essential.shape != (3, 3):
        return Unsolved("no essential matrix fits")
    agreeing, rotation, direction, kept, _ = cv2.recoverPose(
        essential,
        first[:, :2].copy(),
        second[:, :2].copy(),
        np.eye(3),
        distanceThresh=_FARTHEST,
        mask=inliers.copy(),
    )
    if agreeing < LEAST_INLIERS:
        why = f"{agreeing} points lie in front of both cameras, {LEAST_INLIERS} needed"
        return Unsolved(why, agreeing)
    use = kept[:, 0] > 0
    scale = camera.fx, camera.fy
    pixels = first[use, :2] * scale
    spread = np.linalg.svd(pixels - pixels.mean(0), compute_uv=False)[1] / np.sqrt(len(pixels))
    if spread < _LEAST_SPREAD:
        why = f"the correspondences lie within {spread:.1f} px of one line"
        return Unsolved(why, agreeing)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, direction[:, 0]
    return matrix, np.asarray(use, np.bool_)


class EpipolarEstimator:
    """Five-point essential matrix (Nister, 2004) in RANSAC, with a cheirality check.

    OpenCV's USAC_ACCURATE refines every better model on its inliers; five points alone give a
    rotation error three times as large.
    """

    name = "epipolar"

    def estimate(self, pair: PosePair) -> PoseEstimate:
        """See `PoseEstimator.estimate`."""
        count = len(pair.correspondences)

        def failed(why: str, inliers: int = 0) -> PoseEstimate:
            return PoseEstimate(why=why, points=count, inliers=inliers)

        first = camera_coordinates(pair.correspondences.first, pair.camera)
        second = camera_coordinates(pair.correspondences.second, pair.camera)
        found = essential_motion(first, second, pair.camera)
        if isinstance(found, Unsolved):
            return failed(*found)
        matrix, use = found
        agreeing, pixels = int(use.sum()), pair.correspondences.first[use]
        length = fit_length(
            triangulated_depth(first[use], second[use], matrix),
            at(pair.depth, pixels).astype(np.float64),
        )
        if length is None:
            why = "too little parallax to fit the translation's length against the depth"
            return failed(why, agreeing)
        matrix[:3, 3] *= length
        return PoseEstimate(matrix, True, "", count, agreeing)


def fit_length(triangulated: NDArray[np.float64], depth: NDArray[np.float64]) -> float | None:
    """Return the length of t that makes triangulated depths agree with D1: the median ratio.

    Args:
        triangulated: (N,) float64, depths for a t of unit length; NaN where unknown.
        depth: (N,) float64, D1 at the same points.

    Returns:
        The length in D1's unit; None with fewer than `LEAST_INLIERS` usable points.
    """
    usable = np.isfinite(triangulated) & (triangulated > 0) & np.isfinite(depth) & (depth > 0)
    if usable.sum() < LEAST_INLIERS:
        return None
    return float(np.median(depth[usable] / triangulated[usable]))
