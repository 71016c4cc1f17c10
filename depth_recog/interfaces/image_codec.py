# SPDX-License-Identifier: Apache-2.0
"""Conversion of sensor_msgs/Image to RGB and depth with numpy and OpenCV.

Used by the reader of bags, and by the nodes where cv_bridge is not installed (nodes/io/seam.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import EncodingError
from depth_recog.interfaces.bit_depth import FULL_RANGE, BitDepth
from depth_recog.limits import IMAGE_PIXELS
from depth_recog.texts import shown


@dataclass(frozen=True)
class Layout:
    """Memory layout of an encoding, and OpenCV's conversion code to RGB."""

    encoding: str
    dtype: str
    channels: int
    to_rgb: int | None
    even_width: bool = False
    half_rows: int = 2
    """Rows of the message for two of the image: 3 with subsampled colours below the grey rows."""


# OpenCV names a Bayer pattern by the second and third pixel of its second row: rggb is its BG.
ENCODINGS = {
    layout.encoding: layout
    for layout in (
        Layout("mono8", "u1", 1, cv2.COLOR_GRAY2RGB),
        Layout("8UC1", "u1", 1, cv2.COLOR_GRAY2RGB),
        Layout("mono16", "u2", 1, cv2.COLOR_GRAY2RGB),
        Layout("rgb8", "u1", 3, None),
        Layout("bgr8", "u1", 3, cv2.COLOR_BGR2RGB),
        Layout("8UC3", "u1", 3, cv2.COLOR_BGR2RGB),
        Layout("rgba8", "u1", 4, cv2.COLOR_RGBA2RGB),
        Layout("bgra8", "u1", 4, cv2.COLOR_BGRA2RGB),
        Layout("yuv422", "u1", 2, cv2.COLOR_YUV2RGB_UYVY, even_width=True),
        Layout("uyvy", "u1", 2, cv2.COLOR_YUV2RGB_UYVY, even_width=True),
        Layout("yuv422_yuy2", "u1", 2, cv2.COLOR_YUV2RGB_YUY2, even_width=True),
        Layout("yuyv", "u1", 2, cv2.COLOR_YUV2RGB_YUY2, even_width=True),
        Layout("nv12", "u1", 1, cv2.COLOR_YUV2RGB_NV12, even_width=True, half_rows=3),
        Layout("nv21", "u1", 1, cv2.COLOR_YUV2RGB_NV21, even_width=True, half_rows=3),
        # cv_bridge takes numbers without colours for grey or BGR.
        Layout("8UC4", "u1", 4, cv2.COLOR_BGRA2RGB),
        Layout("16UC1", "u2", 1, cv2.COLOR_GRAY2RGB),
        Layout("16UC3", "u2", 3, cv2.COLOR_BGR2RGB),
        Layout("16UC4", "u2", 4, cv2.COLOR_BGRA2RGB),
        Layout("rgb16", "u2", 3, None),
        Layout("bgr16", "u2", 3, cv2.COLOR_BGR2RGB),
        Layout("rgba16", "u2", 4, cv2.COLOR_RGBA2RGB),
        Layout("bgra16", "u2", 4, cv2.COLOR_BGRA2RGB),
        *(
            Layout(f"bayer_{pattern}{bits}", f"u{bits // 8}", 1, code)
            for bits in (8, 16)
            for pattern, code in (
                ("rggb", cv2.COLOR_BayerBG2RGB),
                ("bggr", cv2.COLOR_BayerRG2RGB),
                ("gbrg", cv2.COLOR_BayerGR2RGB),
                ("grbg", cv2.COLOR_BayerGB2RGB),
            )
        ),
    )
}

DEPTH_ENCODINGS = {
    name: Layout(name, dtype, 1, None)
    for name, dtype in (("32FC1", "f4"), ("16UC1", "u2"), ("mono16", "u2"))
}


def contents(message: Any) -> tuple[str, int, int, int, Any, bool]:
    """The arguments of `raw_view`, `to_rgb` and `to_depth` for a sensor_msgs/Image."""
    size = message.height, message.width
    return message.encoding, *size, message.step, message.data, bool(message.is_bigendian)


