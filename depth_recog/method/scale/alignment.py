# SPDX-License-Identifier: Apache-2.0
"""Direct alignment of two images on a plane; see `road.py`.

Source: Baker and Matthews, "Lucas-Kanade 20 years on", 2004.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.pose.refinement import median
from depth_recog.method.scale.measurement import Refusal

Float = NDArray[np.float64]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

LANE = 1.0
"""Half of the width of the ground that is used, in heights of the camera: beside the robot's way
may be a kerb that the masks call road, or the shadow of somebody who moves."""
FARTHEST_MOTION = 1 / 3
"""Largest motion between the images over the distance of a pixel."""
LEAST_PIXELS = 100
LEAST_SHARE = 0.4
"""Least share of the pixels that are also in the second image."""
LEAST_CORRELATION = 0.7
"""Of both images on the road, after alignment."""
LEAST_CONTRAST = 1.0
"""Standard deviation of the road's grey values, of 255: less is the camera's noise."""
LARGEST_STD = 0.15
"""Largest standard deviation of the log of the height."""
LARGEST_BEND, LARGEST_STEP = (0.12, 2.0), (0.08, 1.5)
"""Largest difference, in log, between the heights of two parts of the pixels, ordered by distance
and from left to right, besides so many times its deviation."""
_SEARCHED = np.linspace(-1.0, 1.0, 41)
_SEARCH_PIXELS = 200
_PARTS = 4
_STEPPED = np.array([(0, 0, 0, 1), (0, 0, 1, 1), (0, 1, 1, 1), (0, 1, 1, 0)], np.float64)
"""Quarters that may lie higher or lower than the others: one side, or the middle."""
_STEPS, _SETTLED = 8, 3e-3
_LARGEST_STEP = 0.15
_ALIKE = 6.0
"""Number of neighbouring pixels whose errors count as one."""


@dataclass(frozen=True)
class RoadPlane:
    """The road as the camera's motion shows it.

    Attributes:
        normal: (3,) unit vector from the camera to the road, in the first frame.
        height: of the camera, in lengths of its motion between the frames.
        std: standard deviation of the log of `height`.
        T_second_from_first: (4, 4) the motion that fits the road, with a translation of length 1.
        rows, columns: (N,) pixels of the first frame that were used.
    """

    normal: Float
    height: float
    std: float
    T_second_from_first: Float
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]


class Pixels(NamedTuple):
    """N pixels of the first image, with their rays (N, 3)."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    rays: Float


class Filtered(NamedTuple):
    """An image without its local mean: exposure and shade do not count.

    Attributes:
        stack: (H, W, 3), the image, and its slopes by u and v.
        coarse: (H, W), blurred.
    """

    stack: Image
    coarse: Image


class Prior(NamedTuple):
    """Of the eight unknowns: precision (8, 8), expected values (8,), and axes of t (2, 3)."""

    precision: Float
    expected: Float
    axes: Float


class _Fit(NamedTuple):
    """One linearisation.

    Attributes:
        information, gradient: (8, 8) and (8,).
        own: (N, 8) the part of each pixel in the information's row of the height.
        pull: (N,) its part in the gradient of the height.
        inside: (N,) bool, pixels that count.
        seen: (N,) the second image there.
        plane: (3,) normal, not of length 1.
        inverse: (N,) inverse depths in lengths of the motion.
        R, t: the motion.
    """

    information: Float
    gradient: Float
    own: Float
    pull: Float
    inside: Mask
    seen: Float
    plane: Float
    inverse: Float
    R: Float
    t: Float


def level_of(down: Float, R: Float, t: Float) -> tuple[Float, float]:
    """The direction to the ground that is normal to the motion, and the motion's climb, degrees."""
    ahead = -(R.T @ t)
    sine = float(down @ ahead)
    level = down - sine * ahead
    length = float(np.linalg.norm(level))
    if length < 1e-6:
        return down, 90.0
    return level / length, math.degrees(math.asin(max(-1.0, min(1.0, sine))))


