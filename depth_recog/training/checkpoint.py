# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: whole at any moment, and never unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from depth_recog.errors import WeightsError
from depth_recog.files import write_whole


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
