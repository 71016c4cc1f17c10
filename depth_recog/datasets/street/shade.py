# SPDX-License-Identifier: Apache-2.0
"""Shading: textures filtered to the pixel's footprint, light and haze.

Pixels within one surface have one sample, pixels at the border of surfaces have four. Only colours
are filtered; depth, labels and motion are those of the pixel centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.street import ground, layout
from depth_recog.datasets.street import textures as tx
from depth_recog.datasets.street.atlas import Atlas
from depth_recog.datasets.street.mesh import TEXELS_PER_METRE, Float
from depth_recog.datasets.street.path import Bend, generator
from depth_recog.datasets.street.raster import GROUND, SKY, project, ray_matrix, visible
from depth_recog.datasets.street.view import AHEAD, REACH, StreetView
from depth_recog.method.geometry.camera import Camera

Values = NDArray[np.float32]

_HORIZON = np.array([216.0, 222.0, 226.0], dtype=np.float32)
_ZENITH = np.array([112.0, 158.0, 208.0], dtype=np.float32)
_HAZE = 0.0052
"""Extinction per metre."""

_SUN = np.array([-0.45, -0.75, -0.48])
_AMBIENT, _DIRECT = 0.66, 0.42

_MATERIAL = 32
_ROOM = 100.0
"""Largest radius of an ellipsoid in its texture, texels."""

_CELL = 0.1
_SPAN = (48.0, 100.0)


@dataclass(frozen=True)
class _Samples:
    """Samples of the image, as flat arrays.

    Attributes:
        surface: surface ids as in `raster.Surfaces`.
        inverse: inverse depth, 1/metres.
        x, y: pixel coordinates in the image of twice the size.
        step: width of a sample's footprint, in the same pixels.
    """

    surface: NDArray[np.int32]
    inverse: Values
    x: Values
    y: Values
    step: Values

    def pick(self, which: NDArray[np.int64]) -> _Samples:
        return _Samples(*(a[which] for a in vars(self).values()))


# As many as are in sight: another recording of the same street needs them again.
@lru_cache(maxsize=72)
def _wall(seed: int, key: int) -> tx.Image:
    if key < tx.FACADE:
        return tx.material(key, generator(seed, _MATERIAL, key))
    block, side, index = layout.facade_owner(key)
    house = layout.houses(seed, block, side)[index]
    rng = generator(seed, ground.TEXTURE, block, side, index)
    return tx.facade(rng, house.wall, house.end - house.start, house.height)


class Painter:
    """Renders views of one street.

    Args:
        seed: seed of the recording.
        bend: the street's centre line.
        textured: False for a flat grey ground.
    """

    def __init__(self, seed: int, bend: Bend, textured: bool) -> None:
        """Textures are painted when they are first visible."""
        self._bend = bend
        strip = partial(ground.strip, seed) if textured else lambda block: ground.flat()
        self._strips = Atlas(strip, ground.WIDTH, ground.LENGTH, 2, AHEAD // 2 + 2)
        self._walls = Atlas(partial(_wall, seed), tx.SIZE, tx.SIZE, 8, 9)

    def paint(self, camera: Camera, view: StreetView) -> NDArray[np.uint8]:
        """Renders a view as an (H, W, 3) uint8 RGB image."""
        width, height = camera.size
        double = camera.resized(2 * width, 2 * height)
        surfaces = project(double, view.mesh, view.plane)
        inverse, ids = visible(double, surfaces)
        samples, whole, mixed = _split(inverse, ids)

        colours = np.empty((len(samples.x), 3), dtype=np.float32)
        faces = len(surfaces.face)
        rays = ray_matrix(double)
        to_world = view.world_from_camera[:3, :3] @ rays
        kinds = (
            samples.surface == SKY,
            samples.surface == GROUND,
            (samples.surface > GROUND) & (samples.surface <= faces),
            samples.surface > faces,
        )
        sky, floor, flat, curved = (np.flatnonzero(k) for k in kinds)
        # OpenCV refuses to sample at no points at all.
        if len(sky):
            colours[sky] = _sky(samples.pick(sky), to_world)
        if len(floor):
            colours[floor] = self._ground(samples.pick(floor), view, to_world, surfaces.plane[0])
        mesh = view.mesh
        uv = mesh.uv[surfaces.face]
        table = np.concatenate(
            (
                (uv[:, :, :3] @ rays).reshape(-1, 6),
                uv[:, :, 3],
                surfaces.plane[1:, :2],
                mesh.tint[surfaces.face] * _light(mesh.corners[surfaces.face], view)[:, None],
            ),
            axis=1,
        ).T.astype(np.float32)
        if len(flat):
            textures = mesh.texture[surfaces.face]
            colours[flat] = self._polygons(samples.pick(flat), table, textures)
        if len(curved):
            rounds = samples.pick(curved), view, surfaces.round, faces, rays
            colours[curved] = self._ellipsoids(*rounds)
        _add_haze(colours, samples)

        image = np.empty((height * width, 3), dtype=np.float32)
        image[whole] = colours[: len(whole)]
        image[mixed] = colours[len(whole) :].reshape(4, -1, 3).mean(axis=0)
        return tx.finish(image).reshape(height, width, 3)

    def _ground(self, s: _Samples, view: StreetView, to_world: Float, plane: Float) -> Values:
        pose = view.world_from_camera
        origin = float(pose[2, 3])
        ray = to_world.astype(np.float32)
        z = 1.0 / s.inverse
        dx = (ray[0, 0] * s.x + ray[0, 1] * s.y + ray[0, 2]) * z
        dz = (ray[2, 0] * s.x + ray[2, 1] * s.y + ray[2, 2]) * z
        offset, slope = self._bend.around(origin, dz)
        lateral = dx - offset + np.float32(pose[0, 3] - self._bend(origin))
        first = math.floor(origin / ground.BLOCK)
        along = (dz + np.float32(origin - first * ground.BLOCK)) / np.float32(ground.BLOCK)
        block = np.clip(np.floor(along), 0, AHEAD).astype(np.int32)
        slots = self._strips.slots(list(range(first, first + AHEAD + 1)))
        across, down = ground.WIDTH / (2 * ground.HALF), ground.LENGTH / ground.BLOCK
        # d(point)/d(pixel) = z (column of ray - component of plane * (point - optical centre)).
        steps = []
        for p in (0, 1):
            m = np.float32(plane[p])
            step_x, step_z = z * (ray[0, p] - m * dx), z * (ray[2, p] - m * dz)
            steps.append((np.abs(step_x - slope * step_z), np.abs(step_z)))
        texels = self._strips.sample(
            slots[block],
            (lateral + np.float32(ground.HALF)) * np.float32(across),
            (along - block) * np.float32(ground.LENGTH),
            (steps[0][0] + steps[1][0]) * s.step * np.float32(across),
            (steps[0][1] + steps[1][1]) * s.step * np.float32(down),
        )
        light = _shadow_map(view, pose)
        spot_x = (dx + np.float32(pose[0, 3] - light[1])) / np.float32(_CELL)
        spot_z = (dz + np.float32(pose[2, 3] - light[2])) / np.float32(_CELL)
        shade = _lookup(light[0], spot_x, spot_z)
        lit: Values = texels * (shade * np.float32(1.02 / 255.0))[:, None]
        return lit

    def _polygons(self, s: _Samples, table: Values, texture: NDArray[np.int64]) -> Values:
        row = s.surface - 1
        keys, inverse = np.unique(texture, return_inverse=True)
        seen = np.zeros(len(keys), dtype=bool)
        of_face = inverse.reshape(-1)
        seen[of_face[row]] = True
        slots = np.zeros(len(keys), dtype=np.int32)
        slots[seen] = self._walls.slots([int(k) for k in keys[seen]])
        u0, u1, u2, v0, v1, v2, u_at, v_at, m0, m1, red, green, blue = (t[row] for t in table)
        z = 1.0 / s.inverse
        u, v = (u0 * s.x + u1 * s.y + u2) * z, (v0 * s.x + v1 * s.y + v2) * z
        wide = s.step * z
        step_u = (np.abs(u0 - m0 * u) + np.abs(u1 - m1 * u)) * wide
        step_v = (np.abs(v0 - m0 * v) + np.abs(v1 - m1 * v)) * wide
        texels = self._walls.sample(slots[of_face][row], u + u_at, v + v_at, step_u, step_v)
        lit: Values = texels * np.stack((red, green, blue), axis=1)
        return lit

    def _ellipsoids(
        self, s: _Samples, view: StreetView, shape: NDArray[np.int64], faces: int, rays: Float
    ) -> Values:
        mesh = view.mesh
        row = shape[s.surface - faces - 1]
        z = 1.0 / s.inverse
        r = rays.astype(np.float32)
        point = np.stack((r[0, 0] * s.x + r[0, 2], r[1, 1] * s.y + r[1, 2], np.ones_like(z))) * z
        # Cube mapping: the largest component on the unit sphere selects the texture coordinates.
        axes = mesh.axes.astype(np.float32)[row]
        ball = np.einsum("nij,jn->in", axes, point - mesh.centre.astype(np.float32)[row].T)
        normal = np.einsum("nij,in->jn", axes, ball)
        normal /= np.linalg.norm(normal, axis=0)
        sun = (view.world_from_camera[:3, :3].T @ _unit(_SUN)).astype(np.float32)
        up = -view.world_from_camera[1, :3].astype(np.float32)
        light = np.float32(_AMBIENT) + np.float32(_DIRECT) * np.maximum(sun @ normal, 0.0)
        light *= np.float32(0.85) + np.float32(0.2) * (up @ normal)
        radii = (1.0 / np.linalg.norm(mesh.axes, axis=2)).astype(np.float32)[row].T
        scale = np.minimum(np.float32(TEXELS_PER_METRE), np.float32(_ROOM) / radii.max(axis=0))
        local = ball * radii * scale
        side = np.abs(ball).argmax(axis=0)
        shift = mesh.shift.astype(np.float32)[row]
        u = np.where(side == 0, local[2], local[0]) + shift[:, 0]
        v = np.where(side == 1, local[2], local[1]) + shift[:, 1]
        step = s.step * z * scale * np.float32(1.3 * rays[0, 0])
        keys, where = np.unique(mesh.round_texture, return_inverse=True)
        slots = self._walls.slots([int(k) for k in keys])[where]
        texels = self._walls.sample(slots[row], u, v, step, step)
        lit: Values = texels * (mesh.round_tint.astype(np.float32)[row] * light[:, None])
        return lit


def _split(
    inverse: Float, ids: NDArray[np.int32]
) -> tuple[_Samples, NDArray[np.int64], NDArray[np.int64]]:
    """Samples, then the flat indices of pixels with one sample and of those with four."""
    quads = [(ids[j::2, i::2], inverse[j::2, i::2], i, j) for j in (0, 1) for i in (0, 1)]
    first = quads[0][0]
    same = (first == quads[1][0]) & (first == quads[2][0]) & (first == quads[3][0])
    whole, mixed = np.flatnonzero(same), np.flatnonzero(~same)
    mean = sum(q[1] for q in quads) * 0.25
    width = first.shape[1]
    y, x = np.divmod(whole, width)
    names, depths = [first.reshape(-1)[whole]], [np.asarray(mean).reshape(-1)[whole]]
    xs, ys = [2.0 * x + 0.5], [2.0 * y + 0.5]
    y, x = np.divmod(mixed, width)
    for name, depth, i, j in quads:
        names.append(name.reshape(-1)[mixed])
        depths.append(depth.reshape(-1)[mixed])
        xs.append(2.0 * x + i)
        ys.append(2.0 * y + j)
    step = np.full(len(whole) + 4 * len(mixed), 1.4, dtype=np.float32)
    step[: len(whole)] = 2.0
    samples = _Samples(
        np.concatenate(names),
        np.concatenate(depths).astype(np.float32),
        np.concatenate(xs).astype(np.float32),
        np.concatenate(ys).astype(np.float32),
        step,
    )
    return samples, whole, mixed


def _unit(vector: Float) -> Float:
    return np.asarray(vector / np.linalg.norm(vector))


def _light(corners: Float, view: StreetView) -> Float:
    """Light on polygons from their normals in the world."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal = normal @ view.world_from_camera[:3, :3].T
    sun = np.maximum(normal @ _unit(_SUN), 0.0)
    return np.asarray((_AMBIENT + _DIRECT * sun) * (0.94 - 0.12 * normal[:, 1]))


