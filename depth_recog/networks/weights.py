# SPDX-License-Identifier: Apache-2.0
"""Weights files: safetensors with metadata about the network, and a card beside each file.

The card is Markdown with YAML front matter, which holds the file's sha256. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from depth_recog.errors import WeightsError
from depth_recog.method.masking import CITYSCAPES
from depth_recog.networks.family import active_weights, is_lineage
from depth_recog.networks.own.deeplab import segmentation_network
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.pose import PoseNetwork

FORMAT = "depth_recog/1"
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "depth": DepthNetwork,
    "masks": segmentation_network,
    "pose": PoseNetwork,
}
SHIPPED = Path(__file__).parent / "shipped"
DEFAULT = {"depth": "depth-street", "masks": "masks-street", "pose": "pose-street"}


@dataclass(frozen=True)
class Header:
    """The metadata of a weights file, and its hash.

    Attributes:
        path: of the file or directory.
        network: a key of `NETWORKS`.
        architecture: arguments of that network's class.
        size: (width, height) of the images in training, pixels.
        unit: "metres", or "relative" for a depth up to scale.
        sha256: of the whole file, 64 hexadecimal digits.
        classes: names of a segmentation network's classes, by id; else empty.
    """

    path: Path
    network: str
    architecture: dict[str, Any]
    size: tuple[int, int]
    unit: str
    sha256: str
    classes: tuple[str, ...] = ()


def resolve(name: str, network: str) -> Path:
    """Return the file of a shipped name or a path; "" means the shipped default.

    The folder of a lineage stands for its active weights.

    Raises:
        WeightsError: there is no such file.
    """
    name = name or DEFAULT[network]
    shipped = SHIPPED / f"{name}.safetensors"
    if shipped.is_file():
        return shipped
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if is_lineage(path):
        return active_weights(path)
    names = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.safetensors")))
    raise WeightsError(f"{name}: no such weights file; shipped with the package: {names}")


def read_header(path: Path) -> Header:
    """Read and check a file's metadata and hash, without its tensors.

    Raises:
        WeightsError: not a safetensors file of depth_recog, or its hash differs from its card's.
    """
    digest = file_sha256(path)
    card = path.with_suffix(".md")
    if card.is_file():
        check_digest(path, digest, card, str(read_card(card).get("sha256", "")))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})") from error
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path}: the format in its metadata is {metadata.get('format')!r}, but {FORMAT!r} is "
            "needed; write the file with depth_recog"
        )
    try:
        width, height = json.loads(metadata["size"])
        architecture = json.loads(metadata["architecture"])
        network, unit = metadata["network"], metadata["unit"]
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{path}: its metadata is incomplete ({error}); write the file again"
        ) from error
    if network not in NETWORKS:
        raise WeightsError(f"{path}: unknown network {network!r}; known: {', '.join(NETWORKS)}")
    classes = CITYSCAPES if network == "masks" else ()
    if network == "masks" and dict(architecture).get("classes", len(classes)) != len(classes):
        raise WeightsError(
            f"{path}: has {architecture['classes']} classes instead of the {len(classes)} of "
            "Cityscapes; export it as ONNX, with a YAML file that names its classes"
        )
    return Header(path, network, architecture, (width, height), unit, digest, classes)


def check_digest(path: Path, digest: str, card: Path, expected: str) -> None:
    """Compare the sha256 of weights with the one in their card. Raises WeightsError."""
    if expected != digest:
        raise WeightsError(
            f"{path}: its sha256 is {digest[:12]}..., but its card {card.name} says "
            f"{expected[:12] or 'nothing'}...; a file is damaged or was replaced: restore it, or "
            "write a new card"
        )


def read_card(card: Path) -> dict[str, Any]:
    """Read the YAML front matter of a card.

    Raises:
        WeightsError: there is none, or it cannot be read.
    """
    try:
        parts = card.read_text(encoding="utf-8").split("---\n")
        content = yaml.safe_load(parts[1]) if len(parts) >= 3 and not parts[0].strip() else None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{card}: its YAML front matter cannot be read ({reason})") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{card}: no YAML front matter between two lines of ---")
    return content


def header_of(name: str, network: str) -> Header:
    """Read and check the metadata of a shipped name or a path; "" means the default.

    Raises:
        WeightsError: the file is missing, damaged, or holds another kind of network.
    """
    header = read_header(resolve(name, network))
    if header.network != network:
        raise WeightsError(
            f"{header.path}: holds a {header.network} network; a {network} network is needed"
        )
    return header


def load_network(
    name: str, network: str, device: torch.device | str = "cpu"
) -> tuple[nn.Module, Header]:
    """Load a network.

    Args:
        name: shipped name, path, or "" for the default.
        network: a key of `NETWORKS`; the kind that the file must hold.
        device: to run on.

    Returns:
        The network in evaluation mode, channels last, and the metadata of its file.

    Raises:
        WeightsError: the file is missing, damaged, or holds another kind of network.
    """
    header = header_of(name, network)
    try:
        module = NETWORKS[network](**header.architecture)
    except (TypeError, KeyError) as error:
        raise WeightsError(f"{header.path}: unknown architecture ({error})") from error
    with safe_open(header.path, framework="pt") as file:
        state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    own = module.state_dict()
    for key, value in own.items():
        if key not in state:
            if key.endswith("num_batches_tracked"):
                state[key] = value
                continue
            raise WeightsError(f"{header.path}: tensor {key} is missing")
        if state[key].shape != value.shape:
            raise WeightsError(
                f"{header.path}: tensor {key} has shape {tuple(state[key].shape)}, "
                f"{tuple(value.shape)} is needed"
            )
    surplus = sorted(set(state) - set(own))
    if surplus:
        raise WeightsError(f"{header.path}: tensor {surplus[0]} belongs to another network")
    module.load_state_dict(state)
    module.eval().requires_grad_(False)
    ready = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return cast(nn.Module, ready), header


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
        network: a key of `NETWORKS`.
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


def file_sha256(path: Path) -> str:
    """Return a file's sha256, 64 hexadecimal digits.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
