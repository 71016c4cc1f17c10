# SPDX-License-Identifier: Apache-2.0
"""The moving objects near the camera at a time, with the pose of each rigid part.

Positions are functions of time, and an object's existence is a function of its number in an endless
sequence, so that any frame can be made without the frames before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from depth_recog.datasets.street import cars, models, people
from depth_recog.datasets.street.cars import Cars
from depth_recog.datasets.street.layout import Shadow, car_shadow
from depth_recog.datasets.street.mesh import Float, Mesh
from depth_recog.datasets.street.objects import Place, StreetObject, car_bounds, person_bounds
from depth_recog.datasets.street.path import Drive, State, generator
from depth_recog.datasets.street.people import People
from depth_recog.datasets.street.scene import Scene
from depth_recog.datasets.street.schedule import Schedule


@dataclass(frozen=True)
class RigidPart:
    """A rigid body at two times.

    Attributes:
        mesh: surfaces in the body's frame.
        now: world from body at the frame, (4, 4), metres.
        then: the same at the next frame.
    """

    mesh: Mesh
    now: Float
    then: Float


@dataclass(frozen=True)
class Actor:
    """An object that moves at least at times.

    Attributes:
        street_object: its identity, bounds and pose.
        parts: its rigid bodies.
        moving: whether its speed is above zero at the frame.
        shadow: its shadow.
    """

    street_object: StreetObject
    parts: tuple[RigidPart, ...]
    moving: bool
    shadow: Shadow


class Traffic:
    """All moving objects of a scene.

    Args:
        scene: the content of the scene.
        seed: seed of the recording.
        drive: the camera's motion, which determines the times of crossing objects.
        reach: distance up to which objects exist, metres.
    """

    def __init__(self, scene: Scene, seed: int, drive: Drive, reach: float) -> None:
        """Creates no content yet."""
        self._scene, self._seed = scene, seed
        schedule = Schedule(scene, seed, drive, reach)
        self._cars = Cars(scene, seed, drive, schedule, reach)
        self._people = People(scene, seed, drive, schedule, reach)

    def cast(self, time: float, then: float, camera_from_world: Float) -> tuple[Actor, ...]:
        """The objects near the field of view at `time`, with their poses at `then`, seconds."""
        actors = []
        for key, number in self._cars.in_sight(time):
            state = self._cars.state(key, number, time)
            if _may_be_seen(camera_from_world, state):
                actors.append(self._car(key, number, state, then))
        if self._scene.people:
            for key, number in self._people.in_sight(time):
                state = self._people.state(key, number, time)
                if _may_be_seen(camera_from_world, state):
                    actors.append(self._person(key, number, state, time, then))
        return tuple(actors)

    def reserved(self, block: int) -> frozenset[tuple[int, int]]:
        """Parking spaces (side, space) of a block that departing cars need."""
        return self._cars.reserved(block)

    def _car(self, key: int, number: int, state: State, then: float) -> Actor:
        rng = generator(self._seed, key, number, 1)
        shape, paint = int(rng.integers(4)), int(rng.integers(len(models.PAINTS)))
        later = self._cars.state(key, number, then)
        return Actor(
            StreetObject(
                f"{cars.NAMES[key]}-{number}",
                "car",
                *car_bounds(shape),
                state.pose,
                partial(_place, self._cars, key, number),
            ),
            (RigidPart(models.car(shape, paint), state.pose, later.pose),),
            state.speed > 0.0,
            car_shadow(state),
        )

    def _person(self, key: int, number: int, state: State, time: float, then: float) -> Actor:
        rng = generator(self._seed, key, number, 1)
        shirt, trousers = int(rng.integers(len(models.CLOTHES))), int(rng.integers(7))
        phase = rng.uniform(0.0, 6.0)
        later = self._people.state(key, number, then)
        limbs = models.person(shirt, trousers)
        now, after = _gait(state, time, phase), _gait(later, then, phase)
        row, kind = divmod(key, 100)
        name = f"{people.NAMES[kind]}-{f'{row}-' if kind == people.WALKER else ''}{number}"
        return Actor(
            StreetObject(
                name,
                "person",
                *person_bounds(),
                state.pose,
                partial(_place, self._people, key, number),
            ),
            tuple(RigidPart(*part) for part in zip(limbs, now, after, strict=True)),
            state.speed > 0.0,
            Shadow(state.x, state.z, state.yaw, (0.25, 0.25), 0.55),
        )


def _place(row: Cars | People, key: int, number: int, time: float) -> Place:
    state = row.state(key, number, time)
    return state.x, state.z


def _gait(state: State, time: float, phase: float) -> tuple[Float, ...]:
    """World from part, (4, 4), of a person's parts; the limbs swing only while walking."""
    swing = models.SWING * math.sin(5.6 * time + phase) if state.speed else 0.0
    return tuple(state.pose @ limb for limb in models.gait(swing))


def _may_be_seen(camera_from_world: Float, state: State) -> bool:
    """Whether an object of at most 3 m radius, or its shadow, can be in the image.

    Half the angle of view is 41 degrees at every image size.
    """
    x, _, z = camera_from_world[:3, :3] @ (state.x, 0.0, state.z) + camera_from_world[:3, 3]
    return bool(z > -3.0 and abs(x) < z + 4.5)
