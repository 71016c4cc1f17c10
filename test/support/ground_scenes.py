# SPDX-License-Identifier: Apache-2.0
"""Depth of planes, and of what is no level ground although it is labelled so."""

from __future__ import annotations

import math

import numpy as np

from depth_recog.method.geometry.camera import Camera

CAMERA = Camera(320, 192, 200.0, 200.0, 159.5, 95.5)
HEIGHT = 1.65


def plane_depth(normal: np.ndarray, distance: float) -> np.ndarray:
    """Depth of the plane normal . p = distance; inf above its horizon."""
    v, u = np.mgrid[:192, :320]
    x, y = CAMERA.rays(u.ravel(), v.ravel())
    towards = (x * normal[0] + y * normal[1] + normal[2]).reshape(192, 320)
    with np.errstate(divide="ignore"):
        return np.where(towards > 1e-3, distance / towards, np.inf).astype(np.float32)


def tilted(pitch: float, roll: float = 0.0) -> np.ndarray:
    """The direction to the ground of a camera pitched below the horizon and rolled, degrees."""
    p, r = math.radians(pitch), math.radians(roll)
    return np.array([-math.cos(p) * math.sin(r), math.cos(p) * math.cos(r), math.sin(p)])


def road() -> np.ndarray:
    """A level road."""
    return plane_depth(tilted(0), HEIGHT)


def hill() -> np.ndarray:
    """The road rises by a tenth from 8 m on."""
    rising = plane_depth(tilted(0) + [0, 0, 0.1], 2.45)
    return np.where(road() < 8, road(), np.minimum(road(), rising))


def lorry() -> np.ndarray:
    """A flat side, 5 m away, that the masks call road."""
    return plane_depth(np.array([0.1, 0.0, 1.0]) / math.hypot(0.1, 1), 5.0)


def mirror() -> np.ndarray:
    """A wet road whose depth is that of the mirrored houses: far everywhere beyond a few metres."""
    return np.where(road() > 5, 2.5 * road(), road())


def noise() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.exp(rng.uniform(0.5, 3, (192, 320))).astype(np.float32)


def wall() -> np.ndarray:
    """A wall 3 m ahead fills the image."""
    return np.full((192, 320), 3.0, np.float32)


def kerb() -> np.ndarray:
    """Half of the ground is 15 cm higher, and has the same label."""
    high = plane_depth(tilted(0), HEIGHT - 0.15)
    return np.where(np.arange(320) < 160, road(), high).astype(np.float32)


def room() -> np.ndarray:
    """Indoors: the floor ends at a wall 4 m ahead, which the masks call floor."""
    return np.minimum(road(), np.float32(4.0))


def unknown() -> np.ndarray:
    """A network that knows nothing."""
    return np.full((192, 320), np.nan, np.float32)
