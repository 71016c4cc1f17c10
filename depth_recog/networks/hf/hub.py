# SPDX-License-Identifier: Apache-2.0
"""Names of models on the Hugging Face Hub, found in its cache on this machine.

Nothing is downloaded: a robot must not change its network because a server did.
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

from depth_recog.files import user_path

_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)


def folder_of(name: str) -> Path:
    """The directory that a name stands for: a path, or OWNER/NAME[@REVISION] in the cache.

    A path that exists counts first. A name that stands for nothing is taken for a path.
    """
    path = user_path(name)
    found = None if os.path.lexists(path) else _cached(name)
    return found or path


def how_to_get(name: str) -> str:
    """How to download what looks like the name of a model on the hub; "" for other names."""
    named = _NAME.fullmatch(name)
    if named is None or Path(name).suffix in (".safetensors", ".onnx", ".pth"):
        return ""
    revision = f" --revision {named[2]}" if named[2] else ""
    return f"a model of the Hugging Face Hub is downloaded by `hf download {named[1]}{revision}`"


def _cached(name: str) -> Path | None:
    named = _NAME.fullmatch(name)
    if named is None or find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(named[1], revision=named[2], local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
