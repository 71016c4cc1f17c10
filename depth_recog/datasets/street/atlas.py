# SPDX-License-Identifier: Apache-2.0
"""A texture atlas of ripmaps: every combination of horizontal and vertical resolution.

At grazing angles, as on road and facades, mipmaps with one level for both axes blur or alias. The
textures are aligned with the street, so their axes are the foreshortened ones.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

_ROW = 1024
_FRACTION = 32


def _shrunk(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(
        cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )


class Atlas:
    """A fixed number of textures of one size; the least recently used ones are replaced.

    Args:
        paint: makes the texture of a key, (height, width, 3) uint8.
        width: width of a texture, texels, a power of two.
        height: height of a texture, texels, a power of two.
        columns: slots in a row of the atlas.
        rows: rows of slots.
    """

    def __init__(
        self,
        paint: Callable[[int], NDArray[np.uint8]],
        width: int,
        height: int,
        columns: int,
        rows: int,
    ) -> None:
        """Allocates the slots without painting textures."""
        self._paint = paint
        self._size = (width, height)
        self._columns = columns
        self._levels = (width.bit_length() - 1, height.bit_length() - 1)
        self._texels = np.zeros((rows * 2 * height, columns * 2 * width, 3), dtype=np.uint8)
        self._slot: OrderedDict[int, int] = OrderedDict()
        self._slots = columns * rows
        # Level l of an axis of n texels starts at 2 n - 2 (n >> l): 0, n, n + n/2, ...
        self._starts = tuple(
            np.array([2 * n - 2 * (n >> level) for level in range(n.bit_length())], dtype=np.int32)
            for n in (width, height)
        )

    def slots(self, keys: list[int]) -> NDArray[np.int32]:
        """Slot numbers of `keys`, (len(keys),); paints missing textures.

        Raises:
            ValueError: more keys than slots.
        """
        if len(keys) > self._slots:
            raise ValueError(f"{len(keys)} textures at once, the atlas has {self._slots} slots")
        for key in keys:
            if key in self._slot:
                self._slot.move_to_end(key)
        for key in keys:
            if key not in self._slot:
                free = len(self._slot)
                if free == self._slots:
                    free = self._slot.popitem(last=False)[1]
                self._slot[key] = free
                self._fill(free, self._paint(key))
        return np.array([self._slot[key] for key in keys], dtype=np.int32)

    def _fill(self, slot: int, texture: NDArray[np.uint8]) -> None:
        width, height = self._size
        x0 = slot % self._columns * 2 * width
        y0 = slot // self._columns * 2 * height
        # Repeated halving is exact, as both sides are powers of two.
        for v, top in enumerate(self._starts[1].tolist()):
            if v:
                texture = _shrunk(texture, width, height >> v)
            level = texture
            for u, left in enumerate(self._starts[0].tolist()):
                if u:
                    level = _shrunk(level, width >> u, height >> v)
                self._texels[
                    y0 + top : y0 + top + (height >> v), x0 + left : x0 + left + (width >> u)
                ] = level

    def sample(
        self,
        slot: NDArray[np.int32],
        u: NDArray[np.float32],
        v: NDArray[np.float32],
        step_u: NDArray[np.float32],
        step_v: NDArray[np.float32],
    ) -> NDArray[np.uint8]:
        """Samples bilinearly at the level whose texel size matches the pixel's footprint.

        Args:
            slot: (N,) slot numbers.
            u: (N,) horizontal coordinates, texels from the left edge.
            v: (N,) vertical coordinates, texels from the top.
            step_u: (N,) footprint of a pixel along u, texels.
            step_v: (N,) footprint of a pixel along v, texels.

        Returns:
            (N, 3) uint8; coordinates are clamped to the texture.
        """
        x, fx = self._axis(0, u, step_u)
        y, fy = self._axis(1, v, step_v)
        x += slot % self._columns * np.int32(2 * self._size[0])
        y += slot // self._columns * np.int32(2 * self._size[1])
        count = len(slot)
        shape = (-(-count // _ROW), _ROW)
        # Fixed-point maps make the result independent of the slot.
        whole = np.zeros((shape[0] * _ROW, 2), dtype=np.int16)
        part = np.zeros(shape[0] * _ROW, dtype=np.uint16)
        whole[:count, 0], whole[:count, 1] = x, y
        part[:count] = fy * _FRACTION + fx
        out = cv2.remap(
            self._texels, whole.reshape(*shape, 2), part.reshape(shape), cv2.INTER_LINEAR
        )
        return np.asarray(out, dtype=np.uint8).reshape(-1, 3)[:count]

    def _axis(
        self, axis: int, coordinate: NDArray[np.float32], step: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        size = self._size[axis]
        # frexp gives log2; the factor rounds to the nearest level.
        level = np.frexp(step * np.float32(1.414))[1] - 1
        np.clip(level, 0, self._levels[axis], out=level)
        texels = size >> level
        scaled = np.ldexp(coordinate, -level) - np.float32(0.5)
        fixed = np.rint(np.clip(scaled, 0, texels - 1) * np.float32(_FRACTION)).astype(np.int32)
        # The right neighbour of the last texel belongs to the next level; its weight is 0.
        return self._starts[axis][level] + (fixed >> 5), fixed & (_FRACTION - 1)
