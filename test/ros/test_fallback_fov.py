# SPDX-License-Identifier: Apache-2.0
"""A camera without calibration, with the parameter fallback_fov."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy")

import ros_messages
from diagnostic_msgs.msg import DiagnosticStatus
from robot import DEPTH, HEIGHT, INFO, NODE, WIDTH, Robot, fleet, street
from sensor_msgs.msg import CameraInfo, Image

pytestmark = pytest.mark.ros
OK, WARN = DiagnosticStatus.OK, DiagnosticStatus.WARN
FOCAL = WIDTH / 2 / math.tan(math.radians(30))


@pytest.fixture(scope="module")
def guessing() -> Iterator[Robot]:
    """Return a node that assumes 60 degrees, and gets images of a camera without camera_info."""
    with fleet() as start:
        _, peer = start("guess", {"fallback_fov": 60.0})
        peer.advertise()
        peer.listen({DEPTH: Image, INFO: CameraInfo})
        yield peer


def send_until(peer: Robot, ready: Any, what: str, focal: float | None = None) -> None:
    """Send images, with a CameraInfo of this focal length if one is given, until `ready`."""

    def send() -> None:
        stamp = peer.new_stamp()
        if focal is not None:
            info = ros_messages.info_message((WIDTH, HEIGHT), stamp, focal)
            peer.infos.publish(info)
        peer.images.publish(ros_messages.image_message(street(0), "rgb8", stamp))

    peer.repeat(send, ready, what)


def calibration(peer: Robot) -> str:
    return peer.diagnostics.get("calibration", "")


def focal(peer: Robot) -> float:
    return float(peer.heard[INFO][-1].k[0]) if peer.heard[INFO] else 0.0


def test_without_camera_info_the_metres_are_a_guess_and_say_so(guessing: Robot) -> None:
    send_until(guessing, lambda: guessing.heard[DEPTH] and guessing.heard[INFO], "depth")
    info = guessing.heard[INFO][-1]
    assert info.k[0] == info.k[4] == pytest.approx(FOCAL)
    assert (info.k[2], info.k[5]) == ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)

    def warned() -> bool:
        status = guessing.statuses.get("depth")
        assumed = status is not None and "60 degrees is assumed" in status.message
        return assumed and status.level == WARN and "metres are a guess" in calibration(guessing)

    send_until(guessing, warned, "a warning")


def test_an_uncalibrated_driver_is_the_same_and_a_calibration_ends_it(guessing: Robot) -> None:
    """Drivers without a calibration send K = 0; once they have one, it is used."""
    guessing.heard[INFO].clear()
    send_until(guessing, lambda: focal(guessing), "depth with K = 0", 0.0)
    assert focal(guessing) == pytest.approx(FOCAL)
    send_until(guessing, lambda: focal(guessing) == 200.0, "depth with the calibration", 200.0)

    def fine() -> bool:
        return guessing.statuses["depth"].level == OK and calibration(guessing) == "camera_info"

    send_until(guessing, fine, "no warning", 200.0)


def test_it_is_off_unless_it_is_set(guessing: Robot) -> None:
    assert guessing.set_parameters(NODE, fallback_fov=0.0) == (True, "")

    def refused() -> bool:
        return "uncalibrated" in guessing.diagnostics.get("last rejection", "")

    send_until(guessing, refused, "a rejection", 0.0)
