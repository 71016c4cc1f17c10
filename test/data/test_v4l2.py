# SPDX-License-Identifier: Apache-2.0
"""Cameras of V4L2, with a stand-in for OpenCV's capture."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import pytest
from camera_files import BLUE, CAMERA, write_camera_yaml

from depth_recog.datasets.media.v4l2 import V4l2
from depth_recog.datasets.sequence import Recording, Sequence
from depth_recog.datasets.sources import open_source
from depth_recog.errors import CalibrationError, SourceError


class StandIn:
    """A fake cv2.VideoCapture that gives some blue images and then fails."""

    def __init__(self, images: int, opened: bool = True) -> None:
        self.left, self.opened, self.asked = images, opened, {}
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def get(self, propId: int) -> float:
        return 25.0 if propId == cv2.CAP_PROP_FPS else 0.0

    def set(self, propId: int, value: float) -> bool:
        self.asked[propId] = value
        return True

    def grab(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, Any]:
        return True, BLUE.copy()

    def release(self) -> None:
        self.released = True


@pytest.fixture
def device(tmp_path: Path, monkeypatch) -> Path:
    """A file in place of a device, and a ROS_HOME without calibrations."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros"))
    (tmp_path / "ros" / "camera_info").mkdir(parents=True)
    write_camera_yaml(tmp_path / "c.yaml", CAMERA)
    (tmp_path / "video0").touch()
    return tmp_path / "video0"


def test_v4l2_until_the_cable_is_pulled(device: Path, monkeypatch) -> None:
    """RGB; stamps increase even if the clock is set back; the device is closed afterwards."""
    clock = iter((50, 40, 60, 70))
    monkeypatch.setattr("time.time_ns", lambda: next(clock))
    capture = StandIn(2)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: capture)
    sequence = V4l2(f"{device}?camera={device.parent}/c.yaml")
    assert isinstance(sequence, Sequence)
    assert not isinstance(sequence, Recording)
    assert sequence.live
    frames = iter(sequence)
    first, second = next(frames), next(frames)
    assert (first.stamp_ns, second.stamp_ns) == (50, 51)
    assert first.image[0, 0].tolist() == [20, 10, 250]
    assert first.camera == CAMERA
    assert sequence.rate_hz == 25.0
    assert capture.asked[cv2.CAP_PROP_FRAME_WIDTH] == 64
    with pytest.raises(SourceError, match=r"video0 gives no images any more \(after 2\): check"):
        next(frames)
    assert capture.released

    capture = StandIn(5)
    for _ in V4l2(f"{device}?camera={device.parent}/c.yaml"):
        break
    assert capture.released, "the caller has stopped"


def test_v4l2_finds_the_calibration_of_ros(device: Path, monkeypatch) -> None:
    """The only YAML in $ROS_HOME/camera_info; none or several are errors."""
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: StandIn(1))
    folder = device.parent / "ros" / "camera_info"
    with pytest.raises(CalibrationError, match=r"video0 has no camera calibration in .*\?camera="):
        V4l2(device)
    shutil.copy(device.parent / "c.yaml", folder / "webcam.yaml")
    assert next(iter(V4l2(device))).camera == CAMERA
    shutil.copy(device.parent / "c.yaml", folder / "other.yaml")
    with pytest.raises(CalibrationError, match=r"\?camera=.*other\.yaml, webcam\.yaml"):
        V4l2(device)


def test_v4l2_errors(device: Path, monkeypatch) -> None:
    """Busy, permission denied, missing, or an unknown option."""
    text = f"{device}?camera={device.parent}/c.yaml"
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: StandIn(1, opened=False))
    with pytest.raises(SourceError, match="video0 cannot be opened as a camera: close the program"):
        next(iter(V4l2(text)))
    with pytest.raises(SourceError, match=r"size=3: only \?camera="):
        V4l2(f"{device}?size=3")
    with pytest.raises(CalibrationError, match=r"no\.yaml cannot be read.*by hand"):
        V4l2(f"{device}?camera={device.parent}/no.yaml")
    with pytest.raises(SourceError, match=r"video99 does not exist: plug.*there is .*kinds"):
        open_source("/dev/video99")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(SourceError, match="video0: permission denied: sudo usermod -aG video"):
        V4l2(text)


def test_v4l2_with_real_opencv_refuses_a_file_clearly(device: Path) -> None:
    with pytest.raises(SourceError, match="video0 cannot be opened as a camera"):
        next(iter(V4l2(f"{device}?camera={device.parent}/c.yaml")))
