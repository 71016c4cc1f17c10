# SPDX-License-Identifier: Apache-2.0
"""Convert a depth image to a coloured point cloud."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from depth_recog.method.geometry.camera import Camera
from depth_recog.nodes.io.messages import bytes_of

_FIELDS = [
    PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
    for i, name in enumerate(("x", "y", "z", "rgb"))
]


def cloud(
    depth: NDArray[np.float32],
    colours: NDArray[np.uint8],
    camera: Camera,
    every: int,
    header: Header,
) -> PointCloud2:
    """An organised point cloud in the optical frame: every n-th pixel of every n-th row.

    Point (column, row) is pixel (column * every, row * every). A pixel without depth, or with depth
    out of range, is (NaN, NaN, NaN).

    Args:
        depth: (H, W) float32 metres, NaN invalid, -inf and +inf out of range.
        colours: (H, W, 3) uint8 RGB of the same pixels.
        camera: their intrinsics, without distortion.
        every: n; 1 for all pixels.
        header: of the input image.

    Returns:
        x, y, z in metres and rgb (the bits of 0x00RRGGBB in a float32), 16 bytes per point.
    """
    z = depth[::every, ::every]
    finite = np.isfinite(z)
    rows, columns = z.shape
    points = np.empty((rows, columns, 4), np.float32)
    points[..., 2] = np.where(finite, z, np.float32(np.nan))
    right = (np.arange(columns, dtype=np.float32) * every - camera.cx) / camera.fx
    down = (np.arange(rows, dtype=np.float32) * every - camera.cy) / camera.fy
    points[..., 0] = points[..., 2] * right.astype(np.float32)
    points[..., 1] = points[..., 2] * down.astype(np.float32)[:, None]
    # Little-endian 0x00RRGGBB: blue first.
    bgr0 = points[..., 3:].view(np.uint8)
    bgr0[..., :3] = colours[::every, ::every, ::-1]
    bgr0[..., 3] = 0
    message = PointCloud2(header=header, height=rows, width=columns, fields=_FIELDS)
    message.point_step, message.row_step = 16, 16 * columns
    message.is_dense = bool(finite.all())
    message.data = bytes_of(points)
    return message
