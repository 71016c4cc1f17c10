# SPDX-License-Identifier: Apache-2.0
"""Surfaces of the street: convex planar polygons and ellipsoids, as flat arrays.

Both have closed-form depth at a pixel (see `raster`), so the depth is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

CORNERS = 8
TEXELS_PER_METRE = 40.0
"""Scale of the shared material textures."""

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Mesh:
    """Polygons and ellipsoids in one frame of reference (x right, y down, z forward, metres).

    Attributes:
        corners: (F, 8, 3), convex polygons, counter-clockwise about their outward normals; padded
            by repeating the last corner.
        sides: (F,) int, number of distinct corners.
        uv: (F, 2, 4), texture coordinates in texels: u = uv[0] . (x, y, z, 1).
        tint: (F, 3), factors on the texture, RGB.
        texture: (F,) int, texture keys (see `textures`).
        label: (F,) uint8, Cityscapes train ids.
        centre: (E, 3), centres of the ellipsoids.
        axes: (E, 3, 3), M with |M (p - centre)| = 1 on the surface.
        shift: (E, 2), position of an ellipsoid's centre in its texture, texels.
        round_tint, round_texture, round_label: as for the polygons, of the ellipsoids.
    """

    corners: Float
    sides: NDArray[np.int64]
    uv: Float
    tint: Float
    texture: NDArray[np.int64]
    label: NDArray[np.uint8]
    centre: Float
    axes: Float
    shift: Float
    round_tint: Float
    round_texture: NDArray[np.int64]
    round_label: NDArray[np.uint8]

    def moved(self, pose: Float) -> Mesh:
        """The mesh transformed by `pose` (4, 4): p' = R p + t."""
        rotation, shift = pose[:3, :3], pose[:3, 3]
        return replace(
            self,
            corners=self.corners @ rotation.T + shift,
            uv=_moved_uv(self.uv, rotation, shift),
            centre=self.centre @ rotation.T + shift,
            axes=self.axes @ rotation.T,
        )

    def tinted(self, factor: tuple[float, float, float], texture: int) -> Mesh:
        """The mesh with the tint of all surfaces of `texture` multiplied by `factor` (RGB)."""
        return replace(
            self,
            tint=np.where((self.texture == texture)[:, None], self.tint * factor, self.tint),
        )


def _moved_uv(uv: Float, rotation: Float, shift: Float) -> Float:
    linear = uv[..., :3] @ rotation.T
    return np.concatenate((linear, (uv[..., 3] - linear @ shift)[..., None]), axis=-1)


def joined(meshes: list[Mesh]) -> Mesh:
    """Concatenates meshes."""
    return Mesh(*(np.concatenate([getattr(m, f.name) for m in meshes]) for f in fields(Mesh)))


def _plain_uv(corners: Float, normal: Float) -> Float:
    """Texture coordinates along the two axes that the polygon is most parallel to.

    Vertical polygons below 2.5 m have row 128 at the ground, as car materials vary with height.
    Others get a position in the texture that varies from polygon to polygon.
    """
    uv = np.zeros((2, 4))
    axes = [a for a in (0, 2, 1) if a != int(np.abs(normal).argmax())]
    low, size = corners.min(axis=0), np.ptp(corners, axis=0)
    scale = min(TEXELS_PER_METRE, 250.0 / float(size.max()))
    for row, axis in enumerate(axes):
        uv[row, axis] = scale
        room = 252.0 - scale * float(size[axis])
        # A pseudo-random position from the corner.
        uv[row, 3] = 2.0 + math.fmod(abs(float(low.sum())) * 997.0, room) - scale * float(low[axis])
    if axes[1] == 1 and scale == TEXELS_PER_METRE and low[1] > -2.5:
        uv[1, 3] = 128.0
    return uv


