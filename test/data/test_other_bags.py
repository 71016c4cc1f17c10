# SPDX-License-Identifier: Apache-2.0
"""Bags and topics that are not read: the message says what they are."""

from __future__ import annotations

from pathlib import Path

import bags
import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.typesys import Stores, get_typestore

from depth_recog.datasets.sources import open_source
from depth_recog.errors import CalibrationError, SourceError

ROS1 = get_typestore(Stores.ROS1_NOETIC)


def ros1_bag(path: Path) -> Path:
    with Ros1Writer(path) as writer:
        connection = writer.add_connection("/text", "std_msgs/msg/String", typestore=ROS1)
        message = ROS1.types["std_msgs/msg/String"](data="x")
        data = ROS1.serialize_ros1(message, "std_msgs/msg/String")
        writer.write(connection, 5, data)
    return path


@pytest.mark.parametrize("name", ["drive.bag", "20240101_120000.bag.active", "drive.mcap"])
def test_a_ros_1_bag_is_named_with_the_way_to_convert_it(tmp_path: Path, name: str) -> None:
    """Also one that RealSense's viewer recorded, or that was renamed."""
    path = ros1_bag(tmp_path / name)
    for text in (str(path), f"rosbag:{path}"):
        with pytest.raises(SourceError, match=r"is a ROS 1 bag.*rosbags-convert --src"):
            open_source(text)


def test_a_folder_of_ros_1_bags_is_named(tmp_path: Path) -> None:
    ros1_bag(tmp_path / "drive.bag")
    with pytest.raises(SourceError, match="is a ROS 1 bag"):
        open_source(str(tmp_path))


def test_messages_of_ros_1_in_an_mcap_file(tmp_path: Path) -> None:
    rows = [("/cam/image", "sensor_msgs/Image", 5, b"\0" * 64, "uint8 data")]
    path = bags.write_mcap(tmp_path / "a.mcap", rows)
    with pytest.raises(SourceError, match=r"/cam/image holds messages of ROS 1.*convert"):
        open_source(str(path))


@pytest.mark.parametrize(
    "kind",
    [
        "foxglove_msgs/msg/CompressedVideo",
        "ffmpeg_image_transport_msgs/msg/FFMPEGPacket",
        "theora_image_transport/msg/Packet",
        "realsense2_camera_msgs/msg/RGBD",
    ],
)
def test_images_of_another_type_are_named_with_the_remedy(tmp_path: Path, kind: str) -> None:
    rows = [("/cam/image/x", kind, 5, b"\0" * 64, "uint8 data")]
    path = bags.write_mcap(tmp_path / "a.mcap", rows)
    with pytest.raises(SourceError, match=rf"/cam/image/x is {kind}.*republish"):
        open_source(str(path))


def test_depth_images_are_not_taken_for_a_camera(tmp_path: Path) -> None:
    """A RealSense's bag: 16UC1 with a camera_info beside it."""
    depth = np.full((24, 32), 1500, np.uint16)
    messages = bags.calibrated(2)
    for topic, time, message in bags.calibrated(2, "/depth/image_rect_raw"):
        if "info" not in topic:
            message = bags.image(time, depth, "16UC1")
        messages.append((topic, time, message))
    bag = open_source(str(bags.write(tmp_path / "bag", messages)))
    assert bag[0].image.max() > 6  # type: ignore[index]
    only = [m for m in messages if m[0].startswith("/depth")]
    with pytest.raises(SourceError, match="no images of a camera"):
        open_source(str(bags.write(tmp_path / "depth", only)))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.58, 1.92, 0.5, 0.5), "normalised"),
        ((2.1, 2.1, 16.0, 12.0), "millimetres"),
        ((60.0, 60.0, 32.0, 24.0), "from about 64x48"),
    ],
)
def test_a_camera_info_that_cannot_be_the_images(
    tmp_path: Path, values: tuple[float, ...], words: str
) -> None:
    fx, fy, cx, cy = values
    messages = bags.calibrated(2)
    for _, _, message in messages:
        if hasattr(message, "k"):
            k = np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1])
            object.__setattr__(message, "k", k)
    path = bags.write(tmp_path / "bag", messages)
    with pytest.raises(CalibrationError, match=rf"camera_info.*{words}"):
        open_source(str(path))
