# SPDX-License-Identifier: Apache-2.0
"""Describes a graph operator by operator; each method adds one and returns its output's name.

Tensors are (1, C, H, W). Widths and heights are constants: runtimes plan memory and choose kernels
for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET = 18
_IR_VERSION = 9
Array = NDArray[Any]


@dataclass(frozen=True)
class Node:
    """One operator: its kind as ONNX names it, its inputs' names, its output's, its attributes."""

    kind: str
    inputs: tuple[str, ...]
    name: str
    attributes: Mapping[str, Any]


class Writer:
    """A graph under construction, and the weights that it takes its constants from.

    Args:
        weights: tensors of a weights file, by name.

    Attributes:
        nodes: in an order in which they can be computed.
        constants: by name.
        inputs, outputs: number type and shape by name.
    """

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self.inputs: dict[str, tuple[type, tuple[int, ...]]] = {}
        self.outputs: dict[str, tuple[type, tuple[int, ...]]] = {}

    def weight(self, name: str) -> Array:
        """A tensor of the weights file as float32. Raises KeyError."""
        return np.asarray(self._weights[name], np.float32)

    def input(self, name: str, kind: type, shape: Sequence[int]) -> str:
        """Declare an input."""
        self.inputs[name] = kind, tuple(shape)
        return name

    def output(self, x: str, name: str, kind: type, shape: Sequence[int]) -> None:
        """Declare an output."""
        self.nodes.append(Node("Identity", (x,), name, {}))
        self.outputs[name] = kind, tuple(shape)

    def onnx(self, facts: Mapping[str, str]) -> bytes:
        """Return the ONNX model, serialised; `facts` become its metadata."""
        from onnx import helper, numpy_helper

        def info(name: str, kind: type, shape: tuple[int, ...]) -> Any:
            number = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
            return helper.make_tensor_value_info(name, number, shape)

        nodes = [
            helper.make_node(n.kind, n.inputs, [n.name], name=n.name, **n.attributes)
            for n in self.nodes
        ]
        inputs, outputs = (
            [info(name, *declared) for name, declared in each.items()]
            for each in (self.inputs, self.outputs)
        )
        constants = [numpy_helper.from_array(v, name) for name, v in self.constants.items()]
        graph = helper.make_graph(nodes, "depth_recog", inputs, outputs, constants)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        helper.set_model_props(model, dict(facts))
        return bytes(model.SerializeToString(deterministic=True))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add any operator."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(Node(kind, inputs, name, attributes))
        return name

    def constant(self, values: Any, kind: type = np.float32) -> str:
        """Add a constant."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(values, kind).reshape(np.shape(values))
        return name

    def convolution(
        self,
        x: str,
        kernel: Array,
        bias: Array | None = None,
        stride: int = 1,
        pads: int = 0,
        dilation: int = 1,
        groups: int = 1,
    ) -> str:
        """Convolve; `kernel` is (outputs, inputs / groups, rows, columns)."""
        constants = [self.constant(kernel)] + ([] if bias is None else [self.constant(bias)])
        return self.op(
            "Conv",
            x,
            *constants,
            kernel_shape=kernel.shape[2:],
            strides=[stride, stride],
            pads=[pads] * 4,
            dilations=[dilation, dilation],
            group=groups,
        )

    def padded(self, x: str, before: int, after: int, mode: str) -> str:
        """Pad rows and columns; `mode` is reflect or edge."""
        pads = [0, 0, before, before, 0, 0, after, after]
        return self.op("Pad", x, self.constant(pads, np.int64), mode=mode)

    def clipped(self, x: str, least: float, most: float) -> str:
        """Limit values."""
        return self.op("Clip", x, self.constant(least), self.constant(most))

    def resized(self, x: str, size: tuple[int, int], where: str) -> str:
        """Resize rows and columns.

        Args:
            x: (1, C, h, w).
            size: (height, width), pixels.
            where: "nearest"; or, for linear interpolation, ONNX's coordinate_transformation_mode:
                "half_pixel", or "asymmetric" for samples at the pixels 0, s, 2s, ...
        """
        # Not by scales: with their rounding the last row or column can be missing.
        channels = self.op("Shape", x, start=0, end=2)
        sizes = self.op("Concat", channels, self.constant(size, np.int64), axis=0)
        mode = {"coordinate_transformation_mode": where, "mode": "linear"}
        if where == "nearest":
            mode = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.op("Resize", x, "", "", sizes, **mode)

    def mean(self, x: str) -> str:
        """Average over rows and columns, (1, C, 1, 1)."""
        return self.op("GlobalAveragePool", x)
