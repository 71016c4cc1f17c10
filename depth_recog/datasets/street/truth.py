# SPDX-License-Identifier: Apache-2.0
"""Depth, labels, motion, flow and boxes of a view, exact at pixel centres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Truth
from depth_recog.datasets.street import ground
from depth_recog.datasets.street.mesh import Float
from depth_recog.datasets.street.path import Bend
from depth_recog.datasets.street.raster import GROUND, SKY, project, ray_matrix, visible
from depth_recog.datasets.street.view import StreetView
from depth_recog.method.geometry.camera import Camera

_SKY_LABEL = 10


def truth_of(camera: Camera, view: StreetView, bend: Bend, following: Float | None) -> Truth:
    """Computes the ground truth of a view.

    Args:
        camera: the intrinsics.
        view: surfaces and motions of the frame.
        bend: the street's centre line, for the labels of the ground.
        following: world from camera, (4, 4), at the next frame; None in the last frame.
    """
    surfaces = project(camera, view.mesh, view.plane)
    inverse, ids = visible(camera, surfaces)
    width, height = camera.size
    seen = np.concatenate(
        ([0], surfaces.face + 1, surfaces.round + 1 + len(view.mesh.corners))
    )  # surface id to index of view.part
    part = np.where(ids == SKY, 0, view.part[seen][ids])

    x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    rays = ray_matrix(camera)
    direction = np.stack(
        (x * rays[0, 0] + rays[0, 2], y * rays[1, 1] + rays[1, 2], np.ones_like(x))
    )
    sky = ids == SKY
    with np.errstate(divide="ignore"):
        depth = 1.0 / inverse
    label = np.concatenate(([0], view.mesh.label, view.mesh.round_label))[seen][ids].astype(
        np.uint8
    )
    label[sky] = _SKY_LABEL
    floor = ids == GROUND
    pose = view.world_from_camera
    point = direction[:, floor] * depth[floor]
    across, _, along = pose[:3, :3] @ point + pose[:3, 3:]
    offset, _ = bend.around(0.0, along)
    label[floor] = ground.labels(across - offset - bend(0.0), along)

    inverse_pose = np.asarray(np.linalg.inv(pose), dtype=np.float64)
    found = np.bincount(np.where(sky, 0, view.object_ids[seen][ids]).reshape(-1))
    boxes = (
        view.objects[k - 1].box(camera, inverse_pose, view.time) for k in np.flatnonzero(found) if k
    )
    return Truth(
        depth=depth.astype(np.float32),
        world_from_camera=pose,
        labels=label,
        moving=view.moving[part] & ~sky,
        flow=_flow(camera, view, following, direction, inverse, part),
        boxes=tuple(box for box in boxes if box is not None),
    )


def _flow(
    camera: Camera,
    view: StreetView,
    following: Float | None,
    direction: Float,
    inverse: Float,
    part: NDArray[np.int64],
) -> NDArray[np.float32]:
    """(H, W, 2) float32, pixels, from homogeneous points (direction, 1 / depth)."""
    height, width = part.shape
    flow = np.full((height, width, 2), np.nan, dtype=np.float32)
    if following is None:
        return flow
    to_next = np.linalg.inv(following) @ view.motions @ view.world_from_camera
    homogeneous = np.concatenate((direction, inverse[None])).reshape(4, -1)
    moved = to_next[0, :3] @ homogeneous
    names = part.reshape(-1)
    others = np.flatnonzero(names > 0)
    which = names[others]
    moved[:, others] = np.einsum("nij,jn->in", to_next[which, :3], homogeneous[:, others])
    scale = np.where(moved[2] > 1e-6, moved[2], np.nan)
    for axis, focal in enumerate((camera.fx, camera.fy)):
        # The principal point cancels in the difference of pixels.
        shift = moved[axis] / scale - homogeneous[axis]
        flow[:, :, axis] = (focal * shift).reshape(height, width)
    return flow
