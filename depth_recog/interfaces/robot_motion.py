# SPDX-License-Identifier: Apache-2.0
"""Messages that tell how far the robot moves: odometry, speeds, GPS fixes.

They are told apart by their fields, so that those of rclpy and those read from bags both serve.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import SourceError
from depth_recog.limits import FARTHEST_M, FASTEST_M_S
from depth_recog.method.scale.motion import LONGEST_GAP_S, LONGEST_WAIT_S, OdometryBuffer

_ODOMETRY_STD, _SPEED_STD = 0.01, 0.02
"""Standard deviation of the difference of two close positions, metres."""
_GPS_STD = 1.5
_GPS_GAP_S = 2.5
_EARTH_M = 6_378_137.0
_FAR = 0.002
"""Distance from the origin, radians (13 km), from which on fixes get another origin: that of the
receiver's first fix, which may be wrong, would give a wrong length to a longitude."""
_NO_FIX = -1


class RobotMotion:
    """Fills the odometry of the scale from messages.

    Several kinds may arrive: odometry counts before speeds, and speeds before GPS fixes; one that
    has been silent for `LONGEST_WAIT_S` counts no longer.

    Args:
        odometry: is filled.
    """

    def __init__(self, odometry: OdometryBuffer) -> None:
        self.odometry = odometry
        self.count = 0
        """Messages that were used."""
        self._kind, self._heard_ns = len(_KINDS), 0
        self._origin: tuple[float, float] | None = None

    def add(self, stamp_ns: int, message: Any) -> None:
        """Add a nav_msgs/Odometry, geometry_msgs/TwistStamped or sensor_msgs/NavSatFix.

        Args:
            stamp_ns: time of the message, nanoseconds.
            message: one without a fix, or with a value that no robot has, is left out.

        Raises:
            SourceError: it is of another type.
        """
        kind = next((i for i, field in enumerate(_KINDS) if hasattr(message, field)), None)
        if kind is None:
            raise SourceError(
                f"{type(message).__name__} tells no motion: nav_msgs/Odometry, "
                "geometry_msgs/TwistStamped or sensor_msgs/NavSatFix is needed"
            )
        if not (_has_place, _has_speed, _has_fix)[kind](message):
            return
        if kind > self._kind and abs(stamp_ns - self._heard_ns) < LONGEST_WAIT_S * 1e9:
            return
        if kind != self._kind:
            self.odometry.clear()
            self._kind = kind
        self._heard_ns = stamp_ns
        self.count += 1
        (self._pose, self._twist, self._fix)[kind](stamp_ns, message)

    def _pose(self, stamp_ns: int, message: Any) -> None:
        self.odometry.position_std, self.odometry.longest_gap_s = _ODOMETRY_STD, LONGEST_GAP_S
        self.odometry.add(stamp_ns, _place(message))

    def _twist(self, stamp_ns: int, message: Any) -> None:
        self.odometry.position_std, self.odometry.longest_gap_s = _SPEED_STD, LONGEST_GAP_S
        self.odometry.add_speed(stamp_ns, _speed(message))

    def _fix(self, stamp_ns: int, message: Any) -> None:
        here = math.radians(message.latitude), math.radians(message.longitude)
        if self._origin is None or max(map(abs, _offset(here, self._origin))) > _FAR:
            self._origin = here
            self.odometry.clear()
        north, east = _offset(here, self._origin)
        variance = float(message.position_covariance[0])
        usable = bool(message.position_covariance_type) and variance > 0
        std = max(math.sqrt(variance), _ODOMETRY_STD) if usable else _GPS_STD
        self.odometry.position_std, self.odometry.longest_gap_s = std, _GPS_GAP_S
        # Heights of GPS are several times worse than the position, and roads are nearly level.
        self.odometry.add(stamp_ns, np.array((_EARTH_M * east, _EARTH_M * north, 0.0)))


_KINDS = ("pose", "twist", "latitude")
"""A field that only this kind of message has; Odometry has a twist as well."""


def _place(message: Any) -> NDArray[np.float64]:
    """(3,) metres."""
    pose = message.pose
    place = (pose.pose if hasattr(pose, "pose") else pose).position
    return np.array((place.x, place.y, place.z), np.float64)


def _speed(message: Any) -> float:
    """Metres per second."""
    linear = message.twist.linear
    return math.hypot(linear.x, linear.y, linear.z)


def _has_place(message: Any) -> bool:
    return bool((np.abs(_place(message)) <= FARTHEST_M).all())  # NaN is not


def _has_speed(message: Any) -> bool:
    return _speed(message) <= FASTEST_M_S


def _has_fix(message: Any) -> bool:
    within = abs(message.latitude) <= 90 and abs(message.longitude) <= 180
    return bool(within and message.status.status != _NO_FIX)


def _offset(here: tuple[float, float], origin: tuple[float, float]) -> tuple[float, float]:
    """North and east of an origin; both of latitude and longitude, all in radians."""
    east = math.remainder(here[1] - origin[1], math.tau) * math.cos(origin[0])
    return here[0] - origin[0], east
