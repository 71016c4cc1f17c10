# SPDX-License-Identifier: Apache-2.0
"""KITTI raw's tracklet_labels.xml: annotated 3D boxes of objects.

The fields are defined in the devkit's Tracklets.h. A pose is the centre of the box's bottom face in
the LiDAR frame (x forward, y left, z up), in metres and radians, with rx = ry = 0. `truncation` is
0 in the image, 1 truncated, 2 outside of the image, 3 behind the camera, 99 unset. `state` (0
unset, 1 interpolated, 2 labelled) and `occlusion` (0 visible, 1 partly, 2 fully, -1 unset) are
ignored, as interpolated and occluded boxes are valid too.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.boxes import Box
from depth_recog.errors import SourceError
from depth_recog.files import read_text
from depth_recog.limits import DEPTH, LINES, OBJECTS
from depth_recog.method.geometry.camera import Camera
from depth_recog.texts import shown

KINDS = {
    "Car": "car",
    "Van": "car",
    "Truck": "truck",
    "Pedestrian": "person",
    "Person (sitting)": "person",
    # The box encloses rider and bicycle. KITTI has no boxes for bicycles without a rider.
    "Cyclist": "rider",
    "Tram": "train",
    # Trailers, animals and the like: objects without a Cityscapes class.
    "Misc": "misc",
}

_TRUNCATED, _OUT_OF_IMAGE, _BEHIND = 1, 2, 3
_FARTHEST = 1e6
_HALF_WINDOW = 5
_LEAST_SECONDS = 0.3

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Tracklet:
    """One object in all frames in which it was annotated.

    Attributes:
        name: its number in the file.
        kind: see `KINDS`.
        size: (length, width, height) in metres.
        first_frame: number of the frame of the first pose.
        poses: (N, 4) float64: x, y, z of the bottom face's centre in metres, yaw in radians.
        truncation: (N,) int, as in the file.
    """

    name: str
    kind: str
    size: tuple[float, float, float]
    first_frame: int
    poses: Float
    truncation: NDArray[np.int64]

    def velo_from_box(self, frame: int) -> Float | None:
        """T_velo_from_box, (4, 4) float64, metres; None without a pose in this frame."""
        if not 0 <= frame - self.first_frame < len(self.poses):
            return None
        x, y, z, yaw = self.poses[frame - self.first_frame]
        transform = np.eye(4)
        transform[:2, :2] = (np.cos(yaw), -np.sin(yaw)), (np.sin(yaw), np.cos(yaw))
        transform[:3, 3] = x, y, z + self.size[2] / 2
        return transform


class _Builder(ET.TreeBuilder):
    """Builds a tree of limited depth and size: a deep one takes minutes to take apart."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._count = 0

    def start(self, tag: str, attrs: dict[str, str]) -> ET.Element:
        self._depth, self._count = self._depth + 1, self._count + 1
        if self._depth > DEPTH or self._count > LINES:
            raise ValueError(f"it is nested more than {DEPTH} levels deep, or too large")
        return super().start(tag, attrs)

    def end(self, tag: str) -> ET.Element:
        self._depth -= 1
        return super().end(tag)


def read_tracklets(path: Path) -> tuple[Tracklet, ...]:
    """Reads all tracklets of a file.

    Raises:
        SourceError: the file cannot be read or is damaged.
    """
    try:
        text = read_text(path)
        # KITTI's files declare no entities; they could be used to exhaust memory.
        if "<!ENTITY" in text:
            raise ValueError("it declares entities")
        parser = ET.XMLParser(target=_Builder())
        parser.feed(text)
        root = parser.close().find("tracklets")
        if root is None:
            raise ValueError("it has no tracklets")
        items = root.findall("item")
        if len(items) > OBJECTS:
            raise ValueError(f"it has {len(items)} tracklets, more than {OBJECTS}")
        if int(_text(root, "count")) != len(items):
            raise ValueError(f"it counts {_text(root, 'count')} tracklets and has {len(items)}")
        return tuple(_tracklet(f"{number}", item) for number, item in enumerate(items))
    except (OSError, ValueError, ET.ParseError) as error:
        raise SourceError(
            f"{path} cannot be read as KITTI tracklets ({error}): unpack it again from the drive's "
            "tracklets download, or delete it"
        ) from error


