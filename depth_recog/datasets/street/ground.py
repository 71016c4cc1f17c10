# SPDX-License-Identifier: Apache-2.0
"""The ground: one texture for each block of the street, and the class of each point."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.street.path import generator
from depth_recog.datasets.street.textures import Image, brightened, finish, mottle

BLOCK = 20.0
"""Length of a block in metres; the street is made of blocks."""

PERIOD = 6
"""Blocks from one crossroads to the next; pedestrian crossings are half-way."""

KERB, PAVEMENT = 5.9, 8.4
SIDE_ROAD = 3.6
"""Half the width of a side road, metres."""

ROAD, SIDEWALK, TERRAIN = 0, 1, 9

WIDTH, LENGTH = 1024, 256
"""Texels of a block across and along the street."""

HALF = 14.0
"""Half of the texture's width, metres."""

TEXTURE = 31
"""Of the random numbers for textures, among those of the street's seed."""

_PLAIN_GREY = 104


def is_crossroads(block: int) -> bool:
    """Whether a side road crosses in this block."""
    return block % PERIOD == 3


def has_zebra(block: int) -> bool:
    """Whether there is a pedestrian crossing in this block."""
    return block % PERIOD == 0


def labels(lateral: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Train ids of ground points from street coordinates in metres (broadcast)."""
    block = np.floor(z / BLOCK)
    along = np.abs(z - (block + 0.5) * BLOCK)
    crossroads = np.mod(block, PERIOD) == 3
    side = np.abs(lateral)
    out = np.where(side < PAVEMENT, SIDEWALK, TERRAIN)
    out = np.where(crossroads & (along < SIDE_ROAD + 2.0), SIDEWALK, out)
    out = np.where((side < KERB) | (crossroads & (along < SIDE_ROAD)), ROAD, out)
    return out.astype(np.uint8)


def flat() -> Image:
    """The texture of a block of uniform grey."""
    return np.full((LENGTH, WIDTH, 3), _PLAIN_GREY, dtype=np.uint8)


# As many as are in sight: another recording of the same street needs them again.
@lru_cache(maxsize=14)
def strip(seed: int, block: int) -> Image:
    """The texture of a block of the street with this seed."""
    return paint(generator(seed, TEXTURE, block), block)


def paint(rng: np.random.Generator, block: int) -> Image:
    """Texture (LENGTH, WIDTH, 3) of a block; column 0 is the left border, row 0 the near end."""
    across, along = WIDTH / (2 * HALF), LENGTH / BLOCK
    lateral = (np.arange(WIDTH, dtype=np.float64) + 0.5) / across - HALF
    z = (np.arange(LENGTH, dtype=np.float64) + 0.5) / along
    kind = labels(lateral[None, :], (z + block * BLOCK)[:, None])
    image = np.empty((LENGTH, WIDTH, 3), dtype=np.uint8)
    image[kind == ROAD] = (98, 98, 101)
    image[kind == SIDEWALK] = (150, 146, 140)
    image[kind == TERRAIN] = (92, 112, 60)

    def rows(z0: float, z1: float) -> slice:
        return slice(round(z0 * along), round(z1 * along))

    def columns(x0: float, x1: float) -> slice:
        return slice(round((x0 + HALF) * across), round((x1 + HALF) * across))

    road = kind == ROAD
    _repair(rng, image, road)
    image[:, columns(-KERB, -3.75)][road[:, columns(-KERB, -3.75)]] = (88, 87, 88)
    image[:, columns(3.75, KERB)][road[:, columns(3.75, KERB)]] = (88, 87, 88)
    crossroads, zebra = is_crossroads(block), has_zebra(block)
    gap = (BLOCK / 2 - SIDE_ROAD - 2.5, BLOCK / 2 + SIDE_ROAD + 2.5)
    white = (212, 212, 206)

    def mark(z0: float, z1: float, x0: float, x1: float) -> None:
        """Paints a line, except on crossroads and zebra crossings."""
        if crossroads and z1 > gap[0] and z0 < gap[1]:
            return
        if zebra and z1 > 7.0 and z0 < 13.0:
            return
        image[rows(z0, z1), columns(x0, x1)] = white

    for z0 in np.arange(0.0, BLOCK, 0.5):
        if z0 % 5.0 < 2.5:
            mark(z0, z0 + 0.5, -0.07, 0.07)
        for side in (-3.7, 3.7):
            mark(z0, z0 + 0.5, side - 0.06, side + 0.06)
    for z0 in (3.3, 10.0, 16.6):
        mark(z0, z0 + 0.2, -KERB + 0.2, -3.7)
        mark(z0, z0 + 0.2, 3.7, KERB - 0.2)
    if zebra:
        for x0 in np.arange(-KERB + 0.3, KERB - 0.3, 1.0):
            image[rows(8.2, 11.8), columns(x0, x0 + 0.5)] = white
    if crossroads:
        image[rows(gap[0], gap[0] + 0.45), columns(0.2, 3.5)] = white
        image[rows(gap[1] - 0.45, gap[1]), columns(-3.5, -0.2)] = white
    _pave(rng, image, kind)
    _edge(image, kind)

    # Wheel tracks are lighter, the strip between them is darker.
    worn = np.zeros(WIDTH)
    for lane in (-1.75, 1.75):
        worn -= 0.04 * np.exp(-(((lateral - lane) / 0.35) ** 2))
        for track in (-0.75, 0.75):
            worn += 0.05 * np.exp(-(((lateral - lane - track) / 0.25) ** 2))
    grain = rng.standard_normal((LENGTH, WIDTH), dtype=np.float32)
    level = 1.0 + np.float32(0.05) * (grain + mottle(rng, LENGTH, WIDTH, 16))
    level += np.float32(0.04) * mottle(rng, LENGTH, WIDTH, 64)
    rough = mottle(rng, LENGTH, WIDTH, 4) + np.float32(0.7) * mottle(rng, LENGTH, WIDTH, 24)
    level += np.where(kind == TERRAIN, np.float32(0.13) * rough + np.float32(0.07) * grain, 0)
    level += np.where(road, worn.astype(np.float32), 0)
    return brightened(image, level)


def _repair(rng: np.random.Generator, image: Image, road: NDArray[np.bool_]) -> None:
    """Adds patches, manholes and cracks, on which features can be tracked."""
    across, along = WIDTH / (2 * HALF), LENGTH / BLOCK
    canvas = image.copy()
    for _ in range(int(rng.integers(2, 5))):
        x, z = rng.uniform(-5.5, 4.0), rng.uniform(0.0, BLOCK - 3.0)
        wide, long = rng.uniform(0.6, 2.5), rng.uniform(0.8, 5.0)
        tone = int(rng.integers(74, 116))
        corner = (round((x + HALF) * across), round(z * along))
        far = (round((x + wide + HALF) * across), round((z + long) * along))
        cv2.rectangle(canvas, corner, far, (tone, tone, tone + 2), -1)
        cv2.rectangle(canvas, corner, far, (66, 66, 68), 1)
    for _ in range(int(rng.integers(0, 3))):
        x, z = rng.uniform(-3.2, 3.2), rng.uniform(1.0, BLOCK - 1.0)
        centre = (round((x + HALF) * across), round(z * along))
        axes = (round(0.34 * across), round(0.34 * along))
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, (62, 60, 58), -1)
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, (128, 124, 118), 1)
    for _ in range(int(rng.integers(3, 8))):
        steps = rng.normal(0.0, 0.35, (int(rng.integers(4, 12)), 2))
        line = rng.uniform((-5.5, 0.0), (5.5, BLOCK)) + np.cumsum(steps, axis=0) * (1.0, 1.8)
        points = np.rint((line + (HALF, 0.0)) * (across, along)).astype(np.int32)
        cv2.polylines(canvas, [points], False, (58, 58, 60), 1, cv2.LINE_AA)
    image[road] = canvas[road]


def _pave(rng: np.random.Generator, image: Image, kind: NDArray[np.uint8]) -> None:
    """Adds slabs with joints to the sidewalk, each with its own brightness."""
    slab_x, slab_z = 26, 9  # texels: 0.7 m each
    tones = rng.normal(1.0, 0.06, (math.ceil(LENGTH / slab_z), math.ceil(WIDTH / slab_x)))
    tone = np.kron(tones, np.ones((slab_z, slab_x)))[:LENGTH, :WIDTH]
    tone[::slab_z] *= 0.8
    tone[:, ::slab_x] *= 0.84
    paved = kind == SIDEWALK
    image[paved] = finish(image[paved] * tone[paved][:, None].astype(np.float32))


def _edge(image: Image, kind: NDArray[np.uint8]) -> None:
    """Adds kerb stones and gutters along the borders of the road."""
    road = (kind == ROAD).astype(np.uint8)
    stone = cv2.dilate(road, np.ones((3, 9), np.uint8)).astype(bool) & (kind != ROAD)
    gutter = cv2.erode(road, np.ones((3, 7), np.uint8), borderValue=1) == 0
    image[stone] = (184, 182, 178)
    image[gutter & (kind == ROAD)] = (64, 64, 66)
