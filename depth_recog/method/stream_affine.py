# SPDX-License-Identifier: Apache-2.0
"""Scale and shift of a depth network whose answer is affine in inverse depth.

Networks such as Depth Anything give a disparity d; the inverse depth is a d + b, where a and b
differ from image to image. Without b the depth is bent, and no single factor makes metres of it.
Static points that two frames triangulate tell a and b. The unit is handed on from frame to frame:
the points of a pair are measured with the earlier frame's depth. So what is left unknown is one
factor, which `scale` finds from the camera's height or the odometry.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.affine import (
    LEAST_POINTS,
    SURE,
    Affine,
    fit_affine,
    log_ratio,
)
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.observation import Observation
from depth_recog.method.pose.epipolar import camera_coordinates
from depth_recog.method.pose.refinement import median
from depth_recog.method.scale.measurement import Refusal
from depth_recog.method.tracking.tracks import Correspondences, at, shared

Float = NDArray[np.float64]

LEAST_AGREEING = 6
"""Frames in a row that must agree before scale and shift are trusted."""
AGREEMENT = 0.25
"""Largest difference between such a frame and those before it, in log of far over near depth."""
JUMP = 0.4
"""Largest difference to those before it, in log depth, of a frame that is used once they are
trusted."""
WINDOW_S = 0.3
"""Time in which the weight of older points falls to 1 / e, seconds."""
PATIENCE_S = 0.7
"""Time after which scale and shift are forgotten if no frame confirms them while the image changes,
seconds: the network's may have changed."""
SETTLING_S = 1.5
"""Time after which the unit no longer changes with the first maps, seconds."""
STANDING = 1 / 800
"""Median motion in the image, as a share of its width, of a camera at rest: its image stays the
same, and with it the network's answer."""

_PIXEL_NOISE = 0.25
_LARGEST_RESIDUAL = 1.5
_LEAST_EPIPOLE = 1 / 40
_LARGEST_EDGE = 0.05
"""Largest difference of a pixel's inverse depth from the mean about it, as a share of the range."""
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


def static_points(
    found: Correspondences, T_second_from_first: Matrix, camera: Camera
) -> StaticPoints | Refusal:
    """Triangulate correspondences on static pixels with the camera's motion.

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


def _smooth(inverses: NDArray[np.float32], pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N,) bool, pixels away from edges of the depth.

    A corner there moves with what is in front; the depth at its pixel may be that behind.
    """
    rough = cv2.dilate(np.abs(cv2.blur(inverses, (5, 5)) - inverses), np.ones((5, 5)))
    values = at(inverses, pixels)
    values = values[np.isfinite(values)]
    if not len(values):
        return np.zeros(len(pixels), np.bool_)
    low, high = np.quantile(values, (0.1, 0.9))
    return np.asarray(at(rough, pixels) < _LARGEST_EDGE * (high - low))


def _length(
    past: tuple[Observation, Observation], second: Observation, points: StaticPoints
) -> float | None:
    """The baseline in the stream's unit: the median ratio of earlier depths and triangulated ones.

    Two earlier frames hand the unit on: with I1 alone, at a distance of two frames, even and odd
    frames would have units of their own. A point's depth changes evenly from I1 to I2.
    """
    sure = points.sure
    if sure.sum() < LEAST_POINTS:
        return None
    first, before = past
    pixels, ids = points.first[sure], points.ids[sure]
    near, far = 1 / points.second_inverse[sure], 1 / points.first_inverse[sure]
    ratios = [at(first.depth, pixels) / first.scale.factor / far]
    if before is not first and before.tracks is not None:
        one, two = shared(before.tracks.ids, ids)
        share = (second.stamp_ns - before.stamp_ns) / (second.stamp_ns - first.stamp_ns)
        between = near[two] + share * (far - near)[two]
        depth = at(before.depth, before.tracks.pixels[one]) / before.scale.factor
        ratios.append(depth / between)
    values = np.concatenate(ratios)
    values = values[np.isfinite(values) & (values > 0)]
    return math.exp(median(np.log(values))) if len(values) >= LEAST_POINTS else None