def raw_view(
    encoding: str, height: int, width: int, step: int, data: object, big_endian: bool = False
) -> NDArray[np.generic]:
    """An image message's pixels as an array, without a copy if the rows are not padded.

    Args:
        encoding: a key of `ENCODINGS`.
        height: rows.
        width: pixels in a row.
        step: bytes in a row, padding included.
        data: a buffer of at least `height * step` bytes.
        big_endian: byte order of values of more than one byte.

    Returns:
        (H, W) or (H, W, C), in the encoding's type; (3 H / 2, W) for nv12 and nv21.

    Raises:
        EncodingError: an unknown encoding, a step too short for the width, too few bytes.
    """
    return _pixels(_layout(encoding, ENCODINGS), height, width, step, data, big_endian)


def _layout(encoding: str, layouts: Mapping[str, Layout]) -> Layout:
    """Raises EncodingError for an unknown encoding."""
    layout = layouts.get(encoding)
    if layout is None:
        depth = " (a depth image?)" if encoding in DEPTH_ENCODINGS else ""
        raise EncodingError(
            f"encoding {shown(encoding)}{depth} is not supported; convert the image to one of: "
            f"{', '.join(layouts)}"
        )
    return layout


def _pixels(
    layout: Layout, height: int, width: int, step: int, data: object, big_endian: bool
) -> NDArray[np.generic]:
    """See `raw_view`."""
    if height < 1 or width < 1:
        raise EncodingError(f"image of {width}x{height} pixels is empty: check the camera's driver")
    if width * height > IMAGE_PIXELS:
        raise EncodingError(
            f"image of {width}x{height} pixels has more than {IMAGE_PIXELS}: send a smaller one"
        )
    if layout.even_width and width % 2:
        raise EncodingError(
            f"encoding {layout.encoding} needs an even width, the image has {width}: crop a column"
        )
    if layout.half_rows != 2:
        if height % 2:
            raise EncodingError(
                f"encoding {layout.encoding} needs an even height, the image has {height}: crop a "
                "row"
            )
        height = height * layout.half_rows // 2
    dtype = np.dtype(layout.dtype).newbyteorder(">" if big_endian else "<")
    pixel = layout.channels * dtype.itemsize
    if step < width * pixel:
        raise EncodingError(
            f"step {step} is too short: {width} pixels of {layout.encoding} take {width * pixel} "
            "bytes; set step to at least that"
        )
    if step % dtype.itemsize:
        raise EncodingError(
            f"step {step} is not a multiple of {layout.encoding}'s {dtype.itemsize} bytes: "
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
    """Converts an image message's pixels to RGB. Arguments and errors as in `raw_view`.

    Returns:
        (H, W, 3) uint8, contiguous; a view of `data` for unpadded rgb8. Of 16 bits the high eight.
    """
    return _colours(encoding, raw_view(encoding, height, width, step, data, big_endian), FULL_RANGE)


def message_to_rgb(message: Any, bits: BitDepth = FULL_RANGE) -> NDArray[np.uint8]:
    """Converts a sensor_msgs/Image to RGB; 16-bit images with the bits of their stream.

    Returns and raises as `to_rgb`.
    """
    return _colours(message.encoding, raw_view(*contents(message)), bits)


def _colours(encoding: str, values: NDArray[np.generic], bits: BitDepth) -> NDArray[np.uint8]:
    pixels = bits.to_8_bit(values)
    code = ENCODINGS[encoding].to_rgb
    return pixels if code is None else np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def to_depth(
    encoding: str, height: int, width: int, step: int, data: object, big_endian: bool = False
) -> NDArray[np.float32]:
    """Converts a depth message's pixels (REP 118). Arguments and errors as in `raw_view`.

    Returns:
        (H, W) float32, metres, NaN unknown. 32FC1 is in metres, 16UC1 and mono16 in millimetres;
        zero is unknown.
    """
    layout = _layout(encoding, DEPTH_ENCODINGS)
    values = _pixels(layout, height, width, step, data, big_endian)
    depth = values.astype(np.float32)
    if encoding != "32FC1":
        depth /= np.float32(1000)
    depth[depth == 0] = np.nan
    return depth
