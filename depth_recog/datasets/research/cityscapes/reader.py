# SPDX-License-Identifier: Apache-2.0
"""Cityscapes: snippets of 30 frames, left camera."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.image_files import (
    existing_folder,
    fit_camera,
    image_size,
    read_depth,
    read_ids,
    read_rgb,
)
from depth_recog.datasets.options import split_options
from depth_recog.datasets.research.cityscapes.files import (
    LAYOUT,
    CityscapesImage,
    find_images,
    one_snippet,
    side_folders,
)
from depth_recog.datasets.research.cityscapes.metadata import (
    dead_reckoning,
    read_calibration,
    read_motion,
)
from depth_recog.datasets.sequence import Frame, Truth
from depth_recog.datasets.side_files import check_rising, read_stamps
from depth_recog.errors import CalibrationError, SourceError

_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label id of each train id, by train id."""

_ANNOTATED = 19  # the annotated frame is the twentieth of its snippet


class Cityscapes:
    """One snippet of Cityscapes. Layout-tested.

    Layout-tested: read from files that the tests write in this layout; the data set itself was not
    at hand. Layout, with aachen_000000_000000 (city, sequence, frame) for every frame::

        leftImg8bit_sequence/train/aachen/aachen_000000_000000_leftImg8bit.png (or leftImg8bit/)
        camera/train/aachen/aachen_000000_000019_camera.json            one a snippet will do
        timestamp_sequence/train/aachen/..._timestamp.txt               nanoseconds; if there
        vehicle_sequence/train/aachen/..._vehicle.json                  poses, if there
        disparity_sequence/train/aachen/..._disparity.png               depth, if there
        gtFine/train/aachen/..._gtFine_labelIds.png                     labels, if there

    The path is the root with `?city=aachen&snippet=000000`, or the folder of a city's images, with
    `?snippet=000000` where it holds several; the other files may also lie beside the images. Where
    a sequence has several snippets, as in hamburg, name one by its first frame too:
    `?snippet=000000_000023`. More than a second between frames begins a new snippet. Without
    timestamps the rate is 17 Hz.

    Truth: depth by stereo, baseline * fx / d with d = (p - 1) / 256, unknown where p is 0 or d is
    0; `d` is in pixels of the full size, 2048x1024, whatever size the images have here. Labels
    of the annotated frame, the twentieth. Poses from the vehicle's speed and yaw rate, on a plane:
    the world is the camera at the snippet's first image, and an error grows with the way.

    The vehicle's bonnet is in view at the bottom of every image, and the border shows traces of the
    rectification; gtFine leaves both unlabelled, other frames have no mask of them.
    """

    kind = "cityscapes"
    rate_hz = 17.0
    live = False

    def __init__(self, path: str | Path) -> None:
        """Lists the snippet's images and reads calibration and timestamps.

        Args:
            path: the root or a city's folder, perhaps with `?city=` and `?snippet=`.

        Raises:
            SourceError: the folder or its images are missing, the snippet is not told, or a
                timestamp is missing or damaged.
            CalibrationError: there is no camera.json, or it is damaged.
        """
        place, options = split_options(path, ("city", "snippet"))
        folder = existing_folder(place, LAYOUT)
        images = find_images(folder, options.get("city"))
        self._images = one_snippet(images, options.get("snippet"), folder)
        self.name = self._images[0].stem
        self._stamps = _stamps(self._images, self.rate_hz)
        self._calibration_file = _calibration_file(self._images[0])
        self._calibration = read_calibration(self._calibration_file)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order. Raises SourceError or CalibrationError as `__getitem__`."""
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Frame:
        """Frame `index`.

        Raises:
            IndexError: beyond the end.
            SourceError: the image is missing or damaged.
            CalibrationError: the image has another aspect ratio than 2048x1024.
        """
        file = self._images[index].file
        image = read_rgb(file)
        height, width = image.shape[:2]
        camera = fit_camera(self._calibration.camera, width, height, self._calibration_file, file)
        return Frame(self._images[index].stem, self._stamps[index], image, camera)

    def truth(self, index: int) -> Truth:
        """Depth, labels and pose of frame `index`, each None where there is no file for it.

        Raises:
            IndexError: beyond the end.
            SourceError: a disparity or label image or a vehicle.json is damaged.
        """
        image = self._images[index]
        disparity = image.side_file(("disparity_sequence", "disparity"), "disparity.png")
        ids = image.side_file(("gtFine",), "gtFine_labelIds.png")
        return Truth(
            depth=self._depth(disparity) if disparity else None,
            world_from_camera=self._poses[index] if self._poses else None,
            labels=self._labels(ids) if ids else None,
        )

    def file(self, index: int) -> Path | None:
        """The image's file. Raises IndexError beyond the end."""
        return self._images[index].file

    @cached_property
    def _size(self) -> tuple[int, int]:
        """(width, height) of the images: all of a snippet have one."""
        return image_size(self._images[0].file)

    @cached_property
    def _poses(self) -> list[NDArray[np.float64]] | None:
        """World from camera of every image; None unless every image has its vehicle.json."""
        packages = ("vehicle_sequence", "vehicle")
        files = [image.side_file(packages, "vehicle.json") for image in self._images]
        motions = [read_motion(file) for file in files if file is not None]
        if len(motions) < len(files):
            return None
        vehicle_from_camera = self._calibration.T_vehicle_from_camera
        camera_from_vehicle = np.linalg.inv(vehicle_from_camera)
        seconds = [stamp * 1e-9 for stamp in self._stamps]
        return [
            np.asarray(camera_from_vehicle @ pose @ vehicle_from_camera, dtype=np.float64)
            for pose in dead_reckoning(motions, seconds)
        ]

    def _depth(self, file: Path) -> NDArray[np.float32]:
        """(H, W), metres, NaN unknown. Raises SourceError."""
        disparity = read_depth(file, 256.0, self._size) - np.float32(1 / 256)
        disparity[disparity <= 0] = np.nan
        scale = self._calibration.baseline * self._calibration.camera.fx
        return np.asarray(np.float32(scale) / disparity)

    def _labels(self, file: Path) -> NDArray[np.uint8]:
        """(H, W), train ids. Raises SourceError."""
        train_ids = np.full(256, 255, np.uint8)
        train_ids[list(_LABEL_IDS)] = np.arange(len(_LABEL_IDS))
        return np.asarray(train_ids[read_ids(file, self._size, "labels")])


