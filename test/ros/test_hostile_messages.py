# SPDX-License-Identifier: Apache-2.0
"""Messages that no honest camera sends: every image gets an outcome, and the next gives depth."""

from __future__ import annotations

import array
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import cv2
import ros_messages
import ros_processes as rp
from builtin_interfaces.msg import Time
from robot import DEPTH, HEIGHT, NODE, PARAMETERS, WIDTH, Robot, street
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

pytestmark = pytest.mark.ros

NAN = float("nan")
GIANT: dict[str, Any] = {"width": 30_000, "height": 30_000, "d": [0.1, 0.01, 0.0, 0.0, 0.0]}
GIANT["k"] = [17400.0, 0.0, 15000.0, 0.0, 17400.0, 15000.0, 0.0, 0.0, 1.0]
GIANT["p"] = [0.0] * 12
Change = tuple[dict[str, Any], dict[str, Any]]
CHANGES: dict[str, Change] = {
    "odd step": ({"step": 3 * WIDTH + 1}, {}),
    "no step": ({"step": 0}, {}),
    "largest step": ({"step": 2**32 - 1}, {}),
    "shorter": ({"data": array.array("B", bytes(100))}, {}),
    "longer": ({"data": array.array("B", bytes(6 * WIDTH * HEIGHT))}, {}),
    "no data": ({"data": array.array("B")}, {}),
    "largest size": ({"width": 2**32 - 1, "height": 2**32 - 1}, {}),
    "flat": ({"width": 2**31, "height": 1}, {}),
    "encoding of controls": ({"encoding": "\x1b[2J\x07"}, {}),
    "odd big endian": ({"is_bigendian": 255}, {}),
    "many coefficients": ({}, {"d": [0.1] * 3_000_000}),
    "many zeros": ({}, {"d": [0.0] * 1_000_000}),
    "NaN coefficients": ({}, {"d": [NAN] * 5}),
    "NaN in K": ({}, {"k": [NAN] * 9}),
    "NaN in R": ({}, {"r": [NAN] * 9}),
    "NaN in P": ({}, {"p": [NAN] * 12}),
    "infinite K": ({}, {"k": [float("inf")] * 9}),
    "tiny focal length": ({}, {"k": [1e-300, 0.0, 1.0, 0.0, 1e-300, 1.0, 0.0, 0.0, 1.0]}),
    "long lens": ({}, {"distortion_model": "x" * 5_000_000, "d": [0.1] * 5}),
    "binned away": ({}, {"binning_x": 2**32 - 1, "binning_y": 2**32 - 1}),
    "window outside": ({}, {"roi": "outside"}),
    "giant camera_info": ({}, GIANT),
    "giant camera_info of one pixel": (
        {"width": 1, "height": 1, "step": 3, "data": array.array("B", bytes(3))},
        GIANT,
    ),
    "long encoding": ({"encoding": "x" * 20_000_000}, {}),
}


@pytest.fixture(scope="module", params=["raw", "compressed"])
def robot(request: Any) -> Iterator[Robot]:
    values = {**PARAMETERS, "image_transport": request.param}
    process = rp.start_node(NODE, "hostile", values, forked=True)
    peer = Robot("hostile", process)
    try:
        kind, topic = (Image, "image") if request.param == "raw" else (CompressedImage, JPEG)
        peer.advertise(image=topic, kind=kind)
        peer.listen({DEPTH: Image})
        peer.repeat(lambda: send_good(peer), lambda: peer.heard[DEPTH], "depth")
        peer.drain()
        yield peer
        process.end()
    finally:
        peer.close()
        process.kill()


JPEG = "image/compressed"


def send_good(robot: Robot) -> int:
    stamp = robot.new_stamp()
    robot.infos.publish(ros_messages.info_message((WIDTH, HEIGHT), stamp))
    robot.images.publish(pictured(robot, stamp))
    return stamp


def good(robot: Robot) -> Any:
    """Send a good image; return its depth. All images before it have an outcome then."""
    return robot.depth_of(send_good(robot))


def pictured(robot: Robot, stamp: int) -> Image | CompressedImage:
    if robot.images.msg_type is Image:
        return ros_messages.image_message(street(0), "rgb8", stamp)
    data = cv2.imencode(".jpg", street(0)[..., ::-1])[1].tobytes()
    return squeezed(data, stamp)


def squeezed(data: bytes, stamp: int, form: str = "jpeg") -> CompressedImage:
    message = CompressedImage(format=form, data=array.array("B", data))
    message.header.frame_id = "cam"
    message.header.stamp = ros_messages.stamp_of(stamp)
    return message


