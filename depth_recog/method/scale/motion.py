# SPDX-License-Identifier: Apache-2.0
"""The scale from the distance that the robot moved.

Odometry gives the distance in metres, the chained static poses give it in the network's unit. Both
are compared over at least `LEAST_DISTANCE`, and over more where the odometry is uncertain (GPS).
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_recog.limits import FASTEST_M_S
from depth_recog.method.scale.measurement import Refusal, ScaleMeasurement

Float = NDArray[np.float64]

LEAST_DISTANCE = 0.3
"""Metres."""
LEAST_S = 1.0
"""Least time over which distances are compared, seconds: the motion of a single pair of frames is
wrong by several percent, at any speed."""
LEAST_PRECISION = 8.0
"""Least distance in standard deviations of the odometry's position."""
LONGEST_S = 10.0
"""Longest time over which distances are compared, seconds."""
LONGEST_GAP_S = 0.5
"""Longest time between two odometry messages that is interpolated, seconds."""
LONGEST_WAIT_S = 3.0
"""Longest time that a frame waits for the odometry of its time, seconds."""
PAIR_STD = 0.05
"""Standard deviation of the log of a visual distance: the scale of one frame's depth."""

NOT_YET = Refusal("the path is too short so far")

_KEPT = 2000
_KEPT_FRAMES, _MOST_WAITING = 2000, 300
"""Frames whose stamps hardly grow do not get old."""
_NOISE = 8.0
"""Distance between two positions, in standard deviations, that is no jump."""


class _Fix(NamedTuple):
    seconds: float
    position: Float


class OdometryBuffer:
    """Positions of the robot by time; from odometry, from integrated speeds or from GPS fixes.

    One thread may add to it while another one reads.

    Args:
        position_std: standard deviation of the difference of two positions, metres.
        longest_gap_s: longest time between two positions that is interpolated, seconds.
        kept: number of positions; None for all.
    """

    def __init__(
        self,
        position_std: float = 0.01,
        longest_gap_s: float = LONGEST_GAP_S,
        kept: int | None = _KEPT,
    ) -> None:
        self.position_std = position_std
        self.longest_gap_s = longest_gap_s
        self._fixes: deque[_Fix] = deque(maxlen=kept)
        self._lock = threading.Lock()

    def add(self, stamp_ns: int, position: Float) -> None:
        """Add a position (3,) in metres, in any fixed frame.

        After a jump in place, or in time to the past, it starts anew.
        """
        with self._lock:
            self._add(stamp_ns / 1e9, np.asarray(position, np.float64))

    def _add(self, seconds: float, position: Float) -> None:
        if not np.isfinite(position).all():
            return
        if self._fixes:
            last = self._fixes[-1]
            gap = seconds - last.seconds
            if gap == 0:
                return
            most = FASTEST_M_S * gap + _NOISE * self.position_std
            if gap < 0 or float(np.linalg.norm(position - last.position)) > most:
                self._fixes.clear()
        self._fixes.append(_Fix(seconds, position))

    def add_speed(self, stamp_ns: int, speed: float) -> None:
        """Add a speed in metres per second, as if the robot went straight on."""
        seconds = stamp_ns / 1e9
        with self._lock:
            last = self._fixes[-1] if self._fixes else None
            gap = seconds - last.seconds if last else 0.0
            if last is None or not 0 < gap <= self.longest_gap_s:
                self._add(seconds, np.zeros(3) if last is None else last.position)
                return
            self._add(seconds, last.position + [abs(speed) * gap, 0.0, 0.0])

    def at(self, stamp_ns: int) -> Float | None:
        """The position at a time, interpolated; None outside of the messages or in a gap."""
        seconds = stamp_ns / 1e9
        with self._lock:
            after = bisect_left(self._fixes, seconds, key=lambda fix: fix.seconds)
            if after < len(self._fixes) and self._fixes[after].seconds == seconds:
                return self._fixes[after].position
            if after in (0, len(self._fixes)):
                return None
            a, b = self._fixes[after - 1], self._fixes[after]
        if b.seconds - a.seconds > self.longest_gap_s:
            return None
        share = (seconds - a.seconds) / (b.seconds - a.seconds)
        return a.position + share * (b.position - a.position)

    def clear(self) -> None:
        """Forget all positions: those that follow are of another source."""
        with self._lock:
            self._fixes.clear()

    def awaits(self, stamp_ns: int) -> bool:
        """Whether a position for this time may still come: no later message has arrived."""
        with self._lock:
            return not self._fixes or self._fixes[-1].seconds < stamp_ns / 1e9


class ConstantSpeed(OdometryBuffer):
    """Odometry of a robot that is known to move at one speed.

    Args:
        speed: metres per second.
    """

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def at(self, stamp_ns: int) -> Float:
        """The position at any time."""
        return np.array((self._speed * stamp_ns / 1e9, 0.0, 0.0))


@dataclass(frozen=True)
class _Place:
    seconds: float
    seen: Float
    position: Float


class MotionComparison:
    """Compares the camera's path, in the network's unit, with the odometry's.

    The odometry of a frame's time may arrive after the frame: the frame waits for it.
    """

    def __init__(self, odometry: OdometryBuffer) -> None:
        self._odometry = odometry
        self.reset()

    def reset(self) -> None:
        """Forget the path: it was interrupted."""
        self._places: deque[_Place] = deque(maxlen=_KEPT_FRAMES)
        self._waiting: deque[tuple[int, Float]] = deque()

    def add(self, stamp_ns: int, position: Float) -> list[tuple[int, ScaleMeasurement | Refusal]]:
        """Compare the path as far as the odometry has arrived.

        Args:
            stamp_ns: time of the newest frame, nanoseconds.
            position: (3,) of the camera in the network's unit, in any fixed frame.

        Returns:
            Time and result of each frame whose odometry is known now, or will not come any more.
        """
        self._waiting.append((stamp_ns, np.array(position, np.float64)))
        found: list[tuple[int, ScaleMeasurement | Refusal]] = []
        while self._waiting:
            then, seen = self._waiting[0]
            there = self._odometry.at(then)
            recent = 0 <= stamp_ns - then < LONGEST_WAIT_S * 1e9
            recent = recent and len(self._waiting) <= _MOST_WAITING
            if there is None and recent and self._odometry.awaits(then):
                break
            self._waiting.popleft()
            missing = Refusal("no odometry at the time of the image")
            found.append((then, missing if there is None else self._compare(then, seen, there)))
        return found

    def _compare(self, stamp_ns: int, seen: Float, there: Float) -> ScaleMeasurement | Refusal:
        seconds = stamp_ns / 1e9
        while self._places and not 0 <= seconds - self._places[0].seconds <= LONGEST_S:
            self._places.popleft()
        least = max(LEAST_DISTANCE, LEAST_PRECISION * self._odometry.position_std)
        self._places.append(_Place(seconds, seen, there))
        oldest, newest = self._places[0], self._places[-1]
        farthest = float(np.linalg.norm(there - oldest.position))
        if farthest < least:
            return Refusal("the robot moves too little")
        # By time, not by the distance itself: that would select those that noise has enlarged.
        lag = max(LEAST_S, (newest.seconds - oldest.seconds) * least / farthest)
        if newest.seconds - oldest.seconds < lag:
            return NOT_YET
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
