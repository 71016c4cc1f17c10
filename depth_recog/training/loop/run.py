# SPDX-License-Identifier: Apache-2.0
"""A run and its folder. Every file in it is written whole, or not at all.

config.yaml     every setting, as used
run.json        versions, commit, command; how many frames were used or left out, by reason
data.sha256     files that are trained on, in the format of sha256sum
data/           prepared frames
tensorboard/    curves and pictures
checkpoints/    last.pt and best.pt
NAME.*          the weights, their card NAME.md, and NAME.train.sha256: the training files and those
                of the initial weights, each as the first 16 digits of its sha256, and its path
"""

from __future__ import annotations

import contextlib
import io
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from depth_recog import __version__
from depth_recog.documents import read_json
from depth_recog.errors import ConfigurationError, DocumentError, OutputError, WeightsError
from depth_recog.files import user_path, write_whole
from depth_recog.training.checkpoint_files import load_tensors
from depth_recog.training.config import TrainingConfig, make_config, read_config, write_config
from depth_recog.training.loop.processes import first_alone, make_fabric

CONFIG = "config.yaml"


class TrainingRunFolder:
    """The paths and text files of a run in the folder `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def best(self) -> Path:
        """The checkpoint with the best validation."""
        return self.path / "checkpoints" / "best.pt"

    def check_new(self) -> None:
        """Check that there is no run yet. Raises OutputError."""
        try:
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise OutputError(
                    f"{self.path}: exists already; continue it with --resume, or name another"
                )
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be read ({error.strerror})") from error

    def create(self, config: TrainingConfig) -> None:
        """Make the folder.

        Raises:
            OutputError: the folder is not empty, or cannot be written.
        """
        self.check_new()
        try:
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror})") from error
        self.write(CONFIG, write_config(config))

    def write(self, name: str, text: str) -> None:
        """Write a text file whole. Raises OutputError."""
        write_whole(self.path / name, lambda p: p.write_text(text, encoding="utf-8"))

    def write_manifest(self, files: list[tuple[str, str]]) -> None:
        """List the files that are trained on, each as [sha256, path].

        Raises:
            ConfigurationError: the run was started on other files.
            OutputError: the list cannot be written.
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
        """Write run.json and return its content; a resumed run adds its versions and command.

        Raises:
            OutputError: it cannot be written.
        """
        file = self.path / "run.json"
        if file.is_file():
            facts = _resumed(file)
        self.write(file.name, json.dumps(facts, indent=2) + "\n")
        return facts


def _resumed(file: Path) -> dict[str, Any]:
    """The content of run.json with this process's versions. Raises ConfigurationError."""
    try:
        earlier = read_json(file)
        earlier.setdefault("resumed", []).append(origin())
    except (OSError, DocumentError, AttributeError) as error:
        raise ConfigurationError(f"{file}: not that of a training run ({error})") from error
    return dict(earlier)


@dataclass(frozen=True)
class RunControl:
    """How a run communicates with the user.

    Attributes:
        say: takes lines of text; called on the first process only.
        stop: called after every step and every prepared frame; True ends the run.
    """

    say: Callable[[str], object]
    stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class TrainingRun:
    """What all parts of a run share; its processes are launched."""

    config: TrainingConfig
    fabric: Fabric
    folder: TrainingRunFolder
    control: RunControl

    @property
    def cache(self) -> Path:
        """Folder of prepared frames."""
        named = self.config.cache
        return user_path(named) if named else self.folder.path / "data"


def start_run(
    config: TrainingConfig, folder: TrainingRunFolder, control: RunControl, resume: bool = False
) -> TrainingRun:
    """Launch the processes, seed torch, and make the folder unless the run is resumed.

    Raises:
        DepthRecogError: a device or the folder cannot be used.
    """
    fabric = make_fabric(config)
    fabric.launch()
    torch.manual_seed(config.seed)
    if not resume:
        first_alone(fabric, lambda: folder.create(config))
    if not fabric.is_global_zero:
        control = RunControl(lambda line: None, control.stop)
    return TrainingRun(config, fabric, folder, control)


def open_run(path: Path) -> TrainingConfig:
    """The configuration of a run that is to be continued.

    Raises:
        ConfigurationError: there is no run, or its configuration is damaged.
    """
    file = path / CONFIG
    if not file.is_file():
        raise ConfigurationError(f"{path}: no run to resume ({CONFIG} is missing)")
    return make_config(read_config(file), str(file))


def origin(program: str = "depth-recog") -> dict[str, Any]:
    """Versions, commit and command of this process, which was started as `program`."""
    return {
        "depth_recog": __version__,
        "commit": _commit(),
        "command": f"{program} {shlex.join(sys.argv[1:])}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def _commit() -> str | None:
    """The commit of the package's sources, where they are in a git repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        return done.stdout.strip() or None
    return None


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint: tensors, numbers, texts, and lists and dictionaries of them.

    Raises:
        OutputError: it cannot be written; an older one is kept.
    """
    # torch's own writer turns a full disk into a RuntimeError, which is also what torch raises,
    # at any moment, when a process that reads frames was killed.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(path, lambda partial: partial.write_bytes(buffer.getbuffer()))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without unpickling anything but tensors and plain values.

    Raises:
        WeightsError: missing or damaged.
    """
    try:
        state: dict[str, Any] = load_tensors(path)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such checkpoint") from error
    except Exception as error:  # torch has no error of its own for a damaged file
        raise WeightsError(f"{path}: not a readable checkpoint ({error})") from error
    return state


class Curves:
    """The TensorBoard files.

    Args:
        folder: of the run.
        step: the first step to be written; an interrupted run's values from there on are purged.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        with self._errors():
            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def scalars(self, group: str, values: dict[str, float], step: int) -> None:
        """Write numbers. Raises OutputError."""
        with self._errors():
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def validation(
        self, figures: dict[str, float], picture: NDArray[np.uint8] | None, step: int
    ) -> None:
        """Write figures and a picture, (H, W, 3), to the disk. Raises OutputError."""
        self.scalars("validation", figures, step)
        with self._errors():
            if picture is not None:
                self._writer.add_image("validation", picture, step, dataformats="HWC")
            self._writer.flush()

    def close(self) -> None:
        """Close the files; a full disk was reported before."""
        with contextlib.suppress(OSError):
            self._writer.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"{self._folder}: curves cannot be written ({error.strerror})"
            raise OutputError(text) from error
