# SPDX-License-Identifier: Apache-2.0
"""Rigid motions against power series, OpenCV, kornia and points moved one by one."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from depth_recog.method.geometry import se3, se3_tensors

vectors = st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3)
steps = st.lists(st.floats(-100.0, 100.0), min_size=3, max_size=3)


def double(values: object) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def motion(rotation: list[float], translation: list[float]) -> Tensor:
    return se3_tensors.from_vector(double([*rotation, *translation]))


def exponential(matrix: np.ndarray) -> np.ndarray:
    """sum_n A^n / n!, term by term."""
    total, term = np.eye(3), np.eye(3)
    for n in range(1, 60):
        term = term @ matrix / n
        total = total + term
    return total


@given(vectors, vectors)
def test_hat_is_the_cross_product(a: list[float], b: list[float]) -> None:
    x, y, z = a
    got = se3_tensors.hat(double(a)).numpy()
    np.testing.assert_array_equal(got, [[0, -z, y], [z, 0, -x], [-y, x, 0]])
    np.testing.assert_allclose(got @ b, np.cross(a, b), atol=1e-12)


@given(vectors)
def test_exp_rotation_is_the_exponential_of_hat(r: list[float]) -> None:
    x, y, z = r
    series = exponential(np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]))
    rotation = se3_tensors.exp_rotation(double(r)).numpy()
    # The series' largest term is 5.2^5 / 5!, some 30: rounding costs a few of 16 digits.
    np.testing.assert_allclose(rotation, series, atol=1e-12)
    np.testing.assert_allclose(rotation, cv2.Rodrigues(np.array(r))[0], atol=1e-9)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-12)


def test_exp_rotation_agrees_with_kornia() -> None:
    kornia = pytest.importorskip("kornia")
    r = torch.randn(50, 3, dtype=torch.float64)
    expected = kornia.geometry.axis_angle_to_rotation_matrix(r)
    torch.testing.assert_close(se3_tensors.exp_rotation(r), expected, atol=1e-6, rtol=0)


def test_a_quarter_turn_about_each_axis() -> None:
    """Right-handed, with x right, y down, z forward: turning about y takes forward to right."""
    quarter = np.pi / 2
    for axis, before, after in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        turned = (
            se3_tensors.exp_rotation(double(quarter * np.eye(3)[axis])).numpy() @ np.eye(3)[before]
        )
        np.testing.assert_allclose(turned, np.eye(3)[after], atol=1e-12)


@pytest.mark.parametrize("size", [0.0, 1e-9, 0.9e-4, 1.1e-4, 1e-2, 1.0, 3.0])
def test_exp_rotation_is_differentiable_everywhere(size: float) -> None:
    direction = torch.tensor([[0.48, -0.6, 0.64], [0.0, 0.6, -0.8]], dtype=torch.float64)
    r = (direction * size).requires_grad_()
    assert torch.autograd.gradcheck(se3_tensors.exp_rotation, r)
    assert torch.autograd.gradcheck(se3_tensors.from_vector, torch.cat((r, r), -1))


def test_gradient_at_zero_is_the_generator_and_finite_in_float32() -> None:
    r = torch.zeros(3, requires_grad=True)
    jacobian = torch.autograd.functional.jacobian(se3_tensors.exp_rotation, r)
    expected = torch.stack([se3_tensors.hat(e) for e in torch.eye(3)], -1)
    torch.testing.assert_close(jacobian, expected)
    for size in (1e-30, 1e-12, 1e-6, 9e-5, 2e-4, 1e-2):
        near = torch.tensor([size, -size, size])
        jacobian = torch.autograd.functional.jacobian(se3_tensors.exp_rotation, near)
        # Second order in the angle, and float32's (1 - cos) / angle^2 just above the switch.
        torch.testing.assert_close(jacobian, expected, atol=2 * size + 2e-3, rtol=0)


def test_matrix_of_a_vector_holds_rotation_then_translation() -> None:
    matrix = motion([0.1, -0.2, 0.3], [4.0, 5.0, 6.0]).numpy()
    np.testing.assert_array_equal(matrix[:3, 3], [4, 5, 6])
    np.testing.assert_array_equal(matrix[3], [0, 0, 0, 1])
    np.testing.assert_allclose(matrix[:3, :3], cv2.Rodrigues(np.array([0.1, -0.2, 0.3]))[0])


def test_batches_are_what_single_motions_are() -> None:
    vectors = torch.randn(2, 5, 6, dtype=torch.float64)
    batch = se3_tensors.from_vector(vectors)
    assert batch.shape == (2, 5, 4, 4)
    torch.testing.assert_close(batch[1, 3], se3_tensors.from_vector(vectors[1, 3]))
    torch.testing.assert_close(se3_tensors.inverse(batch)[1, 3], se3_tensors.inverse(batch[1, 3]))


@given(vectors, steps, steps)
def test_inverse_takes_points_back(r: list[float], t: list[float], p: list[float]) -> None:
    matrix = motion(r, t)
    point = np.array([*p, 1.0])
    back = se3_tensors.inverse(matrix).numpy() @ (matrix.numpy() @ point)
    np.testing.assert_allclose(back, point, atol=1e-9)
    torch.testing.assert_close(
        se3_tensors.inverse(se3_tensors.inverse(matrix)), matrix, atol=1e-9, rtol=0
    )
    torch.testing.assert_close(
        se3_tensors.inverse(matrix), torch.linalg.inv(matrix), atol=1e-9, rtol=0
    )
    np.testing.assert_allclose(
        se3.inverse_matrix(matrix.numpy()), se3_tensors.inverse(matrix).numpy(), atol=1e-12
    )


def test_inverse_is_differentiable() -> None:
    vector = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda v: se3_tensors.inverse(se3_tensors.from_vector(v)), vector
    )


@given(vectors, steps, vectors, steps, steps)
def test_relative_takes_a_point_from_the_first_frame_to_the_second(
    r1: list[float], t1: list[float], r2: list[float], t2: list[float], p: list[float]
) -> None:
    world_from_first, world_from_second = motion(r1, t1).numpy(), motion(r2, t2).numpy()
    world = world_from_first @ [*p, 1.0]
    in_second = np.linalg.solve(world_from_second, world)
    T_second_from_first = se3.relative(world_from_first, world_from_second)
    np.testing.assert_allclose(T_second_from_first @ [*p, 1.0], in_second, atol=1e-8)


def test_a_camera_that_goes_forward_sees_points_come_nearer() -> None:
    ahead = np.eye(4)
    ahead[2, 3] = 1.0
    np.testing.assert_array_equal(se3.relative(np.eye(4), ahead)[:3, 3], [0, 0, -1])


@given(vectors, st.floats(0.0, 3.14))
def test_rotation_angle(axis: list[float], angle: float) -> None:
    direction = np.array(axis) + (0.0, 0.0, 4.0)
    r = direction / np.linalg.norm(direction) * angle
    matrix = motion(list(r), [1.0, 2.0, 3.0]).numpy()
    assert se3.rotation_angle(matrix) == pytest.approx(angle, abs=1e-9)
    assert se3.rotation_angle(matrix[:3, :3]) == pytest.approx(angle, abs=1e-9)


def test_rotation_angle_keeps_small_angles() -> None:
    """The arc cosine of the trace alone would say 0, or 1.5e-8."""
    matrix = motion([3e-10, 0.0, 4e-10], [0.0, 0.0, 0.0]).numpy()
    assert se3.rotation_angle(matrix) == pytest.approx(5e-10, rel=1e-6)
    assert se3.rotation_angle(np.eye(4)) == 0


@pytest.mark.parametrize("angle", [1e-6, 0.5e-4, 0.99e-4, 1.01e-4, 1e-3])
def test_small_rotations_are_exact_on_both_sides_of_the_series(angle: float) -> None:
    """R - R^T holds the sine, to its last digits: sin a is not a."""
    rotation = se3_tensors.exp_rotation(double([0.0, angle, 0.0])).numpy()
    sine = (rotation[0, 2] - rotation[2, 0]) / 2
    assert sine == pytest.approx(math.sin(angle), rel=1e-12, abs=0)
    assert rotation[0, 0] == pytest.approx(math.cos(angle), rel=0, abs=3e-16)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0, 0.8), (2, -1, 2)])
def test_the_rotation_vector_of_half_a_turn(axis: tuple[float, float, float]) -> None:
    """Either sign of the axis is right."""
    unit = np.array(axis) / np.linalg.norm(axis)
    found = se3.rotation_vector(2 * np.outer(unit, unit) - np.eye(3))
    np.testing.assert_allclose(np.abs(found @ unit), np.pi, rtol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(found), np.pi, rtol=1e-7)
