# SPDX-License-Identifier: Apache-2.0
"""Block 106: projection coordinates P = K T (Z K^-1 H) and the projection image.

The patent moves I1's pixels to P. Here I2 is sampled at P, so that the projection image of I1 can
be compared with I1 pixel by pixel.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from depth_recog.method.geometry.camera import Camera

# A point closer than this to the camera's plane has no projection, in the depth's unit.
NEAREST = 1e-3
# Tolerance in pixels: rounding must not put a border pixel of an unmoved camera outside.
_BORDER = 1e-3


def intrinsics_tensor(cameras: list[Camera], like: Tensor) -> Tensor:
    """Return K of each camera, (B, 3, 3), with the type and device of `like`."""
    return torch.stack([torch.from_numpy(c.matrix) for c in cameras]).to(like)


def pixel_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Return H, (3, height * width), row by row: (u, v, 1) from the top-left pixel's centre."""
    v, u = torch.meshgrid(
        torch.arange(height, dtype=like.dtype, device=like.device),
        torch.arange(width, dtype=like.dtype, device=like.device),
        indexing="ij",
    )
    return torch.stack((u.reshape(-1), v.reshape(-1), torch.ones_like(u).reshape(-1)))


class Projection(NamedTuple):
    """Projections of I1's pixels into I2.

    Attributes:
        pixels: (B, H, W, 2) float, (u, v) in I2's pixels.
        depth: (B, 1, H, W) float, depth of the points in the second camera.
        valid: (B, 1, H, W) bool: in front of the second camera and inside I2.
    """

    pixels: Tensor
    depth: Tensor
    valid: Tensor


def backproject(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Return Z K^-1 H, the surface points of an image in its camera's frame.

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
    """Compute the projection coordinates (block 106, claim 6).

    Args:
        depth: (B, 1, H, W) float, D1; not finite or not positive where unknown.
        intrinsics: (B, 3, 3) float, K of both images, pixels.
        T_second_from_first: (B, 4, 4) float, translation in the depth's unit.
        size: (height, width) of I2 if it differs from I1's.

    Returns:
        A `Projection`, differentiable in depth and motion.
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
    """Sample an image bilinearly at pixel coordinates.

    Args:
        image: (B, C, H, W) float.
        pixels: (B, h, w, 2) float, (u, v), from the centre of the top-left pixel.

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
    """Compute the projection image of I1: I2 sampled at the projections of I1's points.

    Args:
        second: (B, C, H, W) float, I2.
        depth: (B, 1, H, W) float, D1.
        intrinsics: (B, 3, 3) float, pixels.
        T_second_from_first: (B, 4, 4) float.

    Returns:
        The image, (B, C, H, W), and the `Projection` with its valid pixels.
    """
    projection = project(depth, intrinsics, T_second_from_first, (second.shape[2], second.shape[3]))
    return sample(second, projection.pixels), projection


def touches(mask: Tensor, pixels: Tensor) -> Tensor:
    """Return (B, 1, h, w) bool: whether any of the four taps of a sample is a masked pixel.

    Args:
        mask: (B, 1, H, W) bool, masked pixels of the sampled image.
        pixels: (B, h, w, 2) float, the sample positions (u, v).
    """
    return sample(mask.to(pixels.dtype), pixels) > 0
