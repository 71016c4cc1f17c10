# SPDX-License-Identifier: Apache-2.0
"""The surfaces around the camera at one time, in the camera's frame."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.street import ground
from depth_recog.datasets.street.actors import Traffic
from depth_recog.datasets.street.layout import Block, Shadow, block_of
from depth_recog.datasets.street.mesh import Float, Mesh, joined
from depth_recog.datasets.street.objects import StreetObject
from depth_recog.datasets.street.parked import parked_cars
from depth_recog.datasets.street.path import Drive
from depth_recog.datasets.street.scene import Scene

REACH = 200.0
"""Distance up to which there is content other than ground, metres."""

AHEAD = math.ceil(REACH / ground.BLOCK)
"""Blocks in sight ahead of the camera's block."""


@dataclass(frozen=True)
class StreetView:
    """The surroundings of the camera at one time.

    Attributes:
        time: seconds.
        world_from_camera: (4, 4), metres.
        mesh: all surfaces in the camera's frame.
        part: (1 + F + E,), by surface (0 the ground, then polygons, then ellipsoids): index into
            `motions` and `moving`.
        motions: (P, 4, 4), motion of each rigid part to the next frame in the world:
            p(next) = motion p(now). Part 0 is static.
        moving: (P,), whether the part belongs to an object with a speed above zero.
        objects: cars and people.
        object_ids: by surface: 0, or 1 + the index in `objects` of its object.
        shadows: shadows on the ground.
    """

    time: float
    world_from_camera: Float
    mesh: Mesh
    part: NDArray[np.int64]
    motions: Float
    moving: NDArray[np.bool_]
    objects: tuple[StreetObject, ...]
    object_ids: NDArray[np.int64]
    shadows: tuple[Shadow, ...]

    @property
    def plane(self) -> Float:
        """The ground plane, (3,), 1/metres: plane . point = 1 in the camera's frame."""
        # The ground is y = 0 in the world: R[1] . p + t[1] = 0 for p in the camera's frame.
        down: Float = -self.world_from_camera[1, :3] / self.world_from_camera[1, 3]
        return down


class Surroundings:
    """Generates the views of one street.

    Args:
        scene: the content of the scene.
        seed: seed of the recording.
        drive: the camera's motion.
    """

    def __init__(self, scene: Scene, seed: int, drive: Drive) -> None:
        """Creates no content yet."""
        self._scene, self._seed, self._drive = scene, seed, drive
        self._traffic = Traffic(scene, seed, drive, REACH)
        self._blocks: OrderedDict[int, Block] = OrderedDict()

    def view(self, time: float, then: float) -> StreetView:
        """The view at `time`, with the motions until `then`, seconds."""
        pose = self._drive.world_from_camera(time)
        inverse = np.asarray(np.linalg.inv(pose), dtype=np.float64)
        middle = math.floor(pose[2, 3] / ground.BLOCK)
        blocks = [self._block(b) for b in range(middle, middle + AHEAD + 1)]
        actors = self._traffic.cast(time, then, inverse)
        parts = [part for actor in actors for part in actor.parts]
        owner = np.repeat(np.arange(len(actors)), [len(actor.parts) for actor in actors])
        meshes = [joined([b.mesh for b in blocks]).moved(inverse)]
        meshes += [part.mesh.moved(inverse @ part.now) for part in parts]
        number = np.arange(len(meshes))
        faces = np.repeat(number, [len(m.corners) for m in meshes])
        rounds = np.repeat(number, [len(m.centre) for m in meshes])
        part = np.concatenate(([0], faces, rounds))
        objects = [item for b in blocks for item in b.objects]
        # Object ids by part; then those of the parked cars, whose surfaces belong to part 0.
        object_ids = np.concatenate(([0], owner + len(objects) + 1))[part]
        offset = 0
        start = 1
        for b in blocks:
            here = object_ids[start : start + len(b.object_ids)]
            here[:] = np.where(b.object_ids > 0, b.object_ids + offset, 0)
            offset, start = offset + len(b.objects), start + len(b.object_ids)
        motions = [np.eye(4)] + [p.then @ np.linalg.inv(p.now) for p in parts]
        moving = np.array([actor.moving for actor in actors], dtype=np.bool_)
        return StreetView(
            time=time,
            world_from_camera=pose,
            mesh=joined(meshes),
            part=part,
            motions=np.stack(motions),
            moving=np.concatenate(([False], moving[owner])),
            objects=(*objects, *(actor.street_object for actor in actors)),
            object_ids=object_ids,
            shadows=(*(s for b in blocks for s in b.shadows), *(a.shadow for a in actors)),
        )

    def _block(self, number: int) -> Block:
        block = self._blocks.get(number)
        if block is None:
            bend, parked = self._drive.bend, []
            if self._scene.parked:
                free = self._traffic.reserved(number)
                parked = parked_cars(self._seed, bend, number, free, self._scene.vans)
            block = block_of(self._seed, bend, number, parked)
            self._blocks[number] = block
            if len(self._blocks) > AHEAD + 4:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return block
