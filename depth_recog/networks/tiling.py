# SPDX-License-Identifier: Apache-2.0
"""Overlapping tiles of a frame, for models with a fixed input size.

Resizing a wide frame to a square would make its cars too narrow to be found. The frame is cut into
overlapping squares of its full height instead, and each pixel takes the result of the tile whose
centre is nearest, where the context is largest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def tile_starts(length: int, side: int, overlap: float = 0.4, more: int = 0) -> list[int]:
    """Return the first pixels of the tiles that cover a frame.

    Args:
        length: of the frame's longer side, pixels.
        side: of a tile, pixels.
        overlap: smallest share of a tile that the next one covers too.
        more: number of extra tiles.
    """
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / (side * (1 - overlap)))) + 1 + more
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def nearest_tile(length: int, starts: list[int], side: int) -> NDArray[np.intp]:
    """Return the index of the tile whose centre is nearest to each pixel, (length,)."""
    centres = np.array(starts) + side / 2
    pixels = np.arange(length) + 0.5
    return np.asarray(np.abs(pixels[:, None] - centres[None]).argmin(1))
