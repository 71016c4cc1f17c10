# SPDX-License-Identifier: Apache-2.0
"""Lenses, regions of interest and binning: what a client sees of pixels that nobody has seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_messages
import ros_processes as rp
from numpy.typing import NDArray
from robot import DEPTH, INFO, Robot, fleet, street
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

pytestmark = pytest.mark.ros

WIDTH, HEIGHT = 416, 128
POINTS, RECTIFIED = "depth/points", "image_rect"
TOPICS: dict[str, type] = {
    DEPTH: Image,
    INFO: CameraInfo,
    POINTS: PointCloud2,
    RECTIFIED: Image,
    **dict.fromkeys(("mask/labels", "mask/dynamic", "mask/moving"), Image),
}
NO_LENS = ("plumb_bob", [0.0] * 5)
LENSES = {
    "plumb_bob": ("plumb_bob", [0.15, 0.02, 0.001, -0.001, 0.0], 1.0),
    "rational": ("rational_polynomial", [0.4, 0.1, 0.001, 0.0, 0.01, 0.1, 0.02, 0.0], 1.0),
    "equidistant": ("equidistant", [0.02, -0.01, 0.003, 0.001], 0.6),
    "wide P": (*NO_LENS, 0.8),
}
"""Model, coefficients, and the focal length of P in that of K."""


@pytest.fixture(scope="module")
def robot() -> Iterator[Robot]:
    with fleet() as start:
        process, peer = start("lenses", {"points_step": 1})
        peer.begin(TOPICS, until=tuple(TOPICS))
        yield peer
        process.end()


def camera_info(lens: str, stamp: int) -> CameraInfo:
    model, coefficients, zoom = LENSES[lens]
    message = ros_messages.info_message((WIDTH, HEIGHT), stamp)
    message.distortion_model, message.d = model, coefficients
    message.p[0] *= zoom
    message.p[5] *= zoom
    return message


def sources(message: CameraInfo) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where OpenCV's forward models put the rays of the rectified pixels: columns and rows."""
    k, p = np.array(message.k).reshape(3, 3), np.array(message.p).reshape(3, 4)
    v, u = np.mgrid[: message.height, : message.width].astype(np.float64)
    rays = np.stack(((u - p[0, 2]) / p[0, 0], (v - p[1, 2]) / p[1, 1]), -1).reshape(-1, 1, 2)
    coefficients = np.array(message.d)
    if message.distortion_model == "equidistant":
        found = cv2.fisheye.distortPoints(rays, k, coefficients)
    else:
        points = cv2.convertPointsToHomogeneous(rays)
        found = cv2.projectPoints(points, np.zeros(3), np.zeros(3), k, coefficients)[0]
    x, y = found.reshape(*u.shape, 2).transpose(2, 0, 1)
    return x, y


def answer(robot: Robot, message: CameraInfo, pixels: NDArray[np.uint8]) -> dict[str, Any]:
    stamp = ros_messages.stamp_ns(message)
    robot.infos.publish(message)
    robot.images.publish(ros_messages.image_message(pixels, "rgb8", stamp))
    return robot.all_of(stamp, tuple(TOPICS))


def points_of(message: PointCloud2) -> NDArray[np.float32]:
    """(H, W, 3) float32, metres."""
    values = np.frombuffer(bytes(message.data), "<f4").reshape(message.height, message.width, 4)
    return values[..., :3]


