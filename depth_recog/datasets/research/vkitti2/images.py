# SPDX-License-Identifier: Apache-2.0
"""Class images and flow images of Virtual KITTI 2, both coded as colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.image_files import read_colour_codes
from depth_recog.errors import SourceError
from depth_recog.method.masking import CITYSCAPES

_TRAIN_NAMES = {
    "Terrain": "terrain",
    "Sky": "sky",
    "Tree": "vegetation",
    "Vegetation": "vegetation",
    "Building": "building",
    "Road": "road",
    "TrafficSign": "traffic sign",
    "TrafficLight": "traffic light",
    "Pole": "pole",
    "Truck": "truck",
    "Car": "car",
    "Van": "car",
}
"""Cityscapes class of each category; GuardRail, Misc and Undefined are unlabelled."""


def read_labels(
    path: Path, colours: dict[str, tuple[int, int, int]], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Reads a class image.

    Args:
        path: the PNG.
        colours: colour of each category, from colors.txt.
        size: (width, height) in pixels that it must have.

    Returns:
        (H, W) uint8, Cityscapes train ids, 255 unlabelled.

    Raises:
        SourceError: the image is damaged, or has a colour of no category.
    """
    codes = read_colour_codes(path, size, "labels")
    labels = np.full(codes.shape[:2], 255, np.uint8)
    known = np.zeros(codes.shape[:2], bool)
    for name, colour in colours.items():
        here = (codes == colour).all(axis=2)
        labels[here] = CITYSCAPES.index(_TRAIN_NAMES[name]) if name in _TRAIN_NAMES else 255
        known |= here
    if not known.all():
        row, column = np.argwhere(~known)[0]
        raise SourceError(
            f"{path} has the colour {codes[row, column].tolist()} at pixel ({column}, {row}), "
            "which colors.txt does not name: the files do not belong together; restore them"
        )
    return labels


def read_flow(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """Reads the flow to the next frame.

    Red is the horizontal and green the vertical flow, each from -1 (0) to 1 (65535) in units of
    width - 1 and height - 1; blue is 0 where there is no flow, as for the sky.

    Args:
        path: the PNG.
        size: (width, height) in pixels that it must have.

    Returns:
        (H, W, 2) float32, pixels; NaN without flow.

    Raises:
        SourceError: the image is damaged or not 16-bit.
    """
    codes = read_colour_codes(path, size, "flow")
    if codes.dtype != np.uint16:
        raise SourceError(f"{path} is {codes.dtype}: flow must be 16-bit; fetch the file again")
    flow = codes[..., :2].astype(np.float64) * (2 / 65535) - 1
    flow *= np.array(size) - 1
    flow[codes[..., 2] == 0] = np.nan
    return flow.astype(np.float32)
