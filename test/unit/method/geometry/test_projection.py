# SPDX-License-Identifier: Apache-2.0
"""Block 106: projection coordinates, point by point, and what is sampled there."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from depth_recog.datasets.sequence import Frame, Truth
from depth_recog.datasets.street import SyntheticStreet
from depth_recog.method.geometry import projection, se3_tensors
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.loss import photometric

# Neither square pixels nor a centred principal point: whatever is exchanged shows.
CAMERA = Camera(width=9, height=6, fx=7.0, fy=11.0, cx=3.2, cy=2.9)
MOTION = (0.03, -0.05, 0.08, 0.2, -0.1, 0.35)


def tensor(values: object) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def some_depth(seed: int, camera: Camera = CAMERA) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.uniform(2.0, 9.0, (1, 1, camera.height, camera.width)))


def plain_projection(
    depth: np.ndarray, camera: Camera, T: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """P = K T (Z K^-1 H), one pixel at a time, and the depth in the second camera."""
    pixels, depths = np.zeros((*depth.shape, 2)), np.zeros(depth.shape)
    for v, u in np.ndindex(depth.shape):
        z = depth[v, u]
        x, y = (u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z
        a, b, c = (row[0] * x + row[1] * y + row[2] * z + row[3] for row in T[:3])
        pixels[v, u] = camera.fx * a / c + camera.cx, camera.fy * b / c + camera.cy
        depths[v, u] = c
    return pixels, depths


def intrinsics(camera: Camera = CAMERA) -> Tensor:
    return projection.intrinsics_tensor([camera], torch.zeros(0, dtype=torch.float64))


def test_pixels_are_counted_from_the_centre_of_the_top_left_one() -> None:
    grid = projection.pixel_grid(2, 3, torch.zeros(0))
    assert grid.tolist() == [[0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1]]
    assert projection.pixel_grid(2, 3, torch.zeros(0, dtype=torch.float64)).dtype == torch.float64


def test_intrinsics_of_each_camera() -> None:
    other = CAMERA.resized(18, 12)
    k = projection.intrinsics_tensor([CAMERA, other], torch.zeros(0))
    assert k.dtype == torch.float32
    np.testing.assert_allclose(k, np.stack((CAMERA.matrix, other.matrix)), rtol=1e-6)


def test_backprojection_equals_the_text_and_kornia() -> None:
    depth = some_depth(0)
    points = projection.backproject(depth, intrinsics())
    assert points.shape == (1, 3, 54)
    for v, u in np.ndindex(6, 9):
        z = depth[0, 0, v, u].item()
        expected = (u - 3.2) / 7.0 * z, (v - 2.9) / 11.0 * z, z
        assert points[0, :, v * 9 + u].tolist() == pytest.approx(expected)
    kornia = pytest.importorskip("kornia")
    theirs = kornia.geometry.depth.depth_to_3d(depth, intrinsics())
    torch.testing.assert_close(points.view(1, 3, 6, 9), theirs)


@pytest.mark.parametrize("seed", range(3))
def test_projection_equals_the_text(seed: int) -> None:
    depth = some_depth(seed)
    T = se3_tensors.from_vector(tensor(MOTION) * (seed + 1))
    got = projection.project(depth, intrinsics(), T[None])
    pixels, depths = plain_projection(depth[0, 0].numpy(), CAMERA, T.numpy())
    np.testing.assert_allclose(got.pixels[0], pixels, rtol=1e-10)
    np.testing.assert_allclose(got.depth[0, 0], depths, rtol=1e-10)
    inside = (pixels >= 0).all(-1) & (pixels[..., 0] <= 8) & (pixels[..., 1] <= 5)
    np.testing.assert_array_equal(got.valid[0, 0], inside)
    assert 0 < inside.sum() < inside.size, "the example shows both"


def test_projection_is_differentiable_in_depth_and_motion() -> None:
    depth = some_depth(5, Camera(4, 3, 7.0, 11.0, 1.2, 0.9)).requires_grad_()
    vector = tensor(MOTION)[None].clone().requires_grad_()
    k = intrinsics()

    def coordinates(d: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        result = projection.project(d, k, se3_tensors.from_vector(m))
        return result.pixels, result.depth

    assert torch.autograd.gradcheck(coordinates, (depth, vector))


def test_the_identity_leaves_every_pixel_where_it_is() -> None:
    depth = some_depth(6)
    got = projection.project(depth, intrinsics(), torch.eye(4, dtype=torch.float64)[None])
    expected = projection.pixel_grid(6, 9, depth)[:2].T.view(1, 6, 9, 2)
    torch.testing.assert_close(got.pixels, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(got.depth, depth)


def test_each_pair_of_a_batch_has_its_own_camera_and_motion() -> None:
    depth = torch.cat((some_depth(7), some_depth(8)))
    motions = torch.stack((torch.eye(4).double(), se3_tensors.from_vector(tensor(MOTION))))
    cameras = [CAMERA, Camera(9, 6, 8.0, 5.0, 4.0, 2.0)]
    k = projection.intrinsics_tensor(cameras, depth)
    both = projection.project(depth, k, motions)
    for b in range(2):
        one = projection.project(depth[b : b + 1], k[b : b + 1], motions[b : b + 1])
        torch.testing.assert_close(both.pixels[b : b + 1], one.pixels)
        assert torch.equal(both.valid[b : b + 1], one.valid)


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf, 0.0, -2.0])
def test_unknown_depth_is_invalid_and_stays_out_of_the_gradient(unknown: float) -> None:
    depth = some_depth(9)
    depth[0, 0, 2, 3] = unknown
    depth.requires_grad_()
    T = torch.eye(4, dtype=torch.float64)[None]
    T[0, 0, 3] = 0.01
    got = projection.project(depth, intrinsics(), T)
    assert not got.valid[0, 0, 2, 3]
    assert got.valid[0, 0, 2, 4]
    assert torch.isfinite(got.pixels).all()
    got.pixels.sum().backward()
    assert torch.isfinite(depth.grad).all()
    assert depth.grad[0, 0, 2, 3] == 0


def test_points_behind_the_second_camera_are_invalid() -> None:
    """Some lie behind, one in the camera's very plane; their pixels stay finite."""
    depth = torch.full((1, 1, 6, 9), 3.0, dtype=torch.float64)
    depth[0, 0, 0, 0] = 5.0
    depth[0, 0, 3, 3] = 20.0
    T = torch.eye(4, dtype=torch.float64)[None]
    T[0, 2, 3] = -5.0
    got = projection.project(depth, intrinsics(), T)
    assert torch.isfinite(got.pixels).all()
    assert got.valid.sum() == 1
    assert got.valid[0, 0, 3, 3]
    # A point behind the camera would project inside the image, upside down.
    assert (got.depth[0, 0, 2, 2] / got.depth[0, 0, 3, 3]) < 0


