# SPDX-License-Identifier: Apache-2.0
"""Reads the teacher's weights from its quantised TFLite file into our network of that design."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from depth_recog.errors import WeightsError
from depth_recog.networks.own.deeplab import RefinedDeepLab

_INT32, _UINT8 = 2, 3
"""TFLite's type numbers of biases and of weights."""

Array = NDArray[np.float32]


def _dequantised(model: Any, tensor: Any) -> Array:
    quantised = tensor.quantization
    if tensor.type not in (_INT32, _UINT8) or quantised is None or len(quantised.scale) != 1:
        raise WeightsError(f"tensor {tensor.name} is not quantised with a single scale")
    stored = bytes(model.buffers[tensor.buffer].data)
    data = np.frombuffer(stored, np.int32 if tensor.type == _INT32 else np.uint8)
    values = (data.astype(np.float64) - quantised.zeroPoint[0]) * quantised.scale[0]
    return np.asarray(values.reshape(tensor.shape), np.float32)


def read_convolutions(path: Path) -> list[tuple[Array, Array]]:
    """Weights and biases of the convolutions of a TFLite file, in the order of computation.

    Args:
        path: a model quantised with one scale for each tensor.

    Returns:
        For each convolution (O, I, H, W) weights and (O,) biases; I is 1 for a depthwise one.

    Raises:
        WeightsError: no such file, not one of these, or the LiteRT package is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise WeightsError(
            "reading the teacher's weights needs LiteRT: pip install ai-edge-litert"
        ) from error
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; the teacher is a TFLite model")
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise WeightsError(f"{path}: not a TFLite model")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    graph, found = model.subgraphs[0], []
    kinds = {
        schema.BuiltinOperator.CONV_2D: (0, 3, 1, 2),
        schema.BuiltinOperator.DEPTHWISE_CONV_2D: (3, 0, 1, 2),
    }
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        order = kinds.get(max(code.builtinCode, code.deprecatedBuiltinCode))
        if order is not None:
            weight, bias = (graph.tensors[i] for i in operator.inputs[1:3])
            values = _dequantised(model, weight).transpose(order)
            found.append((np.ascontiguousarray(values), _dequantised(model, bias)))
    return found


def load_teacher(network: RefinedDeepLab, path: Path) -> None:
    """Give a network the teacher's weights; the layers that the teacher lacks stay as they are.

    Raises:
        WeightsError: as `read_convolutions` does, or the file holds another network.
    """
    own = [m for m in (*network.encoder.modules(), network.head) if isinstance(m, nn.Conv2d)]
    found = read_convolutions(path)
    shapes = [tuple(m.weight.shape) for m in own]
    if [weight.shape for weight, _ in found] != shapes:
        raise WeightsError(f"{path}: not the DeepLab on MobileNet-EdgeTPU slim that is needed")
    with torch.no_grad():
        for module, (weight, bias) in zip(own, found, strict=True):
            module.weight.copy_(torch.from_numpy(weight))
            module.bias.copy_(torch.from_numpy(bias))  # type: ignore[union-attr]
