# SPDX-License-Identifier: Apache-2.0
"""Folders of images with a ROS camera_info YAML."""

from __future__ import annotations

from pathlib import Path

from depth_recog.datasets.assumed import AssumedLens, source_camera
from depth_recog.datasets.camera_yaml import EXAMPLE, camera_yamls, read_camera_yaml
from depth_recog.datasets.image_files import IMAGE_SUFFIXES, existing_folder, list_images
from depth_recog.datasets.options import bits_option, split_options
from depth_recog.datasets.orientation import UPRIGHT, orientation_of_file, warn_turned
from depth_recog.datasets.reader import ImageReader
from depth_recog.datasets.side_files import check_rising, median_rate, read_stamps
from depth_recog.datasets.times import filled, times_of_names
from depth_recog.errors import CalibrationError, SourceError, UncalibratedError
from depth_recog.method.geometry.camera import Camera

LAYOUT = "a folder of images with a ROS camera_info YAML"


class Folder(ImageReader):
    """Images in a folder, in natural order (frame9 before frame10).

    Layout::

        clip/
          *.jpg, *.jpeg, *.png, *.bmp, *.webp or *.tif, here or in the only sub-folder with images
          camera.yaml      ROS camera_info; exactly one *.yaml or *.yml with a camera_matrix,
                           here or beside the images
          timestamps.txt   optional, here or beside the images: one line an image, see
                           `read_stamps`

    Without timestamps.txt, file names that are times since 1970 are used (see `times_of_names`);
    otherwise the rate is 10 Hz. Images are turned upright as their EXIF data say, and a calibration
    of the stored size with them. The intrinsics are scaled to the images' size if the aspect ratio
    is the same. `FOLDER?bits=12`: significant bits of 16-bit images, if their brightness does not
    show it. No ground truth.
    """

    kind = "folder"

    def __init__(self, path: str | Path, assumed: AssumedLens | None = None) -> None:
        """Lists the images and reads calibration and timestamps.

        Args:
            path: the folder.
            assumed: of the camera, if there is no calibration.

        Raises:
            SourceError: no images, images in several sub-folders, or timestamps that do not fit.
            CalibrationError: no YAML and nothing assumed, several, or a damaged one.
        """
        place, options = split_options(path, ("bits",))
        self._given_bits = bits_option(path, options)
        folder = existing_folder(place, LAYOUT)
        self.name = folder.name
        self._files, named = times_of_names(find_images(folder))
        places = list(dict.fromkeys((folder, self._files[0].parent)))
        self._camera = source_camera(lambda: _calibrated(places), assumed, folder)
        stamps = _find_stamps(places, self._files)
        if stamps is None and named is not None:
            check_rising(named, self._files[0].parent)
            stamps = named
        self._stamps = stamps or [i * 100_000_000 for i in range(len(self._files))]
        self.rate_hz = median_rate(self._stamps)
        if (first := orientation_of_file(self._files[0])) != UPRIGHT:
            warn_turned(self._files[0], f"EXIF orientation {first}")

    def _camera_at(self, index: int, width: int, height: int) -> Camera:
        file = self._files[index]
        return self._camera.at(width, height, file, orientation_of_file(file))


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


def _calibrated(places: list[Path]) -> tuple[Path, Camera]:
    file = find_calibration(places)
    return file, read_camera_yaml(file)


def find_calibration(places: list[Path]) -> Path:
    """Finds the only camera YAML in `places`.

    Raises:
        UncalibratedError: there is none.
        CalibrationError: there are several.
    """
    candidates = [file for place in places for file in camera_yamls(place)]
    if not candidates:
        raise UncalibratedError(
            f"{places[0]} has no camera calibration: write {places[0] / 'camera.yaml'}, a ROS "
            f"camera_info YAML, with the ROS package camera_calibration or by hand: {EXAMPLE}"
        )
    if len(candidates) > 1:
        names = ", ".join(str(file) for file in candidates)
        raise CalibrationError(f"several camera calibrations: keep one of {names}")
    return candidates[0]


def _find_stamps(places: list[Path], files: list[Path]) -> list[int] | None:
    """Nanoseconds of each image from timestamps.txt, if there is one. Raises SourceError."""
    for place in places:
        stamps_file = place / "timestamps.txt"
        if not stamps_file.is_file():
            continue
        stamps = read_stamps(stamps_file)
        known = [stamp for stamp in stamps if stamp is not None]
        if len(known) == len(files):
            return known
        if len(stamps) != len(files):
            raise SourceError(
                f"{stamps_file} has {len(known)} lines for {len(files)} images: write one line "
                "an image, or delete it"
            )
        return filled(stamps, stamps_file)
    return None
