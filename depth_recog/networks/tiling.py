# SPDX-License-Identifier: Apache-2.0
"""Overlapping tiles of a frame, for models whose input has a shape of its own.

A wide frame squashed into one square loses its cars, so it is cut into overlapping squares of its
full height, and every pixel takes the answer of the tile whose centre is nearest: the middle of a
tile has the most context.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def tile_starts(length: int, side: int, overlap: float = 0.4, more: int = 0) -> list[int]:
    """First pixels of the tiles of `side` pixels that cover `length` pixels.

    Args:
        length: of the frame's longer side, pixels.
        side: of a tile, along it.
        overlap: least share of a tile that the next one covers again.
        more: tiles beyond those that are needed.
    """
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / (side * (1 - overlap)))) + 1 + more
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def nearest_tile(length: int, starts: list[int], side: int) -> NDArray[np.intp]:
    """(length,) index of the tile whose centre is nearest to each pixel."""
    centres = np.array(starts) + side / 2
    pixels = np.arange(length) + 0.5
    return np.asarray(np.abs(pixels[:, None] - centres[None]).argmin(1))
