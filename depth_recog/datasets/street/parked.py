# SPDX-License-Identifier: Apache-2.0
"""The parked cars, as functions of their parking spaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_recog.datasets.street import ground, models
from depth_recog.datasets.street.mesh import Mesh
from depth_recog.datasets.street.objects import StreetObject, car_bounds
from depth_recog.datasets.street.path import Bend, State, generator

SPACES = 3
"""Parking spaces of a block on each side."""

PARKING = 4.85
"""Lateral distance of a parked car's centre, metres."""

_PARKED = 12
_VAN = models.CAR_SHAPES.index("van")


@dataclass(frozen=True)
class ParkedCar:
    """A parked car: its surfaces in the world frame, its identity and its state."""

    mesh: Mesh
    street_object: StreetObject
    state: State


def space_middle(block: int, space: int) -> float:
    """Position of a parking space's centre along the street, metres."""
    return (block + (space + 0.5) / SPACES) * ground.BLOCK


def parked_cars(
    seed: int, bend: Bend, block: int, free: frozenset[tuple[int, int]], vans: bool
) -> list[ParkedCar]:
    """The parked cars of a block.

    Args:
        seed: seed of the recording.
        bend: the street's centre line.
        block: its number.
        free: parking spaces (side, space) without a car.
        vans: all cars are vans, and few spaces are free.
    """
    return [
        _car(seed, bend, block, side, space, vans)
        for side in (-1, 1)
        for space in range(SPACES)
        if (side, space) not in free and _is_taken(seed, block, side, space, 0.9 if vans else 0.62)
    ]


def _is_taken(seed: int, block: int, side: int, space: int, share: float) -> bool:
    """Whether there is a car in a parking space; not at crossroads and zebra crossings."""
    if ground.is_crossroads(block) or (ground.has_zebra(block) and space == 1):
        return False
    return bool(generator(seed, _PARKED, block, side, space).random() < share)


def _car(seed: int, bend: Bend, block: int, side: int, space: int, vans: bool) -> ParkedCar:
    rng = generator(seed, _PARKED, block, side, space, 1)
    z = space_middle(block, space) + rng.uniform(-0.6, 0.6)
    x = bend(z) + side * (PARKING + rng.uniform(-0.1, 0.1))
    yaw = bend.heading(z) + rng.normal(0.0, 0.015) + (np.pi if side < 0 else 0.0)
    shape, paint = int(rng.integers(4)), int(rng.integers(len(models.PAINTS)))
    if vans:
        shape = _VAN
    state = State(x, z, yaw, 0.0)
    street_object = StreetObject(
        f"parked-{block}-{'right' if side > 0 else 'left'}-{space}",
        "car",
        *car_bounds(shape),
        state.pose,
        lambda time: (x, z),
    )
    return ParkedCar(models.car(shape, paint).moved(state.pose), street_object, state)
