# SPDX-License-Identifier: Apache-2.0
"""Networks by name: own weights, ONNX segmentation models, directories of transformers."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from pathlib import Path

from depth_recog.errors import WeightsError
from depth_recog.files import user_path
from depth_recog.limits import SHOWN
from depth_recog.method.masking import DYNAMIC, PresetRules
from depth_recog.networks import weights
from depth_recog.networks.family import is_lineage
from depth_recog.networks.hf import directory
from depth_recog.networks.hf.hub import folder_of
from depth_recog.networks.onnx.description import Description, read_description
from depth_recog.networks.onnx.session import need_onnxruntime
from depth_recog.networks.weights import Header
from depth_recog.texts import plain


def header_of(name: str, network: str) -> Header:
    """Read a model's metadata without loading it; it is not loaded.

    Args:
        name: shipped name, or path of a weights file; for masks also of an ONNX model, for depth
            also of a directory of transformers, or its name on the hub; "" for the default.
        network: "depth", "masks" or "pose".

    Raises:
        WeightsError: the model is missing, damaged, or another kind of network.
    """
    if is_directory(name, network):
        return directory.read_directory(name)
    if not _is_onnx(name):
        return weights.header_of(name, network)
    path, description = _described(name, network)
    content = weights.read_content(path)
    # The YAML is part of the architecture: the model is loaded again where it changed.
    return Header(
        path=path,
        network=network,
        architecture={"onnx": asdict(description)},
        size=description.size or (0, 0),
        unit="",
        sha256=hashlib.sha256(content).hexdigest(),
        classes=description.classes,
        content=content,
    )


def preset_rules(dynamic_classes: list[str], mask_weights: str = "") -> PresetRules:
    """Make the preset rules for the classes of a segmentation network.

    The default list stands for the `dynamic` list of an ONNX model's YAML, or for those of its
    names that the model has. In any other list every name must be one of the model's classes.

    Args:
        dynamic_classes: names of the classes that can move; empty names are ignored.
        mask_weights: as `name` in `header_of`.

    Raises:
        ConfigurationError: the model has no class of such a name.
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
    """Whether a name is a directory of transformers, and no shipped name and no lineage."""
    shipped = os.path.isfile(weights.SHIPPED / f"{name}.safetensors")
    folder = folder_of(name)
    return (
        network == "depth"
        and bool(name)
        and not shipped
        and os.path.isdir(folder)
        and not is_lineage(folder)
    )


def _is_onnx(name: str) -> bool:
    return Path(name).suffix == ".onnx"


def _described(name: str, network: str) -> tuple[Path, Description]:
    if network != "masks":
        raise WeightsError(
            f"{name}: only the segmentation network can be an ONNX model; the {network} network "
            "must be .safetensors"
        )
    path = user_path(name)
    if not os.path.isfile(path):
        raise WeightsError(
            f"{plain(name, SHOWN)}: no such file; an ONNX model with a YAML beside it is needed"
        )
    need_onnxruntime(path)
    return path, read_description(path)
