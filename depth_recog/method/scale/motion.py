# SPDX-License-Identifier: Apache-2.0
"""The scale from the distance that the robot moved.

Odometry gives the distance in metres, the chained static poses give it in the network's unit. Both
are compared over at least `LEAST_DISTANCE`, and over more where the odometry is uncertain (GPS).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.scale.measurement import Refusal, ScaleMeasurement

Float = NDArray[np.float64]

LEAST_DISTANCE = 0.3
"""Metres."""
LEAST_PRECISION = 8.0
"""Least distance in standard deviations of the odometry's position."""
LONGEST_S = 10.0
"""Longest time over which distances are compared, seconds."""
LONGEST_GAP_S = 0.5
"""Longest time between two odometry messages that is interpolated, seconds."""
PAIR_STD = 0.05
"""Standard deviation of the log of a visual distance: the scale of one frame's depth."""

_KEPT = 2000


@dataclass(frozen=True)
class _Fix:
    seconds: float
    position: Float


class OdometryBuffer:
    """Positions of the robot by time; from odometry, from integrated speeds or from GPS fixes.

    Args:
        position_std: standard deviation of the difference of two positions, metres.
    """

    def __init__(self, position_std: float = 0.01) -> None:
        self.position_std = position_std
        self._fixes: deque[_Fix] = deque(maxlen=_KEPT)

    def add(self, stamp_ns: int, position: Float) -> None:
        """Add a position (3,) in metres, in any fixed frame. Time that goes back starts anew."""
        seconds = stamp_ns / 1e9
        if self._fixes and seconds <= self._fixes[-1].seconds:
            if seconds == self._fixes[-1].seconds:
                return
            self._fixes.clear()
        self._fixes.append(_Fix(seconds, np.asarray(position, np.float64)))

    def add_speed(self, stamp_ns: int, speed: float) -> None:
        """Add a speed in metres per second, as if the robot went straight on."""
        seconds = stamp_ns / 1e9
        last = self._fixes[-1] if self._fixes else None
        gap = seconds - last.seconds if last else 0.0
        if last is None or not 0 < gap <= LONGEST_GAP_S:
            self.add(stamp_ns, np.zeros(3) if last is None else last.position)
            return
        self.add(stamp_ns, last.position + [abs(speed) * gap, 0.0, 0.0])

    def at(self, stamp_ns: int) -> Float | None:
        """The position at a time, interpolated; None outside of the messages or in a gap."""
        seconds = stamp_ns / 1e9
        times = [fix.seconds for fix in self._fixes]
        after = bisect_left(times, seconds)
        if after < len(times) and times[after] == seconds:
            return self._fixes[after].position
        if after in (0, len(times)) or times[after] - times[after - 1] > LONGEST_GAP_S:
            return None
        a, b = self._fixes[after - 1], self._fixes[after]
        share = (seconds - a.seconds) / (b.seconds - a.seconds)
        return a.position + share * (b.position - a.position)


@dataclass(frozen=True)
class _Place:
    seconds: float
    seen: Float
    position: Float


class MotionComparison:
    """Compares the camera's path, in the network's unit, with the odometry's."""

    def __init__(self, odometry: OdometryBuffer) -> None:
        self._odometry = odometry
        self._places: deque[_Place] = deque()

    def reset(self) -> None:
        """Forget the path: it was interrupted."""
        self._places.clear()

    def add(self, stamp_ns: int, position: Float) -> ScaleMeasurement | Refusal:
        """Compare the path up to the newest frame.

        Args:
            stamp_ns: time of the frame, nanoseconds.
            position: (3,) of the camera in the network's unit, in any fixed frame.
        """
        seconds = stamp_ns / 1e9
        there = self._odometry.at(stamp_ns)
        if there is None:
            return Refusal("no odometry at the time of the image")
        while self._places and not 0 <= seconds - self._places[0].seconds <= LONGEST_S:
            self._places.popleft()
        least = max(LEAST_DISTANCE, LEAST_PRECISION * self._odometry.position_std)
        self._places.append(_Place(seconds, np.array(position, np.float64), there))
        oldest, newest = self._places[0], self._places[-1]
        farthest = float(np.linalg.norm(there - oldest.position))
        if farthest < least:
            return Refusal("the robot moves too little")
        # By time, not by the distance itself: that would select those that noise has enlarged.
        lag = (newest.seconds - oldest.seconds) * least / farthest
        start = next(p for p in reversed(self._places) if newest.seconds - p.seconds >= lag)
        std = self._odometry.position_std
        return _compared(there - start.position, newest.seen - start.seen, std)


def _compared(moved: Float, seen: Float, position_std: float) -> ScaleMeasurement | Refusal:
    distance, visual = float(np.linalg.norm(moved)), float(np.linalg.norm(seen))
    if not (distance > 0 and visual > 0 and math.isfinite(visual)):
        return Refusal("the odometry and the images do not both show a motion")
    return ScaleMeasurement(
        math.log(distance / visual), math.hypot(PAIR_STD, position_std / distance)
    )
