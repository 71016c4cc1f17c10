# SPDX-License-Identifier: Apache-2.0
"""Graphs that were made and checked before, in the user's cache folder.

A file holds a sha256 of its key and content, and is used only where it fits; another one is made
again. The folder and its files are the user's alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path

from depth_recog.errors import OutputError
from depth_recog.files import open_regular, write_whole
from depth_recog.limits import WEIGHTS_BYTES

_DIGEST = 32
_MOST = 24
"""Number of files that are kept, of about 10 MB: the latest."""


def folder() -> Path:
    """Return $XDG_CACHE_HOME/depth_recog/graphs, below ~/.cache by default."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    # A relative one is invalid by the XDG specification.
    return (base if base.is_absolute() else Path.home() / ".cache") / "depth_recog" / "graphs"


def read(key: str) -> bytes | None:
    """Return a graph; None where there is none, or a damaged or somebody else's."""
    try:
        path = _path(key)
        if not _private(path.parent.stat()):
            return None
        with os.fdopen(open_regular(path, os.O_NOFOLLOW), "rb") as file:
            owner = os.fstat(file.fileno())
            content = file.read(WEIGHTS_BYTES + 1)
    except (OSError, RuntimeError):
        return None
    digest, graph = content[:_DIGEST], content[_DIGEST:]
    if not _private(owner) or len(content) > WEIGHTS_BYTES or digest != _digest(key, graph):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # the latest are kept
    return graph


def write(key: str, graph: bytes) -> None:
    """Keep a graph; without a place to write nothing is kept, and it is made again next time."""
    try:
        path = _path(key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Fails for a folder of somebody else, in which nothing is kept.
        path.parent.chmod(0o700)
        if path.parent.is_symlink() or not _private(path.parent.stat()):
            return
        write_whole(path, lambda partial: partial.write_bytes(_digest(key, graph) + graph), 0o600)
        files = sorted(path.parent.glob("*.onnx"), key=lambda one: one.stat().st_mtime)
        for old in files[:-_MOST]:
            old.unlink(missing_ok=True)
    except (OSError, OutputError, RuntimeError):
        return


def _path(key: str) -> Path:
    return folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.onnx"


def _digest(key: str, graph: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + graph).digest()


def _private(found: os.stat_result) -> bool:
    others = stat.S_IWGRP | stat.S_IWOTH
    return os.name == "nt" or (found.st_uid == os.getuid() and not found.st_mode & others)
