# SPDX-License-Identifier: Apache-2.0
"""The driving cars: those near the camera at a time, and their positions."""

from __future__ import annotations

import math
from collections.abc import Iterator

from depth_recog.datasets.street import ground
from depth_recog.datasets.street.parked import PARKING, SPACES, space_middle
from depth_recog.datasets.street.path import LANE, Drive, State, generator
from depth_recog.datasets.street.scene import Scene
from depth_recog.datasets.street.schedule import CROSSROADS, Schedule

ONCOMING, LEAD, SIDE = 21, 22, 23
DEPARTURE, ARRIVAL = 26, 27
NAMES = {
    ONCOMING: "oncoming",
    LEAD: "lead",
    SIDE: "crossing",
    DEPARTURE: "departure",
    ARRIVAL: "arrival",
}

_ONCOMING_SPEED = 7.5
_SIDE_SPEED = 6.5
_SIDE_REACH = 60.0
_SIDE_CARS = 8
_EVENT_PERIOD = 6.0
_START_AHEAD, _STOP_AHEAD = 22.0, 18.0


class Cars:
    """The driving cars of a scene. A car is identified by a key (its kind) and a number.

    Args:
        scene: the content of the scene.
        seed: seed of the recording.
        drive: the camera's motion, which determines the times of crossing cars.
        schedule: times at which objects cross the street.
        reach: distance up to which objects exist, metres.
    """

    def __init__(
        self, scene: Scene, seed: int, drive: Drive, schedule: Schedule, reach: float
    ) -> None:
        """Creates no content yet."""
        self._scene, self._seed, self._drive = scene, seed, drive
        self._schedule, self._reach, self._bend = schedule, reach, drive.bend

    def in_sight(self, time: float) -> Iterator[tuple[int, int]]:
        """Key and number of every car in sight."""
        scene, here = self._scene, self._drive.along(time)
        if scene.lead[0]:
            yield LEAD, 0
        if scene.oncoming:
            base = here + _ONCOMING_SPEED * time
            first = math.floor((base - 20.0) / scene.oncoming) - 1
            for n in range(first, math.ceil((base + self._reach) / scene.oncoming) + 1):
                if self._oncoming_exists(n):
                    yield ONCOMING, n
        if scene.crossing:
            for m in self._schedule.blocks(here, CROSSROADS):
                for j, after in enumerate(scene.crossing):
                    if abs(self._schedule.side(m) + after - time) * _SIDE_SPEED < _SIDE_REACH:
                        yield SIDE, m * _SIDE_CARS + j
        if scene.departures:
            latest = math.floor(time / _EVENT_PERIOD)
            for n in range(latest - 12, latest + 8):
                for key in (DEPARTURE, ARRIVAL):
                    if -20.0 < self.state(key, n, time).z - here < self._reach:
                        yield key, n

    def reserved(self, block: int) -> frozenset[tuple[int, int]]:
        """Parking spaces (side, space) of a block that departing cars need."""
        if not self._scene.departures:
            return frozenset()
        time = block * ground.BLOCK / self._scene.speed
        free = set()
        for number in range(int(time / _EVENT_PERIOD) - 4, int(time / _EVENT_PERIOD) + 3):
            start = self._departure_start(number)
            for space in range(SPACES):
                # Its own space and the one in front, which it crosses.
                if -0.1 < space_middle(block, space) - start < ground.BLOCK / SPACES + 0.1:
                    free.add((1, space))
        return frozenset(free)

    def state(self, key: int, number: int, time: float) -> State:
        """The state of a car at `time`, seconds."""
        if key == LEAD:
            mean, swing = self._scene.lead
            z = self._drive.along(time) + mean + swing * math.sin(0.4 * time + number)
            speed = self._drive.velocity(time) + swing * 0.4 * math.cos(0.4 * time + number)
            return self._on_lane(z, LANE, speed, 1)
        if key == ONCOMING:
            return self._on_lane(
                self._oncoming_start(number) - _ONCOMING_SPEED * time, -LANE, _ONCOMING_SPEED, -1
            )
        if key == SIDE:
            block, j = divmod(number, _SIDE_CARS)
            # Alternately from the left and from the right, each in its own lane.
            way = self._side_way(block) * (-1) ** j
            z = (block + 0.5) * ground.BLOCK - way * LANE
            since = time - self._schedule.side(block) - self._scene.crossing[j]
            x = self._bend(z) + LANE + way * _SIDE_SPEED * since
            return State(x, z, way * math.pi / 2, _SIDE_SPEED)
        if key == DEPARTURE:
            return self._departure(number, time)
        return self._arrival(number, time)

    def _on_lane(self, z: float, lateral: float, speed: float, way: int) -> State:
        yaw = self._bend.heading(z) + (0.0 if way > 0 else math.pi)
        return State(self._bend(z) + lateral, z, yaw, speed)

    def _oncoming_start(self, number: int) -> float:
        jitter = generator(self._seed, ONCOMING, number).uniform(0.0, 0.6)
        return (number + jitter) * self._scene.oncoming

    def _oncoming_exists(self, number: int) -> bool:
        """False for an oncoming car that would hit a crossing car or person."""
        start = self._oncoming_start(number)
        speed = self._scene.speed or _ONCOMING_SPEED
        met = start * speed / (speed + _ONCOMING_SPEED)
        for z, when, clear in self._schedule.oncoming_lane(met):
            if abs((start - z) / _ONCOMING_SPEED - when) < clear:
                return False
        return True

    def _side_way(self, block: int) -> int:
        return 1 if generator(self._seed, SIDE, block).random() < 0.5 else -1

    def _departure_start(self, number: int) -> float:
        """Position of the parking space that a car leaves about 22 m ahead of the camera."""
        ahead = number * _EVENT_PERIOD * self._scene.speed + _START_AHEAD
        pitch = ground.BLOCK / SPACES
        return (math.floor(ahead / pitch) + 0.5) * pitch

    def _departure(self, number: int, time: float) -> State:
        """A car that pulls out from the kerb with 2 m/s^2 up to 8 m/s."""
        start, since = self._departure_start(number), time - number * _EVENT_PERIOD
        rise, top = 2.0, 8.0
        run, speed = _ramp(max(since, 0.0), rise, top)
        blend = min(run / 14.0, 1.0)
        ease = blend * blend * (3.0 - 2.0 * blend)
        lateral = PARKING + (LANE - PARKING) * ease
        slope = (LANE - PARKING) * 6.0 * blend * (1.0 - blend) / 14.0
        z = start + run
        yaw = self._bend.heading(z) + math.atan(slope)
        return State(self._bend(z) + lateral, z, yaw, speed)

    def _arrival(self, number: int, time: float) -> State:
        """An oncoming car that brakes with 2.5 m/s^2 to a stop in its lane."""
        stop = (number + 0.5) * _EVENT_PERIOD * self._scene.speed + _STOP_AHEAD
        before = max((number + 0.5) * _EVENT_PERIOD - time, 0.0)
        rest, speed = _ramp(before, 2.5, 8.0)
        return self._on_lane(stop + rest, -LANE, speed, -1)


def _ramp(time: float, rise: float, top: float) -> tuple[float, float]:
    """Distance and speed `time` seconds after a start with acceleration `rise` up to `top`."""
    until = top / rise
    if time < until:
        return 0.5 * rise * time * time, rise * time
    return 0.5 * rise * until * until + top * (time - until), top
