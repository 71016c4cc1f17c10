# SPDX-License-Identifier: Apache-2.0
"""Depth and masks as people like to see them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]

# Cityscapes' own colours, by train id.
PALETTE = np.array(
    [
        (128, 64, 128),
        (244, 35, 232),
        (70, 70, 70),
        (102, 102, 156),
        (190, 153, 153),
        (153, 153, 153),
        (250, 170, 30),
        (220, 220, 0),
        (107, 142, 35),
        (152, 251, 152),
        (70, 130, 180),
        (220, 20, 60),
        (255, 0, 0),
        (0, 0, 142),
        (0, 0, 70),
        (0, 60, 100),
        (0, 80, 100),
        (0, 0, 230),
        (119, 11, 32),
    ],
    dtype=np.uint8,
)
MOVING_COLOR = (255, 40, 40)
UNDECIDED_COLOR = (255, 200, 0)
_GREY = np.array((128, 128, 128), np.uint8)


def depth_colors(depth: NDArray[np.float32], nearest: float = 2.0) -> RGB:
    """A depth image for people: near is bright, far is dark; invalid and out of range black.

    Args:
        depth: (H, W) float32 metres.
        nearest: what is nearer than this many metres is as bright as can be.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    finite = np.isfinite(depth) & (depth > 0)
    inverse = np.where(finite, nearest / np.maximum(np.where(finite, depth, 1), nearest), 0)
    # The square root spreads the middle distances, where streets happen.
    colors = cv2.applyColorMap((np.sqrt(inverse) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    colors[~finite] = 0
    return np.ascontiguousarray(colors[..., ::-1])


def label_overlay(image: RGB, labels: NDArray[np.uint8], opacity: float = 0.55) -> RGB:
    """Class colours over an image, both (H, W, ...); unknown ids are grey."""
    colors = np.vstack((PALETTE, _GREY[None]))[np.minimum(labels, len(PALETTE))]
    return np.asarray(cv2.addWeighted(image, 1 - opacity, colors, opacity, 0), np.uint8)


def outline(image: RGB, moving: NDArray[np.uint8]) -> RGB:
    """The gate's decision around regions: red where moving, yellow where undecided."""
    result = image.copy()
    for value, color in ((1, UNDECIDED_COLOR), (2, MOVING_COLOR)):
        mask = (moving == value).astype(np.uint8)
        contours = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
        cv2.drawContours(result, contours, -1, color, max(1, image.shape[1] // 400))
    return result


def captioned(image: RGB, text: str) -> RGB:
    """An image with a line of white text in its top-left corner, on a dark strip."""
    result = image.copy()
    scale = max(0.35, image.shape[1] / 1300)
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    corner = (0, 0), (width + 8, height + base + 6)
    result[: corner[1][1], : corner[1][0]] //= 3
    place = (4, height + 3)
    white = (255, 255, 255)
    cv2.putText(result, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, white, 1, cv2.LINE_AA)
    return result


def side_by_side(
    image: RGB, depth: NDArray[np.float32], labels: NDArray[np.uint8], moving: NDArray[np.uint8]
) -> RGB:
    """Camera, depth and masks in one row.

    Args:
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) float32 metres.
        labels: (H, W) uint8 train ids.
        moving: (H, W) uint8, 0 still, 1 undecided, 2 moving.

    Returns:
        (H, 3 W, 3) uint8 RGB.
    """
    masks = outline(label_overlay(image, labels), moving)
    return np.hstack((image, depth_colors(depth), masks))
