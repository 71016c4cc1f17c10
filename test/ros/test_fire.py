# SPDX-License-Identifier: Apache-2.0
"""A broken publisher takes no more than its share; benchmarks/fire.py does the same for long."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("rclpy")

import ros_processes as rp
from hostile_camera import Fire, Target
from robot import DEPTH, NODE, PARAMETERS
from sensor_msgs.msg import Image

pytestmark = pytest.mark.ros


def test_after_a_fire_every_good_image_gets_depth() -> None:
    process = rp.start_node(NODE, "range", PARAMETERS, forked=True)
    target = Target("range", process)
    try:
        target.begin()
        fire = Fire(target)
        fire(3.0)
        while fire.sent <= 100:  # on a loaded machine
            fire(1.0)
        assert target.recover() < 60
        for number in range(20):
            target.depth_of(target.image(number % 3))
        # One a second is due; fewer come while the whole machine is slow.
        assert target.reports >= 2
        assert not target.wrong
        process.end()
    finally:
        target.close()
        process.kill()


MISER = """
import sys
from depth_recog.nodes.runtime import allowance
allowance._AT_ONCE_S = 0.0
from depth_recog.nodes.process import depth_node
sys.exit(depth_node())
"""


def test_the_node_gets_ready_only_within_its_allowance() -> None:
    command = [sys.executable, "-c", MISER, "--ros-args", "-r", "__ns:=/miser", "-p", "threads:=1"]
    process = rp.Process(command)
    target = Target("miser", process)
    try:
        target.advertise()
        target.listen({DEPTH: Image})
        target.repeat(
            target.image,
            lambda: "changes too often" in target.diagnostics.get("last rejection", ""),
            "a refusal",
        )
        process.end()
    finally:
        target.close()
        process.kill()
