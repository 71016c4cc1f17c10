# SPDX-License-Identifier: Apache-2.0
"""The camera's motion between two frames without any depth: the essential matrix, refined.

The essential matrix of the most points is refined on all of them by their distances from their
epipolar lines. Its length is unknown: the translation has length 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix, exp_twist
from depth_recog.method.pose.epipolar import Unsolved, camera_coordinates, essential_motion
from depth_recog.method.pose.refinement import NORMAL, cells_of, median
from depth_recog.method.tracking.tracks import Correspondences

Float = NDArray[np.float64]

_STEPS = 15
_SETTLED = 1e-8
_LEAST_NOISE = 0.05
# Residual, in standard deviations, at which Cauchy's weight is 1/2.
_HALF = 2.0


class Motion(NamedTuple):
    """A motion up to its length.

    Attributes:
        T_second_from_first: (4, 4) float64, translation of length 1.
        covariance: (6, 6) float64 of rotation vector and translation, perturbed as exp(r) R,
            t + dt; none along t.
        noise: standard deviation of the points across their epipolar lines in I2, pixels.
    """

    T_second_from_first: Matrix
    covariance: Float
    noise: float


def motion_of(correspondences: Correspondences, camera: Camera) -> Motion | Unsolved:
    """Estimate the motion between two frames, or say why it cannot be."""
    first = camera_coordinates(correspondences.first, camera)
    second = camera_coordinates(correspondences.second, camera)
    found = essential_motion(first, second, camera)
    if isinstance(found, Unsolved):
        return found
    cells = cells_of(correspondences.first, camera.width)
    return _refined(found[0], first, second, cells, camera)


def _refined(
    start: Matrix, first: Float, second: Float, cells: NDArray[np.int64], camera: Camera
) -> Motion:
    """Minimise the distances e from the epipolar lines in I2, by Gauss-Newton steps.

    With q = R a and l = t x q, e = b . l / |(l_x / fx, l_y / fy)|; the derivative of b . l is
    q x (b x t) by the rotation and q x b by the translation, which moves on the unit sphere.

    Args:
        start: (4, 4) float64, a motion that most points agree with.
        first: (N, 3) float64 camera coordinates a in I1.
        second: (N, 3) float64 camera coordinates b in I2.
        cells: (N,) int64; the errors of points in one cell of the image are correlated.
        camera: intrinsics.
    """
    T = start.copy()
    for _ in range(_STEPS):
        residual, jacobian = _distances(T, first, second, camera)
        noise = _noise(residual)
        weight = 1 / (1 + (residual / noise / _HALF) ** 2)
        weighted = jacobian * weight[:, None]
        step = np.linalg.lstsq(weighted.T @ jacobian, -weighted.T @ residual, rcond=None)[0]
        T = _moved(T, np.asarray(step, np.float64))
        if np.abs(step).max() < _SETTLED:
            break
    residual, jacobian = _distances(T, first, second, camera)
    noise = _noise(residual)
    weight = 1 / (1 + (residual / noise / _HALF) ** 2)
    inverse = np.linalg.pinv((jacobian * weight[:, None]).T @ jacobian)
    # Points of one cell count together, as their errors are correlated.
    scores = jacobian * (weight * residual)[:, None]
    members = np.unique(cells, return_inverse=True)[1]
    together = np.zeros((members.max() + 1, 5))
    np.add.at(together, members, scores)
    covariance = inverse @ (together.T @ together) @ inverse
    basis = np.zeros((6, 5))
    basis[:3, :3] = np.eye(3)
    basis[3:, 3:] = _tangent(T[:3, 3])
    return Motion(T, basis @ covariance @ basis.T, noise)


def _distances(T: Matrix, first: Float, second: Float, camera: Camera) -> tuple[Float, Float]:
    """Return (N,) signed distances from the epipolar lines, pixels, and their (N, 5) derivative."""
    t = T[:3, 3]
    turned = first @ T[:3, :3].T
    lines = np.cross(t, turned)
    length = np.hypot(lines[:, 0] / camera.fx, lines[:, 1] / camera.fy)
    length = np.maximum(length, 1e-12)
    by_rotation = np.cross(turned, np.cross(second, t))
    by_translation = np.cross(turned, second) @ _tangent(t)
    jacobian = np.concatenate((by_rotation, by_translation), 1) / length[:, None]
    return (second * lines).sum(1) / length, jacobian


def _noise(residual: Float) -> float:
    return max(NORMAL * median(np.abs(residual)), _LEAST_NOISE)


def _tangent(direction: Float) -> Float:
    """Return (3, 2), two unit vectors across a unit vector (3,)."""
    across = np.linalg.svd(direction[None])[2][1:]
    return np.asarray(across.T)


def _moved(T: Matrix, step: Float) -> Matrix:
    result = T.copy()
    result[:3, :3] = exp_twist(np.concatenate((step[:3], np.zeros(3))))[:3, :3] @ T[:3, :3]
    t = T[:3, 3] + _tangent(T[:3, 3]) @ step[3:]
    result[:3, 3] = t / np.linalg.norm(t)
    return result
