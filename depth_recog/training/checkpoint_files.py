# SPDX-License-Identifier: Apache-2.0
"""Reads files of torch.save: tensors and plain values, of limited size."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from depth_recog.files import read_bytes
from depth_recog.limits import DIRECTORY_BYTES


def load_tensors(path: Path) -> Any:
    """Load a file without unpickling anything but tensors and plain values.

    Args:
        path: a zip archive, as torch.save has written since 2020.

    Raises:
        OSError: it cannot be read.
        ValueError: it unpacks to more than its size, which no such file does.
        Exception: torch and zipfile have no common one for a damaged file.
    """
    data = read_bytes(path, DIRECTORY_BYTES)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # Tensors are stored, not compressed: the archive is larger than what is in it.
        if sum(entry.file_size for entry in archive.infolist()) > len(data):
            raise ValueError("it unpacks to more than its size")
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
