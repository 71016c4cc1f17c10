# SPDX-License-Identifier: Apache-2.0
"""Cars and people as objects with an identity and a bounding box."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.street import models
from depth_recog.datasets.street.mesh import Float, Mesh
from depth_recog.method.geometry.camera import Camera

Place = tuple[float, float]

# Body frame: x right, y down, z forward. Box frame: x forward, y left, z up.
_BODY_FROM_BOX = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


@dataclass(frozen=True)
class StreetObject:
    """A car or a person at the time of a frame.

    Attributes:
        track: its identity, unique in the recording.
        kind: "car" or "person".
        low, high: (3,), bounds of its parts in its own frame over all phases of its gait, metres.
        world_from_body: (4, 4), metres.
        place: its position on the ground (x, z), metres, at a time in seconds.
    """

    track: str
    kind: str
    low: Float
    high: Float
    world_from_body: Float
    place: Callable[[float], Place]

    def box(self, camera: Camera, camera_from_world: Float, time: float) -> Box | None:
        """The box at `time`, seconds; None if it is outside of the image."""
        body_from_box = np.eye(4)
        body_from_box[:3, :3] = _BODY_FROM_BOX
        body_from_box[:3, 3] = (self.low + self.high) / 2
        width, height, length = (self.high - self.low).tolist()
        # Over one second around the frame; positions are defined at all times.
        (x0, z0), (x1, z1) = self.place(time - 0.5), self.place(time + 0.5)
        return Box(
            track=self.track,
            kind=self.kind,
            T_camera_from_box=camera_from_world @ self.world_from_body @ body_from_box,
            size=(length, width, height),
            speed=math.hypot(x1 - x0, z1 - z0),
        ).seen_by(camera)


@cache
def car_bounds(shape: int) -> tuple[Float, Float]:
    """Bounds of a car of `models.CAR_SHAPES[shape]` in its own frame, (3,) each, metres."""
    return _bounds([models.car(shape, 0)])


@cache
def person_bounds() -> tuple[Float, Float]:
    """Bounds of a walking person in its own frame, (3,) each, metres."""
    limbs = models.person(0, 0)
    poses = [models.gait(swing) for swing in np.linspace(-models.SWING, models.SWING, 41)]
    return _bounds(
        [limb.moved(pose) for row in poses for limb, pose in zip(limbs, row, strict=True)]
    )


def _bounds(meshes: list[Mesh]) -> tuple[Float, Float]:
    corners = [mesh.corners.reshape(-1, 3) for mesh in meshes]
    for mesh in meshes:
        reach = np.linalg.norm(np.linalg.inv(mesh.axes), axis=2).reshape(-1, 3)
        corners += [mesh.centre - reach, mesh.centre + reach]
    every = np.concatenate(corners)
    # Wheels and toes extend below the ground by one or two centimetres, where they are hidden.
    return every.min(axis=0), np.minimum(every.max(axis=0), (np.inf, 0.0, np.inf))
