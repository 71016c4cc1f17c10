# SPDX-License-Identifier: Apache-2.0
"""Everything that moves: who is near the camera at a time, and where each part of it is.

A position is a function of time alone, and who exists is a function of its number in an endless
row, so that any moment can be made without those before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from depth_recog.datasets.synthetic import ground, models
from depth_recog.datasets.synthetic.layout import PARKING, SPACES, Shadow, car_shadow, space_middle
from depth_recog.datasets.synthetic.mesh import Float, Mesh
from depth_recog.datasets.synthetic.path import LANE, Bend, Drive, generator, pose
from depth_recog.datasets.synthetic.scene import Scene

_ONCOMING, _LEAD, _SIDE, _WALKER, _ZEBRA, _DEPARTURE, _ARRIVAL = range(21, 28)

_ONCOMING_SPEED = 7.5
_SIDE_SPEED = 6.5
_SIDE_REACH = 60.0
_SIDE_AHEAD = 31.0
_SIDE_CARS = 8
_WALK = 1.35
_ZEBRA_AHEAD = 36.0
_EVENT_PERIOD = 11.0


@dataclass(frozen=True)
class State:
    """Where something is: metres and radians in the world, speed in metres per second."""

    x: float
    z: float
    yaw: float
    speed: float


@dataclass(frozen=True)
class Part:
    """A rigid body at two times.

    Attributes:
        mesh: in its own frame.
        now: world from body at the frame, (4, 4).
        then: the same at the next frame.
        moving: whether the thing it belongs to has a speed above zero at the frame.
    """

    mesh: Mesh
    now: Float
    then: Float
    moving: bool


@dataclass(frozen=True)
class Cast:
    """All moving (or at times moving) things in sight of one frame."""

    parts: tuple[Part, ...]
    shadows: tuple[Shadow, ...]


class Traffic:
    """The moving content of a scene.

    Args:
        scene: what there is.
        seed: of the recording.
        drive: the camera's motion, which decides when a car crosses ahead of it.
        reach: how far ahead things are in sight, metres.
    """

    def __init__(self, scene: Scene, seed: int, drive: Drive, reach: float) -> None:
        """Nothing is made before it is asked for."""
        self._scene, self._seed, self._drive, self._reach = scene, seed, drive, reach
        self._bend: Bend = drive.bend

    def cast(self, time: float, then: float, camera_from_world: Float) -> Cast:
        """What is in sight at `time`, and where it is at `then`, both in seconds."""
        parts: list[Part] = []
        shadows: list[Shadow] = []
        for key, number in self._cars(time):
            state = self._car(key, number, time)
            if not _may_be_seen(camera_from_world, state):
                continue
            later = self._car(key, number, then)
            rng = generator(self._seed, key, number, 1)
            mesh = models.car(int(rng.integers(4)), int(rng.integers(len(models.PAINTS))))
            parts.append(
                Part(
                    mesh,
                    pose(state.x, 0.0, state.z, state.yaw),
                    pose(later.x, 0.0, later.z, later.yaw),
                    state.speed > 0.0,
                )
            )
            shadows.append(car_shadow(state.x, state.z, state.yaw))
        if self._scene.people:
            for key, number in self._people(time):
                state = self._person(key, number, time)
                if not _may_be_seen(camera_from_world, state):
                    continue
                later = self._person(key, number, then)
                rng = generator(self._seed, key, number, 1)
                look = (int(rng.integers(len(models.CLOTHES))), int(rng.integers(7)))
                stride = rng.uniform(0.0, 6.0)
                for mesh, now, after in zip(
                    _limbs(*look),
                    _gait(state, time, stride),
                    _gait(later, then, stride),
                    strict=True,
                ):
                    parts.append(Part(mesh, now, after, state.speed > 0.0))
                shadows.append(Shadow(state.x, state.z, state.yaw, (0.25, 0.25), 0.55))
        return Cast(tuple(parts), tuple(shadows))

    def reserved(self, block: int) -> frozenset[tuple[int, int]]:
        """Parking spaces (side, space) of a block that a departing car needs."""
        if not self._scene.departures:
            return frozenset()
        time = block * ground.BLOCK / self._scene.speed
        free = set()
        for number in range(int(time / _EVENT_PERIOD) - 4, int(time / _EVENT_PERIOD) + 3):
            start = self._departure_start(number)
            for space in range(SPACES):
                # Its own space and the one it pulls out across.
                if -0.1 < space_middle(block, space) - start < ground.BLOCK / SPACES + 0.1:
                    free.add((1, space))
        return frozenset(free)

    # --- cars -------------------------------------------------------------------------------

    def _cars(self, time: float) -> Iterator[tuple[int, int]]:
        """Key and number of every car in sight."""
        scene, here = self._scene, self._drive.along(time)
        if scene.lead[0]:
            yield _LEAD, 0
        if scene.oncoming:
            base = here + _ONCOMING_SPEED * time
            first = math.floor((base - 20.0) / scene.oncoming) - 1
            for n in range(first, math.ceil((base + self._reach) / scene.oncoming) + 1):
                if self._oncoming_exists(n):
                    yield _ONCOMING, n
        if scene.crossing:
            for m in self._blocks(here, 3):
                for j, after in enumerate(scene.crossing):
                    if abs(self._side_time(m) + after - time) * _SIDE_SPEED < _SIDE_REACH:
                        yield _SIDE, m * _SIDE_CARS + j
        if scene.departures:
            latest = math.floor(time / _EVENT_PERIOD)
            for n in range(latest - 6, latest + 5):
                for key in (_DEPARTURE, _ARRIVAL):
                    if -20.0 < self._car(key, n, time).z - here < self._reach:
                        yield key, n

    def _blocks(self, here: float, phase: int) -> Iterator[int]:
        """Numbers of the crossroads (phase 3) or zebras (phase 0) in sight."""
        low = math.floor((here - 40.0) / ground.BLOCK)
        for block in range(low, math.ceil((here + self._reach) / ground.BLOCK)):
            if block % ground.PERIOD == phase:
                yield block

    def _car(self, key: int, number: int, time: float) -> State:
        if key == _LEAD:
            mean, swing = self._scene.lead
            z = self._drive.along(time) + mean + swing * math.sin(0.4 * time + number)
            speed = self._drive.velocity(time) + swing * 0.4 * math.cos(0.4 * time + number)
            return self._on_lane(z, LANE, speed, 1)
        if key == _ONCOMING:
            return self._on_lane(
                self._oncoming_start(number) - _ONCOMING_SPEED * time, -LANE, _ONCOMING_SPEED, -1
            )
        if key == _SIDE:
            block, j = divmod(number, _SIDE_CARS)
            # In turn from the left and from the right, each in its own lane.
            way = self._side_way(block) * (-1) ** j
            z = (block + 0.5) * ground.BLOCK - way * LANE
            since = time - self._side_time(block) - self._scene.crossing[j]
            x = self._bend(z) + LANE + way * _SIDE_SPEED * since
            return State(x, z, way * math.pi / 2, _SIDE_SPEED)
        if key == _DEPARTURE:
            return self._departure(number, time)
        return self._arrival(number, time)

    def _on_lane(self, z: float, lateral: float, speed: float, way: int) -> State:
        yaw = self._bend.heading(z) + (0.0 if way > 0 else math.pi)
        return State(self._bend(z) + lateral, z, yaw, speed)

    def _oncoming_start(self, number: int) -> float:
        jitter = generator(self._seed, _ONCOMING, number).uniform(0.0, 0.6)
        return (number + jitter) * self._scene.oncoming

    def _oncoming_exists(self, number: int) -> bool:
        """An oncoming car that would hit a crossing one or a person on a zebra is left out."""
        start = self._oncoming_start(number)
        speed = self._scene.speed or _ONCOMING_SPEED
        met = start * speed / (speed + _ONCOMING_SPEED)
        for phase, clear in ((3, 2.5), (0, 5.0)):
            for m in self._blocks(met, phase):
                when = self._side_time(m) if phase == 3 else self._zebra_time(m) - 1.0
                wanted = bool(self._scene.crossing) if phase == 3 else self._scene.people
                arrival = (start - (m + 0.5) * ground.BLOCK) / _ONCOMING_SPEED
                if wanted and abs(arrival - when) < clear:
                    return False
        return True

    def _side_way(self, block: int) -> int:
        return 1 if generator(self._seed, _SIDE, block).random() < 0.5 else -1

    def _side_time(self, block: int) -> float:
        """When a crossing car is in the camera's lane: the camera is still well before it."""
        return ((block + 0.5) * ground.BLOCK - _SIDE_AHEAD) / max(self._scene.speed, 1.0)

    def _departure_start(self, number: int) -> float:
        """The parking space a car leaves when the camera is some 35 m before it."""
        ahead = number * _EVENT_PERIOD * self._scene.speed + 35.0
        pitch = ground.BLOCK / SPACES
        return (math.floor(ahead / pitch) + 0.5) * pitch

    def _departure(self, number: int, time: float) -> State:
        """At rest at the kerb, then 2.5 m/s^2 up to 12 m/s while it pulls out."""
        start, since = self._departure_start(number), time - number * _EVENT_PERIOD
        rise, top = 2.5, 12.0
        run, speed = _ramp(max(since, 0.0), rise, top)
        blend = min(run / 14.0, 1.0)
        ease = blend * blend * (3.0 - 2.0 * blend)
        lateral = PARKING + (LANE - PARKING) * ease
        slope = (LANE - PARKING) * 6.0 * blend * (1.0 - blend) / 14.0
        z = start + run
        yaw = self._bend.heading(z) + math.atan(slope)
        return State(self._bend(z) + lateral, z, yaw, speed)

    def _arrival(self, number: int, time: float) -> State:
        """An oncoming car that brakes with 2.5 m/s^2 and stays where it stops, in its lane."""
        stop = (number + 0.5) * _EVENT_PERIOD * self._scene.speed + 30.0
        before = max((number + 0.5) * _EVENT_PERIOD - time, 0.0)
        rest, speed = _ramp(before, 2.5, 8.0)
        return self._on_lane(stop + rest, -LANE, speed, -1)

    # --- people -----------------------------------------------------------------------------

    def _people(self, time: float) -> Iterator[tuple[int, int]]:
        """Key and number of every person in sight; a key for each pavement and direction."""
        here, reach, pitch = self._drive.along(time), min(self._reach, 100.0), 27.0
        for row in range(4):
            base = here - _way(row) * _WALK * time
            for n in range(math.floor(base / pitch) - 1, math.ceil((base + reach) / pitch)):
                if generator(self._seed, _WALKER, row, n).random() < 0.5:
                    yield _WALKER + 100 * row, n
        for m in self._blocks(here, 0):
            if (m + 0.5) * ground.BLOCK - here < 90.0:
                yield _ZEBRA, m

    def _zebra_time(self, block: int) -> float:
        return ((block + 0.5) * ground.BLOCK - _ZEBRA_AHEAD) / max(self._scene.speed, 1.0)

    def _person(self, key: int, number: int, time: float) -> State:
        if key == _ZEBRA:
            # From the left pavement to the right one, in the camera's lane at the zebra's time.
            z = (number + 0.5) * ground.BLOCK
            across = LANE + _WALK * (time - self._zebra_time(number))
            side = 7.0
            speed = _WALK if -side < across < side else 0.0
            across = min(max(across, -side), side)
            return State(self._bend(z) + across, z, math.pi / 2, speed)
        row = key // 100
        rng = generator(self._seed, _WALKER, row, number, 2)
        z = (number + rng.uniform(0.0, 0.7)) * 27.0 + _way(row) * _WALK * time
        lateral = (1 if row < 2 else -1) * (7.0 + 0.45 * (row % 2) + rng.uniform(0.0, 0.3))
        yaw = self._bend.heading(z) + (0.0 if _way(row) > 0 else math.pi)
        return State(self._bend(z) + lateral, z, yaw, _WALK)


