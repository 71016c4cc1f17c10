# SPDX-License-Identifier: Apache-2.0
"""Folders of images with a ROS camera_info YAML."""

from __future__ import annotations

import re
from pathlib import Path

from depth_recog.datasets.camera_yaml import EXAMPLE, camera_yamls, read_camera_yaml
from depth_recog.datasets.image_files import (
    IMAGE_SUFFIXES,
    existing_folder,
    fit_camera,
    list_images,
)
from depth_recog.datasets.options import bits_option, split_options
from depth_recog.datasets.reader import ImageReader
from depth_recog.datasets.side_files import check_rising, median_rate, read_stamps
from depth_recog.errors import CalibrationError, SourceError
from depth_recog.method.geometry.camera import Camera

LAYOUT = "a folder of images with a ROS camera_info YAML"


class Folder(ImageReader):
    """Images in a folder, in natural order (frame9 before frame10).

    Layout::

        clip/
          *.jpg, *.jpeg, *.png, *.bmp or *.webp, here or in the only sub-folder with images
          camera.yaml      ROS camera_info; exactly one *.yaml or *.yml with a camera_matrix,
                           here or beside the images
          timestamps.txt   optional, here or beside the images: one line an image, whole
                           nanoseconds or `2011-09-26 13:04:32.345808896`

    Without timestamps.txt, file names of 19 digits are nanoseconds since the epoch; otherwise the
    rate is 10 Hz. The intrinsics are scaled to the images' size if the aspect ratio is the same.
    `FOLDER?bits=12`: significant bits of 16-bit images, if their brightness does not show it. No
    ground truth.
    """

    kind = "folder"

    def __init__(self, path: str | Path) -> None:
        """Lists the images and reads calibration and timestamps.

        Raises:
            SourceError: no images, images in several sub-folders, or timestamps that do not fit.
            CalibrationError: no YAML, several, or a damaged one.
        """
        place, options = split_options(path, ("bits",))
        self._given_bits = bits_option(path, options)
        folder = existing_folder(place, LAYOUT)
        self.name = folder.name
        self._files = find_images(folder)
        places = list(dict.fromkeys((folder, self._files[0].parent)))
        self._calibration = find_calibration(places)
        self._camera = read_camera_yaml(self._calibration)
        stamps = _find_stamps(places, self._files)
        self._stamps = stamps or [i * 100_000_000 for i in range(len(self._files))]
        self.rate_hz = median_rate(self._stamps)

    def _camera_at(self, index: int, width: int, height: int) -> Camera:
        return fit_camera(self._camera, width, height, self._calibration, self._files[index])


def find_images(folder: Path) -> list[Path]:
    """Finds the images in `folder`, or in its only sub-folder with images.

    Raises:
        SourceError: there are none, or several sub-folders contain images.
    """
    files = list_images(folder)
    if files:
        return files
    subs = [sub for sub in sorted(folder.iterdir()) if sub.is_dir() and sub.name[0] != "."]
    found = {sub.name: images for sub in subs if (images := list_images(sub))}
    if not found:
        raise SourceError(
            f"{folder} holds no images: put some ({', '.join(s[1:] for s in IMAGE_SUFFIXES)}) "
            "there or in one sub-folder"
        )
    if len(found) > 1:
        raise SourceError(
            f"{folder} has images in several sub-folders: give one of {', '.join(found)}"
        )
    return next(iter(found.values()))


def find_calibration(places: list[Path]) -> Path:
    """Finds the only camera YAML in `places`.

    Raises:
        CalibrationError: there is none, or there are several.
    """
    candidates = [file for place in places for file in camera_yamls(place)]
    if not candidates:
        raise CalibrationError(
            f"{places[0]} has no camera calibration: write {places[0] / 'camera.yaml'}, a ROS "
            f"camera_info YAML, with the ROS package camera_calibration or by hand: {EXAMPLE}"
        )
    if len(candidates) > 1:
        names = ", ".join(str(file) for file in candidates)
        raise CalibrationError(f"several camera calibrations: keep one of {names}")
    return candidates[0]


def _find_stamps(places: list[Path], files: list[Path]) -> list[int] | None:
    """Nanoseconds of each image from timestamps.txt or file names, if any. Raises SourceError."""
    for place in places:
        stamps_file = place / "timestamps.txt"
        if not stamps_file.is_file():
            continue
        stamps = read_stamps(stamps_file)
        if len(stamps) != len(files):
            raise SourceError(
                f"{stamps_file} has {len(stamps)} lines for {len(files)} images: write one line "
                "an image, or delete it"
            )
        return stamps
    # Nineteen digits are nanoseconds between 2001 and 2286; frame numbers are shorter.
    if all(re.fullmatch(r"[1-9]\d{18}", file.stem) for file in files):
        stamps = [int(file.stem) for file in files]
        check_rising(stamps, files[0].parent)
        return stamps
    return None