def _sky(s: _Samples, to_world: Float) -> Values:
    ray = to_world.astype(np.float32)
    x, y, z = (ray[i, 0] * s.x + ray[i, 1] * s.y + ray[i, 2] for i in range(3))
    height = np.clip(-y / np.sqrt(x * x + z * z), 0.0, 0.7)[:, None] / np.float32(0.45)
    part = np.minimum(np.sqrt(height), 1.0)
    return np.asarray(_HORIZON + (_ZENITH - _HORIZON) * part, dtype=np.float32)


def _add_haze(colours: Values, s: _Samples) -> None:
    """Blends colours towards the horizon's colour with distance."""
    near = s.inverse > 0.0
    depth = np.where(near, 1.0 / np.maximum(s.inverse, 1e-6), 0.0).astype(np.float32)
    clear = np.exp(depth * np.float32(-_HAZE))
    end = np.clip((np.float32(REACH) - depth) / np.float32(60.0), 0.0, 1.0)
    clear *= np.maximum(end, np.float32(0.15))
    clear[~near] = 1.0
    colours *= clear[:, None]
    colours += _HORIZON * (1.0 - clear)[:, None]


def _shadow_map(view: StreetView, pose: Float) -> tuple[NDArray[np.uint8], float, float]:
    """Light on the ground in a grid of `_CELL` metres, and the world position of cell (0, 0).

    The grid is fixed to the world, so that the edges of shadows are stable as the camera moves.
    """
    x0 = math.floor((pose[0, 3] - _SPAN[0] / 2) / _CELL) * _CELL
    z0 = math.floor((pose[2, 3] - 4.0) / _CELL) * _CELL
    size = (round(_SPAN[1] / _CELL), round(_SPAN[0] / _CELL))
    light = np.full(size, 255, dtype=np.uint8)
    for spot in sorted(view.shadows, key=lambda s: s.strength):
        if not -8.0 < spot.z - pose[2, 3] < _SPAN[1]:
            continue
        right = np.array([math.cos(spot.yaw), -math.sin(spot.yaw)]) * spot.half[0]
        ahead = np.array([math.sin(spot.yaw), math.cos(spot.yaw)]) * spot.half[1]
        corners = np.array([right + ahead, right - ahead, -right - ahead, -right + ahead])
        cells = (corners + [spot.x - x0, spot.z - z0]) / _CELL
        fixed = np.rint(cells * 16.0).astype(np.int32)
        level = round(255 * (1.0 - spot.strength))
        cv2.fillConvexPoly(light, fixed, level, cv2.LINE_AA, 4)
    return np.asarray(cv2.blur(light, (5, 5)), dtype=np.uint8), x0, z0


def _lookup(light: NDArray[np.uint8], x: Values, y: Values) -> Values:
    """Samples the shadow map bilinearly, (N,), 255 outside."""
    count, row = len(x), 1024
    place = np.full((2, -(-count // row) * row), -10.0, dtype=np.float32)
    place[0, :count], place[1, :count] = np.clip(x, -10, 1e4), np.clip(y, -10, 1e4)
    xs, ys = place.reshape(2, -1, row)
    out = cv2.remap(light, xs, ys, cv2.INTER_LINEAR, borderValue=255.0)
    return np.asarray(out, dtype=np.float32).reshape(-1)[:count]
