# SPDX-License-Identifier: Apache-2.0
"""Loads networks as functions of tensors, for training and for the torch backend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from depth_recog.networks.device import Device
from depth_recog.networks.hf.loading import load_directory
from depth_recog.networks.models import header_of
from depth_recog.networks.onnx.masks import OnnxMasks
from depth_recog.networks.own.files import network_of
from depth_recog.networks.weights import Header

Model = Callable[..., Tensor]
"""A depth, segmentation or pose network: see `networks/own/`."""
ScoreModel = Callable[[Tensor], Tensor]
"""(1, 3, H, W) float 0..1 -> (1, k, H, W) class scores."""


def load_model(name: str, network: str, device: torch.device | str = "cpu") -> tuple[Model, Header]:
    """Load a model.

    Args:
        name: shipped name, or path of a weights file; for masks also of an ONNX model, for depth
            also of a directory of transformers; "" for the default.
        network: "depth", "masks" or "pose".
        device: to run on.

    Returns:
        The model in evaluation mode, and its metadata.

    Raises:
        WeightsError: the model is missing, damaged or another kind of network, or onnxruntime or
            transformers is missing.
        DeviceError: onnxruntime lacks the provider that the ONNX model's YAML names.
    """
    header = header_of(name, network)
    return model_of(header, torch.device(device)), header


def model_of(header: Header, device: torch.device) -> Model:
    """Load the model of a header, from the bytes with its hash. Raises as `load_model`."""
    if "transformers" in header.architecture:
        return load_directory(header, device)
    if "onnx" in header.architecture:
        return _OnnxScores(header, device)
    return network_of(header, device)


class _OnnxScores:
    """An ONNX segmentation model as a function of tensors."""

    def __init__(self, header: Header, device: torch.device) -> None:
        self._masks = OnnxMasks(header, Device(device.type, device.index))
        self._device = device

    def __call__(self, image: Tensor) -> Tensor:
        pixels = image[0].permute(1, 2, 0).float().cpu().numpy()
        scores = self._masks.scores(np.ascontiguousarray(pixels))
        return torch.from_numpy(scores)[None].to(self._device)
