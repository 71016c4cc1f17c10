# SPDX-License-Identifier: Apache-2.0
"""A pose refined on all correspondences, by what each of them can know.

A pixel that was found again is off by some tenths of a pixel in every direction, and, where D1 is
wrong, by much more along the line on which it moves with its depth. So a residual counts by its
distance in units of

    S = s^2 I + d^2 j j^T,    j = d projection / d log depth,

the wrong depth marginalised. Far points (small j) give the rotation, near ones the translation's
length along j and, however wrong their depth, its direction across j: the epipolar constraint is
the limit of a large d. s and d are measured in every pair, on the residuals themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.median import median

Float = NDArray[np.float64]

CELLS = 12
"""The image's width in cells. What is wrong with the depth, and with the flow, of one point is
wrong with its neighbours' too: a cell's points are one witness. Measured (docs/results.md)."""
INLIER = 3.0
"""In deviations: farther off than this a point belongs to another motion."""

STEPS, FEW_STEPS = 12, 4
"""From a guess of RANSAC's; from a pose that is nearly right."""

_SETTLED = 5e-5
# Cauchy's influence: what is this many deviations off counts by half.
_HALF = 2.0
# Of a standard normal variable: median of the magnitude and of the square.
_MEDIAN, _MEDIAN_SQUARE = 0.6745, 0.4549
_LEAST_PIXEL_NOISE = 0.05
_DEPTH_NOISE, _LEAST_DEPTH_NOISE = 0.2, 0.02
_NEAREST = 1e-3
_LEAST_BEND = 0.25


@dataclass(frozen=True)
class Refined:
    """A refined pose.

    Attributes:
        T_second_from_first: (4, 4) float64.
        covariance: (6, 6) float64 of rotation vector and translation, perturbed as exp(r) R,
            t + dt. A depth that is wrong by one factor everywhere is not in it: it is the unit.
        inliers: (N,) bool, points that agree with the pose.
    """

    T_second_from_first: Matrix
    covariance: Float
    inliers: NDArray[np.bool_]


def linearised(
    points: Float, pixels: Float, T_second_from_first: Matrix, camera: Camera
) -> tuple[Float, Float, Float, NDArray[np.bool_]]:
    """Where points are seen, beside where they should be, and what would change that.

    Points are the last axis: all that is done to each of them is done to whole rows.

    Args:
        points: (3, N) float64, in the first camera's frame.
        pixels: (2, N) float64, where they are seen in I2.
        T_second_from_first: (4, 4) float64.
        camera: intrinsics.

    Returns:
        (2, N) residual, seen minus projected, pixels; (6, 2, N) derivative of the projection by the
        motion, perturbed as exp(r) R, t + dt; (2, N) derivative by the logarithm of the depth in
        I1; (N,) bool, in front of the second camera (the others' numbers mean nothing).
    """
    turned = T_second_from_first[:3, :3] @ points
    x, y, z = turned + T_second_from_first[:3, 3:]
    front = z > _NEAREST
    inverse = 1 / np.where(front, z, 1.0)
    x, y = x * inverse, y * inverse
    fx, fy = camera.fx, camera.fy
    residual = pixels - (fx * x + camera.cx, fy * y + camera.cy)
    by_motion = np.zeros((6, 2, len(z)))
    by_point = by_motion[3:]
    by_point[0, 0], by_point[2, 0] = fx * inverse, -fx * x * inverse
    by_point[1, 1], by_point[2, 1] = fy * inverse, -fy * y * inverse
    # d(exp(r) q) / dr = -hat(q) at r = 0, and b (-hat(q)) = q x b.
    (a, b, c), (p, q, r) = turned, by_point
    by_motion[0], by_motion[1], by_motion[2] = b * r - c * q, c * p - a * r, a * q - b * p
    by_log_depth = a * p + b * q + c * r
    return residual, by_motion, by_log_depth, front


