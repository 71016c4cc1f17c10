# SPDX-License-Identifier: Apache-2.0
"""CameraInfo and Camera: region of interest, binning, K, P and R, there and back."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sensor_msgs")

from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from depth_recog.errors import CalibrationError
from depth_recog.interfaces.camera_info import from_message
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import Viewport
from depth_recog.nodes.io.messages import camera_info as to_message

BARREL = [-0.3, 0.1, 0.001, -0.002, 0.01]
TURNED = [0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]


def info(**changes: Any) -> CameraInfo:
    """A calibrated 640x480 camera, as camera_calibration publishes it."""
    message = CameraInfo(width=640, height=480, distortion_model="plumb_bob")
    message.k = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
    message.p = [450.0, 0.0, 310.0, 0.0, 0.0, 460.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    message.r = np.eye(3).reshape(-1).tolist()
    message.d = BARREL
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_k_is_the_image_p_the_rectified_one() -> None:
    calibration = from_message(info())
    assert calibration.camera == Camera(640, 480, 500.0, 510.0, 320.0, 240.0, tuple(BARREL))
    assert calibration.rectified == Camera(640, 480, 450.0, 460.0, 310.0, 230.0)
    assert np.array_equal(calibration.rotation, np.eye(3))


@pytest.mark.parametrize("entry", [float("nan"), 5.0])
def test_r_must_be_a_rotation(entry: float) -> None:
    with pytest.raises(CalibrationError, match="R is no rotation"):
        from_message(info(r=[entry, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]))


def test_p_may_be_missing_or_hold_a_stereo_baseline() -> None:
    calibration = from_message(info(p=[0.0] * 12))
    assert calibration.rectified == calibration.camera.rectified()
    right = [450.0, 0.0, 310.0, -45.0, 0.0, 460.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    second = from_message(info(p=right))
    assert second.rectified == from_message(info()).rectified
    # Tx stays that of P, also for an image of half the size.
    sent = to_message(second.rectified.resized(320, 240), Header(), second.baseline)
    assert (sent.p[3], sent.p[7], sent.p[11]) == pytest.approx((-45.0 / 2, 0.0, 0.0))
    assert calibration.baseline == from_message(info()).baseline == (0.0, 0.0)
    with pytest.raises(CalibrationError, match="P has values that are not finite"):
        from_message(info(p=[450.0, 0.0, 310.0, float("nan"), *right[4:]]))


@pytest.mark.parametrize(("r", "expected"), [(TURNED, TURNED), ([0.0] * 9, np.eye(3))])
def test_rotation(r: list[float], expected: Any) -> None:
    rotation = from_message(info(r=r)).rotation
    assert np.array_equal(rotation, np.reshape(expected, (3, 3)))


@pytest.mark.parametrize("d", [[0.0] * 5, []])
def test_zero_distortion_is_none(d: list[float]) -> None:
    assert not from_message(info(d=d)).camera.distorted


@pytest.mark.parametrize(
    "changes",
    [
        {"distortion_model": ""},  # plumb_bob
        {"roi": RegionOfInterest(width=640, height=480)},
        {"binning_x": 1, "binning_y": 1},
        {"binning_x": 0, "binning_y": 0},
    ],
)
def test_values_that_change_nothing(changes: dict[str, Any]) -> None:
    assert from_message(info(**changes)).camera == from_message(info()).camera


@pytest.mark.parametrize("d", [[0.1, -0.02, 0.003, 0.0], [0.0, 0.0, 0.0, 0.0]])
def test_fisheye(d: list[float]) -> None:
    """Four zeros are an ideal fisheye lens, not a pinhole camera."""
    calibration = from_message(info(d=d, distortion_model="equidistant"))
    assert calibration.camera.distorted
    assert calibration.camera.distortion == tuple(d)
    view = Viewport.of(calibration.camera, (320, 240), calibration.rectified)
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[:, ::40] = 255
    assert not np.array_equal(view.rectify(stripes), stripes)


def test_rational_polynomial() -> None:
    d = [0.1, -0.2, 0.001, 0.002, 0.05, 0.01, -0.02, 0.03]
    camera = from_message(info(d=d, distortion_model="rational_polynomial")).camera
    assert camera.distortion == tuple(d)
    assert camera.distortion_model == "rational_polynomial"


def test_rectified_input_takes_p_and_nothing_else() -> None:
    calibration = from_message(info(r=TURNED), image_is_rectified=True)
    assert calibration.camera == calibration.rectified
    assert calibration.rectified.fx == 450.0
    assert not calibration.camera.distorted
    assert np.array_equal(calibration.rotation, np.eye(3))


def test_rectified_input_ignores_a_lens_that_we_do_not_know() -> None:
    odd = info(distortion_model="thin_prism_fisheye", d=[0.1] * 12)
    assert from_message(odd, image_is_rectified=True).camera.fx == 450.0
    with pytest.raises(CalibrationError, match="thin_prism_fisheye"):
        from_message(odd)


def test_region_of_interest() -> None:
    roi = RegionOfInterest(x_offset=100, y_offset=60, width=320, height=240)
    calibration = from_message(info(roi=roi))
    assert calibration.camera.size == (320, 240)
    assert (calibration.camera.cx, calibration.camera.cy) == (220.0, 180.0)
    assert calibration.camera.fx == 500.0
    assert calibration.camera.distortion == tuple(BARREL)
    assert (calibration.rectified.cx, calibration.rectified.cy) == (210.0, 170.0)


@pytest.mark.parametrize("binning", [(2, 2), (4, 2)])
def test_binning(binning: tuple[int, int]) -> None:
    """A ray keeps its direction: principal points are relative to pixel centres."""
    bx, by = binning
    full = from_message(info()).camera
    binned = from_message(info(binning_x=bx, binning_y=by)).camera
    assert binned.size == (640 // bx, 480 // by)
    assert binned.fx == full.fx / bx
    assert binned.fy == full.fy / by
    # The binned pixel 0 covers the full pixels 0 to b - 1, whose middle is (b - 1) / 2.
    assert binned.cx == pytest.approx((full.cx - (bx - 1) / 2) / bx)
    assert binned.cy == pytest.approx((full.cy - (by - 1) / 2) / by)


def test_binning_of_a_region() -> None:
    roi = RegionOfInterest(x_offset=100, y_offset=60, width=320, height=240)
    camera = from_message(info(roi=roi, binning_x=2, binning_y=2)).camera
    assert camera.size == (160, 120)
    assert camera.fx == 250.0
    assert camera.cx == pytest.approx((500 - 280 - 0.5) / 2)  # 320 - 100 = 220


OUTSIDE = RegionOfInterest(x_offset=600, y_offset=0, width=100, height=100)
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "all zero": ({"k": [0.0] * 9, "p": [0.0] * 12}, r"uncalibrated \(K\[0\] == 0\): calibrate"),
    "K zero": ({"k": [0.0] * 9}, "uncalibrated"),
    "no size": ({"width": 0}, "0x480"),
    "negative focal length": ({"k": [-1.0, 0, 320, 0, 510, 240, 0, 0, 1.0]}, "negative"),
    "not finite": ({"k": [float("nan"), 0, 320, 0, 510, 240, 0, 0, 1.0]}, "not finite"),
    "D not finite": ({"d": [0.1, float("inf"), 0, 0, 0.0]}, "not finite"),
    "unknown model": ({"distortion_model": "banana"}, "banana.*plumb_bob"),
    "wrong number of D": ({"d": [0.1, 0.2]}, "plumb_bob takes.*has 2"),
    "region outside": ({"roi": OUTSIDE}, "leaves the 640x480 image"),
    "binned away": ({"binning_x": 1000, "binning_y": 1}, "1000x1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_calibration_is_refused_with_the_reason(case: str) -> None:
    changes, words = BAD[case]
    message = info(**{k: [float(e) for e in v] if k == "k" else v for k, v in changes.items()})
    with pytest.raises(CalibrationError, match=words):
        from_message(message)


def test_rectified_but_uncalibrated() -> None:
    with pytest.raises(CalibrationError, match="uncalibrated"):
        from_message(info(k=[0.0] * 9, p=[0.0] * 12), image_is_rectified=True)


focal = st.floats(0.5, 1.5)
offset = st.floats(0.4, 0.6)


@settings(max_examples=60)
@given(st.integers(8, 4000), st.integers(8, 4000), focal, focal, offset, offset, st.booleans())
def test_there_and_back(
    width: int, height: int, fx: float, fy: float, cx: float, cy: float, distorted: bool
) -> None:
    longer = max(width, height)
    lens = tuple(BARREL) if distorted else ()
    camera = Camera(width, height, fx * longer, fy * longer, cx * width, cy * height, lens)
    header = Header(frame_id="camera")
    header.stamp.sec = 7
    message = to_message(camera, header)
    assert message.header == header
    assert (message.width, message.height) == (width, height)
    calibration = from_message(message)
    assert calibration.camera == camera
    assert calibration.rectified == camera.rectified()
    assert np.array_equal(calibration.rotation, np.eye(3))
    assert message.p[3] == message.p[7] == message.p[11] == 0.0
    assert message.p[10] == 1.0


def test_fisheye_there_and_back() -> None:
    camera = Camera(64, 48, 30.0, 30.0, 31.5, 23.5, (0.0,) * 4, "equidistant")
    assert from_message(to_message(camera, Header())).camera == camera
