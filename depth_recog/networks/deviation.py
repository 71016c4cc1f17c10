# SPDX-License-Identifier: Apache-2.0
"""The standard deviation of a depth network's log depth, from what errs alike on every camera.

Depth errs most far away, at its own edges, and where an image shows little (black, covered,
blurred) or nothing but noise. These cues and two small layers tell more of the errors than a head
on the depth network's features did, and run in NumPy and OpenCV with any backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from depth_recog.errors import WeightsError
from depth_recog.method.geometry.viewport import size_alike
from depth_recog.networks.weights import Header

Map = NDArray[np.float32]

CUES = 7
HIDDEN = 8
STRIDE = 4
"""Cells of so many pixels a side have one deviation: it has no sharper edges."""
DEVIATION_RANGE = (0.005, 3.0)
"""Least and largest standard deviation of log depth."""
SHAPES = {
    "first.weight": (HIDDEN, CUES),
    "first.bias": (HIDDEN,),
    "last.weight": (1, HIDDEN),
    "last.bias": (1,),
}
"""Of the tensors, whose names begin with `PREFIX` in a weights file."""
PREFIX = "deviation."

_USUAL_LOG_DEPTH = 2.5
_DARK = 0.01
"""Added before a logarithm: differences of log depth or of brightness (0..1) that say nothing."""


def cues(image: NDArray[np.uint8], depth: Map) -> Map:
    """What the deviation depends on, each about as large as 1.

    Log depth and its square; its differences between neighbouring pixels, in a cell and around it;
    contrast between pixels, and between cells; brightness.

    Args:
        image: (H, W, 3) RGB, the network's input.
        depth: (H, W), the network's output.

    Returns:
        (CUES, H / STRIDE, W / STRIDE).
    """
    height, width = depth.shape
    size = width // STRIDE, height // STRIDE

    def cells(x: NDArray[Any]) -> Any:
        return cv2.resize(x, size, interpolation=cv2.INTER_AREA)

    log_depth: Any = cv2.log(np.clip(depth, 0.1, 1000))
    changes = np.zeros_like(log_depth)
    changes[:, :-1] = cv2.absdiff(log_depth[:, 1:], log_depth[:, :-1])
    changes[:-1] += cv2.absdiff(log_depth[1:], log_depth[:-1])
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    # Numbers of 8 bits are filtered faster; half a grey level is too little to matter.
    fine = cells(cv2.absdiff(grey, _around(grey)).astype(np.float32))
    bright = cells(grey.astype(np.float32))
    coarse = _around(cv2.absdiff(bright, _around(bright)))
    edges = cells(changes)
    deep = cells(log_depth) - _USUAL_LOG_DEPTH
    logs = [edges, _around(edges), fine / 255, coarse / 255]
    scaled = cv2.log(np.stack(logs) + np.float32(_DARK)) + 3
    return np.asarray(
        np.concatenate((deep[None], deep[None] ** 2 - 0.5, scaled, bright[None] / 127.5 - 1)),
        np.float32,
    )


def _around(x: Any) -> Any:
    return cv2.blur(x, (3, 3), borderType=cv2.BORDER_REPLICATE)


class Deviation:
    """Computes the deviation for the result of a depth network.

    Args:
        tensors: with the names and shapes of `SHAPES`, float32.
        trained: (width, height) of the images in the network's training, pixels. The cues are
            computed at that size: larger images have smaller differences between pixels.
    """

    def __init__(self, tensors: Mapping[str, NDArray[Any]], trained: tuple[int, int]) -> None:
        self._first, self._add, self._last, self._shift = (
            np.asarray(tensors[name], np.float32) for name in SHAPES
        )
        self._trained = trained

    def __call__(self, image: NDArray[np.uint8], depth: Map) -> Map:
        """Return the standard deviation of log depth, (H, W).

        Args:
            image: (H, W, 3) RGB.
            depth: (H, W).
        """
        height, width = depth.shape
        own = size_alike(width, height, self._trained)
        if own != (width, height):
            image = np.asarray(cv2.resize(image, own, interpolation=cv2.INTER_AREA), np.uint8)
            depth = np.asarray(cv2.resize(depth, own, interpolation=cv2.INTER_AREA), np.float32)
        seen = cues(np.ascontiguousarray(image), depth)
        x = self._first @ seen.reshape(CUES, -1) + self._add[:, None]
        np.maximum(x, np.expm1(np.minimum(x, 0)), out=x)  # ELU
        x = (self._last @ x + self._shift).reshape(seen.shape[1:])
        enlarged = cv2.resize(x, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(np.clip(cv2.exp(enlarged), *DEVIATION_RANGE), np.float32)


def deviation_of_weights(header: Header) -> Deviation | None:
    """Read it from the weights of a depth network; None where they hold none.

    Raises:
        WeightsError: a tensor is missing, has another shape, or is not finite.
    """
    if not header.deviation:
        return None
    tensors = load(header.content)
    found = {name: tensors.get(PREFIX + name) for name in SHAPES}
    for name, shape in SHAPES.items():
        values = found[name]
        if values is None or values.shape != shape or not np.isfinite(values).all():
            raise WeightsError(
                f"{header.path}: tensor {PREFIX}{name} is missing, not finite or not of shape "
                f"{shape}; restore the file"
            )
    return Deviation({name: v for name, v in found.items() if v is not None}, header.size)