def refine(
    points: Float,
    pixels: Float,
    cells: NDArray[np.int64],
    start: Matrix,
    camera: Camera,
    steps: int = STEPS,
) -> Refined:
    """The most likely pose, by Gauss-Newton steps with Cauchy's weights.

    Args:
        points: (N, 3) float64, in the first camera's frame.
        pixels: (N, 2) float64, where they are seen in I2.
        cells: (N,) int64, which points have errors that agree: see `cells_of`.
        start: (4, 4) float64, a pose that most points agree with.
        camera: intrinsics.
        steps: at most so many.

    Returns:
        The pose; not finite where the steps diverge.
    """
    unit = median(points[:, 2])
    points, pixels = np.ascontiguousarray(points.T) / unit, np.ascontiguousarray(pixels.T)
    T = start.copy()
    T[:3, 3] /= unit
    depth_variance = _DEPTH_NOISE**2
    for _ in range(steps):
        residual, by_motion, by_depth, front = linearised(points, pixels, T, camera)
        # Two residuals a point: along the line on which its depth moves it, and across.
        lever = (by_depth**2).sum(0)
        axes = _axes(by_depth, lever)
        residuals, jacobian = _along_and_across(axes, residual), _along_and_across(axes, by_motion)
        noise = median(np.abs(residuals[1, front])) / _MEDIAN if front.any() else 0.0
        pixel_variance = max(noise, _LEAST_PIXEL_NOISE) ** 2
        depth_variance = _depth_variance(residuals[0], lever, pixel_variance, depth_variance)
        deviation = np.sqrt((pixel_variance + depth_variance * lever, 0 * lever + pixel_variance))
        whitened = residuals / deviation
        jacobian /= deviation
        square = (whitened**2).sum(0)
        weight = front / (1 + square / _HALF**2)
        weighted = (jacobian * weight).reshape(6, -1)
        information = weighted @ jacobian.reshape(6, -1).T
        # By singular values: too few points leave some of the motion open.
        step = cv2.solve(information, weighted @ whitened.ravel(), flags=cv2.DECOMP_SVD)[1][:, 0]
        T[:3, :3] = cv2.Rodrigues(step[:3])[0] @ T[:3, :3]
        T[:3, 3] += step[3:]
        if not _SETTLED <= np.abs(step).max() < np.inf:
            break
    covariance = _covariance(jacobian, whitened, weight, information, cells)
    T[:3, 3] *= unit
    covariance[3:] *= unit
    covariance[:, 3:] *= unit
    return Refined(T, covariance, front & (square < INLIER**2))


def _axes(direction: Float, square: Float) -> Float:
    """(2, N) unit vectors of (2, N) directions with these squared lengths; along u where 0."""
    known = square > 1e-18
    axes: Float = direction / np.sqrt(np.where(known, square, 1.0))
    axes[:, ~known] = ((1.0,), (0.0,))
    return axes


def _along_and_across(axes: Float, vectors: Float) -> Float:
    """(..., 2, N) image vectors in axes along (2, N) unit vectors and across."""
    x, y = axes
    u, v = vectors[..., 0, :], vectors[..., 1, :]
    turned = np.empty_like(vectors)
    turned[..., 0, :], turned[..., 1, :] = x * u + y * v, x * v - y * u
    return turned


def cells_of(pixels: NDArray[np.float32], width: int) -> NDArray[np.int64]:
    """Which cell of the image each of (N, 2) pixels (u, v) lies in, (N,) int64."""
    column, row = (pixels.astype(np.float64) // (width / CELLS)).astype(np.int64).T
    return np.asarray(column + row * (CELLS + 1), np.int64)


def _depth_variance(along: Float, lever: Float, pixel_variance: float, variance: float) -> float:
    """One step towards the variance with which residuals along j have the median they should.

    Args:
        along: (N,) float64, pixels.
        lever: (N,) float64, |j|^2.
        pixel_variance: of the flow.
        variance: of log depth, until now.
    """
    excess = median(along**2 / (pixel_variance + variance * lever)) / _MEDIAN_SQUARE
    return min(max(variance * min(max(excess, 0.1), 10.0), _LEAST_DEPTH_NOISE**2), 1.0)


def _covariance(
    jacobian: Float,
    whitened: Float,
    weight: Float,
    information: Float,
    cells: NDArray[np.int64],
) -> Float:
    """Covariance of an M-estimate (Huber, 1981, chapter 6) whose points err cell by cell.

    The level of the errors is that of the residuals, along and across apart; the cells' points are
    taken to err together, since after the fit the residuals no longer show how far they do.
    """
    inverse = cv2.invert(information, flags=cv2.DECOMP_SVD)[1]
    # Cauchy's influence bends: a residual pulls less than its weight says.
    bent = weight - weight**2 * (whitened**2).sum(0) / _HALF**2
    bend = max(float(bent.sum()) / max(float(weight.sum()), 1e-12), _LEAST_BEND)
    front = weight > 0
    members = np.asarray((np.unique(cells[front])[:, None] == cells) & front, np.float64)
    together = (jacobian.reshape(12, -1) @ members.T).reshape(6, 2, -1)
    level = ((weight * whitened) ** 2).sum(1) / max(np.count_nonzero(front), 1)
    spread = np.einsum("iac,jac,a->ij", together, together, level)
    return np.asarray(inverse @ spread @ inverse / bend**2)
