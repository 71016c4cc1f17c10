# SPDX-License-Identifier: Apache-2.0
"""The static content along the street, generated block by block from the block's number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.street import ground, models
from depth_recog.datasets.street import textures as tx
from depth_recog.datasets.street.mesh import Builder, Float, Mesh, joined
from depth_recog.datasets.street.objects import StreetObject
from depth_recog.datasets.street.parked import ParkedCar
from depth_recog.datasets.street.path import Bend, State, generator

BUILDING, POLE, SIGN, VEGETATION = 2, 5, 7, 8

_GRID = 1 << 20
_HOUSE, _FURNITURE = 11, 13


@dataclass(frozen=True)
class Shadow:
    """A rectangular shadow on the ground from ambient light that an object blocks.

    Attributes:
        x, z: its centre in the world, metres.
        yaw: heading of its long side, radians.
        half: half its width and half its length, metres.
        strength: share of the light that is blocked, 0 to 1.
    """

    x: float
    z: float
    yaw: float
    half: tuple[float, float]
    strength: float


@dataclass(frozen=True)
class Block:
    """The static content of one block, in the world frame.

    Attributes:
        mesh: all surfaces.
        shadows: shadows on the ground.
        objects: the parked cars.
        object_ids: (F,) int, by polygon: 0, or 1 + the index in `objects` it belongs to.
    """

    mesh: Mesh
    shadows: tuple[Shadow, ...]
    objects: tuple[StreetObject, ...]
    object_ids: NDArray[np.int64]


@dataclass(frozen=True)
class House:
    """A house: dimensions in metres, and the colour of its walls."""

    start: float
    end: float
    setback: float
    height: float
    ridge: float
    wall: tuple[int, int, int]


def facade_key(block: int, side: int, index: int) -> int:
    """The key of a house's facade in the atlas."""
    return tx.FACADE + (block + _GRID) * 8 + (side > 0) * 4 + index


def facade_owner(key: int) -> tuple[int, int, int]:
    """The inverse of `facade_key`: block, side (-1 left, 1 right), index."""
    cell, rest = divmod(key - tx.FACADE, 8)
    return cell - _GRID, 1 if rest & 4 else -1, rest & 3


def houses(seed: int, block: int, side: int) -> list[House]:
    """The houses on one side of a block; none at crossroads."""
    if ground.is_crossroads(block):
        return []
    rng = generator(seed, _HOUSE, block, side)
    base = block * ground.BLOCK
    split = rng.uniform(8.0, 12.0)
    out = []
    for start, end in ((0.0, split), (split, ground.BLOCK)):
        gap = rng.uniform(0.0, 2.5) if rng.random() < 0.5 else 0.0
        height = float(rng.choice([5.6, 6.2, 8.4, 9.0]) + rng.uniform(-0.3, 0.3))
        out.append(
            House(
                base + start,
                base + end - gap,
                float(rng.uniform(10.3, 12.3)),
                height,
                height + rng.uniform(1.8, 3.4),
                tx.wall_colour(rng),
            )
        )
    return out


def block_of(seed: int, bend: Bend, block: int, parked: list[ParkedCar]) -> Block:
    """Generates a block.

    Args:
        seed: seed of the recording.
        bend: the street's centre line.
        block: its number.
        parked: its parked cars.
    """
    build = Builder()
    shadows: list[Shadow] = []
    for side in (-1, 1):
        for index, house in enumerate(houses(seed, block, side)):
            _add_house(build, bend, house, side, facade_key(block, side, index))
        _add_furniture(build, shadows, seed, bend, block, side)
    standing = build.build()
    meshes, objects = [standing], []
    for place in parked:
        meshes.append(place.mesh)
        objects.append(place.street_object)
        shadows.append(car_shadow(place.state))
    sizes = [len(mesh.corners) for mesh in meshes]
    return Block(
        joined(meshes), tuple(shadows), tuple(objects), np.repeat(np.arange(len(meshes)), sizes)
    )


def car_shadow(state: State) -> Shadow:
    """The shadow under a car."""
    half = models.CAR_WIDTH / 2 + 0.1, models.CAR_LENGTH / 2 + 0.1
    return Shadow(state.x, state.z, state.yaw, half, 0.72)