class TrackletBoxes:
    """Boxes of a drive's frames, from its tracklets.

    Args:
        tracklets: all tracklets of the drive.
        camera_from_velo: (4, 4), rectified camera from LiDAR, metres.
        poses: by frame number, world from camera, (4, 4), metres, z up; None if unknown.
        seconds: by frame number, the time.
    """

    def __init__(
        self,
        tracklets: tuple[Tracklet, ...],
        camera_from_velo: Float,
        poses: Mapping[int, Float | None],
        seconds: Mapping[int, float],
    ) -> None:
        self._tracklets, self._camera_from_velo = tracklets, camera_from_velo
        self._paths = [self._path(tracklet, poses, seconds) for tracklet in tracklets]

    def at(self, frame: int, camera: Camera) -> tuple[Box, ...]:
        """The boxes within the image of the frame of this number, occluded ones included."""
        boxes = []
        for tracklet, path in zip(self._tracklets, self._paths, strict=True):
            transform = tracklet.velo_from_box(frame)
            if transform is None:
                continue
            truncation = tracklet.truncation[frame - tracklet.first_frame]
            box = Box(
                track=tracklet.name,
                kind=tracklet.kind,
                T_camera_from_box=self._camera_from_velo @ transform,
                size=tracklet.size,
                speed=_speed(path, frame),
                truncated=bool(truncation == _TRUNCATED),
            ).seen_by(camera)
            if box is not None and truncation not in (_OUT_OF_IMAGE, _BEHIND):
                boxes.append(box)
        return tuple(boxes)

    def _path(
        self, tracklet: Tracklet, poses: Mapping[int, Float | None], seconds: Mapping[int, float]
    ) -> Float:
        """(N, 4): frame number, seconds, horizontal position in metres, by frame number."""
        rows = []
        for frame, pose in poses.items():
            transform = tracklet.velo_from_box(frame)
            if transform is not None and pose is not None:
                place = (pose @ self._camera_from_velo @ transform)[:2, 3]
                rows.append((frame, seconds[frame], *place))
        return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _speed(path: Float, frame: int) -> float:
    """Horizontal speed over the ten frames around `frame`, less at the ends, metres per second.

    The altitude of OXTS records jumps by centimetres to decimetres between frames.
    """
    window = path[np.abs(path[:, 0] - frame) <= _HALF_WINDOW]
    if len(window) == 0 or window[-1, 1] - window[0, 1] < _LEAST_SECONDS:
        return float("nan")
    way = window[-1, 1:] - window[0, 1:]
    return float(np.hypot(way[1], way[2]) / way[0])


def _tracklet(name: str, item: ET.Element) -> Tracklet:
    kind = _text(item, "objectType")
    if kind not in KINDS:
        raise ValueError(f"objectType {shown(kind)} is none of {', '.join(KINDS)}")
    length, width, height = (float(_text(item, field)) for field in ("l", "w", "h"))
    rows = [
        [float(_text(pose, field)) for field in ("tx", "ty", "tz", "rz", "truncation")]
        for pose in item.findall("poses/item")
    ]
    numbers = np.array(rows, dtype=np.float64).reshape(-1, 5)
    if int(_text(item, "poses/count")) != len(rows):
        raise ValueError(f"tracklet {name} counts other poses than it has")
    sizes = length, width, height
    if not (np.abs(numbers) < _FARTHEST).all() or not all(0 < s < _FARTHEST for s in sizes):
        raise ValueError(f"tracklet {name} has a size or a pose that cannot be")
    return Tracklet(
        name=name,
        kind=KINDS[kind],
        size=(length, width, height),
        first_frame=int(_text(item, "first_frame")),
        poses=numbers[:, :4],
        truncation=numbers[:, 4].astype(np.int64),
    )


def _text(element: ET.Element, field: str) -> str:
    text = element.findtext(field)
    if text is None:
        raise ValueError(f"<{element.tag}> has no <{field}>")
    return text.strip()
