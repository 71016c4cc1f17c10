# SPDX-License-Identifier: Apache-2.0
"""A broken publisher takes no more than its share; benchmarks/fire.py does the same for long."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

import ros_processes as rp
from hostile_camera import Fire, Target
from robot import NODE, PARAMETERS

pytestmark = pytest.mark.ros


def test_after_a_fire_every_good_image_gets_depth() -> None:
    process = rp.start_node(NODE, "range", PARAMETERS, forked=True)
    target = Target("range", process)
    try:
        target.begin()
        fire = Fire(target)
        fire(3.0)
        assert fire.sent > 100
        assert target.recover() < 20
        for number in range(20):
            target.depth_of(target.image(number % 3))
        assert target.reports > 3
        assert not target.wrong
        process.end()
    finally:
        target.close()
        process.kill()