class Alignment:
    """Fits the plane by Gauss-Newton steps with Cauchy's weights.

    Unknown are the log of 1 / height, two tilts of the plane, a rotation and two angles of the
    translation's direction: all that a homography has.
    """

    def __init__(
        self,
        first: Filtered,
        second: Filtered,
        pixels: Pixels,
        camera: Camera,
        T: Float,
        prior: Prior,
    ) -> None:
        self._second, self._pixels, self._camera, self._prior = second, pixels, camera, prior
        self._R, self._t = T[:3, :3], T[:3, 3] / np.linalg.norm(T[:3, 3])
        self._wanted = first.stack[pixels.rows, pixels.columns].astype(np.float64)
        self._coarse = first.coarse

    def search(self, level: Float, start: float) -> float | Refusal:
        """The log of 1 / height that fits best, on blurred images, with all else as assumed."""
        every = max(1, len(self._pixels.rows) // _SEARCH_PIXELS)
        pixels = self._pixels
        rows, columns, rays = pixels.rows[::every], pixels.columns[::every], pixels.rays[::every]
        tried = start + _SEARCHED
        inverse = np.exp(tried)[:, None] * (rays @ level)
        places, _ = self._projected(rays, inverse, self._R, self._t)
        there = cv2.remap(self._second.coarse, *places, cv2.INTER_LINEAR)
        inside = self._within(places) & (inverse < FARTHEST_MOTION)
        here = np.where(inside, self._coarse[rows, columns], 0)
        there = np.where(inside, there, 0)
        norms = np.sqrt((here**2).sum(1) * (there**2).sum(1)) + 1e-9
        alike = np.where(inside.sum(1) < LEAST_SHARE * len(rows), -1, (here * there).sum(1) / norms)
        best = int(np.argmax(alike))
        if alike[best] < LEAST_CORRELATION / 2:
            return Refusal("the road does not look alike in both images")
        return float(tried[best])

    def _projected(
        self, rays: Float, inverse: Float, R: Float, t: Float
    ) -> tuple[tuple[Image, Image], Float]:
        """Pixels (u, v) in the second image of rays (N, 3) with inverse depths (..., N)."""
        points = rays @ R.T + inverse[..., None] * t
        z = np.maximum(points[..., 2], 1e-3)
        u = self._camera.fx * points[..., 0] / z + self._camera.cx
        v = self._camera.fy * points[..., 1] / z + self._camera.cy
        return (u.astype(np.float32), v.astype(np.float32)), points

    def _within(self, places: tuple[Image, Image]) -> Mask:
        u, v = places
        return (u >= 0) & (u <= self._camera.width - 1) & (v >= 0) & (v <= self._camera.height - 1)

    def solved(self, down: Float, begun: float) -> RoadPlane | Refusal:
        """The plane next to a guess of the log of 1 / height."""
        state = self._prior.expected.copy()
        state[0] = begun
        for _ in range(_STEPS):
            fit = self._fitted(down, state)
            if fit.inside.sum() < max(LEAST_PIXELS / 2, LEAST_SHARE * len(fit.inside)):
                return Refusal("the camera moves too far between the images for its height")
            information = fit.information + self._prior.precision
            pull = self._prior.precision @ (state - self._prior.expected)
            step = np.linalg.solve(information, fit.gradient - pull)
            step *= min(1.0, _LARGEST_STEP / max(abs(float(step[0])), 1e-9))
            state += step
            if abs(float(step[0])) < _SETTLED:
                break
        fit = self._fitted(down, state)
        return self._checked(fit, state)

    def _fitted(self, down: Float, state: Float) -> _Fit:
        """Residuals, weights and derivatives."""
        camera, rays, prior = self._camera, self._pixels.rays, self._prior
        R = cv2.Rodrigues(state[3:6])[0] @ self._R
        t = self._t + state[6:] @ prior.axes
        t /= np.linalg.norm(t)
        level, _ = level_of(down, R, t)
        ahead = -(R.T @ t)
        side = np.cross(level, ahead)
        side /= np.linalg.norm(side)
        plane = level + state[1] * side + state[2] * ahead
        size = math.exp(state[0])
        inverse: Float = size * (rays @ plane)
        places, points = self._projected(rays, inverse, R, t)
        seen = cv2.remap(self._second.stack, *places, cv2.INTER_LINEAR).reshape(-1, 3)
        inside = self._within(places) & (inverse > 0) & (inverse < FARTHEST_MOTION)
        residual = np.where(inside, self._wanted[:, 0] - seen[:, 0], 0)
        by_u, by_v = ((seen[:, 1:] + self._wanted[:, 1:]) / 2).T
        nearness = 1 / np.maximum(points[:, 2], 1e-3)
        x, y = points[:, 0] * nearness, points[:, 1] * nearness
        by_u, by_v = by_u * camera.fx * nearness, by_v * camera.fy * nearness
        by_point = np.stack((by_u, by_v, -(by_u * x + by_v * y)), 1)
        jacobian = np.empty((len(rays), 8))
        along = by_point @ t
        jacobian[:, 0] = along * inverse
        jacobian[:, 1], jacobian[:, 2] = size * along * (rays @ side), size * along * (rays @ ahead)
        a, b = (rays @ R.T).T, by_point.T
        for axis, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
            jacobian[:, 3 + axis] = a[i] * b[j] - a[j] * b[i]
        jacobian[:, 6:] = (by_point @ prior.axes.T) * inverse[:, None]
        noise = max(1.4826 * median(np.abs(residual[inside])), 0.1) if inside.any() else 1.0
        weight = inside / (1 + (residual / (2 * noise)) ** 2) / (noise**2 * _ALIKE)
        weighted = jacobian * weight[:, None]
        return _Fit(
            weighted.T @ jacobian, weighted.T @ residual, weighted[:, :1] * jacobian,
            weighted[:, 0] * residual, inside, np.asarray(seen[:, 0], np.float64),
            plane, inverse, R, t,
        )  # fmt: skip

    def _checked(self, fit: _Fit, state: Float) -> RoadPlane | Refusal:
        here, there = self._wanted[fit.inside, 0], fit.seen[fit.inside]
        norm = math.sqrt(float((here**2).sum() * (there**2).sum())) + 1e-9
        if float(here.std()) < LEAST_CONTRAST:
            return Refusal("the road has too little texture")
        if float((here * there).sum()) / norm < LEAST_CORRELATION:
            return Refusal("the road does not look alike in both images")
        covariance = np.asarray(np.linalg.inv(fit.information + self._prior.precision), np.float64)
        std = math.sqrt(float(covariance[0, 0]))
        if std > LARGEST_STD:
            return Refusal("the road has too little texture, or the camera moves too little")
        if uneven := self._uneven(fit, covariance):
            return Refusal(uneven)
        length = float(np.linalg.norm(fit.plane))
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = fit.R, fit.t
        rows, columns = self._pixels.rows[fit.inside], self._pixels.columns[fit.inside]
        return RoadPlane(fit.plane / length, math.exp(-state[0]) / length, std, T, rows, columns)

    def _uneven(self, fit: _Fit, covariance: Float) -> str:
        """Why the ground is no plane: parts of it show another height; "" where none does.

        A part's own height is found beside all other unknowns: a tilt hides half of a step.
        """
        across = self._pixels.rays[:, 0] / np.maximum(self._pixels.rays @ fit.plane, 1e-3)
        orders = (
            (fit.inverse, LARGEST_BEND, "bends: a slope ahead"),
            (across, LARGEST_STEP, "has a step: a kerb"),
        )
        for order, (most, deviations), name in orders:
            parts = np.array_split(np.argsort(order), _PARTS)
            own = np.array([fit.own[part].sum(0) for part in parts])
            pull = np.array([float(fit.pull[part].sum()) for part in parts])
            for chosen in _STEPPED:
                row, slope = chosen @ own, float(chosen @ pull)
                known = max(float(row[0] - row @ covariance @ row), 1e-9)
                if abs(slope / known) > most + deviations / math.sqrt(known):
                    return f"the ground {name}"
        return ""
