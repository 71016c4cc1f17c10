# SPDX-License-Identifier: Apache-2.0
"""Which pixels of a rectified image the camera has seen, for every lens model."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import Viewport, rectify_nearest

CAMERA = Camera(width=200, height=120, fx=150.0, fy=140.0, cx=95.0, cy=63.0)
WIDE = replace(CAMERA, fx=90.0, fy=90.0)
PINCUSHION = replace(CAMERA, distortion=(0.25, 0.06, 0.002, -0.003, 0.001))
RATIONAL = replace(
    CAMERA,
    distortion=(0.8, 0.3, 0.001, -0.002, 0.01, 0.5, 0.2, 0.005),
    distortion_model="rational_polynomial",
)
FISHEYE = replace(CAMERA, distortion=(0.02, -0.01, 0.003, 0.001), distortion_model="equidistant")
FOLDING = replace(CAMERA, fx=60.0, fy=60.0, distortion=(-0.35, 0.0, 0.0, 0.0))


def sources(camera: Camera, target: Camera) -> tuple[NDArray[np.float64], ...]:
    """Where OpenCV's forward models put the rays of the rectified pixels: columns and rows."""
    v, u = np.mgrid[: target.height, : target.width].astype(np.float64)
    rays = np.stack(((u - target.cx) / target.fx, (v - target.cy) / target.fy), -1)
    coefficients = np.array(camera.distortion)
    if camera.distortion_model == "equidistant":
        found = cv2.fisheye.distortPoints(rays.reshape(-1, 1, 2), camera.matrix, coefficients)
    else:
        points = np.concatenate((rays, np.ones_like(u)[..., None]), -1).reshape(-1, 1, 3)
        found = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix, coefficients)[0]
    x, y = found.reshape(*u.shape, 2).transpose(2, 0, 1)
    return x, y


@pytest.mark.parametrize(
    ("camera", "target"),
    [(PINCUSHION, None), (CAMERA, WIDE), (RATIONAL, WIDE), (FISHEYE, WIDE)],
    ids=["plumb_bob", "wider P", "rational", "equidistant"],
)
def test_pixels_beyond_the_border_are_not_seen(camera: Camera, target: Camera | None) -> None:
    view = Viewport.of(camera, (64, 32), target)
    x, y = sources(camera, view.rectified)
    near = 0.002
    outside = (x < -near) | (x > 199 + near) | (y < -near) | (y > 119 + near)
    inside = (x >= 0) & (x <= 199) & (y >= 0) & (y <= 119)
    assert view.seen is not None
    assert 0.05 < (~view.seen).mean() < 0.8
    assert not view.seen[outside].any()
    assert view.seen[inside].all()


def test_the_networks_pixels_are_seen_as_a_whole() -> None:
    view = Viewport.of(PINCUSHION, (50, 30))
    assert view.seen is not None
    whole = view.seen.reshape(30, 4, 50, 4).all((1, 3))
    np.testing.assert_array_equal(view.network_seen, whole)


def test_where_the_polynomial_turns_back_the_camera_has_seen_nothing() -> None:
    """OpenCV shows the rim of the image once more there, well inside its borders."""
    view = Viewport.of(FOLDING, (64, 32))
    x, y = sources(FOLDING, view.rectified)
    v, u = np.mgrid[:120, :200]
    angle = np.hypot((u - 95) / 60, (v - 63) / 60)
    beyond = angle > (1 / (3 * 0.35)) ** 0.5 + 0.01  # where r - 0.35 r^3 is largest
    assert ((x > 1) & (x < 198) & (y > 1) & (y < 118) & beyond).sum() > 500
    assert view.seen is not None
    assert not view.seen[beyond].any()
    assert view.seen[angle < 0.9].all()
    truth = rectify_nearest(np.full((120, 200), 7.0, np.float32), FOLDING, np.nan)
    assert np.isnan(truth[beyond]).all()
    assert (truth[angle < 0.9] == 7).all()


@pytest.mark.parametrize("camera", [CAMERA, replace(CAMERA, distortion=(-0.1, 0, 0, 0))])
def test_without_borders_there_is_no_mask(camera: Camera) -> None:
    view = Viewport.of(camera, (64, 32))
    assert view.seen is None
    assert view.network_seen is None


def test_behind_the_camera_nothing_is_seen() -> None:
    backwards = np.diag((-1.0, 1.0, -1.0))
    view = Viewport.of(CAMERA, (64, 32), None, backwards)
    assert view.seen is not None
    assert not view.seen.any()


def test_the_border_is_mirrored_for_the_network_and_black_for_people() -> None:
    view = Viewport.of(PINCUSHION, (64, 32))
    bright = np.full((120, 200, 3), 200, np.uint8)
    assert (view.rectify(bright, mirrored=True) == 200).all()
    assert view.seen is not None
    assert view.rectify(bright)[~view.seen].mean() < 20
    assert not view.rectify(bright)[0, 0].any()
