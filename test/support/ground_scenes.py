# SPDX-License-Identifier: Apache-2.0
"""Rendered drives over a road, and over what is no level road although the masks call it so."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from gate_streams import Shot
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera

CAMERA = Camera(320, 192, 200.0, 200.0, 159.5, 95.5)
HEIGHT = 1.65
STEP_NS = 200_000_000
SPEED = 0.3
"""Metres per frame."""
ROAD, BUILDING = 0, 2
_TEXELS = 12.0
"""Texels per metre."""
_FAINT = 0.005

Float = NDArray[np.float64]
Move = Callable[[int], tuple[Float, Float]]
"""Position (3,) and rotation (3, 3), world from camera, at a frame."""


@dataclass(frozen=True)
class Surface:
    """A plane normal . p = distance in the world (x right, y down, z ahead, camera at y = 0).

    Attributes:
        ground: whether the masks call it road.
        x, z: the part of it that exists, metres.
        speed: along x and z, metres per frame.
        depth: of the plane y = depth, which the network sees instead; 0 for its own.
        noisy: whether its texture changes with every frame.
        contrast: of its texture.
    """

    normal: tuple[float, float, float]
    distance: float
    ground: bool = False
    x: tuple[float, float] = (-math.inf, math.inf)
    z: tuple[float, float] = (-math.inf, math.inf)
    speed: tuple[float, float] = (0.0, 0.0)
    depth: float = 0.0
    noisy: bool = False
    contrast: float = 1.0


HOUSES = (
    Surface((1, 0, 0), 8.0),
    Surface((-1, 0, 0), 7.0),
    Surface((0, 0, 1), 90.0),
)
DOWN, AHEAD = (0, 1, 0), (0, 0, 1)


def _level(**given: object) -> Surface:
    return Surface(DOWN, HEIGHT, ground=True, **given)  # type: ignore[arg-type]


def _raised(by: float, left: float, right: float = 9.0) -> Surface:
    """A surface beside the road, which the masks call road too."""
    return Surface(DOWN, HEIGHT - by, ground=True, x=(left, right))


BESIDE: dict[str, tuple[Surface, ...]] = {
    "low kerb": (_raised(0.15, 1), _level(), *HOUSES),
    "high kerb": (_raised(0.45, 1), _level(), *HOUSES),
    "kerbs on both sides": (_raised(0.3, -9, -1.5), _raised(0.3, 1.5), _level(), *HOUSES),
    "median strip": (_raised(0.3, -2.5, -1), _level(), *HOUSES),
    "ramp of a drive": (
        Surface((0.1, 1, 0), HEIGHT + 0.05, ground=True, x=(0.5, 9)),
        _level(),
        *HOUSES,
    ),
    "robot on a pavement": (_level(x=(-1.6, 1.6)), _raised(-0.3, -9), *HOUSES),
    "narrow pavement": (_level(x=(-1, 1)), _raised(-0.3, -9), *HOUSES),
}
"""Ground that is even where the robot drives, and not beside it."""
SCENES: dict[str, tuple[Surface, ...]] = {
    "road": (_level(), *HOUSES),
    "hidden road": (Surface(DOWN, HEIGHT), *HOUSES),
    "jam": (_level(), Surface(AHEAD, 4.5, speed=(0, SPEED)), *HOUSES),
    "hill": (
        _level(z=(-10, 10)),
        Surface((0, 1, 0.2), HEIGHT + 2.0, ground=True, z=(10, 99)),
        *HOUSES,
    ),
    "kerb": (_level(x=(-9, 0)), _raised(0.3, 0), *HOUSES),
    "platform": (_level(x=(-9, 0)), Surface(DOWN, HEIGHT - 0.6, ground=True, x=(0, 9)), *HOUSES),
    "indoors": (_level(z=(-10, 14)), Surface(AHEAD, 14.0, ground=True)),
    "lorry": (Surface((0.1, 0, 1), 5.0, ground=True, speed=(0.1, SPEED)), *HOUSES),
    "wall": (Surface(AHEAD, 20.0, ground=True),),
    "wet mirror": (Surface(AHEAD, 40.0, ground=True, depth=HEIGHT), *HOUSES[:2]),
    "rain": (_level(noisy=True), *HOUSES),
    "bare concrete": (_level(contrast=_FAINT), *HOUSES),
}
"""The surfaces of each scene; the first one that a ray meets is seen."""


def ahead(i: int) -> tuple[Float, Float]:
    """Straight on, with a little of the swaying of a real vehicle."""
    pitch = math.radians(0.2) * math.sin(1.1 * i)
    return np.array((0.0, 0.0, SPEED * i)), np.asarray(cv2.Rodrigues(np.array((pitch, 0, 0)))[0])


def standing(i: int) -> tuple[Float, Float]:
    return np.zeros(3), np.eye(3)


def turning(i: int) -> tuple[Float, Float]:
    """On the spot."""
    return np.zeros(3), np.asarray(cv2.Rodrigues(np.array((0, 0.02 * i, 0)))[0])


@cache
def _texture(seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    noise = np.zeros((1024, 1024), np.float32)
    for blur, gain in ((1.0, 14.0), (3.0, 20.0), (9.0, 20.0)):
        layer = rng.normal(size=(1024, 1024)).astype(np.float32)
        layer = np.asarray(cv2.GaussianBlur(np.tile(layer, (2, 2)), (0, 0), blur), np.float32)
        layer = layer[512:1536, 512:1536]
        noise += gain * layer / layer.std()
    return noise


def _drawn(surface: Surface, i: int, points: Float) -> Float:
    """(H, W) grey values of the surface at points (H, W, 3)."""
    moved = points - (surface.speed[0] * i, 0, surface.speed[1] * i)
    flat = int(np.argmax(np.abs(surface.normal)))
    along, across = (moved[..., k] for k in range(3) if k != flat)
    shift = 317 * i if surface.noisy else 0
    u, v = (
        (axis * _TEXELS + (700 + shift) * (k + 1)) % 1023 for k, axis in enumerate((along, across))
    )
    sampled = cv2.remap(
        _texture(flat), u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR
    )
    return 120 + surface.contrast * np.asarray(sampled, np.float64)


def shot(name: str, i: int, move: Move = ahead, first: int = 0) -> Shot:
    """Frame i of a drive, `first` frames after another one; depth and labels are exact."""
    place, turn = move(i)
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width].astype(np.float64)
    x, y = CAMERA.rays(u, v)
    rays = np.stack((x, y, np.ones_like(x)), 2) @ turn.T
    depth, told = (np.full(x.shape, np.inf) for _ in range(2))
    grey, labels = np.full(x.shape, 200.0), np.full(x.shape, 10, np.uint8)  # sky
    for surface in (SCENES | BESIDE)[name]:
        normal = np.array(surface.normal, np.float64)
        there = surface.distance + normal @ (surface.speed[0] * i, 0, surface.speed[1] * i)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (there - normal @ place) / (rays @ normal)
            points = place + rays * z[..., None]
        hit = (z > 0) & (z < depth)
        for axis, (low, high) in ((0, surface.x), (2, surface.z)):
            hit &= (points[..., axis] >= low) & (points[..., axis] <= high)
        if surface.depth:
            hit &= rays[..., 1] > 0.01
        values = _drawn(surface, i, np.where(hit[..., None], points, 0))
        grey[hit], depth[hit] = values[hit], z[hit]
        labels[hit] = ROAD if surface.ground else BUILDING
        told[hit] = surface.depth / rays[..., 1][hit] if surface.depth else z[hit]
    rng = np.random.default_rng(i)
    grey = np.clip(grey + rng.normal(0, 1.0, grey.shape), 0, 255)
    image = np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, 2)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, place
    stamp = (first + i) * STEP_NS
    return Shot(
        stamp, image, CAMERA, told.astype(np.float32), labels, pose, (), np.zeros(x.shape, np.bool_)
    )
