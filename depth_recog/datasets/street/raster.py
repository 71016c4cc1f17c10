# SPDX-License-Identifier: Apache-2.0
"""Rasterisation: the nearest surface and its exact depth at each pixel centre.

On a plane the inverse depth is affine in the pixel. A pixel row crosses a convex polygon, and the
outline of an ellipsoid, which is a conic, in one interval. Each surface is therefore a set of
spans, whose fragments are compared by inverse depth. The edges of polygons are planes through the
optical centre, so nothing needs clipping (Olano and Greer, "Triangle Scan Conversion using 2D
Homogeneous Coordinates", 1997).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.street.mesh import Float, Mesh
from depth_recog.method.geometry.camera import Camera

SKY, GROUND = -1, 0

_NEAR = 0.05
_BIG = 300
"""Pixels of a polygon above which drawing it by slices is faster than by a list of fragments."""

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Surfaces:
    """The surfaces within the field of view, in pixel coordinates p = (x, y, 1).

    Surface ids: 0 the ground, 1 to F the polygons, then the ellipsoids.

    Attributes:
        face: (F,), indices of the mesh's polygons.
        round: (E,), indices of the mesh's ellipsoids.
        plane: (1 + F, 3), inverse depth = plane . p, of the ground and the polygons.
        edge: (F, 8, 3), inside if edge . p >= 0 for all edges.
        conic: (E, 3, 3), inside if p' conic p >= 0.
        linear: (E, 3), and
        constant: (E,): inverse depth = (linear . p + sqrt(p' conic p)) / constant.
        rows: (F + E, 2), first and last pixel row that they can cover.
    """

    face: Index
    round: Index
    plane: Float
    edge: Float
    conic: Float
    linear: Float
    constant: Float
    rows: Index


def ray_matrix(camera: Camera) -> Float:
    """K^-1, (3, 3): the viewing ray (z = 1) of a pixel (x, y, 1)."""
    return np.array(
        [
            [1.0 / camera.fx, 0.0, -camera.cx / camera.fx],
            [0.0, 1.0 / camera.fy, -camera.cy / camera.fy],
            [0.0, 0.0, 1.0],
        ]
    )


def project(camera: Camera, mesh: Mesh, ground: Float) -> Surfaces:
    """Projects the surfaces of a mesh within the field of view.

    Args:
        camera: the intrinsics.
        mesh: the mesh in the camera's frame.
        ground: (3,), the ground plane is ground . point = 1 in the camera's frame, 1/metres.
    """
    rays = ray_matrix(camera)
    corners = mesh.corners
    # Two edges give the normal of a convex polygon.
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1])
    offset = np.einsum("fi,fi->f", normal, corners[:, 0])
    z = corners[:, :, 2]
    front = np.flatnonzero((offset < 0.0) & (z.max(axis=1) > _NEAR))
    corners, normal, offset = corners[front], normal[front], offset[front]
    face, low, high = _in_view(camera, corners)
    corners, normal, offset = corners[face], normal[face], offset[face]
    following = np.concatenate((corners[:, 1:], corners[:, :1]), axis=1)
    edge = -np.cross(corners, following) @ rays
    plane = np.concatenate((ground[None] @ rays, (normal / offset[:, None]) @ rays))

    middle, axes = mesh.centre, mesh.axes
    extent = np.linalg.norm(np.linalg.inv(axes), axis=2) if len(axes) else np.zeros((0, 3))
    ahead = np.flatnonzero(middle[:, 2] - extent[:, 2] > _NEAR)
    quadric = np.einsum("eki,ekj->eij", axes[ahead], axes[ahead])
    pulled = np.einsum("eij,ej->ei", quadric, middle[ahead])
    constant = np.einsum("ei,ei->e", pulled, middle[ahead]) - 1.0
    conic = (
        rays.T
        @ (pulled[:, :, None] * pulled[:, None, :] - constant[:, None, None] * quadric)
        @ rays
    )
    top, bottom = _conic_rows(camera, conic)
    left, right = _conic_rows(camera, conic, axis=0)
    seen = np.flatnonzero((top <= bottom) & (left <= right))
    return Surfaces(
        face=front[face],
        round=ahead[seen],
        plane=plane,
        edge=edge,
        conic=conic[seen],
        linear=pulled[seen] @ rays,
        constant=constant[seen],
        rows=np.stack(
            (np.concatenate((low, top[seen])), np.concatenate((high, bottom[seen]))), axis=1
        ),
    )


def _in_view(camera: Camera, corners: Float) -> tuple[Index, Index, Index]:
    """Indices of the polygons that can cover pixels, and their first and last pixel rows."""
    z = corners[:, :, 2]
    behind = z.min(axis=1) < _NEAR
    safe = np.maximum(z, _NEAR)
    x = camera.fx * corners[:, :, 0] / safe + camera.cx
    y = camera.fy * corners[:, :, 1] / safe + camera.cy
    width, height = camera.size
    low = np.where(behind, 0, np.ceil(np.clip(y.min(axis=1), -1, height))).astype(np.int64)
    high = np.where(behind, height - 1, np.floor(np.clip(y.max(axis=1), -1, height))).astype(
        np.int64
    )
    low, high = np.maximum(low, 0), np.minimum(high, height - 1)
    # Polygons that extend behind the camera are tested against the sides of its field of view.
    left = corners[:, :, 0] < z * ((-0.5 - camera.cx) / camera.fx)
    right = corners[:, :, 0] > z * ((width - 0.5 - camera.cx) / camera.fx)
    above = corners[:, :, 1] < z * ((-0.5 - camera.cy) / camera.fy)
    under = corners[:, :, 1] > z * ((height - 0.5 - camera.cy) / camera.fy)
    out = left.all(axis=1) | right.all(axis=1) | above.all(axis=1) | under.all(axis=1)
    columns = np.ceil(x.min(axis=1)) <= np.floor(x.max(axis=1))
    keep = np.flatnonzero(~out & (low <= high) & (behind | columns))
    return keep, low[keep], high[keep]


def _conic_rows(camera: Camera, conic: Float, axis: int = 1) -> tuple[Index, Index]:
    """First and last pixel row (axis 1) or column (axis 0) of ellipses."""
    other = 1 - axis
    a = conic[:, other, other]
    # The discriminant of the quadratic in the other coordinate is quadratic in this one.
    p = conic[:, other, axis] ** 2 - a * conic[:, axis, axis]
    q = conic[:, other, axis] * conic[:, other, 2] - a * conic[:, axis, 2]
    r = conic[:, other, 2] ** 2 - a * conic[:, 2, 2]
    root = np.sqrt(np.maximum(q * q - p * r, 0.0))
    ends = np.sort(np.stack(((-q - root) / p, (-q + root) / p)), axis=0)
    size = camera.size[axis]
    low = np.ceil(np.clip(ends[0], 0, size)).astype(np.int64)
    high = np.floor(np.clip(ends[1], -1, size - 1)).astype(np.int64)
    return low, high


def visible(camera: Camera, surfaces: Surfaces) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Finds the nearest surface at each pixel centre.

    Returns:
        Inverse depth (H, W) float64, 1/metres, 0 for the sky, and surface ids (H, W) int32.
    """
    width, height = camera.size
    inverse = np.multiply.outer(np.arange(height), surfaces.plane[0, 1:2])
    inverse = inverse + (surfaces.plane[0, 0] * np.arange(width) + surfaces.plane[0, 2])
    # No ground beyond one kilometre.
    inverse[inverse < 1e-3] = 0.0
    ids = np.where(inverse > 0.0, np.int32(GROUND), np.int32(SKY))
    _draw_polygons(surfaces, inverse, ids)
    _draw_ellipsoids(surfaces, inverse, ids)
    return inverse, ids


def _spread(first: Index, last: Index) -> tuple[Index, Index]:
    """Expands ranges first..last: the index of the range and the value of each member."""
    count = np.maximum(last - first + 1, 0)
    owner = np.repeat(np.arange(len(first)), count)
    start = np.cumsum(count) - count
    return owner, np.arange(len(owner)) - np.repeat(start - first, count)


def _draw_polygons(surfaces: Surfaces, inverse: Float, ids: NDArray[np.int32]) -> None:
    width = inverse.shape[1]
    count = len(surfaces.face)
    owner, row = _spread(surfaces.rows[:count, 0], surfaces.rows[:count, 1])
    low = np.zeros(len(row))
    high = np.full(len(row), width - 1.0)
    padded = (surfaces.edge == 0.0).all(axis=(0, 2))
    for k in np.flatnonzero(~padded):
        a, b, c = surfaces.edge[:, k].T
        some = a != 0.0
        used = some | (b != 0.0) | (c != 0.0)
        pick = slice(None) if used.all() else np.flatnonzero(used[owner])
        face = owner[pick]
        rest = b[face] * row[pick] + c[face]
        slope = a[face]
        with np.errstate(divide="ignore", invalid="ignore"):
            cut = -rest / slope
        flat_out = (slope == 0.0) & (rest < 0.0)
        low[pick] = np.where(slope > 0.0, np.maximum(low[pick], cut), low[pick])
        high[pick] = np.where(slope < 0.0, np.minimum(high[pick], cut), high[pick])
        high[pick] = np.where(flat_out, -1.0, high[pick])
    first = np.ceil(np.minimum(low, width)).astype(np.int64)
    last = np.floor(np.maximum(high, -1.0)).astype(np.int64)
    plane = surfaces.plane[1:]
    area = np.bincount(owner, np.maximum(last - first + 1, 0), minlength=count)
    slope_x = plane[owner, 0]
    constant = plane[owner, 1] * row + plane[owner, 2]

    starts = np.searchsorted(owner, np.arange(count + 1)).tolist()
    x = np.arange(width)
    for big in np.flatnonzero(area >= _BIG).tolist():
        start, end = starts[big], starts[big + 1]
        some = np.flatnonzero(first[start:end] <= last[start:end]) + start
        span = slice(some[0], some[-1] + 1)
        y0, y1 = row[some[0]], row[some[-1]] + 1
        x0, x1 = first[some].min(), last[some].max() + 1
        values = plane[big, 0] * x[x0:x1] + constant[span, None]
        window = inverse[y0:y1, x0:x1]
        nearer = values > window
        nearer &= x[x0:x1] >= first[span, None]
        nearer &= x[x0:x1] <= last[span, None]
        np.copyto(window, values, where=nearer)
        np.copyto(ids[y0:y1, x0:x1], np.int32(big + 1), where=nearer)

    small = np.flatnonzero((area < _BIG)[owner] & (first <= last))
    span_of, column = _spread(first[small], last[small])
    span_of = small[span_of]
    values = slope_x[span_of] * column + constant[span_of]
    _resolve(inverse, ids, row[span_of] * width + column, values, owner[span_of] + 1)


def _draw_ellipsoids(surfaces: Surfaces, inverse: Float, ids: NDArray[np.int32]) -> None:
    width = inverse.shape[1]
    count = len(surfaces.face)
    owner, row = _spread(surfaces.rows[count:, 0], surfaces.rows[count:, 1])
    conic = surfaces.conic
    # In a pixel row the conic is a x^2 + 2 b x + c with a < 0.
    a = conic[:, 0, 0][owner]
    b = conic[:, 0, 1][owner] * row + conic[:, 0, 2][owner]
    c = (conic[:, 1, 1][owner] * row + 2.0 * conic[:, 1, 2][owner]) * row + conic[:, 2, 2][owner]
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    first = np.ceil(np.clip((-b + root) / a, 0, width)).astype(np.int64)
    last = np.floor(np.clip((-b - root) / a, -1, width - 1)).astype(np.int64)
    span, column = _spread(first, last)
    shape = owner[span]
    inside = np.maximum((a[span] * column + 2.0 * b[span]) * column + c[span], 0.0)
    linear = surfaces.linear
    base = (linear[owner, 1] * row + linear[owner, 2])[span] + linear[shape, 0] * column
    values = (base + np.sqrt(inside)) / surfaces.constant[shape]
    _resolve(inverse, ids, row[span] * width + column, values, shape + 1 + count)


def _resolve(
    inverse: Float, ids: NDArray[np.int32], pixel: Index, values: Float, surface: Index
) -> None:
    """Writes the fragments that are nearest at their pixels."""
    depth, name = inverse.reshape(-1), ids.reshape(-1)
    nearer = np.flatnonzero(values > depth[pixel])
    pixel, values, surface = pixel[nearer], values[nearer], surface[nearer]
    np.maximum.at(depth, pixel, values)
    winner = np.flatnonzero(depth[pixel] == values)
    name[pixel[winner]] = surface[winner]
