# SPDX-License-Identifier: Apache-2.0
"""The folder of a run: what went in, what came out, and nothing that is half written.

config.yaml     every key, as it was used
run.json        versions, commit, command; how many frames were used, and why others were not
data.sha256     files that are trained on, in the layout of sha256sum
data/           prepared frames
tensorboard/    curves and pictures
checkpoints/    last.pt and best.pt
NAME.*          the weights, their card, and the list of the files that they were trained on
"""

from __future__ import annotations

import contextlib
import json
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from depth_recog import __version__
from depth_recog.errors import ConfigurationError, OutputError
from depth_recog.files import write_whole
from depth_recog.training import checkpoint
from depth_recog.training.config import Config, make_config, read_config, write_config

CONFIG = "config.yaml"


class RunFolder:
    """Paths and files of a run.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def data(self) -> Path:
        """Where prepared frames lie, unless the configuration names another folder."""
        return self.path / "data"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def best(self) -> Path:
        """The checkpoint with the best figure."""
        return self.path / "checkpoints" / "best.pt"

    def create(self, config: Config) -> None:
        """Make the folder.

        Raises:
            OutputError: it holds something, or cannot be written.
        """
        try:
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise OutputError(
                    f"{self.path}: is there already; continue it with --resume, or name another"
                )
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror})") from error
        self.write(CONFIG, write_config(config))

    def write(self, name: str, text: str) -> None:
        """Write a text file whole. Raises OutputError."""
        write_whole(self.path / name, lambda p: p.write_text(text, encoding="utf-8"))

    def write_manifest(self, files: list[tuple[str, str]]) -> None:
        """List what is trained on.

        Raises:
            ConfigurationError: the run was started on other files.
            OutputError: it cannot be written.
        """
        text = "".join(f"{digest}  {path}\n" for digest, path in dict.fromkeys(files))
        listed = self.path / "data.sha256"
        if listed.is_file() and listed.read_text(encoding="utf-8") != text:
            raise ConfigurationError(
                f"{self.path}: the data changed since the run was started (see data.sha256): "
                "a run cannot continue on other images"
            )
        self.write("data.sha256", text)

    def write_facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Write run.json, or add to it what a resumed run is: who trained what stays known.

        Returns:
            What stands there now.

        Raises:
            OutputError: it cannot be written.
        """
        file = self.path / "run.json"
        if file.is_file():
            earlier: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            earlier.setdefault("resumed", []).append(origin())
            facts = earlier
        self.write(file.name, json.dumps(facts, indent=2) + "\n")
        return facts


def open_run(path: Path) -> Config:
    """The configuration of a run that is to be continued.

    Raises:
        ConfigurationError: there is no run, or its configuration is damaged.
    """
    file = path / CONFIG
    if not file.is_file():
        raise ConfigurationError(f"{path}: no run to resume ({CONFIG} is missing)")
    return make_config(read_config(file), str(file))


def origin() -> dict[str, Any]:
    """Versions, commit and command of this process."""
    return {
        "depth_recog": __version__,
        "commit": _commit(),
        "command": shlex.join(["depth-recog", *sys.argv[1:]]),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def _commit() -> str | None:
    """The commit of the package's sources, where they lie in a git repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


class Curves:
    """TensorBoard's files.

    Args:
        folder: of the run.
        step: the first to be written; what an interrupted run wrote from there on is struck out.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        try:
            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error

    def scalars(self, group: str, values: dict[str, float], step: int) -> None:
        """Write figures. Raises OutputError."""
        try:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)
        except OSError as error:
            raise self._failed(error) from error

    def picture(self, image: NDArray[np.uint8], step: int) -> None:
        """Write a picture, (H, W, 3). Raises OutputError."""
        try:
            self._writer.add_image("held out", image, step, dataformats="HWC")
        except OSError as error:
            raise self._failed(error) from error

    def flush(self) -> None:
        """Bring everything to the disk. Raises OutputError."""
        try:
            self._writer.flush()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """The end; a full disk was reported before."""
        with contextlib.suppress(OSError):
            self._writer.close()

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"{self._folder}: curves cannot be written ({error.strerror})")


def load_last(folder: RunFolder) -> dict[str, Any] | None:
    """The newest checkpoint; None where the run had none yet. Raises WeightsError."""
    return checkpoint.load(folder.last) if folder.last.is_file() else None
