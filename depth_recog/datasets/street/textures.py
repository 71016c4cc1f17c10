# SPDX-License-Identifier: Apache-2.0
"""Textures of materials (keys below `FACADE`) and of house facades (the other keys)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 256
"""Width and height of a texture, texels."""

PLAIN, PAINT, GLASS, CLOTH, LEAVES, BARK, ROOF, WALL, MATERIALS = range(9)
FACADE = 16

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

_WALLS: tuple[Colour, ...] = (
    (150, 84, 66), (196, 178, 146), (206, 200, 188), (168, 150, 128), (178, 118, 88),
    (214, 196, 150), (134, 128, 124), (188, 160, 140), (120, 74, 62), (170, 176, 170),
)  # fmt: skip
_FRAMES: tuple[Colour, ...] = ((228, 226, 220), (228, 226, 220), (90, 66, 50), (60, 64, 66))
_DOORS: tuple[Colour, ...] = (
    (96, 40, 34),
    (46, 66, 56),
    (62, 46, 36),
    (44, 54, 86),
    (200, 196, 188),
)


def mottle(rng: np.random.Generator, height: int, width: int, cells: int) -> NDArray[np.float32]:
    """Smooth noise (height, width) with a scale of `cells` texels, variance at most 1."""
    shape = (max(2, height // cells + 2), max(2, width // cells + 2))
    coarse = rng.standard_normal(shape, dtype=np.float32)
    grown = cv2.resize(
        coarse, (width + 2 * cells, height + 2 * cells), interpolation=cv2.INTER_CUBIC
    )
    return np.asarray(grown[cells : cells + height, cells : cells + width], dtype=np.float32)


def finish(image: NDArray[np.float32]) -> Image:
    """Rounds and clips to uint8."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def brightened(image: Image, factor: NDArray[np.float32]) -> Image:
    """`image` (H, W, 3) times `factor` (H, W)."""
    return finish(image.astype(np.float32) * factor[:, :, None])


def material(key: int, rng: np.random.Generator) -> Image:
    """Texture (SIZE, SIZE, 3) of a material, to be multiplied by a tint."""
    grain = rng.standard_normal((SIZE, SIZE), dtype=np.float32)
    spots = mottle(rng, SIZE, SIZE, 8)
    wide = mottle(rng, SIZE, SIZE, 32)
    rows = (np.arange(SIZE, dtype=np.float32)[:, None] - 128.0) / 40.0  # metres below the origin
    level = np.full((SIZE, SIZE), 1.0, dtype=np.float32)
    if key == PLAIN:
        level = 0.97 + 0.02 * grain
    elif key == PAINT:
        # Reflections: the sky above, the dark street below.
        level = level * np.interp(
            rows, (-1.5, -0.9, -0.86, -0.6, -0.55, -0.2), (1.0, 0.96, 0.9, 0.78, 0.72, 0.55)
        ).astype(np.float32)
        level += 0.02 * wide
    elif key == GLASS:
        level = level * np.interp(
            rows, (-1.9, -1.45, -1.15, -1.1, -0.9), (0.6, 0.46, 0.3, 0.17, 0.13)
        ).astype(np.float32)
        level += 0.05 * wide
    elif key == CLOTH:
        level = 0.9 + 0.05 * grain + 0.06 * spots
    elif key == LEAVES:
        level = 0.62 + 0.16 * grain + 0.2 * mottle(rng, SIZE, SIZE, 4) + 0.13 * spots + 0.08 * wide
    elif key == BARK:
        level = 0.75 + 0.14 * cv2.blur(grain, (1, 9)) * 3.0 + 0.05 * grain
    elif key == ROOF:
        level = 0.8 + 0.06 * grain + 0.06 * wide
        level[::8] *= 0.72
        level[4::8, ::6] *= 0.9
    elif key == WALL:
        level = 0.82 + 0.05 * grain + 0.05 * wide + 0.04 * spots
        level[::4] *= 0.92
    gray = np.repeat(np.clip(level, 0.03, 1.0)[:, :, None] * 255.0, 3, axis=2)
    if key == GLASS:
        gray *= np.array([0.88, 0.97, 1.05], dtype=np.float32)
    return finish(gray.astype(np.float32))


