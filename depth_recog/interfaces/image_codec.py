# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/Image's bytes to RGB and back: numpy and OpenCV, no ROS.

The nodes use it where cv_bridge is missing (nodes/io/seam.py), the readers of bags always.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import EncodingError


@dataclass(frozen=True)
class Layout:
    """How an encoding lies in memory, and OpenCV's code to make RGB of it."""

    dtype: str
    channels: int
    to_rgb: int | None
    even_width: bool = False


# OpenCV names a Bayer pattern by its second row's second and third pixel: ROS's rggb is its BG.
ENCODINGS = {
    "mono8": Layout("u1", 1, cv2.COLOR_GRAY2RGB),
    "8UC1": Layout("u1", 1, cv2.COLOR_GRAY2RGB),
    "mono16": Layout("u2", 1, cv2.COLOR_GRAY2RGB),
    "rgb8": Layout("u1", 3, None),
    "bgr8": Layout("u1", 3, cv2.COLOR_BGR2RGB),
    "8UC3": Layout("u1", 3, cv2.COLOR_BGR2RGB),
    "rgba8": Layout("u1", 4, cv2.COLOR_RGBA2RGB),
    "bgra8": Layout("u1", 4, cv2.COLOR_BGRA2RGB),
    "yuv422": Layout("u1", 2, cv2.COLOR_YUV2RGB_UYVY, even_width=True),
    "uyvy": Layout("u1", 2, cv2.COLOR_YUV2RGB_UYVY, even_width=True),
    "yuv422_yuy2": Layout("u1", 2, cv2.COLOR_YUV2RGB_YUY2, even_width=True),
    "yuyv": Layout("u1", 2, cv2.COLOR_YUV2RGB_YUY2, even_width=True),
    "bayer_rggb8": Layout("u1", 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": Layout("u1", 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": Layout("u1", 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": Layout("u1", 1, cv2.COLOR_BayerGB2RGB),
}

DEPTH_ENCODINGS = {
    "32FC1": Layout("f4", 1, None),
    "16UC1": Layout("u2", 1, None),
    "mono16": Layout("u2", 1, None),
}


def raw_view(
    encoding: str,
    height: int,
    width: int,
    step: int,
    data: object,
    big_endian: bool = False,
    layouts: Mapping[str, Layout] = ENCODINGS,
) -> NDArray[np.generic]:
    """The message's bytes as an array, without a copy where the rows are not padded.

    Args:
        encoding: a key of `layouts`.
        height: rows.
        width: pixels in a row.
        step: bytes in a row, padding included.
        data: a buffer of at least `height * step` bytes.
        big_endian: byte order of values of more than one byte.
        layouts: the encodings that may come.

    Returns:
        (H, W) or (H, W, C), in the encoding's type.

    Raises:
        EncodingError: an unknown encoding, a step too short for the width, too few bytes.
    """
    layout = layouts.get(encoding)
    if layout is None:
        raise EncodingError(
            f"encoding {encoding!r} is not supported; convert the image to one of: "
            f"{', '.join(layouts)}"
        )
    if height < 1 or width < 1:
        raise EncodingError(f"image of {width}x{height} pixels is empty: check the camera's driver")
    if layout.even_width and width % 2:
        raise EncodingError(
            f"encoding {encoding} needs an even width, the image has {width}: crop a column"
        )
    dtype = np.dtype(layout.dtype).newbyteorder(">" if big_endian else "<")
    pixel = layout.channels * dtype.itemsize
    if step < width * pixel:
        raise EncodingError(
            f"step {step} is too short: {width} pixels of {encoding} take {width * pixel} bytes; "
            "set step to at least that"
        )
    if step % dtype.itemsize:
        raise EncodingError(
            f"step {step} is not a multiple of {encoding}'s {dtype.itemsize} bytes: "
            "pad the rows to one"
        )
    buffer = np.frombuffer(data, np.uint8)  # type: ignore[call-overload]
    if buffer.size < height * step:
        raise EncodingError(
            f"image is truncated: {height} rows of {step} bytes are {height * step}, "
            f"the message has {buffer.size}; send height x step bytes"
        )
    rows = buffer[: height * step].reshape(height, step)[:, : width * pixel]
    values = np.ascontiguousarray(rows).view(dtype)
    return values if layout.channels == 1 else values.reshape(height, width, layout.channels)


def to_rgb(
    encoding: str, height: int, width: int, step: int, data: object, big_endian: bool = False
) -> NDArray[np.uint8]:
    """An image message's pixels as RGB. Arguments and errors as in `raw_view`.

    Returns:
        (H, W, 3) uint8, contiguous; a view of `data` for unpadded rgb8.
    """
    values = raw_view(encoding, height, width, step, data, big_endian)
    if values.dtype.itemsize == 2:
        values = values >> 8  # type: ignore[operator]
    # Without a copy where they are bytes already.
    pixels = values.astype(np.uint8, copy=False)
    code = ENCODINGS[encoding].to_rgb
    return pixels if code is None else np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def to_depth(
    encoding: str, height: int, width: int, step: int, data: object, big_endian: bool = False
) -> NDArray[np.float32]:
    """A depth message's pixels (REP 118). Arguments and errors as in `raw_view`.

    Returns:
        (H, W) float32, metres, NaN unknown: 32FC1 as it is, 16UC1 and mono16 in millimetres. Zero
        is unknown in all of them.
    """
    values = raw_view(encoding, height, width, step, data, big_endian, DEPTH_ENCODINGS)
    depth = values.astype(np.float32)
    if encoding != "32FC1":
        depth /= np.float32(1000)
    depth[depth == 0] = np.nan
    return depth
