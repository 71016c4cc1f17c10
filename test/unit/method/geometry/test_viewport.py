# SPDX-License-Identifier: Apache-2.0
"""From the camera's image to the network's and back: every pixel keeps its ray."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from depth_recog.errors import CalibrationError
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.projection import sample
from depth_recog.method.geometry.viewport import (
    LONGEST,
    STRIDE,
    Viewport,
    limit_depth,
    network_size,
    rectify_nearest,
)

CAMERA = Camera(width=200, height=120, fx=150.0, fy=140.0, cx=95.0, cy=63.0)


def coordinates(width: int, height: int) -> NDArray[np.uint8]:
    """An image of its own pixel coordinates: u in red, v in green."""
    v, u = np.mgrid[:height, :width].astype(np.uint8)
    return np.dstack((u, v, np.zeros_like(u)))


@given(st.integers(64, 4000), st.integers(64, 4000))
def test_the_networks_size_keeps_aspect_and_area(width: int, height: int) -> None:
    camera = Camera(width, height, 500.0, 500.0, 10.0, 10.0)
    if not 1 / LONGEST <= width / height <= LONGEST:
        with pytest.raises(CalibrationError, match=f"{width}x{height}.*crop"):
            network_size(camera, (416, 128))
        return
    w, h = network_size(camera, (416, 128))
    assert w % STRIDE == h % STRIDE == 0
    assert min(w, h) >= STRIDE
    aspect = width / height
    if 0.3 < aspect < 8:
        # Half a stride off in each direction, at worst.
        assert abs(w - h * aspect) <= STRIDE / 2 + 1e-9 or w == STRIDE
        best = (416 * 128 / aspect) ** 0.5
        assert abs(h - best) <= STRIDE / 2 + 1e-9


def test_familiar_sizes() -> None:
    def size(width: int, height: int) -> tuple[int, int]:
        return network_size(Camera(width, height, 500.0, 500.0, 10.0, 10.0), (416, 128))

    assert size(416, 128) == (416, 128)
    assert size(1242, 375) == (416, 128)
    assert size(640, 480) == (256, 192)


def test_nothing_to_do_gives_the_image_itself() -> None:
    viewport = Viewport.of(CAMERA, CAMERA.size)
    picture = coordinates(200, 120)
    assert viewport.rectify(picture) is picture
    assert viewport.shrink(picture) is picture
    depth, labels = picture[..., 0].astype(np.float32), picture[..., 0]
    assert viewport.enlarge_depth(depth) is depth
    assert viewport.enlarge_labels(labels) is labels
    assert viewport.network == viewport.rectified == CAMERA


def test_an_image_of_another_size_is_refused() -> None:
    viewport = Viewport.of(CAMERA, (96, 64))
    with pytest.raises(CalibrationError, match=r"120x200 pixels, its calibration is for 200x120"):
        viewport.rectify(np.zeros((200, 120, 3), np.uint8))


@pytest.mark.parametrize("size", [(100, 60), (40, 24), (400, 240), (160, 96)])
def test_shrinking_follows_the_networks_intrinsics(size: tuple[int, int]) -> None:
    """A network pixel shows what its own ray meets in the camera's image."""
    viewport = Viewport.of(CAMERA, size)
    assert viewport.network == CAMERA.resized(*size)
    # With whole noise around them coordinates are right on average, whatever is rounded after.
    noise = np.random.default_rng(0).integers(-8, 9, (120, 200, 3))
    picture = (coordinates(200, 120) + 20 + noise).astype(np.uint8)
    small = viewport.shrink(picture).astype(float) - 20
    assert small.shape == (size[1], size[0], 3)
    v, u = np.mgrid[: size[1], : size[0]]
    network = viewport.network
    x, y = network.rays(u, v)
    expected_u, expected_v = x * CAMERA.fx + CAMERA.cx, y * CAMERA.fy + CAMERA.cy
    inner = np.s_[2:-2, 2:-2]  # bilinear enlargement repeats the border
    for channel, expected in enumerate((expected_u, expected_v)):
        # The mean of some 700 pixels or more, of deviation 5 before averaging.
        off = (small[..., channel] - expected)[inner].mean()
        assert abs(off) < 0.2, "half a pixel of another convention would show"