class AffineFilter:
    """Scale and shift over the frames of a stream: points of the last moments, newest first.

    It holds the normal equations of the least squares over the points so far, which fade with
    time: so the map follows the network without jumps, and a frame with few points changes little.
    """

    def __init__(self) -> None:
        self._last: Affine | None = None
        self.reset()

    def reset(self) -> None:
        """Forget everything: another camera."""
        self.now: Affine | None = None
        """The trusted map; None while there is none."""
        self.settled = False
        """Whether the map has been trusted for a moment: the first depths are still bent."""
        self.why = "scale and shift of the depth: no motion seen yet"
        self._left = np.zeros((2, 2))
        self._right = np.zeros(2)
        self._agreeing = 0
        self._newest_s = self._confirmed_s = self._trusted_s = 0.0

    def applied(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """A network's (h, w) depth with the map that is trusted, or was until this frame."""
        return depth if self._last is None else self._last.depth(depth)

    def add(
        self,
        past: tuple[Observation, Observation],
        second: Observation,
        static: StaticPoints | Refusal,
        raw: NDArray[np.float32],
        standing: bool,
    ) -> bool:
        """Learn from a pair of frames.

        Args:
            past: I1, and the frame before I2, which may be the same. Their depths are in the
                stream's unit times the factor of their scale.
            second: I2, whose depth is not read.
            static: triangulated points of I1 and I2.
            raw: (h, w) float32, the network's depth of I2.
            standing: whether the image hardly changes, see `STANDING`.

        Returns:
            Whether the map became trusted, or ceased to be.
        """
        was, seconds = self.now, second.stamp_ns / 1e9
        if standing or seconds < self._newest_s:  # or the recording begins again
            self._confirmed_s = seconds
        passed, self._newest_s = abs(seconds - self._newest_s), seconds
        if isinstance(static, Refusal):
            refused = static.why
        else:
            refused = self._learn(past, second, static, raw, passed)
        if not refused:
            self._confirmed_s = seconds
        elif self.now is None:
            self.why = f"scale and shift of the depth are not known: {refused}"
        elif seconds - self._confirmed_s > PATIENCE_S:
            self.reset()
            self._newest_s = self._confirmed_s = seconds
            self.why = f"scale and shift of the depth were lost: {refused}"
        turned = (was is None) != (self.now is None)
        if turned or seconds < self._trusted_s:
            self._trusted_s = seconds
        elif self.now is not None and seconds - self._trusted_s > SETTLING_S:
            self.settled = True
        return turned

    def _learn(
        self,
        past: tuple[Observation, Observation],
        second: Observation,
        static: StaticPoints,
        raw: NDArray[np.float32],
        passed: float,
    ) -> str:
        """Add the points of a pair; why it cannot be used, "" if it was."""
        inverses = np.asarray(1 / raw, np.float32)
        inverse = at(inverses, static.second).astype(np.float64)
        smooth = _smooth(inverses, static.second) & np.isfinite(inverse)
        inverse, points = inverse[smooth], static.where(smooth)
        length = _length(past, second, points)
        if length is None:
            return "too few static points have a depth"
        wanted, std = points.second_inverse / length, points.std / length
        fit = fit_affine(inverse, wanted, std)
        if isinstance(fit, Refusal):
            return fit.why
        factor = self._fits(inverse, fit.affine)
        if factor is None:
            return "the newest contradict those before"
        wanted = wanted * factor
        fade = max(math.exp(-passed / WINDOW_S), 0.5)
        terms = np.stack((inverse, np.ones_like(inverse)), 1)
        weighted = terms * (fit.weights / factor**2)[:, None]
        self._left = fade * self._left + weighted.T @ terms
        self._right = fade * self._right + weighted.T @ wanted
        if self.now is not None or self._agreeing >= LEAST_AGREEING:
            # The shape is that of the last moments, the unit that of the earlier frames at the same
            # points: a unit that follows slowly would be handed on with its delay.
            shape, sure = self._solved(), points.sure
            found = shape.inverse(inverse[sure])
            unit = math.exp(-median(log_ratio(found, wanted[sure])))
            self.now = self._last = Affine(shape.scale * unit, shape.shift * unit)
        return ""

    def _solved(self) -> Affine:
        return Affine(*(float(v) for v in np.linalg.solve(self._left, self._right)))

    def _fits(self, inverse: Float, newest: Affine) -> float | None:
        """The factor that brings a frame into the unit of those before it; None: it is refused.

        Before any map is trusted the unit is not handed on, as the depth is bent: frames have to
        agree up to a factor.
        """
        ends = np.quantile(inverse, (0.3, 0.9))
        changes = np.zeros(2)
        if self._left.any():
            before = np.maximum(self._solved().inverse(ends), 1e-9)
            changes = np.log(np.maximum(newest.inverse(ends), 1e-9) / before)
        if self.now is not None:
            return 1.0 if float(np.abs(changes).max()) <= JUMP else None
        if abs(changes[1] - changes[0]) > AGREEMENT:
            self._left, self._right, self._agreeing = np.zeros((2, 2)), np.zeros(2), 0
            changes = np.zeros(2)
        self._agreeing += 1
        self.why = f"scale and shift of the depth agree in {self._agreeing} frames so far"
        return math.exp(-float(changes.mean()))
