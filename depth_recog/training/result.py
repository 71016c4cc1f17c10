# SPDX-License-Identifier: Apache-2.0
"""The result of a run: weights, their card, and the list of the files that they were trained on."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from depth_recog.documents import yaml_text
from depth_recog.errors import OutputError
from depth_recog.evaluation.splits import DIGITS, trained_on
from depth_recog.files import beside, write_whole
from depth_recog.networks.hf.depth import HfDepth
from depth_recog.networks.hf.directory import CARD, LISTED, directory_sha256
from depth_recog.networks.own.files import save_network
from depth_recog.networks.weights import file_sha256
from depth_recog.training.config import TrainingConfig
from depth_recog.training.initial import InitialNetwork
from depth_recog.training.loop.run import TrainingRunFolder
from depth_recog.training.loop.trainer import Progress

# With this line, the list of weights that were trained on no file is not an empty file.
_HEADING = "# training files, with those of the initial weights: 16 digits of sha256, path"
_TEXTS = {
    "depth": "Depth from one image, along the optical axis. Trained by `depth-recog train`.",
    "masks": "The 19 Cityscapes classes of a street, by pixel. Trained by `recipes/masks.py`.",
    "pose": "Motion of the camera between two frames: rotation vector (radians) and translation "
    "(metres). Trained by `recipes/pose.py`.",
}
_NO_LICENCE = "not stated by who trained it: the terms of the training images decide"


@dataclass(frozen=True)
class DepthUnit:
    """The unit of a trained depth, "metres" or "relative", and where its scale comes from."""

    unit: str
    reason: str


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network.

    Attributes:
        kind: "depth", "masks" or "pose".
        initial: what it was before the training; its architecture is that of the result.
        size: (width, height) in training, pixels.
        unit: of its depth or translation; None for masks.
    """

    kind: str
    network: nn.Module
    initial: InitialNetwork
    size: tuple[int, int]
    unit: DepthUnit | None


def export(
    folder: TrainingRunFolder,
    config: TrainingConfig,
    trained: TrainedNetwork,
    facts: dict[str, Any],
) -> Path:
    """Write NAME.safetensors, NAME.md and NAME.train.sha256 into the run's folder.

    A network of transformers becomes the directory NAME instead, with card and list in it.

    The list has the first `DIGITS` digits of each sha256, as the shipped lists have. It contains
    the files of the initial weights too. Where those have no list, none is written, since it would
    be incomplete.

    Args:
        folder: of the run.
        config: of the run.
        trained: the network.
        facts: further content of the card, in order.

    Returns:
        The weights file, or the directory.

    Raises:
        OutputError: it cannot be written.
    """
    name = config.name or folder.path.absolute().name
    listed = _training_files(folder, trained.initial)
    network, unit = trained.network, trained.unit.unit if trained.unit else ""
    in_directory = isinstance(network, HfDepth)
    path = folder.path / (name if in_directory else f"{name}.safetensors")
    list_file = path.with_suffix(".train.sha256")
    list_name = LISTED if in_directory else list_file.name
    if listed is None:
        list_name = "not known: the initial weights have no list of their own"
    content: dict[str, Any] = {
        "network": trained.kind,
        "parameters": sum(p.numel() for p in network.parameters()),
        "size": list(trained.size),
        "licence": config.licence or _NO_LICENCE,
        **({"unit": f"{unit}: {trained.unit.reason}"} if trained.unit else {}),
        "train_files": list_name,
        **facts,
    }

    def write_card(file: Path, digest: str) -> None:
        file.write_text(card(path, content, _TEXTS[trained.kind], digest), encoding="utf-8")

    if isinstance(network, HfDepth):
        partial = beside(path)
        try:
            partial.mkdir()
            network.save(partial, trained.size, unit)
            if listed is not None:
                (partial / LISTED).write_text(listed, encoding="utf-8")
            write_card(partial / CARD, directory_sha256(partial))
            shutil.rmtree(path, ignore_errors=True)
            partial.replace(path)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
        return path
    kind, architecture = trained.kind, trained.initial.architecture
    write_whole(path, lambda p: save_network(network, p, kind, architecture, trained.size, unit))
    if listed is not None:
        write_whole(list_file, lambda p: p.write_text(listed, encoding="utf-8"))
    write_whole(path.with_suffix(".md"), lambda p: write_card(p, file_sha256(path)))
    return path


def card(weights: Path, facts: dict[str, Any], text: str, sha256: str) -> str:
    """The card of weights: Markdown with `facts` as YAML front matter, as model cards have it."""
    content = {"name": weights.stem, "sha256": sha256, **facts}
    front = yaml_text(content, sort_keys=False, width=96)
    return f"---\n{front}---\n\n# {weights.stem}\n\n{text.strip()}\n"


def facts_of_run(
    config: TrainingConfig, facts: dict[str, Any], progress: Progress, why: str
) -> dict[str, Any]:
    """The part of a card that tells how the run went.

    `facts` is the content of its run.json, `why` what `Trainer.run` returned.
    """
    ended = {"steps": "all steps were done", "patience": "validation got no better"}
    return {
        "command": facts["command"],
        "commit": facts["commit"],
        **({"resumed": facts["resumed"]} if "resumed" in facts else {}),
        "versions": {"depth_recog": facts["depth_recog"], "torch": facts["torch"]},
        "seed": config.seed,
        "gate": config.gate,
        "steps": progress.step,
        "best_step": progress.best_step,
        "ended": ended[why],
        "figures": progress.figures,
    }


def _training_files(folder: TrainingRunFolder, initial: InitialNetwork) -> str | None:
    """The text of the list; None where the initial weights have none."""
    before: list[str] = []
    if initial.header is not None:
        known = trained_on(initial.header)
        if known is None:
            return None
        before = [f"{sha256}  {path}" for sha256, path in known.items()]
    own = (folder.path / "data.sha256").read_text(encoding="utf-8").splitlines()
    parts = (line.split("  ", 1) for line in own)
    short = [f"{sha256[:DIGITS]}  {path}" for sha256, path in parts]
    return "\n".join(dict.fromkeys([_HEADING, *short, *before])) + "\n"
