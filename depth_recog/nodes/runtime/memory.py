# SPDX-License-Identifier: Apache-2.0
"""Measure the memory of the process, and return free memory to the system."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

_M_ARENA_MAX = -8  # of malloc.h


def use_one_arena() -> None:
    """Let all threads allocate from one arena; call it before the first thread starts.

    glibc gives each thread an arena of its own, and what one thread frees no other one reuses: each
    exchange of networks would add up to 30 MB. Frames take no longer with one.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return free memory to the system, which the allocators of C and torch would keep."""
    torch = sys.modules.get("torch")  # not imported where another runtime runs the networks
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    # malloc_trim exists in glibc only; other C libraries return memory by themselves.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def resident_mb() -> float:
    """Resident memory of the process in MB (10^6 bytes); NaN on a system without /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def on_gpu_mb() -> float:
    """Memory of the current GPU that torch holds, in MB (10^6 bytes); NaN without torch."""
    torch = sys.modules.get("torch")
    return float("nan") if torch is None else float(torch.cuda.memory_reserved()) / 1e6
