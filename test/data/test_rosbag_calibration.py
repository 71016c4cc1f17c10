# SPDX-License-Identifier: Apache-2.0
"""The CameraInfo of a bag's images: which one is valid, regions, rectified images, none at all."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import bags
import pytest
from camera_files import write_camera_yaml

from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.sequence import Frame
from depth_recog.errors import CalibrationError
from depth_recog.method.geometry.camera import Camera

DRIVE = bags.Drive()


def only_frame(path: Path, info: Any, image: Any, topic: str = "/c/image") -> Frame:
    """Write a bag of one image and its CameraInfo; return the frame that is read."""
    return Rosbag(bags.write(path / "bag", [("/c/camera_info", 1, info), (topic, 2, image)]))[0]


def test_a_camera_info_is_valid_from_its_stamp_on(tmp_path: Path) -> None:
    """Two frames before the first CameraInfo, and one change; received out of order."""
    second = replace(bags.CAMERA, fx=40.0, distortion=())
    stamps = [frame.stamp_ns for frame in DRIVE]
    messages = [("/cam/image_raw", f.stamp_ns, bags.image(f.stamp_ns, f.image)) for f in DRIVE]
    messages.append(("/cam/camera_info", stamps[5] + 1, bags.info(stamps[4] - 1, second)))
    messages.append(("/cam/camera_info", stamps[5] + 2, bags.info(stamps[2])))
    cameras = [frame.camera for frame in Rosbag(bags.write(tmp_path / "bag", messages))]
    assert cameras == [bags.CAMERA] * 4 + [second] * 2


def test_a_camera_info_without_a_stamp_is_valid_from_its_receipt_on(tmp_path: Path) -> None:
    second = replace(bags.CAMERA, fx=40.0)
    messages = [m for m in bags.calibrated() if m[0] == "/cam/image_raw"]
    messages.append(("/cam/camera_info", messages[0][1], bags.info(0)))
    messages.append(("/cam/camera_info", messages[3][1], bags.info(0, second)))
    cameras = [frame.camera for frame in Rosbag(bags.write(tmp_path / "bag", messages))]
    assert cameras == [bags.CAMERA] * 3 + [second] * 3


def test_region_and_binning(tmp_path: Path) -> None:
    """The image is the region of interest after binning."""
    full = Camera(128, 96, 100.0, 100.0, 64.0, 48.0)
    roi = {"x_offset": 20, "y_offset": 10, "width": 64, "height": 48}
    info = bags.info(5, full, roi, binning_x=2, binning_y=2)
    camera = only_frame(tmp_path, info, bags.image(5, DRIVE[0].image)).camera
    assert camera == full.cropped(20, 10, 64, 48).resized(32, 24)


def test_an_image_rect_takes_p(tmp_path: Path) -> None:
    info = bags.info(5)
    info.p[0], info.p[5] = 25.0, 26.0
    image = bags.image(5, DRIVE[0].image)
    camera = only_frame(tmp_path, info, image, "/c/image_rect_color").camera
    assert (camera.fx, camera.fy, camera.distorted) == (25.0, 26.0, False)


def test_no_camera_info(tmp_path: Path) -> None:
    """A YAML by option, in the bag's folder or beside it; else an error with the remedy."""
    messages = [m for m in bags.calibrated() if m[0] == "/cam/image_raw"]
    bag = bags.write(tmp_path / "bag", messages)
    with pytest.raises(CalibrationError, match=r"no /cam/camera_info.*\?camera=camera\.yaml"):
        Rosbag(bag)
    for place in (tmp_path / "camera.yaml", bag / "camera.yaml"):
        write_camera_yaml(place, bags.CAMERA)
        assert Rosbag(bag)[0].camera == bags.CAMERA
    other = replace(bags.CAMERA, fx=77.0)
    write_camera_yaml(tmp_path / "o.yaml", other)
    assert Rosbag(f"{bag}?camera={tmp_path}/o.yaml")[0].camera == other
    with pytest.raises(CalibrationError, match=r"gone\.yaml cannot be read"):
        Rosbag(f"{bag}?camera={tmp_path}/gone.yaml")


def test_an_uncalibrated_camera(tmp_path: Path) -> None:
    messages = bags.calibrated(2)
    for topic, _, message in messages:
        if topic == "/cam/camera_info":
            message.k[:] = 0
            message.p[:] = 0
    bag = bags.write(tmp_path / "bag", messages)
    with pytest.raises(CalibrationError, match=r"/cam/camera_info.*uncalibrated.*\?camera="):
        Rosbag(bag)
    write_camera_yaml(tmp_path / "camera.yaml", bags.CAMERA)
    assert Rosbag(f"{bag}?camera={tmp_path}/camera.yaml")[1].camera == bags.CAMERA


def test_a_camera_info_of_another_shape(tmp_path: Path) -> None:
    info = bags.info(5, Camera(32, 32, 30.0, 30.0, 16.0, 16.0))
    with pytest.raises(CalibrationError, match=r"image 0 of /c/image is 32x24"):
        only_frame(tmp_path, info, bags.image(5, DRIVE[0].image))
