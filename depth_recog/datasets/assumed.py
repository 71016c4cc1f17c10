# SPDX-License-Identifier: Apache-2.0
"""The camera of a source's images: calibrated, or assumed where there is no calibration."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from depth_recog.datasets.image_files import fit_camera
from depth_recog.datasets.orientation import turned
from depth_recog.errors import UncalibratedError
from depth_recog.interfaces.calibration import check_plausible
from depth_recog.method.geometry.camera import Camera, focal_length


@dataclass(frozen=True)
class AssumedLens:
    """What the user assumes of a camera without calibration: one of both.

    Attributes:
        fov: horizontal field of view, degrees.
        focal: focal length, pixels of the images.
    """

    fov: float | None = None
    focal: float | None = None

    def camera(self, width: int, height: int) -> Camera:
        """The camera of an image of this size. Raises CalibrationError for an impossible focal."""
        focal = self.focal if self.fov is None else focal_length(width, self.fov)
        assert focal is not None
        camera = Camera.guess(width, height, focal)
        check_plausible(camera, f"the camera with {self}")
        return camera

    def __str__(self) -> str:
        if self.fov is None:
            return f"a focal length of {self.focal:g} pixels"
        return f"a horizontal field of view of {self.fov:g} degrees"


@dataclass(frozen=True)
class SourceCamera:
    """The camera of all images of a source.

    Attributes:
        place: the calibration, for messages.
        calibrated: its camera; None if the camera is assumed.
        assumed: what is assumed.
    """

    place: Path
    calibrated: Camera | None
    assumed: AssumedLens | None = None

    def at(self, width: int, height: int, image: Path, orientation: int = 1) -> Camera:
        """The camera of an image.

        Args:
            width: of the image after it was turned upright, pixels.
            height: likewise.
            image: for messages.
            orientation: by which it was turned (EXIF, 1 to 8). A calibration of the size before
                is turned with it.

        Raises:
            CalibrationError: the calibration is for another aspect ratio.
        """
        if self.calibrated is None:
            assert self.assumed is not None
            return self.assumed.camera(width, height)
        camera = self.calibrated
        w, h = camera.size
        swapped = (w > h) != (width > height) and w != h and width != height
        if swapped and orientation >= 5:
            camera = turned(camera, orientation)
        return fit_camera(camera, width, height, self.place, image)


def source_camera(
    read: Callable[[], tuple[Path, Camera]], assumed: AssumedLens | None, source: str | Path
) -> SourceCamera:
    """Reads a calibration; without one, takes what is assumed, with a warning.

    Args:
        read: reads the calibration; returns its file and its camera.
        assumed: by the user; None for nothing.
        source: for messages.

    Raises:
        UncalibratedError: there is no calibration, and nothing is assumed.
        CalibrationError: the calibration cannot be used.
    """
    log = logging.getLogger(__name__)
    try:
        place, camera = read()
    except UncalibratedError:
        if assumed is None:
            raise
        warn_assumed(assumed, source)
        return SourceCamera(Path(source), None, assumed)
    if assumed is not None:
        log.warning("%s is calibrated by %s: %s is not assumed", source, place, assumed)
    return SourceCamera(place, camera)


def warn_assumed(assumed: AssumedLens, source: str | Path) -> None:
    """Warns that a source has no calibration."""
    logging.getLogger(__name__).warning(
        "%s has no calibration: %s is assumed, metres are a guess", source, assumed
    )
