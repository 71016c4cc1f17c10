# SPDX-License-Identifier: Apache-2.0
"""A publisher that is broken or hostile: sizes, calibrations and frames change with every image."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import ros_messages
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from robot import DEPTH, Robot, street
from ros_peer import OUTCOMES

SIZES = ((1, 1), (8, 1), (1, 9), (64, 480), (160, 120), (320, 240), (480, 64), (640, 480), (99, 77))
LARGEST = (7680, 4320)


class Target(Robot):
    """A robot that checks the account in every report of the node."""

    def __init__(self, *arguments: Any) -> None:
        self.reports = 0
        self.wrong: list[dict[str, int]] = []
        super().__init__(*arguments)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        super()._on_diagnostics(message)
        if "published" in self.diagnostics:
            self.reports += 1
            counts = self.counts()
            if counts["received"] != sum(counts[k] for k in OUTCOMES):
                self.wrong.append(counts)

    def steady(self, count: int, hz: float) -> int:
        """Send good images at a steady rate; return how many of them got depth."""
        stamps: list[int] = []
        start = time.monotonic()
        while len(stamps) < count:
            if time.monotonic() - start >= len(stamps) / hz:
                stamps.append(self.image(len(stamps) % 3))
            self.executor.spin_once(timeout_sec=0.005)
        self.settled()
        self.drain()
        heard = {ros_messages.stamp_ns(message) for message in self.heard[DEPTH]}
        return len(heard.intersection(stamps))

    def recover(self) -> float:
        """Send good images at 10 Hz until one gets depth; return the seconds that it took."""
        start = time.monotonic()
        sent: list[int] = []
        while not any(self.of_stamp(DEPTH, stamp) for stamp in sent):
            assert time.monotonic() - start < 90, self.process and self.process.story()
            sent.append(self.image())
            until = time.monotonic() + 0.1
            while time.monotonic() < until:
                self.executor.spin_once(timeout_sec=0.02)
        return time.monotonic() - start


class Fire:
    """Volleys of images that no honest camera sends.

    Args:
        target: publishes them.
        seed: of the choice.
    """

    def __init__(self, target: Target, seed: int = 0) -> None:
        self._target = target
        self._dice = random.Random(seed)
        self._kinds = (self.sizes, self.calibrations, self.flood, self.frames, self.alone)
        self.sent = 0

    def __call__(self, seconds: float, largest: bool = False) -> None:
        """Fire for some seconds; with `largest` also 8K images, which take a second each."""
        kinds = (*self._kinds, self.largest) if largest else self._kinds
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._dice.choice(kinds)()
            self._target.executor.spin_once(timeout_sec=0.0)
            self._target.heard[DEPTH].clear()

    def sizes(self) -> None:
        """Every image has another size, each with its calibration."""
        for size in self._dice.sample(SIZES, len(SIZES)):
            self._send(size)
            self._breathe(0.02)

    def calibrations(self) -> None:
        """Every image has another distortion."""
        for _ in range(10):
            self._send((640, 480), d=[self._dice.uniform(-0.3, 0.3) for _ in range(5)])
            self._breathe(0.02)

    def flood(self) -> None:
        """1000 images a second."""
        start = time.monotonic()
        for number in range(300):
            self._send((1, 1))
            self._breathe(start + number / 1000 - time.monotonic())

    def frames(self) -> None:
        """Every image has another frame."""
        for _ in range(20):
            self._send((160, 120), frame=f"frame {self.sent} {'x' * self._dice.randrange(2000)}")
            self._breathe(0.005)

    def alone(self) -> None:
        """Images whose camera_info is of another size or time, or does not come."""
        for _ in range(10):
            self._send((320, 240), info=self._dice.choice((None, (640, 480), (30_000, 30_000))))
            self._breathe(0.01)

    def largest(self) -> None:
        """One 8K image."""
        self._send(LARGEST)

    def _breathe(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            self._target.executor.spin_once(timeout_sec=rest)

    def _send(self, size: tuple[int, int], frame: str = "cam", **info: Any) -> None:
        target, stamp = self._target, self._target.new_stamp(10**6)
        of: tuple[int, int] | None = info.pop("info", size)
        if of is not None:
            message = ros_messages.info_message(of, stamp, frame=frame)
            for field, value in info.items():
                setattr(message, field, value)
            target.infos.publish(message)
        pixels = _grey(size) if size == LARGEST else _cut(size)
        encoding = "mono8" if size == LARGEST else "rgb8"
        target.images.publish(ros_messages.image_message(pixels, encoding, stamp, frame=frame))
        self.sent += 1


def _cut(size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) of the street, repeated."""
    image = street(0)
    across = -(-size[0] // image.shape[1])
    down = -(-size[1] // image.shape[0])
    return np.tile(image, (down, across, 1))[: size[1], : size[0]]


def _grey(size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.full((size[1], size[0]), 90, np.uint8)
