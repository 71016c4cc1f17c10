# SPDX-License-Identifier: Apache-2.0
"""Files that are whole at any moment, and names that every library can take."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from depth_recog.errors import OutputError, SourceError


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
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}): is the disk full? "
            "What was there is kept"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def text_of(path: str | Path) -> str:
    """The path as text, which one in another encoding (Latin-1, say) is not.

    On such a path OpenCV crashes, SQLite and safetensors raise, and YAML cannot hold it.

    Raises:
        SourceError: it is not valid UTF-8.
    """
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SourceError(f"{text} is not valid UTF-8: rename it, or name a link to it") from error
    return text
