# SPDX-License-Identifier: Apache-2.0
"""Encode depth as image_transport's `compressedDepth`: a header of 12 bytes, then a 16-bit PNG.

32FC1 is quantised as inverse depth, q = A / z + B, with A and B in the header and q = 0 without
depth; 16UC1 is stored unchanged. The format has one value for invalid (NaN) and beyond range
(+inf); subscribers decode both as NaN.
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
# Largest ratio of farthest to nearest depth that 16 bits resolve well; nearer depths are clipped.
_LARGEST_RATIO = 1000.0
# Of 0 to 9; a higher level takes several times as long for little gain.
_PNG_LEVEL = 1


def quantisation(nearest: float, farthest: float) -> tuple[float, float]:
    """A and B of q = A / z + B: 65535 at the nearest depth, 1 at the farthest."""
    nearest = max(nearest, farthest / _LARGEST_RATIO)
    a = (_STEPS - 1) / (1 / nearest - 1 / farthest)
    return a, 1 - a / farthest


def compressed_depth(
    depth: NDArray[np.float32], encoding: str, nearest: float, farthest: float, header: Header
) -> CompressedImage:
    """Compress a depth image.

    Args:
        depth: (H, W) float32 metres, NaN invalid, -inf and +inf out of range.
        encoding: of the uncompressed image, 32FC1 or 16UC1.
        nearest: smallest valid depth, metres.
        farthest: largest valid depth, metres.
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
    prefix = array.array("B", struct.pack("<iff", _INVERSE_DEPTH, a, b))
    message.data = prefix + messages.bytes_of(png)
    return message
