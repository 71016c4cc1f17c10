# SPDX-License-Identifier: Apache-2.0
"""Loads a network into the backend that can run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from depth_recog.errors import ConfigurationError
from depth_recog.networks.backends.choice import ONNXRUNTIME, TORCH, Place, installed
from depth_recog.networks.weights import Header


def backend_of(header: Header, place: Place) -> str:
    """The backend that runs a network: its own for ONNX models and directories of transformers."""
    if "onnx" in header.architecture:
        return ONNXRUNTIME
    return TORCH if "transformers" in header.architecture else place.backend


def load(header: Header, place: Place, sizes: Sequence[tuple[int, int]] = ()) -> Any:
    """Load a network.

    Args:
        header: of its file.
        place: where it runs.
        sizes: (width, height) of images that it shall be ready for.

    Returns:
        A `DepthModel`, `LabelModel` or `PoseModel`.

    Raises:
        WeightsError: its file cannot be used.
        DeviceError: the provider that an ONNX model's YAML names is missing.
        ConfigurationError: it is a directory of transformers, and torch is missing.
    """
    backend = backend_of(header, place)
    if "onnx" in header.architecture:
        from depth_recog.networks.onnx.masks import OnnxMasks

        return OnnxMasks(header, place.device)
    if backend == TORCH:
        if not installed(TORCH):
            raise ConfigurationError(f"{header.path}: needs torch: pip install torch")
        from depth_recog.networks.backends import in_torch

        return in_torch.load(header, replace(place, backend=TORCH))
    from depth_recog.networks.backends import graph_models

    return graph_models.load(header, place, sizes or [header.size])
