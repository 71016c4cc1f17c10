# SPDX-License-Identifier: Apache-2.0
"""Block 106: projection coordinates and the projection image.

P = K T (Z K^-1 H). The text arranges I1's pixels at P, forward; here I2 is sampled at P, so that
the projection image of I1 can be compared with I1, pixel by pixel.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from depth_recog.method.geometry.camera import Camera

# A point nearer than this to the camera's plane has no projection (depth's own unit).
NEAREST = 1e-3
# Rounding must not decide whether a pixel of the border, seen again where it was, is inside.
_BORDER = 1e-3


def intrinsics_tensor(cameras: list[Camera], like: Tensor) -> Tensor:
    """K of each camera, (B, 3, 3), in the type and on the device of `like`."""
    return torch.stack([torch.from_numpy(c.matrix) for c in cameras]).to(like)


def pixel_grid(height: int, width: int, like: Tensor) -> Tensor:
    """H of the text: homogeneous pixels (u, v, 1), counted from the centre of the top-left one.

    Returns:
        (3, height * width) float, row by row.
    """
    v, u = torch.meshgrid(
        torch.arange(height, dtype=like.dtype, device=like.device),
        torch.arange(width, dtype=like.dtype, device=like.device),
        indexing="ij",
    )
    return torch.stack((u.reshape(-1), v.reshape(-1), torch.ones_like(u).reshape(-1)))


class Projection(NamedTuple):
    """Where I1's pixels come to lie in I2.

    Attributes:
        pixels: (B, H, W, 2) float, (u, v) in I2's pixels.
        depth: (B, 1, H, W) float, depth of the points in the second camera.
        valid: (B, 1, H, W) bool: in front of the second camera and inside I2, all four taps.
    """

    pixels: Tensor
    depth: Tensor
    valid: Tensor


def backproject(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Z K^-1 H: the surface points of an image in its camera's frame.

    Args:
        depth: (B, 1, H, W) float, along the optical axis.
        intrinsics: (B, 3, 3) float, pixels.

    Returns:
        (B, 3, H * W), in the depth's unit.
    """
    batch, _, height, width = depth.shape
    rays = torch.linalg.inv(intrinsics) @ pixel_grid(height, width, depth)
    points: Tensor = rays * depth.reshape(batch, 1, -1)
    return points


def project(
    depth: Tensor,
    intrinsics: Tensor,
    T_second_from_first: Tensor,
    size: tuple[int, int] | None = None,
) -> Projection:
    """Projection coordinates of block 106 (claim 6).

    Args:
        depth: (B, 1, H, W) float, D1; not finite where unknown.
        intrinsics: (B, 3, 3) float, K of both images, pixels.
        T_second_from_first: (B, 4, 4) float, translation in the depth's unit.
        size: (height, width) of I2 where it differs from I1's.

    Returns:
        A `Projection`; gradients flow to the depth and to the motion.
    """
    batch, _, height, width = depth.shape
    finite = torch.isfinite(depth) & (depth > 0)
    points = backproject(torch.where(finite, depth, torch.ones_like(depth)), intrinsics)
    moved = T_second_from_first[:, :3, :3] @ points + T_second_from_first[:, :3, 3:]
    z = moved[:, 2:]
    front = z > NEAREST
    homogeneous = intrinsics @ moved
    pixels = homogeneous[:, :2] / torch.where(front, z, torch.ones_like(z))
    u, v = pixels[:, 0], pixels[:, 1]
    rows, columns = size or (height, width)
    inside = (u >= -_BORDER) & (u <= columns - 1 + _BORDER)
    inside &= (v >= -_BORDER) & (v <= rows - 1 + _BORDER)
    valid = inside.view(batch, 1, height, width) & front.view(batch, 1, height, width) & finite
    return Projection(
        pixels.transpose(1, 2).reshape(batch, height, width, 2),
        z.view(batch, 1, height, width),
        valid,
    )


def sample(image: Tensor, pixels: Tensor) -> Tensor:
    """Bilinear samples of an image at pixel coordinates.

    Args:
        image: (B, C, H, W) float.
        pixels: (B, h, w, 2) float, (u, v), counted from the centre of the top-left pixel.

    Returns:
        (B, C, h, w); outside the image the border's value.
    """
    height, width = image.shape[2:]
    scale = torch.tensor([2 / width, 2 / height], dtype=pixels.dtype, device=pixels.device)
    # align_corners=False: -1 is the left edge of the leftmost pixel, at u = -0.5.
    grid = (pixels + 0.5) * scale - 1
    return torch.nn.functional.grid_sample(
        image, grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def projection_image(
    second: Tensor, depth: Tensor, intrinsics: Tensor, T_second_from_first: Tensor
) -> tuple[Tensor, Projection]:
    """The projection image of I1: I2 sampled where I1's surface points come to lie.

    Args:
        second: (B, C, H, W) float, I2.
        depth: (B, 1, H, W) float, D1.
        intrinsics: (B, 3, 3) float, pixels.
        T_second_from_first: (B, 4, 4) float.

    Returns:
        The image, (B, C, H, W), and the `Projection` that says where it is valid.
    """
    projection = project(depth, intrinsics, T_second_from_first, (second.shape[2], second.shape[3]))
    return sample(second, projection.pixels), projection


def touches(mask: Tensor, pixels: Tensor) -> Tensor:
    """Whether any of the four taps of a sample falls on a masked pixel.

    Args:
        mask: (B, 1, H, W) bool, masked pixels of the sampled image.
        pixels: (B, h, w, 2) float, where it is sampled.

    Returns:
        (B, 1, h, w) bool.
    """
    return sample(mask.to(pixels.dtype), pixels) > 0