def test_shrinking_averages() -> None:
    """A fine chequerboard becomes grey: it does not alias."""
    board = np.zeros((120, 200, 3), np.uint8)
    board[np.indices((120, 200)).sum(0) % 2 == 0] = 255
    assert np.abs(Viewport.of(CAMERA, (50, 30)).shrink(board).astype(int) - 127).max() <= 1


@pytest.mark.parametrize("size", [(100, 60), (50, 30), (64, 32)])
def test_enlarged_depth_is_sampled_where_each_ray_goes(size: tuple[int, int]) -> None:
    viewport = Viewport.of(CAMERA, size)
    depth = np.random.default_rng(0).uniform(1, 9, (size[1], size[0])).astype(np.float32)
    large = viewport.enlarge_depth(depth)
    assert large.shape == (120, 200)
    assert large.dtype == np.float32
    v, u = np.mgrid[:120, :200].astype(np.float64)
    pixels = np.stack(((u + 0.5) * size[0] / 200 - 0.5, (v + 0.5) * size[1] / 120 - 0.5), -1)
    image = torch.from_numpy(depth).double()[None, None]
    expected = sample(image, torch.from_numpy(pixels)[None])[0, 0]
    np.testing.assert_allclose(large, expected, atol=1e-4)


@pytest.mark.parametrize("size", [(100, 60), (50, 30), (64, 32), (400, 240)])
def test_enlarged_labels_are_the_nearest(size: tuple[int, int]) -> None:
    viewport = Viewport.of(CAMERA, size)
    labels = np.random.default_rng(0).integers(0, 19, (size[1], size[0])).astype(np.uint8)
    large = viewport.enlarge_labels(labels)
    for v in range(0, 120, 7):
        for u in range(200):
            # In whole numbers; where two are equally near, either will do.
            row, v_rest = divmod((2 * v + 1) * size[1], 240)
            column, u_rest = divmod((2 * u + 1) * size[0], 400)
            if v_rest and u_rest:
                assert large[v, u] == labels[row, column]


def distorted_pixel(camera: Camera, ray: NDArray[np.float64]) -> tuple[float, float]:
    """Where a lens puts a ray: the formulas of both models, written out."""
    x, y = ray[0] / ray[2], ray[1] / ray[2]
    if camera.distortion_model == "equidistant":
        k1, k2, k3, k4 = camera.distortion
        r = math.hypot(x, y)
        theta = math.atan(r)
        bent = theta * (1 + k1 * theta**2 + k2 * theta**4 + k3 * theta**6 + k4 * theta**8)
        x, y = (x * bent / r, y * bent / r) if r else (0.0, 0.0)
    elif camera.distortion:
        k1, k2, p1, p2, k3 = camera.distortion
        r2 = x * x + y * y
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )
    return camera.fx * x + camera.cx, camera.fy * y + camera.cy


LENSES = {
    "plumb_bob": ("plumb_bob", (-0.25, 0.06, 0.002, -0.003, 0.001)),
    "equidistant": ("equidistant", (0.02, -0.01, 0.003, 0.001)),
    "none": ("plumb_bob", ()),
    "pincushion": ("plumb_bob", (0.25, 0.06, 0.002, -0.003, 0.001)),
}


def camera_with(lens: str) -> Camera:
    model, coefficients = LENSES[lens]
    return replace(CAMERA, distortion=coefficients, distortion_model=model)


