# SPDX-License-Identifier: Apache-2.0
"""The camera of each image of a bag, from camera_info or from a YAML file."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

from depth_recog.datasets.bags import messages
from depth_recog.datasets.bags.bag import Bag
from depth_recog.datasets.bags.images import ImageIndex
from depth_recog.datasets.bags.messages import MessageDecoder
from depth_recog.datasets.bags.storage import DamagedError, Entry
from depth_recog.datasets.bags.topics import CameraTopics, beside_image, is_rectified
from depth_recog.datasets.camera_yaml import EXAMPLE, read_camera_yaml
from depth_recog.errors import CalibrationError
from depth_recog.interfaces.camera_info import from_message
from depth_recog.method.geometry.camera import Camera

_HEADER_BYTES = 12


class BagCameras:
    """The cameras of a topic's images.

    An image's CameraInfo is the latest whole one that is not later than the image; images before
    the first CameraInfo take the first.
    """

    def __init__(
        self, bag: Bag, topics: CameraTopics, images: ImageIndex, given: str | None
    ) -> None:
        """Finds the CameraInfo messages or the YAML; one that is `given` overrides the messages.

        Raises:
            CalibrationError: there is neither a CameraInfo nor a YAML, or the YAML is damaged.
        """
        self._bag = bag
        self._images = images
        self._fixed: Camera | None = None
        self._last: tuple[bytes, Camera] | None = None
        self._rectified = is_rectified(bag, topics.image)
        self.place = Path(topics.camera_info or "")
        found = bag.index(topics.camera_info) if topics.camera_info and not given else []
        if not found:
            self.place = Path(given).expanduser() if given else _beside(bag, topics)
            self._fixed = read_camera_yaml(self.place)
            return
        assert topics.camera_info is not None
        self._decoder = MessageDecoder(bag.topics[topics.camera_info])
        self._stamps, self._entries, self._by_header = _stamped(bag, found, images.by_header)

    def __getitem__(self, index: int) -> Camera:
        """The camera of image `index`. Raises CalibrationError."""
        if self._fixed is not None:
            return self._fixed
        stamp = self._images.entries[index].time_ns
        if self._by_header:
            stamp = self._images.keys[index]
        try:
            data = self._read(max(0, bisect_right(self._stamps, stamp) - 1))
            content = bytes(data[_HEADER_BYTES:])
            if self._last is None or self._last[0] != content:
                calibration = from_message(self._decoder(data), self._rectified)
                self._last = content, calibration.camera
        except (DamagedError, CalibrationError) as error:
            raise CalibrationError(
                f"{self._bag.path}, {self.place}: {error}; or give the calibration as "
                f"rosbag:{self._bag.path}?camera=camera.yaml"
            ) from error
        return self._last[1]

    def _read(self, number: int) -> bytes | memoryview:
        """CameraInfo `number`; if it is damaged, the last one before it that is not, or the next.

        Raises DamagedError if all are damaged.
        """
        first: DamagedError | None = None
        for at in (*range(number, -1, -1), *range(number + 1, len(self._entries))):
            try:
                return self._bag.read(self._entries[at])
            except DamagedError as error:
                first = first or error
        raise first or DamagedError("there is no CameraInfo that can be read")


def _stamped(
    bag: Bag, entries: list[Entry], by_header: bool
) -> tuple[list[int], list[Entry], bool]:
    """Stamps in order, entries, and whether the stamps are header.stamp or times of receipt."""
    found: list[tuple[int, Entry]] = []
    for entry in entries:
        try:
            stamp = messages.stamp(bag.peek(entry, messages.STAMP_BYTES), messages.CAMERA_INFO)
        except DamagedError:
            continue
        if stamp is not None:
            found.append((stamp, entry))
    # Some drivers send a CameraInfo without a stamp: then the times of receipt are used.
    by_header = by_header and all(stamp for stamp, _ in found)
    if not by_header:
        found = [(entry.time_ns, entry) for _, entry in found]
    found.sort()
    return [stamp for stamp, _ in found], [entry for _, entry in found], by_header


def _beside(bag: Bag, topics: CameraTopics) -> Path:
    """Finds camera.yaml in the bag's folder or beside it. Raises CalibrationError."""
    places = [bag.path.parent / "camera.yaml"]
    if bag.path.is_dir():
        places.insert(0, bag.path / "camera.yaml")
    for place in places:
        if place.is_file():
            return place
    wanted = beside_image(bag, topics.image, "camera_info")
    raise CalibrationError(
        f"{bag.path} has no {topics.camera_info or wanted} for {topics.image}: choose another with "
        "?camera_info=/topic, give a ROS camera_info YAML as "
        f"rosbag:{bag.path}?camera=camera.yaml, or write {places[0]}: {EXAMPLE}"
    )
