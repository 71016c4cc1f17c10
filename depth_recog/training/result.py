# SPDX-License-Identifier: Apache-2.0
"""The end of a run: weights, their card, and the list of the files that they were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from depth_recog.evaluation.splits import trained_on
from depth_recog.files import write_whole
from depth_recog.networks.weights import read_header, resolve, save_network
from depth_recog.training.card import card
from depth_recog.training.config import Config
from depth_recog.training.run_folder import RunFolder

# A list without a file is not an empty file: weights that saw drawn pictures alone have one too.
_HEADING = "# files that these weights, and those that they began with, were trained on"
_UNSTATED = "not stated by who trained it: the terms of the training images decide"


def export(
    folder: RunFolder,
    config: Config,
    network: nn.Module,
    architecture: dict[str, Any],
    size: tuple[int, int],
    unit: str,
    why_unit: str,
    facts: dict[str, Any],
) -> Path:
    """Write NAME.safetensors, NAME.md and NAME.train.sha256 into the run's folder.

    The list holds the start's files too: what those weights saw, these have seen. Where a start
    does not say, there is no list, and nobody can take these weights for innocent.

    Args:
        folder: of the run.
        config: of the run.
        network: the depth network.
        architecture: arguments of its class.
        size: (width, height) in training, pixels.
        unit: "metres" or "relative".
        why_unit: what witnesses it.
        facts: what else the card says.

    Returns:
        The weights file.

    Raises:
        OutputError: it cannot be written.
    """
    name = config.name or folder.path.absolute().name
    path = folder.path / f"{name}.safetensors"
    write_whole(path, lambda p: save_network(network, p, "depth", architecture, size, unit))
    listed = path.with_suffix(".train.sha256")
    before = _files_of_start(config.start.depth)
    if before is not None:
        own = (folder.path / "data.sha256").read_text(encoding="utf-8").splitlines()
        lines = dict.fromkeys([_HEADING, *own, *before])
        write_whole(listed, lambda p: p.write_text("\n".join(lines) + "\n", encoding="utf-8"))
    content: dict[str, Any] = {
        "network": "depth",
        "parameters": sum(p.numel() for p in network.parameters()),
        "size": list(size),
        "licence": config.licence or _UNSTATED,
        "unit": f"{unit}: {why_unit}",
        "train_files": "not known: the start does not list its own"
        if before is None
        else listed.name,
        **facts,
    }
    text = "Depth from one image, along the optical axis. Trained by `depth-recog train`."
    content_of_card = card(path, content, text)
    write_whole(path.with_suffix(".md"), lambda p: p.write_text(content_of_card, encoding="utf-8"))
    return path


def _files_of_start(name: str) -> list[str] | None:
    """Lines of the start's list; none of an ImageNet encoder, None where weights have no list."""
    if name.endswith(".pth"):
        return []
    known = trained_on(read_header(resolve(name, "depth")))
    return None if known is None else [f"{sha256}  {path}" for sha256, path in known.items()]
