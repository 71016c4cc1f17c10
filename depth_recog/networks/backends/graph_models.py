# SPDX-License-Identifier: Apache-2.0
"""Own networks as graphs in a `Runtime`: one graph for each size of images, made when it comes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.networks import Image
from depth_recog.networks.backends import lane
from depth_recog.networks.backends.checked import checked
from depth_recog.networks.backends.choice import ONNXRUNTIME, Place
from depth_recog.networks.backends.runtime import Inputs, Run, Runtime
from depth_recog.networks.weights import Header

Size = tuple[int, int]
_SIZES = 3
"""Sizes whose graphs are kept: cameras change rarely."""


class GraphModel:
    """A network in a runtime.

    Attributes:
        header: of its weights.
    """

    def __init__(self, header: Header, runtime: Runtime) -> None:
        self.header = header
        self._runtime = runtime
        self._runs: OrderedDict[Size, Run] = OrderedDict()
        self._guessed: set[Size] = set()
        self._lock = threading.Lock()

    @property
    def sizes(self) -> Sequence[Size]:
        """(width, height) in pixels of the images that it is ready for."""
        return list(self._runs)

    def prepare(self, sizes: Sequence[Size], guessed: bool = False) -> None:
        """Get ready for images of these sizes.

        Args:
            sizes: (width, height), pixels.
            guessed: no camera has told them: the next call without it drops the others of them,
                because a graph takes up to 40 MB.
        """
        with self._lock:
            for size in () if guessed else self._guessed.difference(sizes):
                self._runs.pop(size, None)
            self._guessed = set(sizes) if guessed else set()
        for size in sizes:
            self._run_for(size)

    def _run_for(self, size: Size) -> Run:
        with self._lock:
            run = self._runs.pop(size, None) or checked(self.header, size, self._runtime)
            self._runs[size] = run
            while len(self._runs) > _SIZES:
                self._runs.popitem(last=False)
            return run

    def _of(self, image: Image) -> Run:
        return self._run_for((image.shape[1], image.shape[0]))


class GraphDepth(GraphModel):
    """A `DepthModel`."""

    def __call__(self, image: Image, focal: float) -> Callable[[], NDArray[np.float32]]:
        """See `DepthModel`."""
        run = self._of(image)
        inputs: Inputs = {
            "image": np.ascontiguousarray(image)[None],
            "focal": np.array([focal], np.float32),
        }
        return lane.start(lambda: run(inputs)[0, 0])


class GraphLabels(GraphModel):
    """A `LabelModel`."""

    def __call__(self, image: Image) -> Callable[[], NDArray[np.uint8]]:
        """See `LabelModel`."""
        run = self._of(image)
        inputs = {"image": np.ascontiguousarray(image)[None]}
        return lane.start(lambda: run(inputs)[0, 0])


class GraphPose(GraphModel):
    """A `PoseModel`."""

    def __call__(self, first: Image, second: Image) -> NDArray[np.float64]:
        """See `PoseModel`."""
        run = self._of(first)
        inputs = {
            "first": np.ascontiguousarray(first)[None],
            "second": np.ascontiguousarray(second)[None],
        }
        return np.asarray(lane.start(lambda: run(inputs)[0])(), np.float64)


_MODELS: dict[str, Callable[[Header, Runtime], Any]] = {
    "depth": GraphDepth,
    "masks": GraphLabels,
    "pose": GraphPose,
}


def load(
    header: Header, place: Place, sizes: Sequence[Size]
) -> GraphDepth | GraphLabels | GraphPose:
    """Make a network ready for images of some sizes.

    Raises:
        WeightsError: its weights cannot be used, or the runtime computes something else.
    """
    model: GraphDepth | GraphLabels | GraphPose = _MODELS[header.network](header, runtime_of(place))
    model.prepare(sizes, guessed=True)
    return model


def runtime_of(place: Place) -> Runtime:
    """Return the runtime of a place."""
    if place.backend == ONNXRUNTIME:
        from depth_recog.networks.backends.in_onnxruntime import OnnxRuntime

        return OnnxRuntime(place)
    from depth_recog.networks.backends.in_openvino import OpenVino

    return OpenVino(place)
