# SPDX-License-Identifier: Apache-2.0
"""Odometry, speeds and GPS fixes that no honest robot sends."""

from __future__ import annotations

import itertools
import math
import random
import time
from typing import Any

import ros_messages
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from robot import Robot
from sensor_msgs.msg import NavSatFix

NUMBERS = (math.nan, math.inf, -math.inf, 1e308, -1e308, 1e154, 1e-308, 0.0, 1e17, -1e9)
STAMPS = tuple(
    Time(sec=sec, nanosec=nanosec)
    for sec in (-(2**31), -1, 0, 2**31 - 1)
    for nanosec in (0, 10**9, 2**32 - 1)
)
LONG = "x" * 2**20


class MotionFire:
    """Publishes volleys on the topics odometry, speed and gps.

    Args:
        robot: publishes them.
        seed: of the choices.
    """

    def __init__(self, robot: Robot, seed: int = 0) -> None:
        self._robot, self._dice = robot, random.Random(seed)
        kinds = {"odometry": Odometry, "speed": TwistStamped, "gps": NavSatFix}
        self.publishers = {
            topic: robot.node.create_publisher(kind, topic, 50) for topic, kind in kinds.items()
        }
        self.volleys = (self.values, self.stamps, self.covariances, self.turns, self.frames)
        self.volleys += (self.rates, self.fixes, self.jumps)
        self.sent = 0

    def connected(self) -> bool:
        """Whether the node is subscribed to all three topics."""
        return all(p.get_subscription_count() for p in self.publishers.values())

    def values(self) -> None:
        """Numbers that are none, or that no robot has."""
        for number in NUMBERS:
            self.odometry(number, -number)
            self.speed(number)
            self.gps(number, number)

    def stamps(self) -> None:
        """Zero, negative, in decades, and each before the one before."""
        now = self._robot.new_stamp(10**6)
        backward = [ros_messages.stamp_of(now - number * 10**7) for number in range(10)]
        for stamp in (*STAMPS, *backward):
            self.odometry(1.0, 0.0, stamp=stamp)
            self.speed(8.0, stamp=stamp)
            self.gps(48.0, 8.0, stamp=stamp)

    def covariances(self) -> None:
        """That are no numbers, negative, or without bounds."""
        for number in (*NUMBERS, -1.0, 1e-300):
            self.odometry(1.0, 0.0, covariance=number)
            self.gps(48.0, 8.0, covariance=number)

    def turns(self) -> None:
        """Quaternions that turn nothing."""
        for number in (0.0, math.nan, 1e308, 1e-320):
            self.odometry(1.0, 0.0, w=number)

    def frames(self) -> None:
        """Frame names of a mebibyte, and of control characters."""
        for frame in (*[LONG] * 12, "\x1b[2J\x07", ""):
            self.odometry(1.0, 0.0, frame=frame)
            self.speed(8.0, frame=frame)
            self.gps(48.0, 8.0, frame=frame)

    def rates(self) -> None:
        """1000 messages a second."""
        start = time.monotonic()
        for number in range(300):
            self.odometry(0.01 * number, 0.0)
            while (rest := start + number / 1000 - time.monotonic()) > 0:
                self._robot.executor.spin_once(timeout_sec=rest)

    def fixes(self) -> None:
        """Places that are not on Earth, and where receivers without a fix believe to be."""
        for latitude, longitude in itertools.product((200.0, -90.1, 0.0, 89.99), (0.0, 720.0)):
            self.gps(latitude, longitude)

    def jumps(self) -> None:
        """Another place with every message."""
        for _ in range(30):
            far = 10 ** self._dice.uniform(0, 9)
            self.odometry(self._dice.uniform(-far, far), self._dice.uniform(-far, far))
            self.speed(self._dice.uniform(-149, 149))
            self.gps(self._dice.uniform(-90, 90), self._dice.uniform(-180, 180))

    def odometry(self, x: float, y: float, **about: Any) -> None:
        message = Odometry()
        message.pose.pose.position.x, message.pose.pose.position.y = x, y
        message.twist.twist.linear.x = x
        turn = message.pose.pose.orientation
        turn.x = turn.y = turn.z = turn.w = about.get("w", 0.5)
        message.child_frame_id = about.get("frame", "base_link")
        message.pose.covariance = [about.get("covariance", 0.01)] * 36
        self._send("odometry", message, about)

    def speed(self, value: float, **about: Any) -> None:
        message = TwistStamped()
        message.twist.linear.x = message.twist.angular.z = value
        self._send("speed", message, about)

    def gps(self, latitude: float, longitude: float, **about: Any) -> None:
        message = NavSatFix(latitude=latitude, longitude=longitude, altitude=latitude)
        message.position_covariance = [about.get("covariance", 1.0)] * 9
        message.position_covariance_type = 3
        self._send("gps", message, about)

    def _send(self, topic: str, message: Any, about: dict[str, Any]) -> None:
        message.header.frame_id = about.get("frame", "base_link")
        message.header.stamp = about.get("stamp") or ros_messages.stamp_of(
            self._robot.new_stamp(10**6)
        )
        self.publishers[topic].publish(message)
        self.sent += 1
