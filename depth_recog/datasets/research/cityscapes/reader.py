# SPDX-License-Identifier: Apache-2.0
"""Cityscapes video snippets of 30 frames, left camera."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.image_files import existing_folder, fit_camera, read_depth, read_ids
from depth_recog.datasets.options import split_options
from depth_recog.datasets.reader import ImageReader
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
from depth_recog.datasets.sequence import Truth
from depth_recog.datasets.side_files import check_rising, read_stamps
from depth_recog.errors import CalibrationError, SourceError
from depth_recog.method.geometry.camera import Camera

_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label id of each train id."""

_ANNOTATED = 19  # the annotated frame is the twentieth of its snippet


class Cityscapes(ImageReader):
    """One snippet of Cityscapes. Layout-tested.

    Layout-tested: tested with generated files in this layout, not with the data set. Layout,
    with aachen_000000_000000 (city, sequence, frame) for every frame::

        leftImg8bit_sequence/train/aachen/aachen_000000_000000_leftImg8bit.png (or leftImg8bit/)
        camera/train/aachen/aachen_000000_000019_camera.json            one a snippet is enough
        timestamp_sequence/train/aachen/..._timestamp.txt               nanoseconds, optional
        vehicle_sequence/train/aachen/..._vehicle.json                  poses, optional
        disparity_sequence/train/aachen/..._disparity.png               depth, optional
        gtFine/train/aachen/..._gtFine_labelIds.png                     labels, optional

    The path is the root with `?city=aachen&snippet=000000`, or the folder of a city's images, with
    `?snippet=000000` if it has several snippets; the other files may also be beside the images. A
    sequence with several snippets, as in hamburg, needs the number of the first frame too:
    `?snippet=000000_000023`. A gap of more than a second begins a new snippet. Without timestamps
    the rate is 17 Hz.

    Truth: depth by stereo, baseline * fx / d with d = (p - 1) / 256, unknown if p is 0 or d is 0;
    `d` is in pixels at the full size 2048x1024, also if the images were resized. Labels of the
    annotated frame, the twentieth. Poses from the vehicle's speed and yaw rate, on a plane; the
    world frame is the camera at the snippet's first image, and errors accumulate.

    The bottom of every image shows the vehicle's bonnet, and the borders show artefacts of the
    rectification; gtFine leaves both unlabelled, other frames have no mask of them.
    """

    kind = "cityscapes"
    rate_hz = 17.0

    def __init__(self, path: str | Path) -> None:
        """Lists the snippet's images and reads calibration and timestamps.

        Raises:
            SourceError: the folder, its images or a timestamp are missing or damaged, or the
                snippet is ambiguous.
            CalibrationError: camera.json is missing or damaged.
        """
        place, options = split_options(path, ("city", "snippet"))
        folder = existing_folder(place, LAYOUT)
        images = find_images(folder, options.get("city"))
        self._images = one_snippet(images, options.get("snippet"), folder)
        self._files = [image.file for image in self._images]
        self.name = self._images[0].stem
        self._stamps = _stamps(self._images, self.rate_hz)
        self._calibration_file = _calibration_file(self._images[0])
        self._calibration = read_calibration(self._calibration_file)

    def _frame_name(self, index: int) -> str:
        return self._images[index].stem

    def _camera_at(self, index: int, width: int, height: int) -> Camera:
        camera = self._calibration.camera
        return fit_camera(camera, width, height, self._calibration_file, self._files[index])

    def _truth(self, index: int) -> Truth:
        image = self._images[index]
        disparity = image.side_file(("disparity_sequence", "disparity"), "disparity.png")
        ids = image.side_file(("gtFine",), "gtFine_labelIds.png")
        return Truth(
            depth=self._depth(disparity) if disparity else None,
            world_from_camera=self._poses[index] if self._poses else None,
            labels=self._labels(ids) if ids else None,
        )

    @cached_property
    def _poses(self) -> list[NDArray[np.float64]] | None:
        """World from camera of every image; None if an image has no vehicle.json."""
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
        """(H, W) float32, metres, NaN unknown. Raises SourceError."""
        disparity = read_depth(file, 256.0, self._size) - np.float32(1 / 256)
        disparity[disparity <= 0] = np.nan
        scale = self._calibration.baseline * self._calibration.camera.fx
        return np.asarray(np.float32(scale) / disparity)

    def _labels(self, file: Path) -> NDArray[np.uint8]:
        """(H, W) uint8, train ids. Raises SourceError."""
        train_ids = np.full(256, 255, np.uint8)
        train_ids[list(_LABEL_IDS)] = np.arange(len(_LABEL_IDS))
        return np.asarray(train_ids[read_ids(file, self._size, "labels")])


def _stamps(images: list[CityscapesImage], rate_hz: float) -> list[int]:
    """Nanoseconds of each image, strictly increasing. Raises SourceError."""
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
        read = [stamp for stamp in read_stamps(file) if stamp is not None]
        if len(read) != 1:
            raise SourceError(f"{file} holds {len(read)} stamps, not one: unpack it again")
        stamps.append(read[0])
    check_rising(stamps, there[0].parent)
    return stamps


def _calibration_file(first: CityscapesImage) -> Path:
    """The sequence's camera.json nearest to the snippet. Raises CalibrationError."""
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
