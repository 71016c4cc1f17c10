# SPDX-License-Identifier: Apache-2.0
"""Intrinsics that can be those of the images, and those that cannot, in every door."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from depth_recog.errors import CalibrationError, UncalibratedError
from depth_recog.interfaces.calibration import intrinsics
from depth_recog.interfaces.camera_info import from_message

# fx, fy, cx, cy, width, height
REAL = {
    "KITTI": (721.5, 721.5, 609.6, 172.9, 1242, 375),
    "KITTI, squeezed to a square": (297.5, 985.0, 251.0, 236.0, 512, 512),
    "fisheye of 220 degrees, circle in the image": (281.0, 281.0, 960.0, 540.0, 1920, 1080),
    "action camera": (880.0, 880.0, 961.0, 538.0, 1920, 1080),
    "600 mm lens": (30000.0, 30000.0, 960.0, 540.0, 1920, 1080),
    "the sky cut away": (700.0, 700.0, 640.0, 20.0, 1280, 400),
    "the horizon above the image": (700.0, 700.0, 640.0, -60.0, 1280, 400),
    "phone upright": (1600.0, 1600.0, 540.0, 961.0, 1080, 1920),
    "one pixel off": (30.0, 30.0, 15.5, 11.5, 32, 24),
}
WRONG = {
    "normalised": ((0.58, 1.92, 0.5, 0.5, 640, 192), "normalised; multiply"),
    "millimetres": ((4.2, 4.2, 320.0, 96.0, 640, 192), "in pixels, not in millimetres"),
    "metres": ((0.0042, 0.0042, 320.0, 240.0, 640, 480), "in pixels, not in millimetres"),
    "of twice the size": ((1000.0, 1000.0, 640.0, 480.0, 640, 480), "from about 1280x960"),
    "of half the size": ((250.0, 250.0, 157.0, 122.0, 640, 480), "from about 314x244"),
    "of two thirds": ((600.0, 600.0, 640.0, 360.0, 1920, 1080), "from about 1280x720"),
    "centre far outside": ((700.0, 700.0, 5000.0, 200.0, 1280, 400), "principal point"),
    "a digit lost": ((721.0, 72.0, 320.0, 240.0, 640, 480), "both must be similar"),
}


def message(fx: float, fy: float, cx: float, cy: float, width: int, height: int, rect: bool):
    """Return a CameraInfo; with `rect`, only P holds the values."""
    k = [fx, 0, cx, 0, fy, cy, 0, 0, 1]
    good = [0.8 * width, 0, width / 2, 0, 0.8 * width, height / 2, 0, 0, 1]
    k, p = (good, k) if rect else (k, good)
    return SimpleNamespace(
        width=width,
        height=height,
        distortion_model="plumb_bob",
        d=[],
        k=k,
        r=[1, 0, 0, 0, 1, 0, 0, 0, 1],
        p=[*p[:3], 0, *p[3:6], 0, *p[6:], 0],
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
        binning_x=0,
        binning_y=0,
    )


@pytest.mark.parametrize("case", REAL)
def test_real_cameras_are_accepted(case: str) -> None:
    fx, fy, cx, cy, width, height = REAL[case]
    camera = intrinsics((fx, 0, cx, 0, fy, cy, 0, 0, 1), width, height)
    assert (camera.fx, camera.cy) == (fx, cy)
    assert from_message(message(*REAL[case], rect=False)).camera == camera


@pytest.mark.parametrize("rect", [False, True])
@pytest.mark.parametrize("case", WRONG)
def test_a_k_that_cannot_be_the_images_is_refused(case: str, rect: bool) -> None:
    """In K, and in P, which is all that counts for rectified images."""
    values, words = WRONG[case]
    with pytest.raises(CalibrationError, match=words):
        from_message(message(*values, rect=rect), image_is_rectified=rect)


def test_a_transposed_k_is_refused() -> None:
    with pytest.raises(CalibrationError, match=r"must be \[fx, 0, cx"):
        intrinsics((500, 0, 0, 0, 500, 0, 320, 240, 1), 640, 480)


def test_zeros_are_uncalibrated() -> None:
    with pytest.raises(UncalibratedError):
        intrinsics([0] * 9, 640, 480)


def test_a_region_of_a_camera_may_lie_beside_the_principal_point() -> None:
    """Only the whole image is checked."""
    info = message(700.0, 700.0, 640.0, 360.0, 1280, 720, rect=False)
    info.roi = SimpleNamespace(x_offset=0, y_offset=0, width=200, height=100)
    assert from_message(info).camera.size == (200, 100)
