# SPDX-License-Identifier: Apache-2.0
"""The depth, segmentation and pose networks as graphs, from uint8 images to what the method takes.

depth   image (1, H, W, 3) uint8, focal (1,) pixels -> depth (1, 1, H, W) float32
masks   image (1, H, W, 3) uint8                    -> labels (1, 1, H, W) uint8
pose    first, second (1, H, W, 3) uint8            -> vector (1, 6) float32
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from depth_recog.method.geometry.viewport import size_alike
from depth_recog.networks.graphs import layers
from depth_recog.networks.graphs.writer import Array, Writer
from depth_recog.networks.own import designs

_HALF_CELL = 1.5 / 4
"""See deeplab.py."""


def depth(
    w: Writer, size: tuple[int, int], trained: tuple[int, int], architecture: Mapping[str, Any]
) -> None:
    """`DepthNetwork`, run at the size of its training as `SizedDepth` does."""
    width, height = size
    own_width, own_height = size_alike(width, height, trained)
    image = _image(w, "image", size)
    focal = w.input("focal", np.float32, (1,))
    if (own_width, own_height) != size:
        image = _shrunk(w, image, size, (own_width, own_height))
        focal = w.op("Mul", focal, w.constant([own_height / height]))
    encoder = architecture.get("encoder", "mobilenet_v2")
    widths = architecture.get("widths", (128, 96, 64, 48, 24))
    near, far = architecture.get("near", 0.5), architecture.get("far", 120.0)
    encode: dict[str, Callable[[Writer, str, str], list[str]]] = {
        "edgetpu": layers.edgetpu,
        "mobilenet_v2": layers.mobilenet_v2,
        "mobilenet_v3_small": layers.mobilenet_v3_small,
    }
    features = encode[encoder](w, image, "encoder")
    sizes = [(own_height, own_width)]
    for _ in features:
        rows, columns = sizes[-1]
        sizes.append((math.ceil(rows / 2), math.ceil(columns / 2)))
    decoded = layers.decoder(w, features, sizes, "decoder", len(widths))
    x = w.op("Sigmoid", layers.reflected(w, decoded[-1], "heads.0"))
    x = w.op("Mul", x, w.constant(1 / near - 1 / far))
    x = w.op("Add", x, w.constant(1 / far))
    focal = w.op("Mul", focal, w.constant(1 / architecture.get("canonical_focal", 244.0)))
    x = w.op("Div", focal, x)
    if (own_width, own_height) != size:
        x = w.resized(x, (height, width), "half_pixel")
    w.output(x, "depth", np.float32, (1, 1, height, width))


def masks(
    w: Writer, size: tuple[int, int], trained: tuple[int, int], architecture: Mapping[str, Any]
) -> None:
    """`RefinedDeepLab` and the class with the largest score."""
    width, height = size
    x = _image(w, "image", size)
    enlargement = architecture.get("enlargement", 1.5)
    halves = round(2 * enlargement)
    rows, columns = height * halves // 2, width * halves // 2
    if enlargement != 1:
        x = w.resized(x, (rows, columns), "half_pixel")
    _, quarter, eighth, last = layers.edgetpu(w, x, "encoder")
    eighth = _refined(w, last, eighth, "eighth", (rows // 16, columns // 16))
    fine = _refined(w, eighth, quarter, "quarter", (rows // 8, columns // 8))
    coarse = layers.convolution(w, last, "head")
    coarse = _centred(w, _enlarged(w, coarse, 4, (rows // 16, columns // 16)))
    # The temperature is left out: it does not change which class has the largest score.
    x = w.op("Add", coarse, layers.convolution(w, fine, "correction"))
    x = w.resized(x, (height, width), "half_pixel")
    x = w.op("Cast", w.op("ArgMax", x, axis=1), to=2)
    w.output(x, "labels", np.uint8, (1, 1, height, width))


def pose(
    w: Writer, size: tuple[int, int], trained: tuple[int, int], architecture: Mapping[str, Any]
) -> None:
    """`PoseNetwork`."""
    images = w.op("Concat", _image(w, "first", size), _image(w, "second", size), axis=1)
    x = layers.mobilenet_v3_small(w, images, "encoder", 2)[-1]
    x = w.op("Relu", layers.convolution(w, x, "head.0"))
    x = w.op("Relu", layers.convolution(w, x, "head.2"))
    x = w.mean(layers.convolution(w, x, "head.4"))
    unit = np.array(designs.POSE_UNIT)[None, :, None, None]
    x = w.op("Flatten", w.op("Mul", x, w.constant(unit)))
    w.output(x, "vector", np.float32, (1, 6))


GRAPHS: dict[str, Callable[..., None]] = {"depth": depth, "masks": masks, "pose": pose}


def _image(w: Writer, name: str, size: tuple[int, int]) -> str:
    """An image as (1, 3, H, W) float32, 0..255."""
    x = w.input(name, np.uint8, (1, size[1], size[0], 3))
    return w.op("Transpose", w.op("Cast", x, to=1), perm=[0, 3, 1, 2])


def _refined(w: Writer, x: str, skip: str, at: str, size: tuple[int, int]) -> str:
    x = _enlarged(w, layers.convolution(w, x, f"{at}.coarse"), 2, size)
    x = w.op("Relu", w.op("Add", x, layers.convolution(w, skip, f"{at}.fine")))
    return w.op("Relu", layers.convolution(w, x, f"{at}.merge"))


def _enlarged(w: Writer, x: str, factor: int, size: tuple[int, int]) -> str:
    """`enlarge` in deeplab.py; `size` is that of x."""
    return w.resized(x, (size[0] * factor, size[1] * factor), "asymmetric")


def _centred(w: Writer, x: str) -> str:
    """`centred` in deeplab.py: a weighted mean with the next pixel, the last one repeated."""
    channels = 19
    kernel = np.outer((1 - _HALF_CELL, _HALF_CELL), (1 - _HALF_CELL, _HALF_CELL))
    x = w.padded(x, 0, 1, "edge")
    return w.convolution(x, np.tile(kernel, (channels, 1, 1, 1)), groups=channels)


def _shrunk(w: Writer, x: str, size: tuple[int, int], own: tuple[int, int]) -> str:
    """Resize as torch's antialiased bilinear interpolation, by a matrix for each direction."""
    across, down = (_resampling(a, b) for a, b in zip(size, own, strict=True))
    return w.op("MatMul", w.constant(down), w.op("MatMul", x, w.constant(across.T)))


def _resampling(length: int, wanted: int) -> Array:
    """Return (wanted, length) weights: a triangle as wide as the larger of both pixels."""
    scale = length / wanted
    support = max(scale, 1.0)
    centres = (np.arange(wanted)[:, None] + 0.5) * scale
    weights = 1 - np.abs(np.arange(length)[None] + 0.5 - centres) / support
    weights = np.maximum(weights, 0)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def describe(
    kind: str,
    weights: Mapping[str, Array],
    size: tuple[int, int],
    trained: tuple[int, int],
    architecture: Mapping[str, Any],
) -> Writer:
    """Return the graph of a network.

    Args:
        kind: "depth", "masks" or "pose".
        weights: tensors of the weights file, by name.
        size: (width, height) of the images, pixels.
        trained: (width, height) in training, pixels.
        architecture: arguments of the torch network's class.

    Raises:
        KeyError: the architecture is unknown, or a tensor is missing.
    """
    writer = Writer(weights)
    GRAPHS[kind](writer, size, trained, architecture)
    return writer
