# SPDX-License-Identifier: Apache-2.0
"""Computes a graph with NumPy, slowly: what the runtimes' results are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from depth_recog.networks.graphs.writer import Array, Writer


def evaluate(graph: Writer, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return all outputs and intermediate results, by name.

    Raises:
        KeyError: an operator is unknown here.
    """
    values: dict[str, Array] = {"": np.zeros(0), **graph.constants, **inputs}
    for node in graph.nodes:
        given = [values[name] for name in node.inputs]
        values[node.name] = _OPERATORS[node.kind](*given, **node.attributes)
    return values


def _convolution(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    strides: list[int],
    pads: list[int],
    dilations: list[int],
    group: int,
    kernel_shape: tuple[int, int],
) -> Array:
    x = np.pad(x[0], ((0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    rows, columns = kernel_shape
    height, width = (
        (side - d * (k - 1) - 1) // s + 1
        for side, d, k, s in zip(x.shape[1:], dilations, kernel_shape, strides, strict=True)
    )
    outputs, depthwise = len(kernel), group > 1
    y = np.zeros((outputs, height * width), np.float32)
    for row in range(rows):
        for column in range(columns):
            top, left = row * dilations[0], column * dilations[1]
            shifted = x[
                :,
                top : top + strides[0] * (height - 1) + 1 : strides[0],
                left : left + strides[1] * (width - 1) + 1 : strides[1],
            ].reshape(len(x), -1)
            taps = kernel[:, :, row, column]
            y += taps * shifted if depthwise else taps @ shifted
    if bias is not None:
        y += bias[:, None]
    return y.reshape(1, outputs, height, width)


def _resize(
    x: Array,
    region: Array,
    scales: Array,
    sizes: Array,
    *,
    coordinate_transformation_mode: str,
    mode: str = "nearest",
    nearest_mode: str = "",
) -> Array:
    for axis in (2, 3):
        before = x.shape[axis]
        after = int(sizes[axis])
        places = np.arange(after, dtype=np.float64)
        if coordinate_transformation_mode == "half_pixel":
            places = (places + 0.5) * before / after - 0.5
        else:
            places = places * before / after
        if nearest_mode == "floor":
            places = np.floor(places)
        low = np.clip(np.floor(places), 0, before - 1).astype(int)
        high = np.minimum(low + 1, before - 1)
        share = np.clip(places - low, 0, 1).astype(np.float32)
        share = share.reshape([-1 if a == axis else 1 for a in range(4)])
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


def _padded(x: Array, pads: Array, *, mode: str) -> Array:
    return np.pad(
        x,
        list(zip(pads[:4], pads[4:], strict=True)),
        mode="reflect" if mode == "reflect" else "edge",
    )


def _hard_sigmoid(x: Array, alpha: float = 1 / 6, beta: float = 0.5) -> Array:
    return np.asarray(np.clip(x * np.float32(alpha) + np.float32(beta), 0, 1))


def _elu(x: Array) -> Array:
    return np.asarray(np.where(x > 0, x, np.expm1(np.minimum(x, 0))))


_OPERATORS: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "ArgMax": lambda x, axis: x.argmax(axis, keepdims=True),
    "Cast": lambda x, to: x.astype({1: np.float32, 2: np.uint8}[to]),
    "Clip": np.clip,
    "Concat": lambda *each, axis: np.concatenate(each, axis),
    "Conv": _convolution,
    "Div": np.divide,
    "Elu": _elu,
    "Exp": np.exp,
    "Flatten": lambda x: x.reshape(len(x), -1),
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdims=True),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda x: x * _hard_sigmoid(x),
    "Identity": lambda x: x,
    "MatMul": np.matmul,
    "Mul": np.multiply,
    "Pad": _padded,
    "Relu": lambda x: np.maximum(x, 0),
    "Resize": _resize,
    "Shape": lambda x, start, end: np.array(x.shape[start:end]),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Sub": np.subtract,
    "Transpose": lambda x, perm: x.transpose(perm),
}


def relative_difference(got: Array, expected: Array) -> float:
    """Return the mean of |got - expected| / |expected|; infinite where something is not finite."""
    both: Any = np.abs(got.astype(np.float64) - expected) / np.maximum(np.abs(expected), 1e-9)
    mean = float(both.mean()) if got.shape == expected.shape else np.inf
    return mean if np.isfinite(mean) else np.inf
