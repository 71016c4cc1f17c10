# SPDX-License-Identifier: Apache-2.0
"""The topic `depth/uncertainty` and the parameter `max_uncertainty`, over DDS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_messages
from deviation_weights import with_head, without_head
from robot import DEPTH, HEIGHT, NODE, WIDTH, Robot, fleet, street, unharmed
from sensor_msgs.msg import Image, PointCloud2
from test_depth_outputs import POINTS, points_of

pytestmark = pytest.mark.ros

UNCERTAINTY = "depth/uncertainty"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_head(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(without_head(tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="module")
def robot(plain: str) -> Iterator[Any]:
    """A node that starts with weights without a head."""
    with fleet() as start:
        _, robot = start("uncertain", {"weights": plain})
        robot.begin({DEPTH: Image, POINTS: PointCloud2}, (DEPTH, POINTS))
        yield robot


unharmed = pytest.fixture(autouse=True)(unharmed)


def offered(robot: Robot) -> bool:
    return robot.node.count_publishers(f"/uncertain/{UNCERTAINTY}") > 0


def test_weights_without_a_head_offer_nothing_and_refuse_the_parameter(robot: Robot) -> None:
    assert not offered(robot)
    refusal = robot.refusal(NODE, max_uncertainty=0.3)
    assert "max_uncertainty 0.3" in refusal
    assert "give no standard deviation" in refusal
    assert "trains=deviation" in refusal


def test_deviation_of_every_pixel_and_a_limit_for_depth_and_points(
    robot: Robot, weights: Path, plain: str
) -> None:
    assert robot.set_parameters(NODE, weights=str(weights)) == (True, "")
    robot.wait(lambda: offered(robot), "the topic is advertised")
    robot.listen({UNCERTAINTY: Image})
    robot.send_until_heard(street(0), (UNCERTAINTY,))
    stamp = robot.send(street(1))
    message, depth_message = robot.of(UNCERTAINTY, stamp), robot.depth_of(stamp)
    assert message.header == depth_message.header
    assert (message.encoding, message.width, message.height) == ("32FC1", WIDTH, HEIGHT)
    deviation, depth = (ros_messages.array_of(m) for m in (message, depth_message))
    assert (deviation > 0).all()
    limit = float(np.median(deviation))
    # Weights without a head are refused while the limit needs one.
    assert robot.set_parameters(NODE, max_uncertainty=limit, points_step=1) == (True, "")
    assert "give no standard deviation" in robot.refusal(NODE, weights=plain)
    stamp = robot.send(street(1))
    certain = ros_messages.array_of(robot.of(UNCERTAINTY, stamp)) <= np.float32(limit)
    assert 0.3 < certain.mean() < 0.7
    limited = ros_messages.array_of(robot.depth_of(stamp))
    assert np.isnan(limited[~certain]).all()
    assert np.array_equal(limited[certain], depth[certain], equal_nan=True)
    xyz, _ = points_of(robot.of(POINTS, stamp))
    assert np.array_equal(np.isfinite(xyz[..., 2]), np.isfinite(limited))
    assert robot.set_parameters(NODE, max_uncertainty=0.0) == (True, "")
    stamp = robot.send(street(1))
    assert np.array_equal(ros_messages.array_of(robot.depth_of(stamp)), depth, equal_nan=True)
