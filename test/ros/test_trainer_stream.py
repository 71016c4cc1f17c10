# SPDX-License-Identifier: Apache-2.0
"""A trainer node with its own adapter: streams that stop, repeat, jump in time, change camera."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")
pytest.importorskip("std_srvs")

import ros_processes as rp
from diagnostic_msgs.msg import DiagnosticStatus
from robot import HEIGHT, Robot, street

pytestmark = pytest.mark.ros

SECOND = 10**9
LOOP = ((0, 0.0, HEIGHT), (1, 0.1, HEIGHT), (2, 9.0, HEIGHT), (3, 9.1, 96), (0, 9.2, HEIGHT))
"""Image, seconds, rows of the image: a gap in time, another camera, the first one again, and then
all of it again, with the same camera but an earlier time."""
EXPECTED = {
    "another camera, size or calibration",
    "a gap in time",
    "time went back",
}


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    values = {"folder": str(tmp_path_factory.mktemp("road")), "device": "cpu", "budget": 1.0}
    values |= {"nice": 0, "image_timeout": 0.7}
    process = rp.start_node("trainer_node", "stream", values, forked=rp.TRAINING)
    peer = Robot("stream", process)
    try:
        process.wait_for_line("learns from")
        peer.advertise()
        yield peer
        process.end()
    finally:
        process.kill()
        peer.close()


def restarts(robot: Robot) -> dict[str, int]:
    """Number of new streams by their reasons."""
    key = "frames: new stream: "
    rows = robot.diagnostics.items()
    return {name.removeprefix(key): int(v) for name, v in rows if name.startswith(key)}


def test_gaps_loops_and_other_cameras_begin_new_streams(trainer: Robot) -> None:
    number = count()

    def send() -> None:
        index, seconds, rows = LOOP[next(number) % len(LOOP)]
        trainer.send(street(index)[:rows], stamp=1000 * SECOND + round(seconds * SECOND))

    trainer.repeat(send, lambda: set(restarts(trainer)) >= EXPECTED, "new streams", 0.1)
    assert trainer.diagnostics["images rejected"] == "0"
    assert "frames: blocks to learn" not in trainer.diagnostics, "too short to be compared"
    assert trainer.diagnostics["steps"] == "0"


def test_a_stream_that_stops_is_told_and_goes_on(trainer: Robot) -> None:
    status = trainer.status("input", DiagnosticStatus.WARN, "no image for")
    assert int(trainer.diagnostics["images received"]) > 0, status
    kept = int(trainer.diagnostics.get("frames: kept", 0))
    number = count()
    trainer.repeat(
        lambda: trainer.send(street(next(number) % 4)),
        lambda: int(trainer.diagnostics.get("frames: kept", 0)) > kept,
        "frames that are kept again",
        0.1,
    )
    trainer.status("input", DiagnosticStatus.OK, "last frame")
