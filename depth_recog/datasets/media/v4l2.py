# SPDX-License-Identifier: Apache-2.0
"""Live cameras under Linux (Video4Linux)."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from depth_recog.datasets.assumed import AssumedLens, source_camera
from depth_recog.datasets.camera_yaml import EXAMPLE, camera_yamls, read_camera_yaml
from depth_recog.datasets.sequence import Frame
from depth_recog.errors import CalibrationError, SourceError, UncalibratedError
from depth_recog.files import user_path
from depth_recog.method.geometry.camera import Camera

_MOST_DAMAGED = 30
"""Images in a row that cannot be decoded after which the device counts as broken."""


class V4l2:
    """A live camera.

    Accepted: `/dev/video0` or `/dev/video0?camera=/path/camera.yaml`. Without `camera=` the ROS
    camera_info YAML is taken from $ROS_HOME/camera_info (default ~/.ros/camera_info): the file
    named after the device as v4l2_camera does (HD Pro Webcam C920 -> hd_pro_webcam_c920.yaml), else
    the only one. The device is set to the YAML's image size. Stamps are the system time at which an
    image arrives.
    """

    kind = "v4l2"
    live = True

    def __init__(self, text: str | Path, assumed: AssumedLens | None = None) -> None:
        """Finds the calibration; iteration opens the device.

        Args:
            text: the device and its options.
            assumed: of the camera, if there is no calibration.

        Raises:
            SourceError: the device is missing, or permission is denied.
            CalibrationError: no YAML and nothing assumed, several, or a damaged one.
        """
        self._device, _, query = str(text).partition("?")
        key, _, value = query.partition("=")
        if query and (key != "camera" or not value):
            raise SourceError(f"{text}: only ?camera=/path/camera.yaml may follow the device")
        _check_device(self._device)
        self.name = Path(self._device).name

        def read() -> tuple[Path, Camera]:
            file = user_path(value) if value else find_calibration(self._device)
            return file, read_camera_yaml(file)

        self._camera = source_camera(read, assumed, self._device)
        self.rate_hz = 30.0

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they arrive, until the caller stops; then the device is closed.

        Raises:
            SourceError: the device cannot be opened, or stops.
            CalibrationError: the device gives images of another aspect ratio than the YAML.
        """
        capture = cv2.VideoCapture(self._device, cv2.CAP_V4L2)
        try:
            if not capture.isOpened():
                raise SourceError(
                    f"{self._device} cannot be opened as a camera: close the program that uses "
                    f"it, or take another device ({_devices()})"
                )
            if (calibrated := self._camera.calibrated) is not None:
                capture.set(cv2.CAP_PROP_FRAME_WIDTH, calibrated.width)
                capture.set(cv2.CAP_PROP_FRAME_HEIGHT, calibrated.height)
            # Images that wait in the driver's queue would be stamped too late.
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            fps = capture.get(cv2.CAP_PROP_FPS)
            self.rate_hz = fps if fps > 0 else self.rate_hz
            yield from self._frames(capture)
        finally:
            capture.release()

    def _frames(self, capture: cv2.VideoCapture) -> Iterator[Frame]:
        index, stamp, damaged = 0, 0, 0
        while True:
            grabbed = capture.grab()
            # Stamps must increase also when the system clock is set back.
            stamp = max(time.time_ns(), stamp + 1)
            ok, bgr = capture.retrieve() if grabbed else (False, None)
            if grabbed and not ok and damaged < _MOST_DAMAGED:
                # USB cameras send a damaged JPEG now and then.
                damaged += 1
                if damaged == 1:
                    logging.getLogger(__name__).warning(
                        "%s: an image after %d cannot be decoded; it is left out",
                        self._device,
                        index,
                    )
                continue
            damaged = 0
            if not ok:
                raise SourceError(
                    f"{self._device} gives no images any more (after {index}): check the cable "
                    "and the power, then start again"
                )
            image = cv2.cvtColor(np.asarray(bgr, dtype=np.uint8), cv2.COLOR_BGR2RGB)
            camera = self._camera.at(image.shape[1], image.shape[0], Path(self._device))
            yield Frame(f"{index:010d}", stamp, np.asarray(image, dtype=np.uint8), camera)
            index += 1


def find_calibration(device: str) -> Path:
    """Finds the YAML that ROS drivers would use for `device`.

    Raises:
        CalibrationError: there is none, or several of which none is named after the device.
    """
    folder = user_path(os.environ.get("ROS_HOME", "~/.ros")) / "camera_info"
    candidates = camera_yamls(folder)
    named = Path("/sys/class/video4linux") / Path(device).name / "name"
    card = named.read_text(encoding="utf-8").strip() if named.is_file() else ""
    own = folder / f"{re.sub(r'[^a-z0-9]', '_', card.lower())}.yaml"
    if own in candidates:
        return own
    if len(candidates) == 1:
        return candidates[0]
    way = f"give one as v4l2:{device}?camera=/path/camera.yaml"
    if candidates:
        names = ", ".join(file.name for file in candidates)
        raise CalibrationError(
            f"{device}: none of the calibrations in {folder} is named after it: {way} ({names})"
        )
    raise UncalibratedError(
        f"{device} has no camera calibration in {folder}: {way}, a ROS camera_info YAML, written "
        f"with the ROS package camera_calibration or by hand: {EXAMPLE}"
    )


def _check_device(device: str) -> None:
    """Raises SourceError if the device is missing or permission is denied."""
    if not Path(device).exists():
        raise SourceError(
            f"{device} does not exist: plug the camera in, or take another device ({_devices()})"
        )
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceError(
            f"{device}: permission denied: sudo usermod -aG video $USER, then log in again"
        )


def _devices() -> str:
    """The existing devices, for messages."""
    devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    return "there is " + ", ".join(devices) if devices else "there is no /dev/video* here"
