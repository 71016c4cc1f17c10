# SPDX-License-Identifier: Apache-2.0
"""From 16-bit images to 8 bits, where the camera uses fewer than 16.

Cameras of 10, 12 or 14 bits send them as mono16 and the like, in the low bits or shifted to the
high ones; the message does not say which. cv_bridge and OpenCV assume 16 bits, and images in the
low bits become almost black.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

DEPTHS = (8, 10, 12, 14, 16)
"""Significant bits that are told apart."""
_BRIGHT = 1e-4
"""Share of an image that must be brighter for a larger depth: hot pixels are not counted."""


class BitDepth:
    """The number of significant bits of the 16-bit images of one stream.

    It is the smallest of `DEPTHS` that holds all images so far, so it only grows within a stream,
    and the brightness does not follow that of the scene.

    Args:
        bits: 8 to 16, for the images that follow; 0 to find it from the images.
        where: the stream, for the warning about images that have more bits than given.

    Attributes:
        given: the argument `bits`.
        bits: significant bits; until a 16-bit image has come, the smallest.
        seen: whether a 16-bit image has come.
    """

    def __init__(self, bits: int = 0, where: str = "") -> None:
        self.bits = bits or DEPTHS[0]
        self.seen = False
        self.given = bits
        self._where = where

    def fixed(self, where: str) -> BitDepth:
        """The same depth for all images that follow."""
        return BitDepth(self.bits if self.seen else DEPTHS[-1], where)

    def to_8_bit(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """The most significant eight bits; no copy of values that are uint8 already.

        Args:
            values: (H, W) or (H, W, C), uint8 or uint16.
        """
        if values.dtype.itemsize == 1:
            return values.astype(np.uint8, copy=False)
        whole = values.astype(np.uint16, copy=False)
        self._look(whole)
        if self.bits == DEPTHS[-1]:
            return (whole >> 8).astype(np.uint8)
        return np.asarray(np.minimum(whole >> (self.bits - 8), 255), np.uint8)

    def _look(self, values: NDArray[np.uint16]) -> None:
        if self.given and (self.bits == DEPTHS[-1] or not self._where):
            return
        least = _BRIGHT * values.size
        grown = self.bits
        while grown < DEPTHS[-1] and np.count_nonzero(values >> grown) > least:
            grown = next(depth for depth in DEPTHS if depth > grown)
        # A dark image of fourteen bits or fewer in the high bits: its lowest bits are zero.
        if grown == DEPTHS[-2] and not np.bitwise_or.reduce(values, axis=None) & 3:
            grown = DEPTHS[-1]
        if not self.given:
            self.bits, self.seen = grown, True
        elif grown > self.bits:
            logging.getLogger(__name__).warning(
                "%s: 16-bit images have more than %d significant bits; brighter pixels are clipped",
                self._where,
                self.bits,
            )
            self._where = ""


FULL_RANGE = BitDepth(DEPTHS[-1])
"""All sixteen bits."""
