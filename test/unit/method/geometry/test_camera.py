# SPDX-License-Identifier: Apache-2.0
"""Intrinsics: K itself, and what resizing and cropping an image do to it."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_recog.errors import CalibrationError
from depth_recog.method.geometry.camera import Camera

CAMERA = Camera(width=416, height=128, fx=241.7, fy=246.3, cx=204.0, cy=58.8)

sizes = st.integers(2, 2000)
cameras = st.builds(
    Camera,
    width=sizes,
    height=sizes,
    fx=st.floats(1.0, 5000.0),
    fy=st.floats(1.0, 5000.0),
    cx=st.floats(-100.0, 2000.0),
    cy=st.floats(-100.0, 2000.0),
)
points = st.tuples(st.floats(-50, 50), st.floats(-20, 20), st.floats(0.5, 80))


def seen_at(camera: Camera, point: tuple[float, float, float]) -> tuple[float, float]:
    """A pinhole, written out."""
    x, y, z = point
    return camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy


def test_matrix_holds_each_number_in_its_place() -> None:
    expected = [[241.7, 0, 204.0], [0, 246.3, 58.8], [0, 0, 1]]
    np.testing.assert_array_equal(CAMERA.matrix, expected)
    assert CAMERA.matrix.dtype == np.float64
    assert CAMERA.size == (416, 128)


@given(cameras, points)
def test_rays_lead_back_to_the_point(camera: Camera, point: tuple[float, float, float]) -> None:
    u, v = seen_at(camera, point)
    x, y = camera.rays(np.array([u]), np.array([v]))
    expected = np.array(point[:2]) / point[2]
    assert (x[0], y[0]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_from_matrix_takes_3x3_and_3x4() -> None:
    assert Camera.from_matrix(CAMERA.matrix, 416, 128) == CAMERA
    wide = np.hstack((CAMERA.matrix, [[45.0], [0.2], [0.003]]))
    assert Camera.from_matrix(wide, 416, 128) == CAMERA


@given(cameras, sizes, sizes, points)
def test_resizing_maps_every_pixel_by_the_one_convention(
    camera: Camera, width: int, height: int, point: tuple[float, float, float]
) -> None:
    """Projecting and then scaling c to (c + 0.5) s - 0.5 is projecting with the resized camera."""
    u, v = seen_at(camera, point)
    sx, sy = width / camera.width, height / camera.height
    resized = camera.resized(width, height)
    assert resized.size == (width, height)
    expected = (u + 0.5) * sx - 0.5, (v + 0.5) * sy - 0.5
    assert seen_at(resized, point) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(cameras, sizes, sizes)
def test_resizing_keeps_the_image_edges_and_can_be_undone(
    camera: Camera, width: int, height: int
) -> None:
    """The ray through the left edge, at u = -0.5, is the ray through the resized left edge."""
    resized = camera.resized(width, height)
    for far in (0.0, 1.0):
        before = (far * camera.width - 0.5 - camera.cx) / camera.fx
        after = (far * width - 0.5 - resized.cx) / resized.fx
        assert after == pytest.approx(before, rel=1e-9, abs=1e-9)
    back = resized.resized(*camera.size)
    assert back.size == camera.size
    for name in ("fx", "fy", "cx", "cy"):
        assert getattr(back, name) == pytest.approx(getattr(camera, name), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("width", "height"), [(32, 16), (128, 64), (16, 8)])
def test_resizing_agrees_with_what_opencv_does_to_pixels(width: int, height: int) -> None:
    """An image of its own coordinates, resized, tells where each new pixel came from."""
    camera = Camera(64, 32, 50.0, 60.0, 30.0, 17.0)
    v, u = np.mgrid[:32, :64].astype(np.float64)
    method = cv2.INTER_AREA if width < 64 else cv2.INTER_LINEAR
    shrunk = cv2.resize(np.dstack((u, v)), (width, height), interpolation=method)
    resized = camera.resized(width, height)
    v2, u2 = np.mgrid[:height, :width].astype(np.float64)
    old, new = camera.rays(*np.moveaxis(shrunk, 2, 0)), resized.rays(u2, v2)
    for before, after in zip((old[0].T, old[1]), (new[0].T, new[1]), strict=True):
        # Bilinear enlargement repeats the border.
        np.testing.assert_allclose(after[2:-2], before[2:-2], atol=1e-9)


@given(cameras, points, st.data())
def test_cropping_moves_the_origin(
    camera: Camera, point: tuple[float, float, float], data: st.DataObject
) -> None:
    x = data.draw(st.integers(0, camera.width - 1))
    y = data.draw(st.integers(0, camera.height - 1))
    width = data.draw(st.integers(1, camera.width - x))
    height = data.draw(st.integers(1, camera.height - y))
    cropped = camera.cropped(x, y, width, height)
    assert cropped.size == (width, height)
    u, v = seen_at(camera, point)
    assert seen_at(cropped, point) == pytest.approx((u - x, v - y), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("window", [(-1, 0, 9, 9), (0, -1, 9, 9), (408, 0, 9, 9), (0, 120, 9, 9)])
def test_a_crop_that_leaves_the_image_is_refused(window: tuple[int, int, int, int]) -> None:
    with pytest.raises(CalibrationError, match="leaves the 416x128 image"):
        CAMERA.cropped(*window)
    assert CAMERA.cropped(0, 0, 416, 128) == CAMERA
    with pytest.raises(CalibrationError, match="must be positive"):
        CAMERA.cropped(0, 0, 0, 9)


def test_distortion_is_kept_by_resizing_and_dropped_by_rectification() -> None:
    camera = replace(CAMERA, distortion=(0.1, -0.2, 0.0, 0.0))
    assert camera.distorted
    assert camera.resized(208, 64).distortion == camera.distortion
    assert not camera.rectified().distorted
    assert camera.rectified() == CAMERA
    assert not replace(CAMERA, distortion=(0.0,) * 5).distorted
    fisheye = replace(CAMERA, distortion=(0.0,) * 4, distortion_model="equidistant")
    assert fisheye.distorted
    assert fisheye.rectified() == CAMERA


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "image size 0x128"),
        ({"height": -3}, "image size 416x-3"),
        ({"fx": 0.0}, "uncalibrated"),
        ({"fy": 0.0}, "uncalibrated"),
        ({"fx": -1.0}, "negative focal length"),
        ({"fy": -1.0}, "negative focal length"),
        ({"cx": math.nan}, "not finite"),
        ({"fy": math.inf}, "not finite"),
        ({"distortion": (math.nan,) * 5}, "not finite"),
        ({"distortion_model": "magic"}, "unknown distortion model 'magic'"),
        ({"distortion": (0.1,)}, "plumb_bob takes"),
        ({"distortion": (0.1,) * 5, "distortion_model": "equidistant"}, "equidistant takes"),
    ],
)
def test_invalid_intrinsics_are_refused(change: dict, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        replace(CAMERA, **change)
