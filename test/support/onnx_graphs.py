# SPDX-License-Identifier: Apache-2.0
"""Small ONNX segmentation models with known outputs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

COLOURS = ("red", "green", "blue")
"""Classes of the graphs below: the class of a pixel is its strongest channel."""


def write(
    path: Path, nodes: list[Any], given: Any, answers: list[Any], constants: Any = ()
) -> Path:
    graph = helper.make_graph(nodes, path.stem, given, answers, initializer=list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def describe(path: Path, **values: Any) -> Path:
    """Write the YAML beside a model; the default classes are those of `COLOURS`."""
    content = {"classes": list(COLOURS)} | values
    path.with_suffix(".yaml").write_text(yaml.safe_dump(content))
    return path


def colours(
    path: Path,
    size: tuple[int | str, int | str] = ("width", "height"),
    output: str = "scores",
    layout: str = "NCHW",
    kind: int = TensorProto.FLOAT,
    stride: int = 1,
    **values: Any,
) -> Path:
    """Write a graph that returns its input channels as scores or labels, and its YAML.

    Args:
        path: NAME.onnx.
        size: (width, height); names for a dynamic graph.
        output: "scores" or "labels".
        layout: of the input and of scores.
        kind: type of the input's numbers.
        stride: of the answer.
        values: more of the YAML.
    """
    width, height = size
    sides = {"N": 1, "C": 3, "H": height, "W": width}
    given = helper.make_tensor_value_info("image", kind, [sides[one] for one in layout])
    nodes = [helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT)]
    last = "numbers"
    if stride > 1:
        assert layout == "NCHW"
        nodes.append(
            helper.make_node(
                "AveragePool", [last], ["small"], kernel_shape=[stride] * 2, strides=[stride] * 2
            )
        )
        last = "small"
    if output == "labels":
        axis = layout.index("C")
        nodes.append(helper.make_node("ArgMax", [last], ["answer"], axis=axis, keepdims=0))
        answer = helper.make_tensor_value_info("answer", TensorProto.INT64, [None] * 3)
    else:
        nodes.append(helper.make_node("Identity", [last], ["answer"]))
        answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None] * 4)
    write(path, nodes, [given], [answer])
    return describe(path, output=output, layout=layout, **values)


def places(path: Path, side: int, across: bool = True) -> Path:
    """Write a square graph that returns the column, or row, of each pixel."""
    row = np.arange(side)
    ids = np.broadcast_to(row if across else row[:, None], (1, side, side)).astype(np.int64)
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, side, side])
    answer = helper.make_tensor_value_info("answer", TensorProto.INT64, [1, side, side])
    constants = [numpy_helper.from_array(ids.copy(), "ids")]
    constants.append(numpy_helper.from_array(np.array(0, np.int64), "zero"))
    nodes = [
        helper.make_node("ReduceMax", ["image"], ["most"], axes=[1], keepdims=0),
        helper.make_node("Cast", ["most"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Mul", ["whole", "zero"], ["nothing"]),
        helper.make_node("Add", ["ids", "nothing"], ["answer"]),
    ]
    write(path, nodes, [given], [answer], constants)
    return describe(path, classes=[f"place {i}" for i in range(side)], output="labels")


def two_inputs(path: Path) -> Path:
    """Write a graph that needs more inputs than an image."""
    shape = [1, 3, "height", "width"]
    given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("a", "b")]
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, shape)
    return describe(write(path, [helper.make_node("Add", ["a", "b"], ["answer"])], given, [answer]))


def flat(path: Path, rank: int) -> Path:
    """Write a graph whose output has another rank than scores."""
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "height", "width"])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None] * rank)
    axes = list(range(rank, 4))
    node = helper.make_node("ReduceMean", ["image"], ["answer"], axes=axes, keepdims=0)
    return describe(write(path, [node], [given], [answer]))
