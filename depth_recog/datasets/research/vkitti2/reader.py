# SPDX-License-Identifier: Apache-2.0
"""Virtual KITTI 2: rendered drives with exact depth, flow, labels, poses and boxes."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.image_files import (
    camera_of_matrix,
    existing_folder,
    list_images,
    read_depth,
    read_ids,
)
from depth_recog.datasets.options import split_options
from depth_recog.datasets.reader import ImageReader
from depth_recog.datasets.research.vkitti2.images import read_flow, read_labels
from depth_recog.datasets.research.vkitti2.tables import (
    REMEDY,
    read_colours,
    read_extrinsics,
    read_intrinsics,
)
from depth_recog.datasets.research.vkitti2.vehicles import VehicleBoxes, read_motion
from depth_recog.datasets.sequence import Truth
from depth_recog.datasets.side_files import check_rising, frame_number
from depth_recog.errors import CalibrationError, SourceError
from depth_recog.method.geometry.camera import Camera

LAYOUT = "a variation of Virtual KITTI 2 such as Scene01/clone"


class VKitti2(ImageReader):
    """One variation of one scene of Virtual KITTI 2, one camera. Layout-tested.

    Layout-tested: tested with generated files in this layout, not with the data set. Layout::

        Scene01/clone/
          frames/rgb/Camera_0/rgb_00000.jpg
          frames/depth/Camera_0/depth_00000.png     uint16, centimetres along the optical axis;
                                                    65535 is the sky
          frames/classSegmentation/Camera_0/classgt_00000.png       colours of colors.txt
          frames/instanceSegmentation/Camera_0/instancegt_00000.png indexed, trackID + 1; 0 none
          frames/forwardFlow/Camera_0/flow_00000.png                uint16, see `read_flow`
          intrinsic.txt   K of each frame; required
          extrinsic.txt   T_camera_from_world of each frame; x right, y down, z forward, metres
          colors.txt      the categories' colours
          bbox.txt        isMoving and truncation_ratio of each vehicle
          pose.txt        size and place of each vehicle
          info.txt        Car, Van or Truck

    The downloads may be unpacked into one tree or into separate folders named `vkitti_2...` beside
    each other (vkitti_2.0.3_rgb, vkitti_2.0.3_textgt and so on). The path is the variation, with
    `?camera=1` for the right camera, or its frames/rgb/Camera_1. Principal points are relative to
    pixel centres: (620.5, 187) is the centre of 1242x375. Stamps are the frame number at 10 Hz.

    Truth: depth, pose, labels, moving, flow and boxes, each None without its files. The labels have
    no sidewalk. A vehicle moves if bbox.txt says that it moves between this frame and the next.
    Flow is None if the next image is missing.
    """

    kind = "vkitti2"
    rate_hz = 10.0

    def __init__(self, path: str | Path) -> None:
        """Lists the images and reads the intrinsics.

        Raises:
            SourceError: the folder or its images are missing.
            CalibrationError: intrinsic.txt is missing or damaged.
        """
        place, options = split_options(path, ("camera",))
        folder = existing_folder(place, LAYOUT)
        camera = options.get("camera", "0")
        if re.fullmatch(r"Camera_\d", folder.name) and folder.parent.name == "rgb":
            camera = options.get("camera", folder.name[-1])
            folder = folder.parent.parent.parent
        if camera not in ("0", "1"):
            raise SourceError(f"{path}: camera must be 0 (left) or 1 (right), not {camera!r}")
        self._camera = int(camera)
        self._roots = [folder, *_neighbours(folder)]
        self.name = f"{folder.parent.name}-{folder.name}-{camera}"
        images = self._find(f"frames/rgb/Camera_{camera}")
        self._files = [f for f in list_images(images) if f.name.startswith("rgb_")]
        if not self._files:
            raise SourceError(f"{images} holds no rgb_*.jpg: unpack vkitti_2.0.3_rgb again")
        self._numbers = [frame_number(file, i) for i, file in enumerate(self._files)]
        self._stamps = [round(number * 1e9 / self.rate_hz) for number in self._numbers]
        check_rising(self._stamps, images)
        self._intrinsic_file = self._side("intrinsic.txt")
        try:
            self._intrinsics = read_intrinsics(self._intrinsic_file, self._camera)
        except SourceError as error:
            raise CalibrationError(str(error)) from error

    def _camera_at(self, index: int, width: int, height: int) -> Camera:
        number = self._numbers[index]
        if number not in self._intrinsics:
            raise CalibrationError(
                f"{self._intrinsic_file} has no line for frame {number}, camera {self._camera}: "
                f"{REMEDY}"
            )
        fx, fy, cx, cy = self._intrinsics[number]
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        return camera_of_matrix(matrix, width, height, self._intrinsic_file)

    def _truth(self, index: int) -> Truth:
        number = self._numbers[index]
        depth = self._image("depth", "depth", number)
        classes = self._image("classSegmentation", "classgt", number)
        instances = self._image("instanceSegmentation", "instancegt", number)
        flow = self._image("forwardFlow", "flow", number)
        followed = self._numbers[index + 1 : index + 2] == [number + 1]
        tracks, camera_from_world = self._tracks, self._pose(number)
        pose = boxes = None
        if camera_from_world is not None:
            pose = np.asarray(np.linalg.inv(camera_from_world), dtype=np.float64)
            boxes = tracks.at(number, camera_from_world) if tracks else None
        return Truth(
            depth=read_depth(depth, 100.0, self._size, beyond=65535) if depth else None,
            labels=read_labels(classes, self._colours, self._size)
            if classes and self._colours is not None
            else None,
            moving=self._moving(instances, number) if instances else None,
            flow=read_flow(flow, self._size) if flow and followed else None,
            world_from_camera=pose,
            boxes=boxes,
        )

    def _find(self, name: str) -> Path:
        """The folder `name` in the first root that has it. Raises SourceError."""
        for root in self._roots:
            if (root / name).is_dir():
                return root / name
        below = self._roots[0]
        variations = sorted(sub.name for sub in below.iterdir() if (sub / name).is_dir())
        if variations:
            raise SourceError(f"{below} holds variations: give one of {', '.join(variations)}")
        raise SourceError(f"{below} has no {name}: give {LAYOUT}")

    def _side(self, name: str) -> Path:
        """The file `name`; its expected path if it does not exist."""
        found = [root / name for root in self._roots if (root / name).is_file()]
        return found[0] if found else self._roots[0] / name

    def _image(self, folder: str, stem: str, number: int) -> Path | None:
        """The ground truth image of a frame, if it exists."""
        name = f"frames/{folder}/Camera_{self._camera}/{stem}_{number:05d}.png"
        file = self._side(name)
        return file if file.is_file() else None

    @cached_property
    def _extrinsics(self) -> dict[int, NDArray[np.float64]] | None:
        file = self._side("extrinsic.txt")
        return read_extrinsics(file, self._camera) if file.is_file() else None

    @cached_property
    def _motion(self) -> dict[int, dict[int, tuple[bool, bool]]] | None:
        file = self._side("bbox.txt")
        return read_motion(file, self._camera) if file.is_file() else None

    @cached_property
    def _tracks(self) -> VehicleBoxes | None:
        pose, info = self._side("pose.txt"), self._side("info.txt")
        if self._motion is None or not (pose.is_file() and info.is_file()):
            return None
        return VehicleBoxes(pose, info, self._motion, self._camera)

    @cached_property
    def _colours(self) -> dict[str, tuple[int, int, int]] | None:
        file = self._side("colors.txt")
        return read_colours(file) if file.is_file() else None

    def _pose(self, number: int) -> NDArray[np.float64] | None:
        """T_camera_from_world (4, 4). Raises SourceError."""
        if self._extrinsics is None:
            return None
        if number not in self._extrinsics:
            raise SourceError(
                f"{self._side('extrinsic.txt')} has no line for frame {number}, camera "
                f"{self._camera}: {REMEDY}"
            )
        return self._extrinsics[number]

    def _moving(self, file: Path, number: int) -> NDArray[np.bool_] | None:
        """(H, W) bool, pixels of moving vehicles. Raises SourceError."""
        if self._motion is None:
            return None
        tracks = read_ids(file, self._size, "instances").astype(np.int64) - 1
        moving = [track for track, (moves, _) in self._motion.get(number, {}).items() if moves]
        return np.asarray(np.isin(tracks, moving))


def _neighbours(variation: Path) -> list[Path]:
    """The same variation in the other downloads, if they are in separate folders."""
    root, inner = variation.parent.parent, Path(variation.parent.name) / variation.name
    if not root.name.startswith("vkitti_2"):
        return []
    return sorted(o / inner for o in root.parent.glob("vkitti_2*") if o != root)
