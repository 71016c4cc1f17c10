# SPDX-License-Identifier: Apache-2.0
"""The distances of points from their epipolar lines in many pairs, for any focal length.

Source: Sampson's first-order distance (Luong and Faugeras, 1996), minimised over focal length,
principal point, one radial coefficient, and each pair's rotation and direction of motion.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.self_calibration.pairs import PointPair

Float = NDArray[np.float64]

LENS = 4
"""Unknowns of the camera: log focal length, k1, and the principal point's offset over the width."""
_POSE = 5
_STEP = 1e-6
_UNDISTORTING = 4


class Poses(NamedTuple):
    """Motions of P pairs.

    Attributes:
        rotations: (P, 3, 3) from the first to the second frame.
        directions: (P, 3) unit vectors of the translation.
    """

    rotations: Float
    directions: Float

    def moved(self, steps: Float) -> Poses:
        """The poses after small steps (P, 5): a rotation, and two angles of the direction."""
        t = self.directions
        helper = np.where(np.abs(t[:, :1]) < 0.9, [[1.0, 0, 0]], [[0.0, 1, 0]])
        u = np.cross(t, helper)
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        turned = t + u * steps[:, 3:4] + np.cross(t, u) * steps[:, 4:5]
        turned /= np.linalg.norm(turned, axis=1, keepdims=True)
        return Poses(_exp(steps[:, :3]) @ self.rotations, turned)

    @property
    def angles(self) -> Float:
        """(P,) rotation angles, radians."""
        cosines = (np.trace(self.rotations, axis1=1, axis2=2) - 1) / 2
        return np.asarray(np.arccos(np.clip(cosines, -1, 1)))


class EpipolarErrors:
    """The points of P pairs, padded to N each.

    Args:
        pairs: of one camera.
        size: (width, height) of its images, pixels.
        most: N, the largest number of points of a pair; more are left out at random.
    """

    def __init__(self, pairs: list[PointPair], size: tuple[int, int], most: int = 200) -> None:
        rng = np.random.default_rng(0)
        most = min(most, max((len(pair.first) for pair in pairs), default=0))
        self.width, self._height = size
        self._first, self._second = (np.zeros((len(pairs), most, 2)) for _ in range(2))
        self.known: NDArray[np.bool_] = np.zeros((len(pairs), most), np.bool_)
        for i, pair in enumerate(pairs):
            chosen = rng.permutation(len(pair.first))[:most]
            self._first[i, : len(chosen)] = pair.first[chosen]
            self._second[i, : len(chosen)] = pair.second[chosen]
            self.known[i, : len(chosen)] = True

    def subset(self, kept: NDArray[np.intp]) -> EpipolarErrors:
        """Some of the pairs."""
        other = EpipolarErrors([], (self.width, self._height))
        other._first, other._second = self._first[kept], self._second[kept]
        other.known = self.known[kept]
        return other

    def kept(self, good: NDArray[np.bool_]) -> EpipolarErrors:
        """The same pairs without those points (P, N) that are not good."""
        other = self.subset(np.arange(len(self.known)))
        other.known = self.known & good
        return other

    def rays(self, pixels: Float, lens: Float) -> Float:
        """(..., 3) rays of pixels (..., 2) through a lens (4,)."""
        middle = (np.array((self.width, self._height)) - 1) / 2 + lens[2:] * self.width
        seen = (pixels - middle) / np.exp(lens[0])
        x = seen
        if lens[1]:
            for _ in range(_UNDISTORTING):
                x = seen / np.maximum(1 + lens[1] * (x**2).sum(-1, keepdims=True), 0.3)
        return np.concatenate((x, np.ones((*x.shape[:-1], 1))), -1)

    def distances(self, poses: Poses, lens: Float) -> Float:
        """(P, N) Sampson distances, pixels."""
        one, two = self.rays(self._first, lens), self.rays(self._second, lens)
        essential = _cross(poses.directions) @ poses.rotations
        lines, back = one @ np.swapaxes(essential, -1, -2), two @ essential
        slopes = (lines[..., :2] ** 2).sum(-1) + (back[..., :2] ** 2).sum(-1)
        errors = (two * lines).sum(-1) / np.sqrt(slopes + 1e-18)
        return np.asarray(errors * np.exp(lens[0]))

    def linearised(self, poses: Poses, lens: Float) -> tuple[Float, Float]:
        """(P, N) distances, and their derivatives (P, N, 5 + 4) by poses and lens."""
        errors = self.distances(poses, lens)
        slopes = np.empty((*errors.shape, _POSE + LENS))
        for k in range(_POSE):
            step = np.zeros((len(errors), _POSE))
            step[:, k] = _STEP
            slopes[..., k] = (self.distances(poses.moved(step), lens) - errors) / _STEP
        for k in range(LENS):
            other = lens.copy()
            other[k] += _STEP
            slopes[..., _POSE + k] = (self.distances(poses, other) - errors) / _STEP
        return errors, slopes

    def five_points(self, lens: Float) -> Poses:
        """Poses for a given lens, pair by pair (Nister, 2004), robust."""
        one, two = (self.rays(points, lens)[..., :2] for points in (self._first, self._second))
        rotations, directions = [], []
        identity, limit = np.eye(3), 0.7 / float(np.exp(lens[0]))
        for first, second, known in zip(one, two, self.known, strict=True):
            a, b = np.ascontiguousarray(first[known]), np.ascontiguousarray(second[known])
            matrix, inliers = cv2.findEssentialMat(a, b, identity, cv2.USAC_FAST, 0.99, limit)
            if matrix is None or matrix.shape != (3, 3):
                rotations.append(np.eye(3))
                directions.append(np.array((0.0, 0.0, 1.0)))
                continue
            _, turn, move, _, _ = cv2.recoverPose(
                matrix, a, b, identity, distanceThresh=1e9, mask=inliers.copy()
            )
            rotations.append(np.asarray(turn, np.float64))
            directions.append(move[:, 0])
        return Poses(np.array(rotations), np.array(directions))

    def parallax(self, poses: Poses, lens: Float) -> Float:
        """(P,) median motion of a pair's points besides that by rotation, pixels."""
        one, two = self.rays(self._first, lens), self.rays(self._second, lens)
        turned = one @ np.swapaxes(poses.rotations, -1, -2)
        shift = turned[..., :2] / np.maximum(turned[..., 2:], 0.05) - two[..., :2]
        size = np.linalg.norm(shift, axis=-1) * np.exp(lens[0])
        return np.nanmedian(np.where(self.known, size, np.nan), axis=1)


def _cross(vectors: Float) -> Float:
    """(..., 3, 3) A with A b = a x b."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    rows = (zero, -z, y), (z, zero, -x), (-y, x, zero)
    return np.stack([np.stack(row, -1) for row in rows], -2)


def _exp(vectors: Float) -> Float:
    """(P, 3, 3) rotations of (P, 3) rotation vectors."""
    angles = np.maximum(np.linalg.norm(vectors, axis=-1), 1e-12)[:, None, None]
    k = _cross(vectors)
    by_one, by_two = np.sin(angles) / angles, (1 - np.cos(angles)) / angles**2
    return np.asarray(np.eye(3) + by_one * k + by_two * (k @ k))
