# SPDX-License-Identifier: Apache-2.0
"""The end of a run: weights, their card, and the list of the files that they were trained on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from depth_recog.errors import OutputError
from depth_recog.evaluation.splits import trained_on
from depth_recog.files import write_whole
from depth_recog.networks.hf.depth import HfDepth
from depth_recog.networks.hf.directory import CARD, LISTED, directory_sha256
from depth_recog.networks.weights import save_network
from depth_recog.training.card import card
from depth_recog.training.config import Config
from depth_recog.training.learner import Start
from depth_recog.training.run_folder import RunFolder

# A list without a file is not an empty file: weights that saw drawn pictures alone have one too.
_HEADING = "# files that these weights, and those that they began with, were trained on"
_UNSTATED = "not stated by who trained it: the terms of the training images decide"


def export(
    folder: RunFolder,
    config: Config,
    network: nn.Module,
    start: Start,
    size: tuple[int, int],
    unit: str,
    why_unit: str,
    facts: dict[str, Any],
) -> Path:
    """Write NAME.safetensors, NAME.md and NAME.train.sha256 into the run's folder.

    A network of transformers becomes the directory NAME, with card and list in it.

    The list holds the start's files too: what those weights saw, these have seen. Where a start
    does not say, there is no list, and nobody can take these weights for innocent.

    Args:
        folder: of the run.
        config: of the run.
        network: the depth network.
        start: what it was before.
        size: (width, height) in training, pixels.
        unit: "metres" or "relative".
        why_unit: what witnesses it.
        facts: what else the card says.

    Returns:
        The weights file, or the directory.

    Raises:
        OutputError: it cannot be written.
    """
    name = config.name or folder.path.absolute().name
    path = folder.path / f"{name}.safetensors"
    beside = path.with_suffix(".train.sha256")
    listed = _listed(folder, start)
    foreign = isinstance(network, HfDepth)
    content: dict[str, Any] = {
        "network": "depth",
        "parameters": sum(p.numel() for p in network.parameters()),
        "size": list(size),
        "licence": config.licence or _UNSTATED,
        "unit": f"{unit}: {why_unit}",
        "train_files": "not known: the start does not list its own"
        if listed is None
        else LISTED
        if foreign
        else beside.name,
        **facts,
    }
    text = "Depth from one image, along the optical axis. Trained by `depth-recog train`."
    if isinstance(network, HfDepth):
        path = folder.path / name
        _write_directory(path, network, size, unit, listed, lambda d: card(path, content, text, d))
        return path
    write_whole(path, lambda p: save_network(network, p, "depth", start.architecture, size, unit))
    if listed is not None:
        write_whole(beside, lambda p: p.write_text(listed, encoding="utf-8"))
    content_of_card = card(path, content, text)
    write_whole(path.with_suffix(".md"), lambda p: p.write_text(content_of_card, encoding="utf-8"))
    return path


def _listed(folder: RunFolder, start: Start) -> str | None:
    """The text of the list; None where the start does not say."""
    before = _files_of_start(start)
    if before is None:
        return None
    own = (folder.path / "data.sha256").read_text(encoding="utf-8").splitlines()
    return "\n".join(dict.fromkeys([_HEADING, *own, *before])) + "\n"


def _write_directory(
    path: Path,
    network: HfDepth,
    size: tuple[int, int],
    unit: str,
    listed: str | None,
    card_of: Callable[[str], str],
) -> None:
    """Raises OutputError; then what was there before is still there."""
    partial = path.with_name(path.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        network.save(partial, size, unit)
        if listed is not None:
            (partial / LISTED).write_text(listed, encoding="utf-8")
        text = card_of(directory_sha256(partial))
        (partial / CARD).write_text(text, encoding="utf-8")
        shutil.rmtree(path, ignore_errors=True)
        partial.replace(path)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _files_of_start(start: Start) -> list[str] | None:
    """Lines of the start's list; none of an ImageNet encoder, None where weights have no list."""
    if start.header is None:
        return []
    known = trained_on(start.header)
    return None if known is None else [f"{sha256}  {path}" for sha256, path in known.items()]
