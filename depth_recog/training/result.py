# SPDX-License-Identifier: Apache-2.0
"""The end of a run: weights, their card, and the list of the files that they were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from depth_recog.networks.weights import save_network
from depth_recog.training.card import card
from depth_recog.training.checkpoint import write_whole
from depth_recog.training.config import Config
from depth_recog.training.run_folder import RunFolder

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
    manifest = (folder.path / "data.sha256").read_text(encoding="utf-8")
    listed = path.with_suffix(".train.sha256")
    write_whole(listed, lambda p: p.write_text(manifest, encoding="utf-8"))
    content: dict[str, Any] = {
        "network": "depth",
        "parameters": sum(p.numel() for p in network.parameters()),
        "size": list(size),
        "licence": config.licence or _UNSTATED,
        "unit": f"{unit}: {why_unit}",
        "train_files": listed.name,
        **facts,
    }
    text = "Depth from one image, along the optical axis. Trained by `depth-recog train`."
    content_of_card = card(path, content, text)
    write_whole(path.with_suffix(".md"), lambda p: p.write_text(content_of_card, encoding="utf-8"))
    return path