def _stamps(images: list[CityscapesImage], rate_hz: float) -> list[int]:
    """Nanoseconds of each image, strictly rising. Raises SourceError."""
    packages = ("timestamp_sequence", "timestamp")
    files = [image.side_file(packages, "timestamp.txt") for image in images]
    there = [file for file in files if file is not None]
    if not there:
        return [round(image.number * 1e9 / rate_hz) for image in images]
    if len(there) < len(files):
        missing = images[files.index(None)].stem
        raise SourceError(
            f"{there[0].parent} has no {missing}_timestamp.txt, but others: unpack "
            "timestamp_sequence again, or delete the folder to do without"
        )
    stamps = []
    for file in there:
        read = read_stamps(file)
        if len(read) != 1:
            raise SourceError(f"{file} holds {len(read)} stamps, not one: unpack it again")
        stamps.append(read[0])
    check_rising(stamps, there[0].parent)
    return stamps


def _calibration_file(first: CityscapesImage) -> Path:
    """The camera.json of the sequence that is nearest to the snippet. Raises CalibrationError."""
    pattern = f"{first.city}_{first.sequence}_*_camera.json"
    folders = side_folders(first.file.parent, ("camera",))
    files = {
        abs(int(digits) - first.number - _ANNOTATED): file
        for folder in folders
        for file in sorted(folder.glob(pattern))
        if (digits := file.name.split("_")[-2]).isdecimal()
    }
    if not files:
        raise CalibrationError(
            f"{folders[0]} has no {pattern}: unpack camera_trainvaltest.zip beside the images"
        )
    return files[min(files)]