def test_the_second_image_may_have_another_size() -> None:
    depth, T = some_depth(10), torch.eye(4, dtype=torch.float64)[None]
    got = projection.project(depth, intrinsics(), T, (4, 7))
    expected = torch.zeros(6, 9, dtype=torch.bool)
    expected[:4, :7] = True
    # The last row and column lie on the border itself, where rounding decides.
    assert torch.equal(got.valid[0, 0, 1:3, 1:6], expected[1:3, 1:6])
    assert not got.valid[0, 0, 4:].any()
    assert not got.valid[0, 0, :, 7:].any()


# --- sampling ---------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([torch.float32, torch.float64]))
def test_sampling_at_pixel_centres_gives_the_pixels_back(
    height: int, width: int, dtype: torch.dtype
) -> None:
    image = torch.rand(1, 2, height, width, dtype=dtype)
    pixels = projection.pixel_grid(height, width, image)[:2].T.view(1, height, width, 2)
    got = projection.sample(image, pixels)
    # Rounding of the normalised coordinate only: 40 pixels at 6e-8.
    torch.testing.assert_close(got, image, atol=1e-5 if dtype == torch.float32 else 1e-12, rtol=0)


def test_sampling_pixel_centres_is_exact_where_the_arithmetic_is() -> None:
    image = torch.rand(1, 3, 32, 64)
    pixels = projection.pixel_grid(32, 64, image)[:2].T.view(1, 32, 64, 2)
    assert torch.equal(projection.sample(image, pixels), image)


def test_sampling_is_bilinear() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((6, 9))
    pixels = rng.uniform((0, 0), (8, 5), (40, 2))
    got = projection.sample(tensor(image)[None, None], tensor(pixels)[None, None])[0, 0, 0]
    for value, (u, v) in zip(got.tolist(), pixels, strict=True):
        x, y = int(u), int(v)
        a, b = u - x, v - y
        top = (1 - a) * image[y, x] + a * image[y, x + 1]
        bottom = (1 - a) * image[y + 1, x] + a * image[y + 1, x + 1]
        assert value == pytest.approx((1 - b) * top + b * bottom, abs=1e-12)
    halfway = projection.sample(tensor([[[[0.0, 1.0]]]]), tensor([[[[0.5, 0.0]]]]))
    assert halfway.item() == pytest.approx(0.5)


def test_sampling_repeats_the_border_outside() -> None:
    image = torch.arange(12.0).view(1, 1, 3, 4)
    pixels = torch.tensor([[[[-3.0, 1.0], [9.0, 1.0], [2.0, -5.0], [2.0, 7.0], [-0.5, -0.5]]]])
    assert projection.sample(image, pixels).flatten().tolist() == [4, 7, 2, 10, 0]


