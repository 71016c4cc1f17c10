# SPDX-License-Identifier: Apache-2.0
"""ROS camera_info YAML files."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from camera_files import write_camera_yaml
from hypothesis import given
from hypothesis import strategies as st

from depth_recog.datasets.camera_yaml import camera_yamls, read_camera_yaml
from depth_recog.errors import CalibrationError
from depth_recog.method.geometry.camera import Camera

# As camera_calibration prints it, including 1e-05, which YAML 1.1 takes for text.
CALIBRATED = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [500.5, 0.     , 320.25,
           0.     , 501.5, 239.75,
           0.     , 0.     , 1.     ]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.28, 0.07, 1e-05, 0.0017, 0.000000]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [400., 0., 321., 0., 0., 402., 240., 0., 0., 0., 1., 0.]
"""


def test_reads_what_camera_calibration_writes(tmp_path: Path) -> None:
    """K and D are read, not P; numbers that YAML reads as text are converted."""
    file = tmp_path / "camera.yaml"
    file.write_text(CALIBRATED)
    camera = read_camera_yaml(file)
    assert camera == Camera(640, 480, 500.5, 501.5, 320.25, 239.75, (-0.28, 0.07, 1e-5, 0.0017, 0))
    assert camera.distorted


FINITE = st.floats(-10, 10, allow_nan=False)


@given(
    focal=st.tuples(st.floats(500, 2e3), st.floats(500, 2e3)),
    centre=st.tuples(st.floats(500, 780), st.floats(300, 420)),
    lens=st.one_of(
        st.just(("plumb_bob", ())),
        st.tuples(st.just("plumb_bob"), st.tuples(*[FINITE] * 5).filter(any)),
        st.tuples(st.just("rational_polynomial"), st.tuples(*[FINITE] * 8).filter(any)),
        st.tuples(st.just("equidistant"), st.tuples(*[FINITE] * 4)),
    ),
)
def test_writing_and_reading_keeps_every_digit(
    tmp_path_factory,
    focal: tuple[float, float],
    centre: tuple[float, float],
    lens: tuple[str, tuple[float, ...]],
) -> None:
    file = tmp_path_factory.getbasetemp() / "round_trip.yaml"
    camera = Camera(1280, 720, *focal, *centre, distortion=lens[1], distortion_model=lens[0])
    write_camera_yaml(file, camera)
    assert read_camera_yaml(file) == camera


def test_zeros_are_no_distortion_except_for_a_fisheye(tmp_path: Path) -> None:
    file = tmp_path / "camera.yaml"
    for model, count, left in (("plumb_bob", 5, 0), ("equidistant", 4, 4)):
        content = yaml.safe_load(CALIBRATED)
        content["distortion_model"] = model
        content["distortion_coefficients"] = {"rows": 1, "cols": count, "data": [0] * count}
        file.write_text(yaml.safe_dump(content))
        assert len(read_camera_yaml(file).distortion) == left


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("camera_matrix", None, "no key camera_matrix"),
        ("image_width", None, "no key image_width"),
        ("distortion_coefficients", None, "no key distortion_coefficients"),
        ("image_height", "tall", "whole number of pixels"),
        ("image_height", -480, "must be positive"),
        ("camera_matrix", [1, 2, 3], r"must be \{rows: , cols: , data:"),
        ("camera_matrix", {"rows": 2, "cols": 3, "data": [1] * 6}, "9 are needed"),
        ("camera_matrix", {"rows": 3, "cols": 3, "data": [1] * 8}, "correct rows, cols or data"),
        ("camera_matrix", {"rows": "3", "cols": 3, "data": [1] * 9}, "correct rows, cols or data"),
        ("camera_matrix", {"rows": 3, "cols": 3, "data": [1] * 9}, r"must be \[fx, 0, cx"),
        ("camera_matrix", {"rows": 3, "cols": 3, "data": ["x"] * 9}, "'x' in camera_matrix"),
        ("camera_matrix", {"rows": 3, "cols": 3, "data": [True] * 9}, "not a finite number"),
        ("camera_matrix", {"rows": 3, "cols": 3, "data": [float("nan")] * 9}, "not a finite"),
        ("camera_matrix", {"rows": 3, "cols": 3, "data": [0] * 9}, "uncalibrated.*calibrate it"),
        ("distortion_coefficients", {"rows": 1, "cols": 3, "data": [1, 2, 3]}, "coefficients"),
        ("distortion_model", "rubber", "'rubber': one of plumb_bob"),
    ],
)
def test_a_bad_value_is_named(tmp_path: Path, key: str, value: Any, expected: str) -> None:
    content = yaml.safe_load(CALIBRATED)
    content[key] = value
    file = tmp_path / "camera.yaml"
    file.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
    with pytest.raises(CalibrationError, match=expected) as caught:
        read_camera_yaml(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "- 1", "a: [", "%YAML:1.0\n---\nK: !!opencv-matrix", "d: &a [*a]", "\x00"]
)
def test_another_file_is_refused_with_an_example(tmp_path: Path, text: str) -> None:
    file = tmp_path / "camera.yaml"
    file.write_text(text)
    with pytest.raises(CalibrationError, match=r"is not a ROS camera.*image_width: 640"):
        read_camera_yaml(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"nothing\.yaml cannot be read.*by hand"):
        read_camera_yaml(tmp_path / "nothing.yaml")


def test_only_camera_yamls_are_candidates(tmp_path: Path) -> None:
    """Other YAML files are ignored; damaged camera YAML files are not."""
    (tmp_path / "b.yaml").write_text(CALIBRATED)
    (tmp_path / "a.yml").write_text("camera_matrix: [")
    (tmp_path / "parameters.yaml").write_text("speed: 3")
    assert [file.name for file in camera_yamls(tmp_path)] == ["a.yml", "b.yaml"]
