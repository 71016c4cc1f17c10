# SPDX-License-Identifier: Apache-2.0
"""Static points that two frames of a moving camera triangulate."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.affine import LEAST_POINTS, SURE
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.pose.epipolar import Unsolved, camera_coordinates, essential_motion
from depth_recog.method.scale.measurement import Refusal
from depth_recog.method.tracking.tracks import Correspondences

Float = NDArray[np.float64]

_PIXEL_NOISE = 0.25
_LARGEST_RESIDUAL = 1.5
_LEAST_EPIPOLE = 1 / 40
_LEAST_Z = 0.1


class StaticPoints(NamedTuple):
    """Triangulated static points of two frames; inverse depths in 1 / baselines.

    Attributes:
        first, second: (N, 2) float32 pixels in either frame.
        first_inverse, second_inverse: (N,) float64; noise can make those of far points negative.
        std: (N,) float64, standard deviation of either.
        ids: (N,) of the tracks.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    first_inverse: Float
    second_inverse: Float
    std: Float
    ids: NDArray[np.intp]

    def where(self, keep: NDArray[np.bool_]) -> StaticPoints:
        """The points that an (N,) bool array keeps."""
        first, second = self.first[keep], self.second[keep]
        inverses = self.first_inverse[keep], self.second_inverse[keep]
        return StaticPoints(first, second, *inverses, self.std[keep], self.ids[keep])

    @property
    def sure(self) -> NDArray[np.bool_]:
        """(N,) bool, points whose parallax is well above the noise."""
        return np.asarray(self.first_inverse > SURE * self.std)


def static_points(found: Correspondences, camera: Camera) -> StaticPoints | Refusal:
    """Triangulate correspondences on static pixels, with the motion that they show themselves.

    Args:
        found: the correspondences; `rows` are the ids of the tracks.
        camera: intrinsics of both frames.
    """
    first, second = (camera_coordinates(p, camera) for p in (found.first, found.second))
    motion = essential_motion(first, second, camera)
    if isinstance(motion, Unsolved):
        return Refusal(f"no motion of the camera: {motion.why}")
    return triangulated(found, motion[0], camera)


def triangulated(
    found: Correspondences, T_second_from_first: Matrix, camera: Camera
) -> StaticPoints | Refusal:
    """Triangulate correspondences with a given motion.

    A point (u, v, 1) / w of the second camera with inverse depth w in the first is R x + w t, so
    u (R x + w t)_z = (R x + w t)_x, and the same for v: linear in w. The noise of w is nearly the
    same for near and far points, so far ones need not be left out, which would bias the rest.

    Args:
        found: the correspondences; `rows` are the ids of the tracks.
        T_second_from_first: (4, 4); the length of its translation is not used.
        camera: intrinsics of both frames.
    """
    t = T_second_from_first[:3, 3]
    length = float(np.linalg.norm(t))
    if not (length > 0 and math.isfinite(length)):
        return Refusal("the camera does not move")
    t = t / length
    turned = camera_coordinates(found.first, camera) @ T_second_from_first[:3, :3].T
    seen = camera_coordinates(found.second, camera)[:, :2]
    focal = np.array((camera.fx, camera.fy))
    by_inverse = (seen * t[2] - t[:2]) * focal  # (N, 2), pixels
    offset = (turned[:, :2] - seen * turned[:, 2:]) * focal
    lever = np.maximum(np.linalg.norm(by_inverse, axis=1), 1e-6)
    inverse = (by_inverse * offset).sum(1) / lever**2
    z = turned[:, 2] + inverse * t[2]  # of the second camera's depth, over that of the first
    across = np.linalg.norm(offset - inverse[:, None] * by_inverse, axis=1)
    std = _PIXEL_NOISE * np.abs(z) / lever
    good = (z > _LEAST_Z) & (across < _LARGEST_RESIDUAL) & (inverse > -SURE * std)
    good &= lever > _LEAST_EPIPOLE * camera.width * abs(t[2])
    every = StaticPoints(found.first, found.second, inverse, inverse / z, std, found.rows)
    points = every.where(good)
    if points.sure.sum() < LEAST_POINTS:
        return Refusal("the camera moves too little to measure scale and shift of the depth")
    return points
