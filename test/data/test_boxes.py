# SPDX-License-Identifier: Apache-2.0
"""Boxes: points within and outlines, against slow references."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from depth_recog.datasets.boxes import Box
from depth_recog.method.geometry.camera import Camera

CAMERA = Camera(width=120, height=80, fx=90.0, fy=95.0, cx=57.0, cy=41.0)
EYE = np.eye(3)
ANGLES = st.floats(-math.pi, math.pi)
SIZES = st.tuples(*[st.floats(0.2, 6.0)] * 3)


def turned(x: float, y: float, z: float) -> NDArray[np.float64]:
    """A (3, 3) rotation about x, y and z."""
    out = np.eye(3)
    for axis, angle in enumerate((x, y, z)):
        step = np.eye(3)
        a, b = [i for i in range(3) if i != axis]
        step[a, a] = step[b, b] = math.cos(angle)
        step[a, b], step[b, a] = -math.sin(angle), math.sin(angle)
        out = out @ step
    return out


def box_at(
    centre: tuple[float, ...], size: tuple[float, ...], rotation: NDArray[np.float64] = EYE
) -> Box:
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation, centre
    return Box("1", "car", transform, size, 0.0)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """Boxes of any size and rotation around the camera."""
    rotation = turned(draw(ANGLES), draw(ANGLES), draw(ANGLES))
    centre = draw(st.floats(-15, 15)), draw(st.floats(-8, 8)), draw(st.floats(-5, 40))
    return box_at(centre, draw(SIZES), rotation)


def within(box: Box, point: NDArray[np.float64], margin: float) -> bool:
    """Slow reference for one point: distance from the centre along each axis."""
    for axis in range(3):
        along = sum(
            (point[i] - box.T_camera_from_box[i, 3]) * box.T_camera_from_box[i, axis]
            for i in range(3)
        )
        if abs(along) > box.size[axis] / 2 + margin:
            return False
    return True


def surface(box: Box, steps: int = 24) -> NDArray[np.float64]:
    """(N, 3) points all over the box's six faces, edges and corners too."""
    grid = np.linspace(-0.5, 0.5, steps)
    points = [
        (a, b, c) for a in grid for b in grid for c in grid if 0.5 in (abs(a), abs(b), abs(c))
    ]
    local = np.array(points) * box.size
    return local @ box.T_camera_from_box[:3, :3].T + box.T_camera_from_box[:3, 3]


@given(boxes(), st.integers(0, 2**32 - 1))
def test_contains_equals_a_slow_reference(box: Box, seed: int) -> None:
    """Points around the box and far from it, near its faces on both sides."""
    rng = np.random.default_rng(seed)
    local = rng.uniform(-0.75, 0.75, (40, 3)) * box.size
    points = local @ box.T_camera_from_box[:3, :3].T + box.T_camera_from_box[:3, 3]
    answer = box.contains(points)
    assert answer.shape == (40,)
    for point, inside in zip(points, answer, strict=True):
        # Rounding may go either way within a nanometre of a face.
        if within(box, point, -1e-9) == within(box, point, 1e-9):
            assert inside == within(box, point, 0.0)
    assert answer[(np.abs(local) < 0.499 * np.array(box.size)).all(1)].all()


@given(boxes())
def test_corners_are_eight_and_a_size_apart(box: Box) -> None:
    """Three lengths of edge from each, the diagonal to the opposite one, the centre in between."""
    corners = box.corners()
    assert corners.shape == (8, 3)
    np.testing.assert_allclose(corners.mean(0), box.T_camera_from_box[:3, 3], atol=1e-9)
    length, width, height = box.size
    expected = sorted(
        math.hypot(a * length, b * width, c * height) for a, b, c in product((0, 1), repeat=3)
    )
    for corner in corners:
        distances = sorted(np.linalg.norm(corners - corner, axis=1))
        np.testing.assert_allclose(distances, expected, atol=1e-9)
    slightly = 0.999 * (corners - corners.mean(0)) + corners.mean(0)
    assert box.contains(slightly).all()
    assert not box.contains(corners.mean(0) + 1.001 * (corners - corners.mean(0))).any()


def test_axes_belong_to_length_width_height() -> None:
    """Without rotation: x is the length, y the width, z the height."""
    box = box_at((0, 0, 10), (4.0, 2.0, 1.0))
    for axis, half in enumerate((2.0, 1.0, 0.5)):
        for sign in (-1, 1):
            point = np.array([0, 0, 10.0])
            point[axis] += sign * (half - 0.01)
            assert box.contains(point)
            point[axis] += sign * 0.02
            assert not box.contains(point)


def test_points_that_are_not_finite_are_outside() -> None:
    """Unknown depth and sky; the shape is kept."""
    box = box_at((0, 0, 0), (4.0, 2.0, 1.0))
    points = np.zeros((2, 4, 3), np.float32)
    points[0, :3, 2] = (np.nan, np.inf, -np.inf)
    points[1, 3] = np.nan
    answer = box.contains(points)
    np.testing.assert_array_equal(answer, [[False, False, False, True], [True, True, True, False]])


@given(boxes())
def test_outline_is_around_all_that_is_seen(box: Box) -> None:
    """Compared with the projected surface, clipped to the image."""
    points = surface(box)
    assume(points[:, 2].min() > 0.1)
    u = CAMERA.fx * points[:, 0] / points[:, 2] + CAMERA.cx
    v = CAMERA.fy * points[:, 1] / points[:, 2] + CAMERA.cy
    edges = np.clip(np.stack((u, v), 1), -0.5, (119.5, 79.5))
    expected = *edges.min(0), *edges.max(0)
    answer = box.outline(CAMERA)
    if answer is None:
        assert expected[2] - expected[0] < 1 or expected[3] - expected[1] < 1
    else:
        np.testing.assert_allclose(answer, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("centre", "seen"),
    [
        ((0, 0, 10), True),
        ((0, 0, -10), False),  # behind: its image would be upside down, not absent
        ((0, 0, 1.0), False),  # a corner is behind the camera
        ((0, 0, 2.2), True),
        ((40, 0, 10), False),  # beside the image
        ((0, -40, 10), False),
        ((0, 0, 4000), False),  # less than a pixel
    ],
)
def test_outline_of_invisible_boxes(centre: tuple[float, float, float], seen: bool) -> None:
    assert (box_at(centre, (4.0, 2.0, 4.0)).outline(CAMERA) is not None) == seen


def test_outline_by_hand() -> None:
    """A cube of 2 m in front of the camera; pixels count from their centres."""
    left, top, right, bottom = box_at((0, 0, 11), (2.0, 2.0, 2.0)).outline(CAMERA)
    assert (left, right) == pytest.approx((57 - 9, 57 + 9))
    assert (top, bottom) == pytest.approx((41 - 9.5, 41 + 9.5))
    assert box_at((-7, 0, 11), (2.0, 2.0, 2.0)).outline(CAMERA)[0] == -0.5
