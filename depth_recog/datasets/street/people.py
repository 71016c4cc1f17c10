# SPDX-License-Identifier: Apache-2.0
"""The walking people: those near the camera at a time, and their positions."""

from __future__ import annotations

import math
from collections.abc import Iterator

from depth_recog.datasets.street import ground
from depth_recog.datasets.street.parked import PARKING
from depth_recog.datasets.street.path import LANE, Drive, State, generator
from depth_recog.datasets.street.scene import Scene
from depth_recog.datasets.street.schedule import GAPS, ZEBRA, Schedule

WALKER, ON_ZEBRA, STEPPING = 24, 25, 28
"""The keys; 100 times the row is added to that of walkers."""
NAMES = {WALKER: "walker", ON_ZEBRA: "zebra", STEPPING: "stepping"}

_WALK = 1.35
_PITCH = 27.0
_SIDES = {ON_ZEBRA: 7.0, STEPPING: 6.5}
"""Lateral distance at which people who cross the street start and stop, metres."""

_CARS_EDGE = PARKING - 0.9
"""Lateral distance of the parked cars' sides towards the street, metres."""


class People:
    """The people of a scene. A person is identified by a key (see `WALKER`) and a number.

    Args:
        scene: the content of the scene.
        seed: seed of the recording.
        drive: the camera's motion, which determines the times of crossing people.
        schedule: times at which objects cross the street.
        reach: distance up to which people exist, metres.
    """

    def __init__(
        self, scene: Scene, seed: int, drive: Drive, schedule: Schedule, reach: float
    ) -> None:
        """Creates no content yet."""
        self._scene, self._seed, self._drive = scene, seed, drive
        self._schedule, self._reach, self._bend = schedule, reach, drive.bend

    def in_sight(self, time: float) -> Iterator[tuple[int, int]]:
        """Key and number of every person in sight; one key for each pavement and direction."""
        here, reach = self._drive.along(time), min(self._reach, 100.0)
        for row in range(4):
            base = here - _way(row) * _WALK * time
            for n in range(math.floor(base / _PITCH) - 1, math.ceil((base + reach) / _PITCH)):
                if generator(self._seed, WALKER, row, n).random() < 0.5:
                    yield WALKER + 100 * row, n
        for m in self._schedule.blocks(here, ZEBRA):
            if (m + 0.5) * ground.BLOCK - here < 90.0:
                yield ON_ZEBRA, m
        if self._scene.stepping:
            for m in self._schedule.blocks(here, *GAPS):
                if self._schedule.gap(m)[0] - here < 90.0:
                    yield STEPPING, m

    def state(self, key: int, number: int, time: float) -> State:
        """The state of a person at `time`, seconds."""
        if key == ON_ZEBRA:
            # From left to right; in the camera's lane at `Schedule.zebra`.
            way, z = 1, (number + 0.5) * ground.BLOCK
            across = LANE + _WALK * (time - self._schedule.zebra(number))
        elif key == STEPPING:
            z, start = self._schedule.gap(number)
            way = -start
            across = _WALK * (time - self._schedule.step(number)) - _CARS_EDGE
        else:
            return self._walker(key // 100, number, time)
        side = _SIDES[key]
        speed = _WALK if -side < across < side else 0.0
        across = min(max(across, -side), side)
        return State(self._bend(z) + way * across, z, way * math.pi / 2, speed)

    def _walker(self, row: int, number: int, time: float) -> State:
        rng = generator(self._seed, WALKER, row, number, 2)
        z = (number + rng.uniform(0.0, 0.7)) * _PITCH + _way(row) * _WALK * time
        lateral = (1 if row < 2 else -1) * (7.0 + 0.45 * (row % 2) + rng.uniform(0.0, 0.3))
        yaw = self._bend.heading(z) + (0.0 if _way(row) > 0 else math.pi)
        return State(self._bend(z) + lateral, z, yaw, _WALK)


def _way(row: int) -> int:
    return 1 if row % 2 == 0 else -1
