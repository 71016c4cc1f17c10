# SPDX-License-Identifier: Apache-2.0
"""The camera of each image of a bag, from camera_info or from a YAML file."""

from __future__ import annotations

import logging
from bisect import bisect_right
from dataclasses import replace
from pathlib import Path

from depth_recog.datasets.assumed import AssumedLens, SourceCamera, source_camera
from depth_recog.datasets.bags import messages
from depth_recog.datasets.bags.bag import Bag
from depth_recog.datasets.bags.images import ImageIndex
from depth_recog.datasets.bags.messages import MessageDecoder
from depth_recog.datasets.bags.storage import DamagedError, Entry
from depth_recog.datasets.bags.topics import CameraTopics, beside_image, is_rectified
from depth_recog.datasets.camera_yaml import EXAMPLE, read_camera_yaml
from depth_recog.datasets.image_files import fit_camera
from depth_recog.errors import CalibrationError, UncalibratedError
from depth_recog.files import user_path
from depth_recog.interfaces.camera_info import from_message
from depth_recog.method.geometry.camera import Camera

_HEADER_BYTES = 12


class BagCameras:
    """The cameras of a topic's images.

    An image's CameraInfo is the latest whole one that is not later than the image; images before
    the first CameraInfo take the first.
    """

    def __init__(
        self,
        bag: Bag,
        topics: CameraTopics,
        images: ImageIndex,
        given: str | None,
        assumed: AssumedLens | None = None,
    ) -> None:
        """Finds the CameraInfo messages or the YAML; one that is `given` overrides the messages.

        Raises:
            CalibrationError: there is neither a CameraInfo nor a YAML, nor is anything assumed, or
                the YAML is damaged.
        """
        self._bag = bag
        self._images = images
        self._fixed: SourceCamera | None = None
        self._last: tuple[bytes, Camera] | None = None
        self._topic = topics.image
        self._rectified = is_rectified(bag, topics.image)
        self.place = Path(topics.camera_info or "")
        found = bag.index(topics.camera_info) if topics.camera_info and not given else []
        if not found:

            def read() -> tuple[Path, Camera]:
                file = user_path(given) if given else _beside(bag, topics)
                return file, read_camera_yaml(file)

            self._fixed = source_camera(read, assumed, bag.path)
            return
        assert topics.camera_info is not None
        self._decoder = MessageDecoder(bag.topics[topics.camera_info])
        self._stamps, self._entries, self._by_header = _stamped(bag, found, images.by_header)

        def first() -> tuple[Path, Camera]:
            return self.place, self._calibrated(0)

        # Reports an uncalibrated camera before the first frame is read.
        if source_camera(first, assumed, bag.path).calibrated is None:
            self._fixed = SourceCamera(bag.path, None, assumed)
        if bag.assumed:
            logging.getLogger(__name__).warning(
                "%s was recorded without a calibration: %s was assumed, metres are a guess",
                bag.path,
                bag.assumed,
            )

    def at(self, index: int, width: int, height: int) -> Camera:
        """The camera of image `index` at its size. Raises CalibrationError."""
        image = Path(f"image {index} of {self._topic}")
        if self._fixed is not None:
            return self._fixed.at(width, height, image)
        camera = fit_camera(self._calibrated(index), width, height, self.place, image)
        return replace(camera, assumed=True) if self._bag.assumed else camera

    def _calibrated(self, index: int) -> Camera:
        """The camera by the CameraInfo of image `index`. Raises CalibrationError."""
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
            kind = UncalibratedError if isinstance(error, UncalibratedError) else CalibrationError
            raise kind(
                f"{self._bag.path}, {self.place}: {error}; or give the calibration as "
                f"rosbag:{self._bag.path}?camera=camera.yaml"
            ) from error
        return self._last[1]

    def _read(self, number: int) -> bytes | memoryview:
        """CameraInfo `number`; if it is damaged, the last one before it that is not, or the next.

        Raises DamagedError if all are damaged.
        """
        first: DamagedError | None = None
        count = len(self._entries)
        for at in (*range(min(number, count - 1), -1, -1), *range(number + 1, count)):
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
    raise UncalibratedError(
        f"{bag.path} has no {topics.camera_info or wanted} for {topics.image}: choose another with "
        "?camera_info=/topic, give a ROS camera_info YAML as "
        f"rosbag:{bag.path}?camera=camera.yaml, or write {places[0]}: {EXAMPLE}"
    )