def _way(row: int) -> int:
    return 1 if row % 2 == 0 else -1


def _ramp(time: float, rise: float, top: float) -> tuple[float, float]:
    """Distance and speed after `time` seconds from rest with acceleration `rise` up to `top`."""
    until = top / rise
    if time < until:
        return 0.5 * rise * time * time, rise * time
    return 0.5 * rise * until * until + top * (time - until), top


def _limbs(shirt: int, trousers: int) -> tuple[Mesh, ...]:
    body, leg, arm = models.person(shirt, trousers)
    return body, leg, leg, arm, arm


def _gait(state: State, time: float, phase: float) -> Iterator[Float]:
    """World from body, both legs and both arms of a walker; limbs swing only while it walks."""
    base = pose(state.x, 0.0, state.z, state.yaw)
    yield base
    swing = 0.42 * math.sin(5.6 * time + phase) if state.speed else 0.0
    for side in (-1.0, 1.0):
        yield base @ pose(side * 0.09, -0.92, 0.0, 0.0, side * swing)
    for side in (-1.0, 1.0):
        yield base @ pose(side * 0.25, -1.43, 0.0, 0.0, -side * 0.8 * swing, -side * 0.06)


def _may_be_seen(camera_from_world: Float, state: State) -> bool:
    """Whether something of at most 3 m radius can be in the image, or its shadow.

    The half-angle of view is 41 degrees at every image size.
    """
    x, _, z = camera_from_world[:3, :3] @ (state.x, 0.0, state.z) + camera_from_world[:3, 3]
    return bool(z > -3.0 and abs(x) < z + 4.5)
