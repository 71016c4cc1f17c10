# SPDX-License-Identifier: Apache-2.0
"""Calibration files of the usual tools: read, or refused by the name of what they are."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from calibration_texts import (
    EUROC,
    KALIBR,
    NOETIC_FISHEYE,
    OTHERS,
    ROS1_ECHO,
    ROS2_ECHO,
)

from depth_recog.datasets.camera_yaml import camera_yamls, read_camera_yaml
from depth_recog.errors import CalibrationError
from depth_recog.method.geometry.camera import Camera

FISHEYE = Camera(640, 480, 371.807, 371.8, 314.1, 243.2, (0.17, -0.03, 0.0004, -0.0007))
FISHEYE = Camera(*(FISHEYE.size), 371.807, 371.8, 314.1, 243.2, FISHEYE.distortion, "equidistant")
RADTAN = (-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05)


def read(tmp_path: Path, text: str) -> Camera:
    file = tmp_path / "camera.yaml"
    file.write_text(text)
    return read_camera_yaml(file)


@pytest.mark.parametrize(
    "text",
    [
        NOETIC_FISHEYE,
        NOETIC_FISHEYE.replace("camera_model: fisheye", "camera_model: equidistant"),
        NOETIC_FISHEYE.replace("camera_model", "distortion_model"),
        NOETIC_FISHEYE.replace("fisheye", "pinhole\ndistortion_model: equidistant"),
        KALIBR,
        ROS2_ECHO,
        "﻿" + ROS2_ECHO.replace("\n", "\r\n"),
    ],
    ids=["noetic", "equidistant", "distortion_model", "both keys", "kalibr", "echo", "Windows"],
)
def test_a_fisheye_is_equidistant_in_every_tools_file(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == FISHEYE


def test_a_small_skew_is_dropped_with_a_warning(tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        read(tmp_path, NOETIC_FISHEYE)
    assert "a skew of -0.97 pixels" in caplog.text
    with pytest.raises(CalibrationError, match=r"must be \[fx, 0, cx"):
        read(tmp_path, NOETIC_FISHEYE.replace("-0.97000", "-9.7"))


def test_kalibr_and_euroc_with_radial_tangential_distortion(tmp_path: Path) -> None:
    expected = Camera(640, 480, 458.654, 457.296, 317.215, 248.375, RADTAN)
    assert read(tmp_path, EUROC) == expected
    radtan = KALIBR.replace("equidistant", "radtan")
    assert read(tmp_path, radtan).distortion_model == "plumb_bob"


def test_what_rostopic_echo_prints(tmp_path: Path) -> None:
    camera = read(tmp_path, ROS1_ECHO)
    assert camera.distortion == (-0.28, 0.07, 0.0002, 1.76e-05, 0.0)
    assert (camera.fx, camera.cy) == (458.654, 248.375)
    region = ROS1_ECHO.replace("  height: 0\n  width: 0", "  height: 240\n  width: 320")
    assert read(tmp_path, region).size == (320, 240)


@pytest.mark.parametrize("fisheye", [0, 1])
def test_what_opencv_writes(tmp_path: Path, fisheye: int) -> None:
    """Its FileStorage has a directive that is not YAML's, and a tag of its own."""
    file = tmp_path / "out_camera_data.yml"
    storage = cv2.FileStorage(str(file), cv2.FILE_STORAGE_WRITE)
    for key, number in (("image_width", 640), ("image_height", 480), ("fisheye_model", fisheye)):
        storage.write(key, number)
    storage.write("camera_matrix", FISHEYE.matrix)
    storage.write("distortion_coefficients", np.array(FISHEYE.distortion).reshape(4, 1))
    storage.release()
    camera = read_camera_yaml(file)
    assert camera.distortion_model == ("equidistant" if fisheye else "plumb_bob")
    assert camera.distortion == FISHEYE.distortion
    assert np.array_equal(camera.matrix, FISHEYE.matrix)
    assert camera_yamls(tmp_path) == [file]


def test_nested_lists_as_numpy_users_write_them(tmp_path: Path) -> None:
    text = (
        "image_width: 640\nimage_height: 480\n"
        "camera_matrix: [[500, 0, 320], [0, 500, 240], [0, 0, 1]]\n"
        "distortion_coefficients: [[-0.3, 0.1, 0.0, 0.0, 0.0]]\n"
    )
    assert read(tmp_path, text).distortion == (-0.3, 0.1, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("case", OTHERS)
def test_another_kind_of_file_is_named(tmp_path: Path, case: str) -> None:
    text, expected = OTHERS[case]
    with pytest.raises(CalibrationError, match=rf"(?s)camera\.yaml.*{expected}"):
        read(tmp_path, text)


def test_keys_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    text = NOETIC_FISHEYE + "distortion_model: plumb_bob\n"
    with pytest.raises(CalibrationError, match="contradicts itself"):
        read(tmp_path, text)


@pytest.mark.parametrize("model", ["none", "", "perspective", "inverse_brown_conrady"])
def test_without_coefficients_any_model_is_none(tmp_path: Path, model: str) -> None:
    text = NOETIC_FISHEYE.replace("camera_model: fisheye", f"distortion_model: '{model}'")
    zero = text.replace("[0.170000, -0.030000, 0.000400, -0.000700]", "[0, 0, 0, 0]")
    assert not read(tmp_path, zero).distorted


def test_with_coefficients_an_unknown_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="'inverse_brown_conrady'"):
        read(tmp_path, NOETIC_FISHEYE.replace("fisheye", "inverse_brown_conrady"))


def test_the_number_of_coefficients_tells_the_polynomial(tmp_path: Path) -> None:
    """Drivers send eight under the name plumb_bob, and zeros behind the last."""
    eight = ROS1_ECHO.replace("1.76e-05, 0.0]", "1.76e-05, 0.0, 0.1, 0.2, 0.3]")
    assert read(tmp_path, eight).distortion_model == "rational_polynomial"
    padded = ROS2_ECHO.replace("- -0.0007\n", "- -0.0007\n- 0.0\n")
    assert read(tmp_path, padded) == FISHEYE
