# SPDX-License-Identifier: Apache-2.0
"""Refine a pose on all correspondences, each weighted by its pixel noise and its depth error.

A pixel position is wrong by some tenths of a pixel in every direction. Where D1 is wrong, the
projection is wrong by much more, along the line on which it moves with its depth. A residual is
therefore measured in units of

    S = s^2 I + d^2 j j^T,    j = d projection / d log depth,

the covariance of both errors. Far points (small j) determine the rotation. Near points determine
the translation's length along j and, however wrong their depth, its direction across j; for a large
d this is the epipolar constraint. s and d are estimated from the residuals of every pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix

Float = NDArray[np.float64]

CELLS = 12
"""Number of cells across the image. The depth and flow errors of neighbouring points are
correlated: the points of one cell count as one measurement. Measured (docs/results.md)."""
INLIER = 3.0
"""Largest residual of an inlier, standard deviations."""

STEPS, FEW_STEPS = 12, 4
"""Most steps from a RANSAC pose, and from a pose close to the solution."""

NORMAL = 1.4826
"""Standard deviation of a normal distribution, in median absolute deviations."""

_SETTLED = 5e-5
# Residual, in standard deviations, at which Cauchy's weight is 1/2.
_HALF = 2.0
# Medians of |x| and of x^2 for a standard normal x.
_MEDIAN, _MEDIAN_SQUARE = 0.6745, 0.4549
_LEAST_PIXEL_NOISE = 0.05
_DEPTH_NOISE, _LEAST_DEPTH_NOISE = 0.2, 0.02
_NEAREST = 1e-3
_LEAST_BEND = 0.25


def median(values: NDArray[np.floating[Any]]) -> float:
    """Return the median of (N,) finite values, N > 0; several times faster than `numpy.median`."""
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def robust_std(values: NDArray[np.floating[Any]]) -> float:
    """Return the standard deviation of (N,) values from their median absolute deviation."""
    return NORMAL * median(np.abs(values - median(values)))


@dataclass(frozen=True)
class Refined:
    """A refined pose.

    Attributes:
        T_second_from_first: (4, 4) float64.
        covariance: (6, 6) float64 of rotation vector and translation, perturbed as exp(r) R,
            t + dt. It does not contain an error of the depth's scale.
        inliers: (N,) bool, points that agree with the pose.
    """

    T_second_from_first: Matrix
    covariance: Float
    inliers: NDArray[np.bool_]


def linearised(
    points: Float, pixels: Float, T_second_from_first: Matrix, camera: Camera
) -> tuple[Float, Float, Float, NDArray[np.bool_]]:
    """Return the residuals of a pose and the projection's derivatives.

    With p = R x + t, pi(p) = (fx p_x / p_z + cx, fy p_y / p_z + cy) and B = d pi / d p:

        e = pixel - pi(p),   d pi / d t = B,   d pi / d r = -B hat(R x),   d pi / d log Z = B R x

    Args:
        points: (3, N) float64, x, in the first camera's frame.
        pixels: (2, N) float64, where they are observed in I2.
        T_second_from_first: (4, 4) float64.
        camera: intrinsics.

    Returns:
        (2, N) residual e; (6, 2, N) derivative by the pose, perturbed as exp(r) R, t + dt; (2, N)
        derivative by the log depth in I1, all in pixels; (N,) bool, whether the point is in front
        of the second camera (the values of the others are meaningless).
    """
    turned = T_second_from_first[:3, :3] @ points  # (3, N), R x
    x, y, z = turned + T_second_from_first[:3, 3:]  # (N,) each, p
    front = z > _NEAREST
    inverse = 1 / np.where(front, z, 1.0)
    x, y = x * inverse, y * inverse
    fx, fy = camera.fx, camera.fy
    residual = pixels - (fx * x + camera.cx, fy * y + camera.cy)  # (2, N)
    by_motion = np.zeros((6, 2, len(z)))
    by_point = by_motion[3:]  # (3, 2, N), B transposed: a view
    by_point[0, 0], by_point[2, 0] = fx * inverse, -fx * x * inverse
    by_point[1, 1], by_point[2, 1] = fy * inverse, -fy * y * inverse
    (a, b, c), (p, q, r) = turned, by_point  # (N,) and (2, N) each
    # Row by row -b hat(a) = a x b.
    by_motion[0], by_motion[1], by_motion[2] = b * r - c * q, c * p - a * r, a * q - b * p
    by_log_depth = a * p + b * q + c * r  # (2, N)
    return residual, by_motion, by_log_depth, front


def refine(
    points: Float,
    pixels: Float,
    places: NDArray[np.float32],
    start: Matrix,
    camera: Camera,
    steps: int = STEPS,
) -> Refined:
    """Find the most likely pose by Gauss-Newton steps with Cauchy's weights.

    With whitened residuals w and Jacobian J of the pose, each step solves
    (sum c J^T J) x = sum c J^T w, where c = 1 / (1 + |w|^2 / _HALF^2).

    Args:
        points: (N, 3) float64, in the first camera's frame.
        pixels: (N, 2) float64, where they are observed in I2.
        places: (N, 2) float32 pixels (u, v) of the points in I1; errors of neighbours there are
            correlated, see `CELLS`.
        start: (4, 4) float64, a pose that most points agree with.
        camera: intrinsics.
        steps: largest number of steps.

    Returns:
        The pose; not finite if the steps diverge.
    """
    unit = median(points[:, 2])
    points, pixels = np.ascontiguousarray(points.T) / unit, np.ascontiguousarray(pixels.T)
    T = start.copy()
    T[:3, 3] /= unit
    depth_variance = _DEPTH_NOISE**2
    for _ in range(steps):
        residual, by_motion, by_depth, front = linearised(points, pixels, T, camera)
        # In axes along and across j, S is diagonal: s^2 + d^2 |j|^2 and s^2.
        lever = (by_depth**2).sum(0)  # (N,), |j|^2
        axes = _axes(by_depth, lever)  # (2, N)
        residuals = _along_and_across(axes, residual)  # (2, N)
        jacobian = _along_and_across(axes, by_motion)  # (6, 2, N)
        noise = median(np.abs(residuals[1, front])) / _MEDIAN if front.any() else 0.0
        pixel_variance = max(noise, _LEAST_PIXEL_NOISE) ** 2  # s^2
        depth_variance = _depth_variance(residuals[0], lever, pixel_variance, depth_variance)
        std = np.sqrt((pixel_variance + depth_variance * lever, 0 * lever + pixel_variance))
        whitened = residuals / std  # (2, N), w
        jacobian /= std
        square = (whitened**2).sum(0)  # (N,), |w|^2
        weight = front / (1 + square / _HALF**2)  # (N,), c
        weighted = (jacobian * weight).reshape(6, -1)  # (6, 2 N)
        information = weighted @ jacobian.reshape(6, -1).T  # (6, 6)
        # Solved by singular values, since few points may leave the motion undetermined.
        step = cv2.solve(information, weighted @ whitened.ravel(), flags=cv2.DECOMP_SVD)[1][:, 0]
        T[:3, :3] = cv2.Rodrigues(step[:3])[0] @ T[:3, :3]
        T[:3, 3] += step[3:]
        if not _SETTLED <= np.abs(step).max() < np.inf:
            break
    cells = cells_of(places, camera.width)
    covariance = _covariance(jacobian, whitened, weight, information, cells)
    T[:3, 3] *= unit
    covariance[3:] *= unit
    covariance[:, 3:] *= unit
    return Refined(T, covariance, front & (square < INLIER**2))


def _axes(direction: Float, square: Float) -> Float:
    """Return (2, N) unit vectors of (2, N) directions with squared lengths (N,); u axis if 0."""
    known = square > 1e-18
    axes: Float = direction / np.sqrt(np.where(known, square, 1.0))
    axes[:, ~known] = ((1.0,), (0.0,))
    return axes


def _along_and_across(axes: Float, vectors: Float) -> Float:
    """Return (..., 2, N) image vectors in axes along (2, N) unit vectors and across them."""
    x, y = axes
    u, v = vectors[..., 0, :], vectors[..., 1, :]
    turned = np.empty_like(vectors)
    turned[..., 0, :], turned[..., 1, :] = x * u + y * v, x * v - y * u
    return turned


def cells_of(pixels: NDArray[np.float32], width: int) -> NDArray[np.int64]:
    """Return (N,) int64, the id of the image cell that each of (N, 2) pixels (u, v) lies in."""
    column, row = (pixels.astype(np.float64) // (width / CELLS)).astype(np.int64).T
    return np.asarray(column + row * (CELLS + 1), np.int64)


def _depth_variance(along: Float, lever: Float, pixel_variance: float, variance: float) -> float:
    """Return the next estimate of d^2: residuals along j should have a normal one's median.

    Args:
        along: (N,) float64, residuals along j, pixels.
        lever: (N,) float64, |j|^2.
        pixel_variance: s^2.
        variance: the last estimate of d^2.
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
    """Return the covariance (6, 6) of an M-estimate whose errors are correlated within cells.

    I^-1 (sum_a l_a J_a J_a^T) I^-1 / bend^2, with J_a the sum of a cell's Jacobians and l the
    residuals' mean weighted square, along and across apart. The residuals after the fit no longer
    show how correlated the errors are, so within a cell they are taken as equal.

    Source: Huber, "Robust Statistics", 1981, chapter 6.
    """
    inverse = cv2.invert(information, flags=cv2.DECOMP_SVD)[1]
    # Derivative of Cauchy's influence function, which is less than its weight.
    bent = weight - weight**2 * (whitened**2).sum(0) / _HALF**2
    bend = max(float(bent.sum()) / max(float(weight.sum()), 1e-12), _LEAST_BEND)
    front = weight > 0
    members = np.asarray((np.unique(cells[front])[:, None] == cells) & front, np.float64)
    together = (jacobian.reshape(12, -1) @ members.T).reshape(6, 2, -1)  # (6, 2, cells)
    level = ((weight * whitened) ** 2).sum(1) / max(np.count_nonzero(front), 1)  # (2,)
    spread = np.einsum("iac,jac,a->ij", together, together, level)
    return np.asarray(inverse @ spread @ inverse / bend**2)
