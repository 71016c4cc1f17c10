# SPDX-License-Identifier: Apache-2.0
"""Depth as image_transport's `compressedDepth`: a header of 12 bytes, then a 16-bit PNG.

32FC1 goes as steps of inverse depth, q = A / z + B, with A and B in the header, 0 where there is no
depth; 16UC1 goes as it is. The format cannot tell invalid (NaN) from beyond range (+inf): a
subscriber sees NaN for both.
"""

from __future__ import annotations

import array
import struct

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from depth_recog.nodes.io import messages

_INVERSE_DEPTH = 0
_STEPS = 65535
# Depths that differ by more than this in one image do not share 16 bits well; nearer ones saturate.
_LARGEST_RATIO = 1000.0
# 0 to 9; more costs several times the time for little.
_PNG_LEVEL = 1


def quantisation(nearest: float, farthest: float) -> tuple[float, float]:
    """A and B of q = A / z + B: 65535 at the nearest depth, 1 at the farthest."""
    nearest = max(nearest, farthest / _LARGEST_RATIO)
    a = (_STEPS - 1) / (1 / nearest - 1 / farthest)
    return a, 1 - a / farthest


def compressed_depth(
    depth: NDArray[np.float32], encoding: str, nearest: float, farthest: float, header: Header
) -> CompressedImage:
    """A depth image's compressed twin.

    Args:
        depth: (H, W) float32 metres, NaN invalid, +inf beyond range.
        encoding: of the uncompressed image, 32FC1 or 16UC1.
        nearest: of the depths that are valid, metres.
        farthest: likewise.
        header: of the input image.
    """
    a, b = 0.0, 0.0
    if encoding == "32FC1":
        a, b = quantisation(nearest, farthest)
        with np.errstate(divide="ignore"):
            inverse = np.float32(a) / np.where(np.isfinite(depth), depth, np.float32(np.inf))
        steps = np.clip(np.rint(inverse + np.float32(b)), 1, _STEPS).astype(np.uint16)
        steps[inverse == 0] = 0
    else:
        steps = messages.millimetres(depth)
    png = cv2.imencode(".png", steps, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])[1]
    message = CompressedImage(header=header, format=f"{encoding}; compressedDepth png")
    header_bytes = array.array("B", struct.pack("<iff", _INVERSE_DEPTH, a, b))
    message.data = header_bytes + messages.bytes_of(png)
    return message
