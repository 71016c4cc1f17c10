# SPDX-License-Identifier: Apache-2.0
"""Matching points in pairs of frames of a simulated camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from depth_recog.method.self_calibration.pairs import PointPair

SIZE = (640, 360)
POINTS = 120


@dataclass(frozen=True)
class Trip:
    """A camera's lens and motion.

    Attributes:
        fov: horizontal field of view, degrees.
        k1: radial coefficient.
        centre: offset of the principal point over the width.
        turn: standard deviation of the rotation between the frames of a pair, degrees.
        step: translation between them, metres.
        movers: share of the points that move on their own.
        noise: standard deviation of a point, pixels.
        circle: whether the camera drives on a circle and looks along it.
    """

    fov: float = 80.0
    k1: float = 0.0
    centre: tuple[float, float] = (0.0, 0.0)
    turn: float = 6.0
    step: float = 1.2
    movers: float = 0.0
    noise: float = 0.25
    circle: bool = False

    @property
    def focal(self) -> float:
        return SIZE[0] / 2 / math.tan(math.radians(self.fov) / 2)

    def pairs(self, count: int, seed: int) -> list[PointPair]:
        rng = np.random.default_rng(seed)
        return [self._pair(rng) for _ in range(count)]

    def _pair(self, rng: np.random.Generator) -> PointPair:
        # A street: points between facades, from the road up.
        z = np.exp(rng.uniform(math.log(4), math.log(40), 20 * POINTS))
        reach = 1.2 * z * SIZE[0] / 2 / self.focal
        points = np.stack((rng.uniform(-reach, reach), rng.uniform(-6, 1.6, len(z)), z), 1)
        yaw, pitch, roll = np.radians(rng.normal(0, (self.turn, self.turn / 8, self.turn / 8)))
        way = np.array((0.15 * rng.normal(), 0, 1))
        if self.circle:
            pitch = roll = 0.0
            way = np.array((-math.sin(yaw / 2), 0, math.cos(yaw / 2)))
        rotation = _turned(pitch, yaw, roll)
        moved = (points - self.step * way) @ rotation.T
        moving = rng.random(len(points)) < self.movers
        moved[moving] += rng.normal(0, 0.6, (moving.sum(), 3))
        first, second = self._seen(points), self._seen(moved)
        inside = np.isfinite(first).all(1) & np.isfinite(second).all(1)
        chosen = np.flatnonzero(inside)[:POINTS]
        noise = rng.normal(0, self.noise, (2, len(chosen), 2))
        return PointPair(
            (first[chosen] + noise[0]).astype(np.float32),
            (second[chosen] + noise[1]).astype(np.float32),
        )

    def _seen(self, points: np.ndarray) -> np.ndarray:
        """Pixels of points; NaN outside of the image."""
        front = points[:, 2] > 0.5
        x = points[:, :2] / np.where(front, points[:, 2], 1)[:, None]
        x = x * (1 + self.k1 * (x**2).sum(1, keepdims=True))
        middle = (np.array(SIZE) - 1) / 2 + np.array(self.centre) * SIZE[0]
        pixels = self.focal * x + middle
        inside = front & (pixels >= 0).all(1) & (pixels <= np.array(SIZE) - 1).all(1)
        return np.where(inside[:, None], pixels, np.nan)


def _turned(pitch: float, yaw: float, roll: float) -> np.ndarray:
    cp, sp, cy, sy = math.cos(pitch), math.sin(pitch), math.cos(yaw), math.sin(yaw)
    cr, sr = math.cos(roll), math.sin(roll)
    about_x = np.array(((1, 0, 0), (0, cp, -sp), (0, sp, cp)))
    about_y = np.array(((cy, 0, sy), (0, 1, 0), (-sy, 0, cy)))
    about_z = np.array(((cr, -sr, 0), (sr, cr, 0), (0, 0, 1)))
    return about_x @ about_y @ about_z
