# SPDX-License-Identifier: Apache-2.0
"""Loads networks as functions of tensors, for training and for the torch backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from depth_recog.networks.device import Device
from depth_recog.networks.hf.loading import load_directory
from depth_recog.networks.models import header_of, is_directory
from depth_recog.networks.onnx.description import read_description
from depth_recog.networks.onnx.masks import OnnxMasks
from depth_recog.networks.own.files import load_network
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
    if is_directory(name, network):
        return load_directory(header_of(name, network), torch.device(device))
    header = header_of(name, network)
    if "onnx" not in header.architecture:
        return load_network(name, network, device)
    return _OnnxScores(header.path, torch.device(device)), header


class _OnnxScores:
    """An ONNX segmentation model as a function of tensors."""

    def __init__(self, path: Path, device: torch.device) -> None:
        place = Device(device.type, device.index)
        self._masks = OnnxMasks(path, read_description(path), place)
        self._device = device

    def __call__(self, image: Tensor) -> Tensor:
        pixels = image[0].permute(1, 2, 0).float().cpu().numpy()
        scores = self._masks.scores(np.ascontiguousarray(pixels))
        return torch.from_numpy(scores)[None].to(self._device)
