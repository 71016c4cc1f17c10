# SPDX-License-Identifier: Apache-2.0
"""Networks by name: weights of ours, an ONNX segmentation model, a directory of transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from depth_recog.errors import WeightsError
from depth_recog.method.masking import DYNAMIC, PresetRules
from depth_recog.networks import weights
from depth_recog.networks.hf import directory
from depth_recog.networks.onnx.description import Description, read_description
from depth_recog.networks.onnx.masks import OnnxMasks
from depth_recog.networks.onnx.session import need_onnxruntime
from depth_recog.networks.weights import Header

Model = Callable[..., Tensor]
"""A `DepthModel`, a `ScoreModel`, or a pose network."""


def header_of(name: str, network: str) -> Header:
    """What is known of a model before it is loaded; arguments as in `load_model`.

    Raises:
        WeightsError: missing, damaged, or another kind of network.
    """
    if is_directory(name, network):
        return directory.read_directory(name)
    if not _is_onnx(name):
        return weights.header_of(name, network)
    path, description = _described(name, network)
    # What its YAML says is part of it: where that changes, it is loaded again.
    return Header(
        path=path,
        network=network,
        architecture={"onnx": asdict(description)},
        size=description.size or (0, 0),
        unit="",
        sha256=weights.file_sha256(path),
        classes=description.classes,
    )


def load_model(name: str, network: str, device: torch.device | str = "cpu") -> tuple[Model, Header]:
    """A model, ready to run.

    Args:
        name: shipped name, or path of a weights file; for masks also of an ONNX model, for depth
            also of a directory of transformers; "" for the default.
        network: "depth", "masks" or "pose".
        device: where it shall live.

    Raises:
        WeightsError: missing, damaged, another network's, or onnxruntime or transformers is
            missing.
        DeviceError: onnxruntime lacks what the ONNX model's YAML asks for.
    """
    if is_directory(name, network):
        return directory.load_directory(header_of(name, network), torch.device(device))
    if not _is_onnx(name):
        return weights.load_network(name, network, device)
    header = header_of(name, network)
    _, description = _described(name, network)
    return OnnxMasks(header.path, description, torch.device(device)), header


def preset_rules(dynamic_classes: list[str], mask_weights: str = "") -> PresetRules:
    """Preset rules of a list of names, for the classes that the mask weights know.

    The default list means whatever of it the model knows, or what its YAML calls `dynamic`; in any
    other list every name must be one of the model's.

    Args:
        dynamic_classes: names of what can move; empty ones are left out.
        mask_weights: as in `load_model`.

    Raises:
        ConfigurationError: a name that the model does not know.
        WeightsError: an ONNX model's YAML cannot be read.
    """
    named = tuple(name for name in dynamic_classes if name)
    if not _is_onnx(mask_weights):
        return PresetRules(dynamic=named)
    _, description = _described(mask_weights, "masks")
    if named == DYNAMIC:
        usual = tuple(name for name in DYNAMIC if name in description.classes)
        named = usual if description.dynamic is None else description.dynamic
    return PresetRules(description.classes, named)


def is_directory(name: str, network: str) -> bool:
    """Whether a name means a directory of transformers: a shipped name never does."""
    shipped = (weights.SHIPPED / f"{name}.safetensors").is_file()
    return network == "depth" and bool(name) and not shipped and Path(name).expanduser().is_dir()


def _is_onnx(name: str) -> bool:
    return Path(name).suffix == ".onnx"


def _described(name: str, network: str) -> tuple[Path, Description]:
    if network != "masks":
        raise WeightsError(
            f"{name}: an ONNX model can be the mask network only; a {network} network is needed "
            "as .safetensors"
        )
    path = Path(name).expanduser()
    if not path.is_file():
        raise WeightsError(f"{name}: no such file; an ONNX model with a YAML beside it is needed")
    need_onnxruntime(path)
    return path, read_description(path)
