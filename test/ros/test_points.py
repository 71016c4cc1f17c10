# SPDX-License-Identifier: Apache-2.0
"""The point cloud, compared with a loop over pixels."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="the cloud is a ROS message")

from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from depth_recog.method.geometry.camera import Camera
from depth_recog.nodes.io.points import cloud

PROPERTY = settings(deadline=None, max_examples=60, derandomize=True, database=None)


def point(message: PointCloud2, column: int, row: int) -> tuple[float, float, float, int]:
    """Return x, y, z and 0xRRGGBB of each point, read by the message's fields."""
    offsets = {field.name: field.offset for field in message.fields}
    data = bytes(message.data)
    start = row * message.row_step + column * message.point_step
    order = ">" if message.is_bigendian else "<"
    x, y, z = (struct.unpack_from(f"{order}f", data, start + offsets[axis])[0] for axis in "xyz")
    # PCL's convention: the float's bits are 0x00RRGGBB.
    (colour,) = struct.unpack_from(f"{order}I", data, start + offsets["rgb"])
    return x, y, z, colour


def example(width: int, height: int, seed: int) -> tuple[Any, Any, Camera]:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.1, 80, (height, width)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.2] = np.nan
    depth[rng.random(depth.shape) < 0.2] = np.inf
    colours = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    centre = rng.uniform(-0.5, width), rng.uniform(-0.5, height)
    return depth, colours, Camera(width, height, 0.7 * width, 0.9 * width, *centre)


@PROPERTY
@given(st.integers(1, 20), st.integers(1, 12), st.integers(1, 8), st.integers(0, 99))
def test_every_point_lies_on_its_pixel_with_its_colour(
    width: int, height: int, every: int, seed: int
) -> None:
    depth, colours, camera = example(width, height, seed)
    message = cloud(depth, colours, camera, every, Header(frame_id="cam"))
    assert (message.width, message.height) == (
        math.ceil(width / every),
        math.ceil(height / every),
    )
    assert message.row_step == message.width * message.point_step
    assert len(message.data) == message.row_step * message.height
    dense = True
    for row in range(message.height):
        for column in range(message.width):
            u, v = column * every, row * every
            x, y, z, colour = point(message, column, row)
            red, green, blue = (int(c) for c in colours[v, u])
            assert colour == red << 16 | green << 8 | blue
            if not math.isfinite(depth[v, u]):
                assert all(map(math.isnan, (x, y, z)))
                dense = False
                continue
            assert z == depth[v, u]
            assert camera.fx * x / z + camera.cx == pytest.approx(u, abs=1e-3)
            assert camera.fy * y / z + camera.cy == pytest.approx(v, abs=1e-3)
    assert message.is_dense == dense


def test_fields_are_as_rviz_and_pcl_expect_them() -> None:
    depth, colours, camera = example(8, 6, 0)
    header = Header(frame_id="left_optical")
    header.stamp.sec = 7
    message = cloud(depth, colours, camera, 2, header)
    assert [(f.name, f.datatype, f.count) for f in message.fields] == [
        (name, PointField.FLOAT32, 1) for name in ("x", "y", "z", "rgb")
    ]
    assert not message.is_bigendian
    assert message.header == header