def _add_house(build: Builder, bend: Bend, house: House, side: int, key: int) -> None:
    low, high = (bend(z) + side * house.setback for z in (house.start, house.end))
    near, far = np.array([low, 0.0, house.start]), np.array([high, 0.0, house.end])
    back = np.array([side * 9.0, 0.0, 0.0])
    up, top = np.array([0.0, -house.height, 0.0]), np.array([0.0, -house.ridge, 0.0])
    inside = (near + far) / 2 + back / 2 + up / 2
    wall = tuple(c / 212.0 for c in house.wall)
    tint = (wall[0], wall[1], wall[2])

    along = far - near
    uv = np.zeros((2, 4))
    uv[0, :3] = along / (along @ along) * tx.SIZE
    uv[0, 3] = -uv[0, :3] @ near
    uv[1, 1] = tx.SIZE / house.height
    uv[1, 3] = tx.SIZE
    front = np.stack((near, far, far + up, near + up))
    build.polygon(front, inside, (1.0, 1.0, 1.0), key, BUILDING, uv)
    for corner in (near, far):
        gable = np.stack(
            (corner, corner + back, corner + back + up, corner + back / 2 + top, corner + up)
        )
        build.polygon(gable, inside, tint, tx.WALL, BUILDING)
    roof = (0.52, 0.27, 0.2) if house.wall[0] % 4 else (0.36, 0.36, 0.39)
    eave = -back / back[0] * side * 0.35 - up / house.height * 0.2
    edge = np.stack(
        (near + up + eave, far + up + eave, far + back / 2 + top, near + back / 2 + top)
    )
    build.polygon(edge, inside, roof, tx.ROOF, BUILDING)
    x, z = float((low + high) / 2 + side * 3.6), house.start + 0.3 * (house.end - house.start)
    build.box((x, -house.ridge - 0.5, z), (x + 0.7, -house.height, z + 0.7), (0.5, 0.3, 0.25),
              tx.WALL, BUILDING)  # fmt: skip


def _add_furniture(
    build: Builder, shadows: list[Shadow], seed: int, bend: Bend, block: int, side: int
) -> None:
    """Adds trees, hedges, lamp posts and signs on one side of a block."""
    rng = generator(seed, _FURNITURE, block, side)
    base = block * ground.BLOCK
    crossroads = ground.is_crossroads(block)
    for z in (
        (rng.uniform(0.5, 3.5), rng.uniform(15.5, 19.0))
        if crossroads
        else ((rng.uniform(2.0, 18.0),) if rng.random() < 0.75 else ())
    ):
        _add_tree(build, shadows, rng, bend, base + z, side * rng.uniform(8.9, 9.3))
    if not crossroads:
        _add_backdrop(build, rng, bend, base, side)
        for _ in range(int(rng.integers(0, 3))):
            z, long = base + rng.uniform(0.5, 14.0), rng.uniform(2.0, 5.0)
            x = bend(z) + side * rng.uniform(9.7, 9.9)
            green = rng.uniform(0.8, 1.1)
            build.box((x - 0.35, -rng.uniform(0.7, 1.3), z), (x + 0.35, 0.0, z + long),
                      (0.34 * green, 0.46 * green, 0.2 * green), tx.LEAVES, VEGETATION)  # fmt: skip
    if (block + (side > 0)) % 2 == 0:
        z = base + 1.0
        x = bend(z) + side * 6.35
        build.post((x, 0.0, z), 6.6, 0.075, (0.42, 0.44, 0.45), tx.PLAIN, POLE)
        reach = x - side * 1.6
        build.box((min(x, reach), -6.62, z - 0.05), (max(x, reach), -6.5, z + 0.05),
                  (0.42, 0.44, 0.45), tx.PLAIN, POLE)  # fmt: skip
        build.box((reach - 0.3, -6.6, z - 0.12), (reach + 0.3, -6.44, z + 0.12),
                  (0.75, 0.75, 0.72), tx.PLAIN, POLE)  # fmt: skip
        shadows.append(Shadow(x, z, 0.0, (0.25, 0.25), 0.3))
    if crossroads or ground.has_zebra(block) or rng.random() < 0.3:
        z = base + (4.0 if crossroads else 7.6 if ground.has_zebra(block) else 13.0)
        _add_sign(build, rng, bend(z) + side * 6.3, z, side)


