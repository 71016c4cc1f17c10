# SPDX-License-Identifier: Apache-2.0
"""Exports own weights as an ONNX graph, and compares it with torch before writing it.

The graph comes from torch.export (dynamo), in which the padding's widths are constants. Torch's
older exporter computes them for every image, with three times as many nodes
(docs/decisions/0018-weights-formats.md).
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_recog.errors import ConfigurationError, OutputError, WeightsError
from depth_recog.files import write_whole
from depth_recog.method.geometry.viewport import LEAST, STRIDE
from depth_recog.networks.device import CPU
from depth_recog.networks.onnx.description import Description, description_path, description_text
from depth_recog.networks.onnx.session import open_session
from depth_recog.networks.own.files import load_network
from depth_recog.networks.weights import Header, read_card

OPSET = 18
"""The lowest that dynamo writes; TensorRT supports 9 to 25."""

LIMIT = 1e-3
"""Largest relative difference from torch with which a graph is written."""

FOCALS = (200.0, 721.5)
"""Focal lengths at which a depth graph is compared, pixels."""

_INPUTS = {"depth": ("image", "focal"), "masks": ("image",)}
_OUTPUTS = {"depth": ["depth"], "masks": ["scores"]}


@dataclass(frozen=True)
class Parity:
    """The difference of a graph from torch.

    Attributes:
        size: (width, height) of the images, pixels.
        answers: number of compared outputs; a depth network has one for each focal length.
        relative: largest difference, as a share of the depth, or of the image's largest score.
    """

    size: tuple[int, int]
    answers: int
    relative: float


def check_size(size: tuple[int, int] | None) -> None:
    """Check an image size for the networks. Raises ConfigurationError."""
    if size is not None and any(side % STRIDE or side < LEAST for side in size):
        raise ConfigurationError(
            f"size {size[0]}x{size[1]}: width and height must be multiples of {STRIDE}, "
            f"from {LEAST} on"
        )


def export_onnx(
    header: Header,
    out: Path,
    size: tuple[int, int] | None,
    pictures: list[NDArray[np.uint8]],
) -> list[Parity]:
    """Write NAME.onnx, and for masks NAME.yaml; nothing if the graph differs from torch.

    Args:
        header: of the weights.
        out: NAME.onnx.
        size: (width, height) in pixels; None for any multiples of 32.
        pictures: (H, W, 3) uint8 RGB images for the comparison: of `size`, or of several sizes.

    Returns:
        The differences, by size.

    Raises:
        ConfigurationError: the size or the kind of network cannot be exported.
        WeightsError: the weights cannot be used, packages are missing, or the graph differs.
        OutputError: the file cannot be written.
    """
    check_size(size)
    if header.network not in _INPUTS:
        raise ConfigurationError(
            f"{header.path.stem}: a {header.network} network; only depth and masks can be exported"
        )
    if out.suffix != ".onnx":
        raise ConfigurationError(f"{out}: the name must end with .onnx")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror})") from error
    network, _ = load_network(str(header.path), header.network)
    network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / out.name
        _write_graph(network, header, size or header.size, size is None, made)
        found = compare(network, made, header.network, pictures)
        worst = max(found, key=lambda one: one.relative)
        if not worst.relative <= LIMIT:
            raise WeightsError(
                f"{out}: not written, because at {worst.size[0]}x{worst.size[1]} it differs from "
                f"torch by {worst.relative:.1e}, more than {LIMIT:g}; try other versions of onnx, "
                "onnxscript and onnxruntime"
            )
        write_whole(out, lambda path: shutil.copyfile(made, path))
    if header.network == "masks":
        text = description_text(Description(header.classes))
        write_whole(description_path(out), lambda path: path.write_text(text, encoding="utf-8"))
    return found


def compare(
    network: nn.Module, graph: Path, kind: str, pictures: list[NDArray[np.uint8]]
) -> list[Parity]:
    """Compare a network with its graph on images.

    Args:
        network: on the CPU.
        graph: the ONNX file.
        kind: "depth" or "masks".
        pictures: (H, W, 3) uint8 RGB.

    Raises:
        WeightsError: onnxruntime is missing, or cannot read or run the graph.
    """
    session = open_session(graph, CPU)
    found: dict[tuple[int, int], list[float]] = {}
    for picture in pictures:
        image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
        for focal in FOCALS if kind == "depth" else FOCALS[:1]:
            given = (image, torch.tensor([focal]))[: len(_INPUTS[kind])]
            names = zip(_INPUTS[kind], (one.numpy() for one in given), strict=True)
            with torch.inference_mode():
                expected = network(*given).numpy()
            try:
                got = np.concatenate(session.run(None, dict(names)), 1)
            except Exception as error:  # onnxruntime's have no base of their own
                reason = " ".join(str(error).split())
                raise WeightsError(f"{graph.name}: onnxruntime cannot run it ({reason})") from error
            difference = _relative(got, expected, kind)
            found.setdefault((picture.shape[1], picture.shape[0]), []).append(difference)
    return [Parity(size, len(each), max(each)) for size, each in found.items()]


def _relative(got: NDArray[Any], expected: NDArray[Any], kind: str) -> float:
    if got.shape != expected.shape:
        return float("inf")
    of = expected if kind == "depth" else np.abs(expected).max()
    worst = float((np.abs(got - expected) / of).max())
    return worst if np.isfinite(worst) else float("inf")


def _write_graph(
    network: nn.Module, header: Header, size: tuple[int, int], dynamic: bool, path: Path
) -> None:
    names = _INPUTS[header.network]
    example: tuple[Tensor, ...] = (torch.zeros(1, 3, size[1], size[0]), torch.ones(1))
    shapes: dict[str, Any] | None = None
    if dynamic:
        rows = STRIDE * torch.export.Dim("rows", min=2)
        columns = STRIDE * torch.export.Dim("columns", min=2)
        every = {"image": {2: rows, 3: columns}, "focal": None}
        shapes = {name: every[name] for name in names}
    try:
        # The exporter prints progress and version warnings to stdout and stderr.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            program = torch.onnx.export(
                network,
                example[: len(names)],
                input_names=list(names),
                output_names=_OUTPUTS[header.network],
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=shapes,
                verbose=False,
            )
    except ImportError as error:
        raise WeightsError(
            f"{error.name} is missing: exporting needs pip install 'depth-recog[onnx]'"
        ) from error
    assert program is not None
    program.model.metadata_props.update(_facts(header))
    program.save(path, external_data=False)


def _facts(header: Header) -> dict[str, str]:
    """Return metadata to store in the graph, which may be copied without its card."""
    return {
        "depth_recog.network": header.network,
        "depth_recog.weights": header.path.stem,
        "depth_recog.sha256": header.sha256,
        "depth_recog.size": f"{header.size[0]}x{header.size[1]}",
        "depth_recog.unit": header.unit,
        "depth_recog.licence": licence_of(header),
    }


def licence_of(header: Header) -> str:
    """Return the licence from the weights' card. Raises WeightsError for a damaged card."""
    card = header.path.with_suffix(".md")
    unknown = "not stated"
    return str(read_card(card).get("licence", unknown)) if card.is_file() else unknown
