# SPDX-License-Identifier: Apache-2.0
"""Messages that tell how far the robot moves: odometry, speeds, GPS fixes.

They are told apart by their fields, so that those of rclpy and those read from bags both serve.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from depth_recog.errors import SourceError
from depth_recog.method.scale.motion import LONGEST_GAP_S, OdometryBuffer

_ODOMETRY_STD, _SPEED_STD = 0.01, 0.02
"""Standard deviation of the difference of two close positions, metres."""
_GPS_STD = 1.5
_GPS_GAP_S = 2.5
_EARTH_M = 6_378_137.0
_NO_FIX = -1


class RobotMotion:
    """Fills the odometry of the scale from messages.

    Several kinds may arrive: odometry counts before speeds, and speeds before GPS fixes.

    Args:
        odometry: is filled.
    """

    def __init__(self, odometry: OdometryBuffer) -> None:
        self.odometry = odometry
        self.count = 0
        self._kind = len(_KINDS)
        self._origin: tuple[float, float, float] | None = None

    def add(self, stamp_ns: int, message: Any) -> None:
        """Add a nav_msgs/Odometry, geometry_msgs/TwistStamped or sensor_msgs/NavSatFix.

        Args:
            stamp_ns: time of the message, nanoseconds.
            message: one without a finite value or without a fix is left out.

        Raises:
            SourceError: it is of another type.
        """
        kind = next((i for i, field in enumerate(_KINDS) if hasattr(message, field)), None)
        if kind is None:
            raise SourceError(
                f"{type(message).__name__} tells no motion: nav_msgs/Odometry, "
                "geometry_msgs/TwistStamped or sensor_msgs/NavSatFix is needed"
            )
        if kind > self._kind:
            return
        if kind < self._kind:
            self.odometry.clear()
            self._kind = kind
        self.count += 1
        (self._pose, self._twist, self._fix)[kind](stamp_ns, message)

    def _pose(self, stamp_ns: int, message: Any) -> None:
        pose = message.pose
        place = (pose.pose if hasattr(pose, "pose") else pose).position
        self.odometry.position_std, self.odometry.longest_gap_s = _ODOMETRY_STD, LONGEST_GAP_S
        self.odometry.add(stamp_ns, np.array((place.x, place.y, place.z)))

    def _twist(self, stamp_ns: int, message: Any) -> None:
        linear = message.twist.linear
        speed = math.hypot(linear.x, linear.y, linear.z)
        self.odometry.position_std, self.odometry.longest_gap_s = _SPEED_STD, LONGEST_GAP_S
        if math.isfinite(speed):
            self.odometry.add_speed(stamp_ns, speed)

    def _fix(self, stamp_ns: int, message: Any) -> None:
        if message.status.status == _NO_FIX:
            return
        known = math.radians(message.latitude), math.radians(message.longitude)
        altitude = message.altitude if math.isfinite(message.altitude) else 0.0
        if not all(map(math.isfinite, known)):
            return
        if self._origin is None:
            self._origin = (*known, altitude)
        north, east = known[0] - self._origin[0], known[1] - self._origin[1]
        east *= math.cos(self._origin[0])
        variance = float(message.position_covariance[0])
        usable = bool(message.position_covariance_type) and variance > 0
        self.odometry.position_std = math.sqrt(variance) if usable else _GPS_STD
        self.odometry.longest_gap_s = _GPS_GAP_S
        # Heights of GPS are several times worse than the position, and roads are nearly level.
        self.odometry.add(stamp_ns, np.array((_EARTH_M * east, _EARTH_M * north, 0.0)))


_KINDS = ("pose", "twist", "latitude")
"""A field that only this kind of message has; Odometry has a twist as well."""