def bomb(kind: str, side: int) -> bytes:
    """Return a small file whose header states side x side pixels."""
    small = cv2.imencode(kind, np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    if kind == ".png":
        return small[:16] + side.to_bytes(4, "big") * 2 + small[24:]
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + side.to_bytes(2, "big") * 2 + small[at + 4 :]


def send_changed(robot: Robot, change: Change, stamp: int) -> None:
    image = pictured(robot, stamp)
    info = ros_messages.info_message((WIDTH, HEIGHT), stamp)
    for name, value in change[0].items():
        # A compressed image has an encoding in its format only.
        field = (
            {"encoding": "format"}.get(name, name) if isinstance(image, CompressedImage) else name
        )
        if hasattr(image, field):
            setattr(image, field, value)
    for name, value in change[1].items():
        if value == "outside":
            info.roi.x_offset, info.roi.width = 2**32 - 1, 2**32 - 1
        else:
            setattr(info, name, value)
    robot.infos.publish(info)
    robot.images.publish(image)


def serves_after(robot: Robot, attack: Callable[[], None]) -> None:
    """Attack; then the node gives the same depth, and its counts and reports are in order."""
    before = ros_messages.array_of(good(robot))
    attack()
    assert np.array_equal(ros_messages.array_of(good(robot)), before, equal_nan=True)
    robot.settled()
    robot.process.assert_alive()
    assert robot.statuses["callbacks"].message == "no callback fails"
    for status in robot.statuses.values():
        texts = [status.message, *(v.value for v in status.values)]
        assert all(len(text) < 4010 and text.isprintable() for text in texts)
    assert peak(robot) < 1200


def test_changed_fields(robot: Robot) -> None:
    def attack() -> None:
        before = robot.settled()
        for change in CHANGES.values():
            send_changed(robot, change, robot.new_stamp())
            good(robot)
        after = robot.settled()
        assert after["received"] - before["received"] == 2 * len(CHANGES)
        assert after["rejected"] > before["rejected"]

    serves_after(robot, attack)


def test_stamps_and_frames(robot: Robot) -> None:
    stamps = [
        Time(sec=sec, nanosec=nanosec)
        for sec in (-(2**31), 2**31 - 1, -1, 0)
        for nanosec in (0, 10**9, 2**32 - 1)
    ]

    def attack() -> None:
        for number, stamp in enumerate(stamps):
            image = pictured(robot, 0)
            info = ros_messages.info_message((WIDTH, HEIGHT), 0)
            image.header.stamp = info.header.stamp = stamp
            frames = f"frame {number}", "", "\x1b[2J\u202e", "x" * 5_000_000
            image.header.frame_id = frames[number % len(frames)]
            robot.infos.publish(info)
            robot.images.publish(image)
            good(robot)

    serves_after(robot, attack)


def test_a_small_file_that_states_a_giant_image(robot: Robot) -> None:
    """It is refused before memory is taken for it."""
    if robot.images.msg_type is Image:
        pytest.skip("for compressed images")

    def attack() -> None:
        before = resident(robot)
        Path(f"/proc/{robot.process.popen.pid}/clear_refs").write_text("5")  # resets the peak
        for kind, side, words in (
            (".jpg", 40_000, "40000x40000"),
            (".png", 30_000, "30000x30000"),
            (".jpg", 7_000, f"calibration is for {WIDTH}x{HEIGHT}"),
        ):
            stamp = robot.new_stamp()
            robot.infos.publish(ros_messages.info_message((WIDTH, HEIGHT), stamp))
            robot.images.publish(squeezed(bomb(kind, side), stamp))
            robot.wait(
                lambda words=words: words in robot.diagnostics.get("last rejection", ""), words
            )
        assert peak(robot) - before < 80

    serves_after(robot, attack)


def test_bytes_that_are_no_messages(robot: Robot) -> None:
    """A broken DDS writer: what cannot be read is no image, and does not make the node deaf."""
    dice = random.Random(0)

    def attack() -> None:
        for publisher in (robot.images, robot.infos):
            for length in (0, 3, 4, 5, 40, 4000):
                publisher.publish(b"\0\1\0\0" + dice.randbytes(length))
            good(robot)

    serves_after(robot, attack)


def test_only_short_camera_infos_are_kept(robot: Robot) -> None:
    def attack() -> None:
        before = resident(robot)
        for _ in range(25):
            stamp = robot.new_stamp()
            info = CameraInfo(d=[0.1] * 1_000_000, distortion_model="plumb_bob")
            info.header.stamp = ros_messages.stamp_of(stamp)
            robot.infos.publish(info)
            robot.executor.spin_once(timeout_sec=0.02)
        good(robot)
        assert resident(robot) - before < 60

    serves_after(robot, attack)


def resident(robot: Robot) -> float:
    """MB of the node's process."""
    pages = Path(f"/proc/{robot.process.popen.pid}/statm").read_text().split()[1]
    return int(pages) * 4096 / 1e6


def peak(robot: Robot) -> float:
    """MB that the node's process had at most."""
    status = Path(f"/proc/{robot.process.popen.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6