@pytest.mark.parametrize("lens", LENSES)
def test_pixels_that_the_camera_never_saw(robot: Robot, lens: str) -> None:
    """NaN in depth and cloud, unlabelled and not dynamic in masks, black in the image."""
    given = camera_info(lens, robot.new_stamp())
    x, y = sources(given)
    near = 0.01  # float32
    outside = (x < -near) | (x > WIDTH - 1 + near) | (y < -near) | (y > HEIGHT - 1 + near)
    inside = (x > near) & (x < WIDTH - 1 - near) & (y > near) & (y < HEIGHT - 1 - near)
    assert 0.05 < outside.mean() < 0.6
    got = answer(robot, given, street(0))
    images = {
        topic: ros_messages.array_of(got[topic]) for topic in TOPICS if topic not in (POINTS, INFO)
    }
    depth = images[DEPTH]
    assert np.isnan(depth[outside]).all()
    assert not np.isnan(depth[inside]).any()
    points = points_of(got[POINTS])
    assert np.isnan(points[outside]).all()
    finite = np.isfinite(depth)
    assert np.isfinite(points[finite]).all()
    assert (images["mask/labels"][outside] == 255).all()
    assert not images["mask/dynamic"][outside].any()
    assert not images["mask/moving"][outside].any()
    assert not images[RECTIFIED][outside].any()
    assert images[RECTIFIED][inside].any(-1).mean() > 0.9
    assert list(got[INFO].k) == pytest.approx([given.p[i] for i in (0, 1, 2, 4, 5, 6, 8, 9, 10)])
    assert not any(got[INFO].d)
    # A client that computes points from depth and its camera_info gets the cloud.
    v, u = np.nonzero(finite)
    k = np.array(got[INFO].k).reshape(3, 3)
    own = np.stack(((u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones(len(u))), -1)
    np.testing.assert_allclose(points[v, u], own * depth[v, u, None], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("binning", [0, 2])
@pytest.mark.parametrize("region", [(0, 0, 0, 0), (64, 16, 288, 96)])
def test_region_of_interest_and_binning(
    robot: Robot, region: tuple[int, int, int, int], binning: int
) -> None:
    """The image is a cut-out of the full resolution, for which CameraInfo's K is."""
    given = camera_info("plumb_bob", robot.new_stamp())
    x, y, width, height = region
    given.roi.x_offset, given.roi.y_offset, given.roi.width, given.roi.height = region
    given.binning_x = given.binning_y = binning
    step = binning or 1
    pixels = street(0)[y : y + (height or HEIGHT), x : x + (width or WIDTH)][::step, ::step]
    got = answer(robot, given, pixels)
    for topic in (DEPTH, INFO, RECTIFIED, "mask/labels"):
        assert (got[topic].height, got[topic].width) == pixels.shape[:2], topic
    k, full = got[INFO].k, given.k
    assert k[0] == pytest.approx(full[0] / step)
    assert k[4] == pytest.approx(full[4] / step)
    assert k[2] == pytest.approx((full[2] - x + 0.5) / step - 0.5)
    assert k[5] == pytest.approx((full[5] - y + 0.5) / step - 0.5)
    depth = ros_messages.array_of(got[DEPTH])
    # The rectified cut-out reaches beyond what was sent of the image.
    columns, rows = (
        values[y : y + (height or HEIGHT), x : x + (width or WIDTH)] for values in sources(given)
    )
    off = (
        (columns < x - step)
        | (columns > x + (width or WIDTH))
        | (rows < y - step)
        | (rows > y + (height or HEIGHT))
    )
    assert np.isnan(depth[off[::step, ::step]]).all()
    assert np.isfinite(depth).mean() > 0.3


def test_a_calibration_that_changes(robot: Robot) -> None:
    """Zoom: the next image has the new camera_info's intrinsics, and no border of the old lens."""
    first = answer(robot, camera_info("plumb_bob", robot.new_stamp()), street(0))
    plain = ros_messages.info_message((WIDTH, HEIGHT), robot.new_stamp(), focal=300.0)
    second = answer(robot, plain, street(1))
    assert np.isnan(ros_messages.array_of(first[DEPTH])).any()
    assert not np.isnan(ros_messages.array_of(second[DEPTH])).any()
    assert second[INFO].k[0] == pytest.approx(300.0)
    # Half the resolution, as after a change of the camera's mode.
    half = ros_messages.info_message((WIDTH // 2, HEIGHT // 2), robot.new_stamp())
    third = answer(robot, half, np.ascontiguousarray(street(1)[::2, ::2]))
    assert (third[DEPTH].width, third[INFO].width) == (WIDTH // 2, WIDTH // 2)


def test_depth_of_the_networks_size(robot: Robot) -> None:
    """A pixel of which the camera has seen only a part has no depth."""
    with robot.parameters(output_size="network"):
        got = answer(robot, camera_info("plumb_bob", robot.new_stamp()), street(0))
    depth, picture = (ros_messages.array_of(got[topic]) for topic in (DEPTH, RECTIFIED))
    assert depth.shape == picture.shape[:2] != (HEIGHT, WIDTH)
    assert np.isnan(depth[0, 0])
    assert not picture[np.isnan(depth)].any()
    assert np.isfinite(depth).mean() > 0.3


def test_a_consumer_with_message_filters_and_read_points(robot: Robot) -> None:
    """Depth, its camera_info, the cloud and the image are joined by stamp, and agree."""
    pytest.importorskip("message_filters", reason="not on PyPI")
    pytest.importorskip("sensor_msgs_py", reason="not on PyPI")
    consumer = rp.foreign("fusion.py", "lenses")
    try:
        consumer.wait_for_line("ready")
        robot.repeat(
            lambda: answer(robot, camera_info("plumb_bob", robot.new_stamp()), street(0)),
            lambda: consumer.stdout.count("{"),
            "a line of the consumer",
        )
        got = json.loads(consumer.wait_for_line("focal"))
    finally:
        consumer.kill()
    assert got["frame"] == "cam"
    assert got["focal"] == pytest.approx(0.58 * WIDTH)
    assert got["points"] == got["finite"] > 10_000
    assert got["all"] == WIDTH * HEIGHT
    assert 0.05 * WIDTH * HEIGHT < got["unknown"] <= got["black"]
    assert got["farthest"] <= 80