def wall_colour(rng: np.random.Generator) -> Colour:
    """A random colour for the walls of a house."""
    return _WALLS[int(rng.integers(len(_WALLS)))]


def facade(rng: np.random.Generator, wall: Colour, width: float, height: float) -> Image:
    """Texture (SIZE, SIZE, 3) of a house's facade.

    Args:
        rng: source of random details.
        wall: colour of the wall.
        width: width of the house, metres; the texture covers it.
        height: height of the facade, metres.
    """
    image = np.full((SIZE, SIZE, 3), wall, dtype=np.uint8)
    across, down = SIZE / width, SIZE / height

    def fill(x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Fills a rectangle, metres from the left border and from the ground."""
        left, right = round(x0 * across), round(x1 * across)
        top, bottom = round(SIZE - y1 * down), round(SIZE - y0 * down)
        image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = colour

    def shade(colour: Colour, factor: float) -> Colour:
        return (
            min(255, int(colour[0] * factor)),
            min(255, int(colour[1] * factor)),
            min(255, int(colour[2] * factor)),
        )

    if rng.random() < 0.5:  # courses of brick
        image[:: max(2, round(0.16 * down))] = shade(wall, 0.86)
    fill(0, 0, width, 0.45, shade(wall, 0.6))  # plinth
    fill(0, height - 0.25, width, height, shade(wall, 1.2))  # cornice
    fill(0, height - 0.36, width, height - 0.25, shade(wall, 0.6))

    frame = _FRAMES[int(rng.integers(len(_FRAMES)))]
    floors = max(2, int(height / 2.9))
    columns = max(2, int(width / rng.uniform(2.2, 3.0)))
    storey, bay = (height - 0.5) / floors, width / columns
    wide, tall = min(1.5, bay * rng.uniform(0.42, 0.6)), storey * rng.uniform(0.46, 0.58)
    door = int(rng.integers(columns))
    shutters = rng.random() < 0.25
    shutter = _DOORS[int(rng.integers(len(_DOORS)))]
    for floor in range(floors):
        sill = 0.35 + storey * floor + (storey - tall) * 0.55
        if floor and rng.random() < 0.4:
            fill(0, storey * floor + 0.25, width, storey * floor + 0.4, shade(wall, 1.15))
        for column in range(columns):
            middle = (column + 0.5) * bay
            if floor == 0 and column == door:
                fill(middle - 0.7, 0.0, middle + 0.7, 2.4, frame)
                fill(middle - 0.55, 0.0, middle + 0.55, 2.25, _DOORS[int(rng.integers(5))])
                fill(middle - 0.3, 1.4, middle + 0.3, 2.05, (58, 66, 74))
                continue
            x0, x1, y0, y1 = middle - wide / 2, middle + wide / 2, sill, sill + tall
            if shutters:
                fill(x0 - wide * 0.4, y0, x1 + wide * 0.4, y1, shutter)
            fill(x0 - 0.1, y0 - 0.1, x1 + 0.1, y1 + 0.1, frame)
            glass = int(rng.integers(34, 78))
            fill(x0, y0, x1, y1, (glass, glass + 8, glass + 16))
            fill(x0, y0 + tall * 0.55, x1, y1, (glass + 28, glass + 38, glass + 48))
            if rng.random() < 0.5:  # a curtain or a blind
                fill(x0, y1 - tall * rng.uniform(0.2, 0.7), x1, y1, (186, 182, 172))
            fill(middle - 0.04, y0, middle + 0.04, y1, frame)
            fill(x0 - 0.15, y0 - 0.18, x1 + 0.15, y0 - 0.1, shade(wall, 1.25))
            fill(x0 - 0.1, y0 - 0.26, x1 + 0.1, y0 - 0.18, shade(wall, 0.62))
    pipe = 0.25 if rng.random() < 0.5 else width - 0.35
    fill(pipe, 0, pipe + 0.1, height - 0.3, (96, 96, 94))

    stains = 1.0 + 0.05 * mottle(rng, SIZE, SIZE, 48) + 0.05 * mottle(rng, SIZE, SIZE, 12)
    stains += 0.045 * rng.standard_normal((SIZE, SIZE), dtype=np.float32)
    stains *= np.linspace(1.03, 0.9, SIZE, dtype=np.float32)[:, None]
    return brightened(image, stains.astype(np.float32))
