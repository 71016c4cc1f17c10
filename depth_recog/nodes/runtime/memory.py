# SPDX-License-Identifier: Apache-2.0
"""How much memory the process holds, and how it is given back."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

import torch


def give_back() -> None:
    """Return what is free to the system: C's allocator and torch's keep it otherwise."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    # glibc's alone; other C libraries do not hoard.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def resident_mb() -> float:
    """Megabytes (10^6 bytes) of the process in memory; NaN where /proc is not there."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def gpu_mb(device: torch.device) -> float:
    """Megabytes that torch holds on a GPU."""
    return torch.cuda.memory_reserved(device) / 1e6
