# SPDX-License-Identifier: Apache-2.0
"""Loads and saves the own networks as torch modules; `networks/weights.py` describes the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load, save
from torch import nn

from depth_recog.errors import WeightsError
from depth_recog.networks.own.deeplab import segmentation_network
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.networks.weights import FORMAT, Header, file_sha256, header_of
from depth_recog.texts import shown

_CLASSES: dict[str, Callable[..., nn.Module]] = {
    "depth": DepthNetwork,
    "masks": segmentation_network,
    "pose": PoseNetwork,
}


def load_network(
    name: str, network: str, device: torch.device | str = "cpu"
) -> tuple[nn.Module, Header]:
    """Load a network.

    Args:
        name: shipped name, path, or "" for the default.
        network: one of `NETWORKS`; the kind that the file must hold.
        device: to run on.

    Returns:
        The network in evaluation mode, channels last, and the metadata of its file.

    Raises:
        WeightsError: the file is missing, damaged, or holds another kind of network.
    """
    header = header_of(name, network)
    return network_of(header, device), header


def network_of(header: Header, device: torch.device | str = "cpu") -> nn.Module:
    """Load the network of a header, from the bytes that were read with it.

    Raises:
        WeightsError: its tensors do not fit its architecture, or are not finite.
    """
    build = _CLASSES[header.network]
    try:
        # Without memory, until the shapes of the file's tensors are known to fit.
        with torch.device("meta"):
            planned = build(**header.architecture).state_dict()
        state = {key: value.float() for key, value in load(header.content).items()}
    except (TypeError, KeyError, ValueError) as error:
        raise WeightsError(f"{header.path}: unknown architecture ({shown(error)})") from error
    for key, value in planned.items():
        if key not in state:
            if key.endswith("num_batches_tracked"):
                continue
            raise WeightsError(f"{header.path}: tensor {key} is missing")
        if state[key].shape != value.shape:
            raise WeightsError(
                f"{header.path}: tensor {key} has shape {tuple(state[key].shape)}, "
                f"{tuple(value.shape)} is needed"
            )
        if not bool(state[key].isfinite().all()):
            raise WeightsError(
                f"{header.path}: tensor {key} has values that are not finite; restore the file"
            )
    surplus = sorted(set(state) - set(planned))
    if surplus:
        raise WeightsError(f"{header.path}: tensor {surplus[0]} belongs to another network")
    module = build(**header.architecture)
    own = module.state_dict()
    module.load_state_dict({key: state.get(key, value) for key, value in own.items()})
    module.eval().requires_grad_(False)
    ready = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return cast(nn.Module, ready)


def save_network(
    module: nn.Module,
    path: Path,
    network: str,
    architecture: dict[str, Any],
    size: tuple[int, int],
    unit: str,
) -> str:
    """Write a weights file: float16 tensors, but for running variances.

    Args:
        module: the trained network.
        path: the file to write.
        network: one of `NETWORKS`.
        architecture: arguments of that network's class.
        size: (width, height) of the images in training, pixels.
        unit: "metres" or "relative".

    Returns:
        The file's sha256. The same tensors give the same file.
    """
    tensors = {}
    for key, value in module.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        stored = value.float() if key.endswith("running_var") else value.half()
        tensors[key] = stored.contiguous()
    metadata = {
        "format": FORMAT,
        "network": network,
        "architecture": json.dumps(architecture),
        "size": json.dumps(size),
        "unit": unit,
    }
    path.write_bytes(_ordered(save(tensors, metadata)))
    return file_sha256(path)


def _ordered(data: bytes) -> bytes:
    """Sort the keys of a safetensors file's header.

    The library writes the metadata in random order, so that the hash would differ each time.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the tensors stay aligned
    return len(header).to_bytes(8, "little") + header + data[end:]
