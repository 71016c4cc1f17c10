# SPDX-License-Identifier: Apache-2.0
"""Weights files: safetensors with metadata about the network, and a card beside each file.

The card is Markdown with YAML front matter, which holds the file's sha256. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open

from depth_recog.errors import WeightsError
from depth_recog.method.masking import CITYSCAPES
from depth_recog.networks.family import active_weights, is_lineage

FORMAT = "depth_recog/1"
NETWORKS = ("depth", "masks", "pose")
SHIPPED = Path(__file__).parent / "shipped"
DEFAULT = {"depth": "depth-street", "masks": "masks-street", "pose": "pose-street"}


@dataclass(frozen=True)
class Header:
    """The metadata of a weights file, and its hash.

    Attributes:
        path: of the file or directory.
        network: one of `NETWORKS`.
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
        with safe_open(path, framework="numpy") as file:
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
    if not isinstance(architecture, dict):
        raise WeightsError(
            f"{path}: the architecture in its metadata is {architecture!r}; write the file again"
        )
    if network not in NETWORKS:
        raise WeightsError(f"{path}: unknown network {network!r}; known: {', '.join(NETWORKS)}")
    classes = CITYSCAPES if network == "masks" else ()
    if network == "masks" and architecture.get("classes", len(classes)) != len(classes):
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


def file_sha256(path: Path) -> str:
    """Return a file's sha256, 64 hexadecimal digits.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