class Builder:
    """Builds a mesh surface by surface."""

    def __init__(self) -> None:
        """Starts empty."""
        self._corners: list[Float] = []
        self._sides: list[int] = []
        self._uv: list[Float] = []
        self._surface: list[tuple[tuple[float, float, float], int, int]] = []
        self._centre: list[Float] = []
        self._axes: list[Float] = []
        self._shift: list[Float] = []
        self._round: list[tuple[tuple[float, float, float], int, int]] = []

    def polygon(
        self,
        corners: Float,
        inside: Float,
        tint: tuple[float, float, float],
        texture: int,
        label: int,
        uv: Float | None = None,
    ) -> None:
        """Adds a convex planar polygon.

        Args:
            corners: (N, 3), 3 to 8 corners in either orientation, metres.
            inside: (3,), a point behind the polygon, metres.
            tint: factors on the texture, RGB.
            texture: key of the texture.
            label: Cityscapes train id.
            uv: (2, 4) texture coordinates, in texels; by default those of `_plain_uv`.
        """
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[1])
        if normal @ (corners[0] - inside) < 0:
            corners, normal = corners[::-1], -normal
        if uv is None:
            uv = _plain_uv(corners, normal)
        fill = np.repeat(corners[-1:], CORNERS - len(corners), axis=0)
        self._corners.append(np.concatenate((corners, fill)))
        self._sides.append(len(corners))
        self._uv.append(uv)
        self._surface.append((tint, texture, label))

    def hull(
        self,
        rings: Float,
        tint: tuple[float, float, float],
        texture: int,
        label: int,
        *,
        closed: bool = True,
    ) -> None:
        """Adds the surface between consecutive rings (R, N, 3), with end caps if `closed`."""
        inside = rings.mean(axis=(0, 1))
        count = rings.shape[1]
        for low, high in pairwise(rings):
            for i in range(count):
                j = (i + 1) % count
                quad = np.stack((low[i], low[j], high[j], high[i]))
                self.polygon(quad, inside, tint, texture, label)
        if closed:
            self.polygon(rings[0], inside, tint, texture, label)
            self.polygon(rings[-1], inside, tint, texture, label)

    def box(
        self,
        low: tuple[float, float, float],
        high: tuple[float, float, float],
        tint: tuple[float, float, float],
        texture: int,
        label: int,
    ) -> None:
        """Adds an axis-aligned box between two opposite corners, metres."""
        (x0, y0, z0), (x1, y1, z1) = low, high
        ring = np.array([[x0, 0.0, z0], [x1, 0.0, z0], [x1, 0.0, z1], [x0, 0.0, z1]])
        rings = np.stack((ring, ring))
        rings[0, :, 1], rings[1, :, 1] = y0, y1
        self.hull(rings, tint, texture, label)

    def post(
        self,
        foot: tuple[float, float, float],
        height: float,
        radius: float,
        tint: tuple[float, float, float],
        texture: int,
        label: int,
    ) -> None:
        """Adds a six-sided vertical post with its base at `foot`, metres."""
        angle = np.arange(6) * np.pi / 3
        ring = np.stack((radius * np.cos(angle), np.zeros(6), radius * np.sin(angle)), axis=1)
        base = np.asarray(foot) + ring
        self.hull(np.stack((base, base - [0.0, height, 0.0])), tint, texture, label)

    def ellipsoid(
        self,
        centre: tuple[float, float, float],
        radii: tuple[float, float, float],
        tint: tuple[float, float, float],
        texture: int,
        label: int,
        shift: tuple[float, float] = (128.0, 128.0),
    ) -> None:
        """Adds an axis-aligned ellipsoid; `shift` is its centre in the texture, texels."""
        self._centre.append(np.asarray(centre, dtype=np.float64))
        self._axes.append(np.diag(1.0 / np.asarray(radii)))
        self._shift.append(np.asarray(shift))
        self._round.append((tint, texture, label))

    def build(self) -> Mesh:
        """The mesh of all surfaces added so far."""
        return Mesh(
            corners=np.array(self._corners, dtype=np.float64).reshape(-1, CORNERS, 3),
            sides=np.array(self._sides, dtype=np.int64),
            uv=np.array(self._uv, dtype=np.float64).reshape(-1, 2, 4),
            tint=np.array([s[0] for s in self._surface], dtype=np.float64).reshape(-1, 3),
            texture=np.array([s[1] for s in self._surface], dtype=np.int64),
            label=np.array([s[2] for s in self._surface], dtype=np.uint8),
            centre=np.array(self._centre, dtype=np.float64).reshape(-1, 3),
            axes=np.array(self._axes, dtype=np.float64).reshape(-1, 3, 3),
            shift=np.array(self._shift, dtype=np.float64).reshape(-1, 2),
            round_tint=np.array([s[0] for s in self._round], dtype=np.float64).reshape(-1, 3),
            round_texture=np.array([s[1] for s in self._round], dtype=np.int64),
            round_label=np.array([s[2] for s in self._round], dtype=np.uint8),
        )
