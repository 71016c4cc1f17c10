# SPDX-License-Identifier: Apache-2.0
"""The times at which objects cross the street, by the number of the block."""

from __future__ import annotations

import math
from collections.abc import Iterator

from depth_recog.datasets.street import ground
from depth_recog.datasets.street.path import Drive, generator
from depth_recog.datasets.street.scene import Scene

CROSSROADS, ZEBRA = 3, 0
"""Block numbers modulo `ground.PERIOD` at which cars or people cross."""

GAPS = (1, 2, 4, 5)
"""The same for people who step out from between parked cars."""

_SIDE_AHEAD = 31.0
_ZEBRA_AHEAD = 36.0
_STEP_AHEAD = {1: 17.0, -1: 31.0}
_LANE_AFTER = {1: 4.2, -1: 1.6}
_GAP = 30


class Schedule:
    """The crossing times of a scene.

    Args:
        scene: the content of the scene.
        seed: seed of the recording.
        drive: the camera's motion, by which the times are set.
        reach: distance up to which objects exist, metres.
    """

    def __init__(self, scene: Scene, seed: int, drive: Drive, reach: float) -> None:
        """Creates no content yet."""
        self._scene, self._seed, self._drive, self._reach = scene, seed, drive, reach

    def blocks(self, here: float, *phases: int) -> Iterator[int]:
        """Numbers of the blocks in sight from `here`, metres, that have one of the phases."""
        low = math.floor((here - 40.0) / ground.BLOCK)
        for block in range(low, math.ceil((here + self._reach) / ground.BLOCK)):
            if block % ground.PERIOD in phases:
                yield block

    def side(self, block: int) -> float:
        """Time at which a crossing car is in the camera's lane, well before the camera arrives."""
        return self._before((block + 0.5) * ground.BLOCK, _SIDE_AHEAD)

    def zebra(self, block: int) -> float:
        """Time at which a person on the zebra crossing is in the camera's lane, seconds."""
        return self._before((block + 0.5) * ground.BLOCK, _ZEBRA_AHEAD)

    def gap(self, block: int) -> tuple[float, int]:
        """Position at which a person steps out, metres, and the side (1 right, -1 left)."""
        rng = generator(self._seed, _GAP, block)
        pitch = ground.BLOCK / 3
        side = 1 if rng.random() < 0.5 else -1
        return (block * 3 + int(rng.integers(1, 3))) * pitch, side

    def step(self, block: int) -> float:
        """Time at which that person steps out from between the parked cars, seconds.

        The person has left the camera's lane when the camera arrives.
        """
        z, side = self.gap(block)
        return self._before(z, _STEP_AHEAD[side])

    def oncoming_lane(self, here: float) -> Iterator[tuple[float, float, float]]:
        """Position (metres), time and half duration (seconds) of crossings of the oncoming lane."""
        if self._scene.crossing:
            for m in self.blocks(here, CROSSROADS):
                yield (m + 0.5) * ground.BLOCK, self.side(m), 2.5
        if self._scene.people:
            for m in self.blocks(here, ZEBRA):
                yield (m + 0.5) * ground.BLOCK, self.zebra(m) - 1.0, 5.0
        if self._scene.stepping:
            for m in self.blocks(here, *GAPS):
                z, side = self.gap(m)
                yield z, self.step(m) + _LANE_AFTER[side], 1.7

    def _before(self, z: float, ahead: float) -> float:
        """Approximate time at which the camera is `ahead` metres before `z`, seconds."""
        return (z - ahead) / max(self._scene.speed, 1.0)
