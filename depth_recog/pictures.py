# SPDX-License-Identifier: Apache-2.0
"""Draws depth, masks and decisions as colour images."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.gate.by_image import Motion
from depth_recog.method.gate.result import Region

RGB = NDArray[np.uint8]

# Cityscapes' own colours (RRGGBB) by train id; the last, grey, is for all other ids.
_PALETTE = np.frombuffer(
    bytes.fromhex(
        "804080 F423E8 464646 66669C BE9999 999999 FAAA1E DCDC00 6B8E23 98FB98 4682B4 DC143C "
        "FF0000 00008E 000046 003C64 005064 0000E6 770B20 808080"
    ),
    np.uint8,
).reshape(-1, 3)
STILL_COLOR = (40, 220, 80)
MOVING_COLOR = (255, 40, 40)
_COLORS = {
    Motion.STILL: STILL_COLOR,
    Motion.UNDECIDED: (255, 200, 0),
    Motion.MOVING: MOVING_COLOR,
}


def depth_colors(depth: NDArray[np.float32], nearest: float = 2.0) -> RGB:
    """Colour a depth image: near is bright, far is dark; invalid and out of range are black.

    Args:
        depth: (H, W) float32 metres.
        nearest: brightest from here on, metres.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    finite = np.isfinite(depth) & (depth > 0)
    inverse = np.where(finite, nearest / np.maximum(np.where(finite, depth, 1), nearest), 0)
    # The square root increases the contrast at middle distances.
    colors = cv2.applyColorMap((np.sqrt(inverse) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    colors[~finite] = 0
    return np.ascontiguousarray(colors[..., ::-1])


def label_overlay(image: RGB, labels: NDArray[np.uint8], opacity: float = 0.55) -> RGB:
    """Blend class colours over an image, both (H, W, ...); unknown ids are grey."""
    colors = _PALETTE[np.minimum(labels, len(_PALETTE) - 1)]
    return np.asarray(cv2.addWeighted(image, 1 - opacity, colors, opacity, 0), np.uint8)


def outline(image: RGB, moving: NDArray[np.uint8]) -> RGB:
    """Outline pixels by the gate's decision: red moving, yellow undecided."""
    result = image.copy()
    for motion in (Motion.UNDECIDED, Motion.MOVING):
        _draw_contours(result, moving == motion, _COLORS[motion])
    return result


def outlined_regions(image: RGB, region_ids: NDArray[np.int32], regions: Iterable[Region]) -> RGB:
    """Outline regions in the colour of their decision, with region_id and speed if moving.

    Args:
        image: (H, W, 3) uint8 RGB.
        region_ids: (H, W) int32, the region of each pixel, 0 for none.
        regions: of these region_ids; text is left out where it would hide the region.
    """
    result = image.copy()
    texts = []
    windows = _windows(region_ids)
    for region in regions:
        if region.region_id not in windows:
            continue
        window = windows[region.region_id]
        mask = region_ids[window] == region.region_id
        # A view of the array: this draws into the result.
        _draw_contours(result[window], mask, _COLORS[region.motion])
        text = str(region.region_id)
        if region.motion is Motion.MOVING and np.isfinite(region.speed):
            text += f": {region.speed:.1f}"
        rows, columns = window
        texts.append((text, columns.start, rows.start, int(mask.sum()), region.motion))
    scale = max(0.35, image.shape[1] / 1800)
    for text, left, top, pixels, motion in texts:
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        if width * height > pixels:
            continue
        place = min(left, image.shape[1] - width), max(top - 3, height)
        for color, weight in (((0, 0, 0), 3), (_COLORS[motion], 1)):
            cv2.putText(
                result, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, color, weight, cv2.LINE_AA
            )
    return result


def _windows(region_ids: NDArray[np.int32]) -> dict[int, tuple[slice, slice]]:
    """Return the bounding rows and columns of each region_id above 0."""
    rows, columns = np.nonzero(region_ids)
    ids = region_ids[rows, columns]
    order = np.argsort(ids, kind="stable")
    found, starts = np.unique(ids[order], return_index=True)
    if not len(found):
        return {}
    ends = [
        (np.minimum.reduceat(places[order], starts), np.maximum.reduceat(places[order], starts) + 1)
        for places in (rows, columns)
    ]
    (tops, bottoms), (lefts, rights) = ends
    return {
        int(number): (slice(int(top), int(bottom)), slice(int(left), int(right)))
        for number, top, bottom, left, right in zip(
            found, tops, bottoms, lefts, rights, strict=True
        )
    }


def _draw_contours(image: RGB, mask: NDArray[np.bool_], color: tuple[int, int, int]) -> None:
    contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(image, contours, -1, color, max(1, image.shape[1] // 400))


def captioned(image: RGB, text: str) -> RGB:
    """Write a line of white text on a dark strip in the top-left corner of an image."""
    result = image.copy()
    scale = max(0.35, image.shape[1] / 1300)
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    result[: height + base + 6, : width + 8] //= 3
    place, white = (4, height + 3), (255, 255, 255)
    cv2.putText(result, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, white, 1, cv2.LINE_AA)
    return result


def side_by_side(
    image: RGB, depth: NDArray[np.float32], labels: NDArray[np.uint8], moving: NDArray[np.uint8]
) -> RGB:
    """Put camera image, depth and masks in one row.

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