@pytest.mark.parametrize("lens", ["plumb_bob", "equidistant", "none"])
@pytest.mark.parametrize("angle", [0.0, 0.03])
@pytest.mark.parametrize("other", [False, True])
def test_rectification_shows_each_ray_where_a_pinhole_has_it(
    lens: str, angle: float, other: bool
) -> None:
    camera = camera_with(lens)
    target = Camera(200, 120, 165.0, 166.0, 101.0, 58.0) if other else None
    c, s = math.cos(angle), math.sin(angle)
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    viewport = Viewport.of(camera, (96, 64), target, rotation)
    assert viewport.rectified == (target or CAMERA)
    assert viewport.network == viewport.rectified.resized(96, 64)
    got = viewport.rectify(coordinates(200, 120)).astype(float)
    changed = lens != "none" or angle != 0 or other
    seen = 0
    for v in range(0, 120, 9):
        for u in range(0, 200, 7):
            ray = np.linalg.solve(viewport.rectified.matrix, (u, v, 1.0))
            # CameraInfo's R takes the camera's rays to the rectified camera's.
            x, y = distorted_pixel(camera, rotation.T @ ray)
            if 1 < x < 198 and 1 < y < 118:
                seen += 1
                # The picture's rounding, and OpenCV's: 1/32 of a pixel.
                assert np.abs(got[v, u, :2] - (x, y)).max() < 1.1
    assert seen > 200
    assert (viewport.rectify(coordinates(200, 120)) != coordinates(200, 120)).any() == changed


def test_depth_out_of_range_is_marked_as_rep_117_says() -> None:
    nan, inf = math.nan, math.inf
    depth = np.array([[0.0, 0.29, 0.3, 5.0, 80.0, 80.1, nan, inf, -1.0, -inf]], np.float32)
    kept = depth.copy()
    got = limit_depth(depth, np.float32(0.3), 80.0)
    expected = np.array([[nan, -inf, 0.3, 5.0, 80.0, inf, nan, inf, nan, nan]], np.float32)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(depth, kept)
    assert got.dtype == np.float32


def test_sky_is_infinitely_far_unless_it_is_near() -> None:
    """An obstacle that one network takes for sky must not vanish."""
    depth = np.array([[60.0, 40.1, 40.0, 5.0, 0.1, np.nan, 60.0]], np.float32)
    sky = np.array([[True, True, True, True, True, True, False]])
    got = limit_depth(depth, 0.3, 80.0, sky)
    expected = np.array([[np.inf, np.inf, 40.0, 5.0, -np.inf, np.nan, 60.0]], np.float32)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("lens", ["plumb_bob", "equidistant", "pincushion"])
@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_maps_are_rectified_by_the_nearest_pixel(lens: str, kind: type) -> None:
    """Slow reference, pixel by pixel: no new values arise."""
    camera = camera_with(lens)
    values = np.random.default_rng(0).integers(0, 250, (120, 200)).astype(kind)
    fill = np.nan if kind is np.float32 else 255
    if kind is np.float32:
        values[40:50, 60:80] = np.nan
    got = rectify_nearest(values, camera, fill)
    assert got.dtype == kind
    inside = outside = 0
    for v in range(120):
        for u in range(0, 200, 3):
            x, y = distorted_pixel(camera, np.linalg.solve(camera.rectified().matrix, (u, v, 1.0)))
            if min(abs(x % 1 - 0.5), abs(y % 1 - 0.5)) < 0.001:
                continue  # two are equally near
            column, row = round(x), round(y)
            if 0 <= column < 200 and 0 <= row < 120:
                inside += 1
                np.testing.assert_equal(got[v, u], values[row, column])
            else:
                outside += 1
                np.testing.assert_equal(got[v, u], kind(fill))
    assert inside > 5000
    assert (outside > 100) == (lens == "pincushion")


def test_rectified_maps_without_distortion_are_the_maps() -> None:
    values = coordinates(200, 120)[..., 0]
    assert rectify_nearest(values, CAMERA, 255) is values


@pytest.mark.parametrize("size", [(1242, 375), (375, 1242), (640, 480)])
def test_no_side_is_too_short_for_the_networks(size: tuple[int, int]) -> None:
    """Of 32 pixels one is left at the coarsest stride, which cannot be padded."""
    camera = Camera(*size, 500.0, 500.0, 10.0, 10.0)
    assert min(network_size(camera, (112, 56))) >= 2 * STRIDE
