# SPDX-License-Identifier: Apache-2.0
"""Files that are whole at any moment, and checkpoints among them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from depth_recog.errors import OutputError, WeightsError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that after any end, even of the power, the old or the new one is there.

    Args:
        path: the file.
        write: writes to the path that it is given, which lies beside the file.

    Raises:
        OutputError: it cannot be written; what was there before is untouched.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into the latter
        partial.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise OutputError(
            f"{path}: cannot be written ({reason}): is the disk full? What was there is kept"
        ) from error


def save(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint: tensors, numbers, texts, and lists and dictionaries of them.

    Raises:
        OutputError: it cannot be written; an older one is kept.
    """
    write_whole(path, lambda partial: torch.save(state, partial))


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint, without unpickling anything but tensors and plain values.

    Raises:
        WeightsError: missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such checkpoint") from error
    except Exception as error:  # torch has no error of its own for a damaged file
        raise WeightsError(f"{path}: not a readable checkpoint ({error})") from error
    return state