def _add_tree(
    build: Builder,
    shadows: list[Shadow],
    rng: np.random.Generator,
    bend: Bend,
    z: float,
    lateral: float,
) -> None:
    x = bend(z) + lateral
    size = rng.uniform(0.75, 1.15)
    trunk = 2.4 * size
    build.post((x, 0.0, z), trunk + 0.8, 0.15 * size, (0.36, 0.29, 0.22), tx.BARK, VEGETATION)
    green = np.array([0.40, 0.54, 0.22]) * rng.uniform(0.8, 1.15) + rng.uniform(-0.05, 0.05, 3)
    for i in range(11):
        angle = i * 2.4 + rng.uniform(-0.3, 0.3)
        out = size * (0.0 if i == 0 else rng.uniform(0.6, 1.25))
        up = trunk + size * (1.5 if i == 0 else rng.uniform(0.3, 2.6))
        radius = size * (1.3 if i == 0 else rng.uniform(0.55, 0.9))
        light = rng.uniform(0.85, 1.1)
        build.ellipsoid(
            (x + out * np.cos(angle), -up, z + out * np.sin(angle)),
            (radius, radius * rng.uniform(0.7, 0.95), radius),
            (green[0] * light, green[1] * light, green[2] * light),
            tx.LEAVES,
            VEGETATION,
            (rng.uniform(60, 196), rng.uniform(60, 196)),
        )
    shadows.append(Shadow(x, z, 0.0, (1.5 * size, 1.5 * size), 0.28))


def _add_backdrop(
    build: Builder, rng: np.random.Generator, bend: Bend, base: float, side: int
) -> None:
    """Adds trees behind the houses, visible through the gaps."""
    for i in range(2):
        z = base + 10.0 * i + rng.uniform(0.0, 8.0)
        x = bend(z) + side * rng.uniform(27.0, 34.0)
        radius, tall = rng.uniform(3.5, 6.0), rng.uniform(4.5, 9.0)
        tint = (0.3 * rng.uniform(0.8, 1.1), 0.42 * rng.uniform(0.9, 1.1), 0.2)
        build.ellipsoid((x, -tall * 0.6, z), (radius, tall, radius), tint, tx.LEAVES, VEGETATION)


_SIGNS: tuple[tuple[int, tuple[float, float, float], tuple[float, float, float]], ...] = (
    (8, (0.72, 0.06, 0.06), (0.95, 0.95, 0.93)),
    (3, (0.75, 0.06, 0.06), (0.95, 0.95, 0.93)),
    (4, (0.05, 0.20, 0.60), (0.90, 0.92, 0.95)),
    (8, (0.05, 0.22, 0.62), (0.06, 0.26, 0.66)),
)


def _add_sign(build: Builder, rng: np.random.Generator, x: float, z: float, side: int) -> None:
    build.post((x, 0.0, z), 2.7, 0.045, (0.55, 0.56, 0.57), tx.PLAIN, POLE)
    corners, rim, field = _SIGNS[int(rng.integers(len(_SIGNS)))]
    # Traffic keeps to the right: signs on the left face the other way.
    facing = -side * 0.06
    offset = {3: -np.pi / 2, 4: np.pi / 4, 8: np.pi / 8}[corners]
    angle = np.arange(corners) * 2 * np.pi / corners + offset
    inside = np.array([x, -2.4, z])
    plane = np.stack((np.cos(angle), np.sin(angle), np.zeros(corners)), axis=1)
    for radius, lift, tint in (
        (0.42, 1.0, rim),
        (0.29, 1.2, field),
        (0.42, -1.0, (0.5, 0.5, 0.52)),
    ):
        centre: Float = inside + [0.0, 0.0, facing * lift]
        build.polygon(centre + plane * radius, inside, tint, tx.PLAIN, SIGN)
