# SPDX-License-Identifier: Apache-2.0
"""Weights files: safetensors with metadata about the network, and a card beside each file.

The card is Markdown with YAML front matter, which holds the file's sha256. Nothing is unpickled.
A file is read once: what was checked and hashed is what is loaded, whatever becomes of the file.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, deserialize

from depth_recog.documents import parse_json, parse_yaml
from depth_recog.errors import DocumentError, WeightsError
from depth_recog.files import UnreadableError, open_regular, read_bytes, read_text, user_path
from depth_recog.limits import (
    DIRECTORY_BYTES,
    DOCUMENT_BYTES,
    HEADER_BYTES,
    MIB,
    SHOWN,
    WEIGHTS_BYTES,
)
from depth_recog.method.masking import CITYSCAPES
from depth_recog.networks.architecture import check_architecture, check_size
from depth_recog.networks.family import active_weights, is_lineage
from depth_recog.networks.hf.hub import how_to_get
from depth_recog.texts import plain, shown

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
        content: the bytes with this hash; empty for a directory.
    """

    path: Path
    network: str
    architecture: dict[str, Any]
    size: tuple[int, int]
    unit: str
    sha256: str
    classes: tuple[str, ...] = ()
    content: bytes = field(default=b"", repr=False, compare=False)

    @property
    def deviation(self) -> bool:
        """Whether a depth network gives the standard deviation of its log depth too."""
        return bool(self.architecture.get("deviation", False))

    @property
    def affine(self) -> bool:
        """Whether the inverse depth has an unknown scale and shift in every image."""
        return bool(self.architecture.get("affine"))


def resolve(name: str, network: str) -> Path:
    """Return the file of a shipped name or a path; "" means the shipped default.

    The folder of a lineage stands for its active weights.

    Raises:
        WeightsError: there is no such file.
    """
    name = name or DEFAULT[network]
    shipped = SHIPPED / f"{name}.safetensors"
    # Not Path.is_file: it raises where a name is too long.
    if os.path.isfile(shipped):
        return shipped
    path = user_path(name)
    if os.path.isfile(path):
        return path
    if is_lineage(path):
        return active_weights(path)
    names = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.safetensors")))
    hint = how_to_get(name) if network == "depth" else ""
    raise WeightsError(
        f"{plain(name, SHOWN)}: no such weights file; shipped with the package: {names}"
        + (f"; {hint}" if hint else "")
    )


def read_header(path: Path) -> Header:
    """Read and check a file's metadata and hash, without its tensors.

    Raises:
        WeightsError: not a safetensors file of depth_recog, or its hash differs from its card's.
    """
    content = read_content(path)
    digest = hashlib.sha256(content).hexdigest()
    card = path.with_suffix(".md")
    if os.path.isfile(card):
        check_digest(path, digest, card, str(read_card(card).get("sha256", "")))
    metadata = _metadata(path, content)
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path}: the format in its metadata is {shown(metadata.get('format'))}, but "
            f"{FORMAT!r} is needed; write the file with depth_recog"
        )
    try:
        width, height = check_size(parse_json(metadata["size"]))
        architecture = parse_json(metadata["architecture"])
        network, unit = metadata["network"], metadata["unit"]
    except (KeyError, ValueError, DocumentError) as error:
        raise WeightsError(
            f"{path}: its metadata is incomplete ({error}); write the file again"
        ) from error
    if not isinstance(architecture, dict):
        raise WeightsError(
            f"{path}: the architecture in its metadata is {shown(architecture)}; write the file "
            "again"
        )
    if network not in NETWORKS:
        raise WeightsError(
            f"{path}: unknown network {shown(network)}; known: {', '.join(NETWORKS)}"
        )
    try:
        check_architecture(network, architecture)
    except ValueError as error:
        raise WeightsError(
            f"{path}: unknown architecture ({error}); write the file again"
        ) from error
    classes = CITYSCAPES if network == "masks" else ()
    if network == "masks" and architecture.get("classes", len(classes)) != len(classes):
        raise WeightsError(
            f"{path}: has {architecture['classes']} classes instead of the {len(classes)} of "
            "Cityscapes; export it as ONNX, with a YAML file that names its classes"
        )
    return Header(path, network, architecture, (width, height), unit, digest, classes, content)


def read_content(path: Path) -> bytes:
    """Read the bytes of a weights file or an ONNX model. Raises WeightsError."""
    try:
        return read_bytes(path, WEIGHTS_BYTES)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error


def _metadata(path: Path, content: bytes) -> dict[str, str]:
    """The texts in a safetensors file's header, which has a length, then JSON."""
    try:
        length = int.from_bytes(content[:8], "little")
        if not 0 < length <= min(HEADER_BYTES, len(content) - 8):
            raise ValueError(f"a header of {length} bytes in a file of {len(content)}")
        deserialize(content)  # type: ignore[no-untyped-call]  # checks shapes, offsets and sizes
        head = parse_json(content[8 : 8 + length].decode())
    except (SafetensorError, ValueError, DocumentError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})") from error
    found = head.get("__metadata__") if isinstance(head, dict) else None
    return {k: str(v) for k, v in found.items()} if isinstance(found, dict) else {}


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
        parts = read_text(card, DOCUMENT_BYTES).split("---\n")
        content = parse_yaml(parts[1]) if len(parts) >= 3 and not parts[0].strip() else None
    except (DocumentError, ValueError, OSError) as error:
        raise WeightsError(f"{card}: its YAML front matter cannot be read ({error})") from error
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
    digest, left = hashlib.sha256(), DIRECTORY_BYTES
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            while block := file.read(MIB):
                digest.update(block)
                left -= len(block)
                if left < 0:
                    raise UnreadableError(0, f"it has more than {DIRECTORY_BYTES} bytes")
        return digest.hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
