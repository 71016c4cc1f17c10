# SPDX-License-Identifier: Apache-2.0
"""From a weights file to a graph that runs: made, compared with NumPy, and kept for next time."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from depth_recog import __version__
from depth_recog.errors import WeightsError
from depth_recog.networks.backends import graph_cache
from depth_recog.networks.backends.runtime import Run, Runtime
from depth_recog.networks.graphs import networks, reference
from depth_recog.networks.graphs.writer import Writer
from depth_recog.networks.weights import Header
from depth_recog.texts import shown

Size = tuple[int, int]

VERSION = 2
"""Of the graphs: raise it where `graphs/` computes something else."""

MOST = {"depth": 0.02, "masks": 0.01, "pose": 0.01}
"""Largest difference from NumPy with which a graph is used: of depth the mean relative one; of
masks the share of pixels with another class although the class leads clearly; of the pose the
largest, in units of the output's scale. bfloat16 differs by 0.002 in depth."""

_CLEAR = 0.1
"""Lead over the second class, as a share of the largest score."""
_FOCAL = 300.0


def checked(header: Header, size: Size, runtime: Runtime) -> Run:
    """Return a network that runs on images of one size.

    Args:
        header: of the weights.
        size: (width, height), pixels.
        runtime: runs it.

    Raises:
        WeightsError: the weights cannot be used, or the runtime computes something else.
    """
    facts = [VERSION, __version__, header.sha256, header.architecture, header.size, size]
    key = json.dumps([*facts, header.network, runtime.identity])
    known = graph_cache.read(key)
    if known is not None:
        return runtime.compile(known, header.network)
    graph = describe(header, size)
    made = graph.onnx(
        {"depth_recog.weights": header.path.stem, "depth_recog.sha256": header.sha256}
    )
    run = runtime.compile(made, header.network)
    _compare(header, size, graph, run, runtime)
    graph_cache.write(key, made)
    return run


def describe(header: Header, size: Size) -> Writer:
    """Return the graph of a weights file for images of (width, height) pixels.

    Raises:
        WeightsError: a tensor is missing, or the architecture is unknown.
    """
    try:
        weights = load(header.content)
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{header.path}: holds numbers of a type that is not read") from error
    for name, values in weights.items():
        if not np.isfinite(values).all():
            raise WeightsError(f"{header.path}: tensor {name} has values that are not finite")
    try:
        return networks.describe(header.network, weights, size, header.size, header.architecture)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise WeightsError(
            f"{header.path}: its tensors do not fit its architecture ({shown(error)}); restore "
            "the file"
        ) from error


def _compare(header: Header, size: Size, graph: Writer, run: Run, runtime: Runtime) -> None:
    inputs = _inputs(graph)
    values = reference.evaluate(graph, inputs)
    got, kind = run(inputs), header.network
    expected = values[next(iter(graph.outputs))]
    if kind == "depth":
        difference = reference.relative_difference(got, expected)
    elif kind == "masks":
        scores = values[next(node.inputs[0] for node in graph.nodes if node.kind == "ArgMax")]
        scores = np.sort(scores, 1)
        clear = scores[:, -1:] - scores[:, -2:-1] > _CLEAR * scores.max()
        difference = float(((got != expected) & clear).mean())
    else:
        difference = float(np.abs(got - expected).max() / np.abs(expected).max())
    if not difference <= MOST[kind]:
        raise WeightsError(
            f"{header.path}: at {size[0]}x{size[1]} {runtime.identity} differs from NumPy by "
            f"{difference:.1e}, more than {MOST[kind]:g}: use backend torch or precision float32"
        )


def _inputs(graph: Writer) -> dict[str, NDArray[Any]]:
    """A street of a few rectangles, and for a pose the same from a little nearer."""
    found: dict[str, NDArray[Any]] = {}
    for name, (kind, shape) in graph.inputs.items():
        if kind is np.float32:
            found[name] = np.full(shape, _FOCAL, np.float32)
            continue
        _, height, width, _ = shape
        image = np.zeros((height, width, 3), np.uint8)
        image[: height // 2] = (150, 180, 220)
        image[height // 2 :] = np.linspace(70, 120, height - height // 2)[:, None, None]
        for part, colour in enumerate(((40, 90, 40), (160, 30, 30), (90, 80, 70))):
            left, wide = width * (1 + 3 * part) // 10, width // (6 + 2 * part)
            top = height * (3 + part) // 10
            cv2.rectangle(image, (left, top), (left + wide, height * 7 // 10), colour, -1)
        if found:
            image = cv2.resize(image[2:-2, 4:-4], (width, height)).astype(np.uint8)
        found[name] = image[None]
    return found
