# SPDX-License-Identifier: Apache-2.0
"""The centre line of the street, and the camera's motion along it.

World frame: x right, y down, z forward along the street, metres; the ground is the plane y = 0. The
street's centre line is x = bend(z), so street coordinates are (lateral = x - bend(z), z).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T", np.float32, np.float64)

CAMERA_HEIGHT = 1.65
LANE = 1.75
"""Lateral distance of a lane's centre from the centre line, metres; right-hand traffic."""

_WAVELENGTHS = (230.0, 97.0)
_AMPLITUDES = (5.0, 0.7)


def generator(*key: int) -> np.random.Generator:
    """A random generator that depends only on `key`, so that content depends on its position."""
    return np.random.default_rng([k & 0xFFFFFFFF for k in key])


@dataclass(frozen=True)
class Bend:
    """The centre line x = bend(z), a sum of two sines (radius of curvature above 120 m).

    Attributes:
        amount: 1 for the curved street, 0 for a straight one.
        phases: phases of the two sines, radians.
    """

    amount: float
    phases: tuple[float, float]

    def __call__(self, z: float) -> float:
        """Lateral position of the centre line at `z`, metres."""
        return self.amount * sum(
            a * math.sin(2 * math.pi * z / w + p)
            for a, w, p in zip(_AMPLITUDES, _WAVELENGTHS, self.phases, strict=True)
        )

    def slope(self, z: float) -> float:
        """dx/dz of the centre line."""
        return self.amount * sum(
            a * 2 * math.pi / w * math.cos(2 * math.pi * z / w + p)
            for a, w, p in zip(_AMPLITUDES, _WAVELENGTHS, self.phases, strict=True)
        )

    def heading(self, z: float) -> float:
        """Yaw of the street at `z`, radians, positive to the right."""
        return math.atan(self.slope(z))

    def around(self, origin: float, z: NDArray[_T]) -> tuple[NDArray[_T], NDArray[_T]]:
        """bend(origin + z) - bend(origin) and the slope at origin + z, in the precision of `z`.

        Relative to `origin`, so that single precision suffices at large distances.
        """
        offset, slope = np.zeros_like(z), np.zeros_like(z)
        if self.amount:
            for a, w, p in zip(_AMPLITUDES, _WAVELENGTHS, self.phases, strict=True):
                k = 2 * math.pi / w
                phase = math.fmod(k * origin + p, 2 * math.pi)
                angle = z * z.dtype.type(k) + z.dtype.type(phase)
                offset += z.dtype.type(a * self.amount) * np.sin(angle)
                slope += z.dtype.type(a * self.amount * k) * np.cos(angle)
            offset -= z.dtype.type(self(origin))
        return offset, slope


@dataclass(frozen=True)
class State:
    """The state of an object in the world: metres, radians, metres per second."""

    x: float
    z: float
    yaw: float
    speed: float

    @property
    def pose(self) -> NDArray[np.float64]:
        """World from body, (4, 4), metres."""
        return pose(self.x, 0.0, self.z, self.yaw)


def pose(
    x: float, y: float, z: float, yaw: float, pitch: float = 0.0, roll: float = 0.0
) -> NDArray[np.float64]:
    """World from body, (4, 4): R = Ry(yaw) Rx(pitch) Rz(roll), metres and radians."""
    cy, sy = math.cos(yaw), math.sin(yaw)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    out = np.eye(4)
    out[:3, :3] = (
        np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        @ np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    )
    out[:3, 3] = x, y, z
    return out


@dataclass(frozen=True)
class Drive:
    """The camera's motion along the street.

    Attributes:
        bend: the street's centre line.
        speed: mean speed in metres per second; 0 for a camera at rest.
        phases: phases of the oscillations, radians, (8,).
        height: of the camera above the ground, metres.
        pitch: of the camera below the horizon, radians.
    """

    bend: Bend
    speed: float
    phases: tuple[float, ...]
    height: float = CAMERA_HEIGHT
    pitch: float = 0.0

    def along(self, time: float) -> float:
        """Position along the street in metres at `time` seconds."""
        if self.speed == 0.0:
            return 0.0
        return self.speed * time + 1.2 * math.sin(0.5 * time + self.phases[0])

    def velocity(self, time: float) -> float:
        """Speed along the street, metres per second."""
        if self.speed == 0.0:
            return 0.0
        return self.speed + 0.6 * math.cos(0.5 * time + self.phases[0])

    def world_from_camera(self, time: float) -> NDArray[np.float64]:
        """Pose of the optical frame at `time` seconds, (4, 4), metres; its height is constant."""
        z = self.along(time)
        yaw = self.bend.heading(z)
        lateral, pitch, roll = LANE, -self.pitch, 0.0
        if self.speed:
            p = self.phases
            lateral += 0.15 * math.sin(0.31 * time + p[1])
            yaw += math.radians(
                0.5 * math.sin(0.9 * time + p[2]) + 0.15 * math.sin(5.1 * time + p[3])
            )
            pitch += math.radians(
                0.25 * math.sin(2.3 * time + p[4]) + 0.12 * math.sin(8.3 * time + p[5])
            )
            roll = math.radians(
                0.3 * math.sin(1.7 * time + p[6]) + 0.1 * math.sin(7.1 * time + p[7])
            )
        return pose(self.bend(z) + lateral, -self.height, z, yaw, pitch, roll)