def test_sampling_is_differentiable() -> None:
    image = torch.rand(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    # Away from pixel centres, where a bilinear surface has its kinks.
    pixels = (torch.randint(0, 3, (1, 3, 3, 2)) + 0.2 + 0.6 * torch.rand(1, 3, 3, 2)).double()
    assert torch.autograd.gradcheck(projection.sample, (image, pixels.requires_grad_()))


@given(st.integers(0, 10_000))
def test_touches_says_whether_any_of_the_four_taps_is_masked(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((7, 8)) < 0.2
    pixels = rng.uniform((0.01, 0.01), (6.99, 5.99), (30, 2))
    # Not so near to a pixel's centre that a tap has no weight.
    pixels = np.floor(pixels) + 0.01 + 0.98 * (pixels - np.floor(pixels))
    got = projection.touches(torch.from_numpy(mask)[None, None], tensor(pixels)[None, None])
    for touched, (u, v) in zip(got[0, 0, 0].tolist(), pixels, strict=True):
        x, y = int(u), int(v)
        assert touched == mask[y : y + 2, x : x + 2].any()


@given(st.integers(0, 10_000))
def test_what_touches_no_mask_does_not_depend_on_masked_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, mask = rng.random((7, 8)).astype(np.float32), rng.random((7, 8)) < 0.2
    pixels = torch.from_numpy(rng.uniform(-1, 8, (1, 5, 9, 2)).astype(np.float32))
    pixels[0, 0] = pixels[0, 0].round()
    before = projection.sample(torch.from_numpy(image)[None, None], pixels)
    masked = np.where(mask, np.float32(50), image)
    after = projection.sample(torch.from_numpy(masked)[None, None], pixels)
    touched = projection.touches(torch.from_numpy(mask)[None, None], pixels)
    assert torch.equal(before[~touched], after[~touched])
    assert (before[touched] != after[touched]).all()


# --- the street, whose truth is exact -----------------------------------------------------------


@cache
def pair(scene: str, seed: int, index: int) -> tuple[Frame, Frame, Truth, np.ndarray]:
    """Both frames, the first one's truth, T_second_from_first."""
    street = SyntheticStreet(scene, seed=seed, frames=index + 2)
    truth, following = street.truth(index), street.truth(index + 1)
    T = np.linalg.inv(following.world_from_camera) @ truth.world_from_camera
    return street[index], street[index + 1], truth, T


def picture(frame: Frame) -> Tensor:
    return torch.from_numpy(frame.image).permute(2, 0, 1)[None].double() / 255


@pytest.mark.parametrize("scene", ["street", "parked"])
def test_exact_depth_and_pose_give_the_exact_flow(scene: str) -> None:
    frame, _, truth, T = pair(scene, 1, 20)
    k = intrinsics(frame.camera)
    got = projection.project(tensor(truth.depth)[None, None], k, tensor(T)[None])
    use = ~truth.moving & np.isfinite(truth.depth) & (got.depth[0, 0].numpy() > 0.1)
    assert use.sum() > 20_000
    v, u = np.mgrid[: frame.camera.height, : frame.camera.width]
    flow = got.pixels[0].numpy() - np.stack((u, v), -1)
    assert np.abs(flow - truth.flow)[use].max() < 1e-3
    # The opposite motion is another one by pixels, not by thousandths.
    wrong = projection.project(tensor(truth.depth)[None, None], k, tensor(np.linalg.inv(T))[None])
    flow = wrong.pixels[0].numpy() - np.stack((u, v), -1)
    assert np.median(np.abs(flow - truth.flow)[use]) > 1


def test_the_projection_image_of_the_truth_is_the_first_image() -> None:
    first, second, truth, T = pair("parked", 1, 20)
    errors = {}
    for name, motion in (("truth", T), ("identity", np.eye(4)), ("inverse", np.linalg.inv(T))):
        image, where = projection.projection_image(
            picture(second),
            tensor(truth.depth)[None, None],
            intrinsics(first.camera),
            tensor(motion)[None],
        )
        error = photometric.photometric_error(picture(first), image)
        mean, count = photometric.masked_mean(error, photometric.whole_windows(where.valid))
        assert count > 20_000
        errors[name] = mean.item()
    # Measured 0.029, 0.154 and 0.188: what remains is resampling, occlusion and noise.
    assert errors["truth"] < 0.05
    assert errors["identity"] > 3 * errors["truth"]
    assert errors["inverse"] > errors["identity"]


def test_a_camera_at_rest_sees_its_own_border() -> None:
    """In float32, as it is used; the sample there is the border's own pixel."""
    camera = SyntheticStreet("empty", frames=1).camera
    depth = torch.from_numpy(np.random.default_rng(0).uniform(1, 50, (1, 1, 128, 416))).float()
    k = projection.intrinsics_tensor([camera], depth)
    assert projection.project(depth, k, torch.eye(4)[None]).valid.all()
