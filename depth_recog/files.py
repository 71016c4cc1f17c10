# SPDX-License-Identifier: Apache-2.0
"""Reading files of limited size once, writing files that are whole at any moment, and names."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from depth_recog.errors import OutputError, SourceError
from depth_recog.limits import LINE_CHARACTERS, LINES, TEXT_BYTES
from depth_recog.texts import shown

_BREAKS = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


class UnreadableError(OSError):
    """A file that is not read, although it could be opened; `strerror` is the reason."""

    def __str__(self) -> str:
        return str(self.strerror)


def user_path(text: str | Path) -> Path:
    """A path from the user; ~ is the home folder, and stays as it is for an unknown user."""
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def open_regular(path: Path, flags: int = 0) -> int:
    """Open a file for reading; never waits, as opening a pipe does. Returns its descriptor.

    Raises:
        OSError: it cannot be read, or is no regular file: a pipe, a device, a folder.
    """
    if "\0" in str(path):
        raise UnreadableError(0, "a name cannot hold a zero byte")
    found = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise UnreadableError(0, "it is not a regular file")
    return found


def read_bytes(path: Path, most: int) -> bytes:
    """Read a file once.

    Args:
        path: of a regular file.
        most: bytes; a larger file is not read.

    Raises:
        OSError: it cannot be read, is too large, or is a pipe, a device or a folder; `strerror`
            says why.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        # Not `most + 1` at once: Python allocates what it is asked for.
        data = file.read(size + 1) if size <= most else b""
        if len(data) > size:  # it grows
            data += file.read(most + 1 - len(data))
    if size > most or len(data) > most:
        raise UnreadableError(0, f"it has {max(size, len(data))} bytes, more than {most}")
    return data


def read_text(path: Path, most: int = TEXT_BYTES, encoding: str = "utf-8") -> str:
    """Read a text file once, see `read_bytes`. Raises OSError, and ValueError for wrong bytes."""
    return read_bytes(path, most).decode(encoding)


def read_lines(path: Path, encoding: str = "utf-8") -> list[str]:
    """Read the lines of a text file of numbers or names.

    Raises:
        OSError: as `read_bytes`.
        ValueError: not such a text; or there are too many lines, or too long ones.
    """
    text = read_text(path, TEXT_BYTES, encoding)
    number, at = 1, 0
    for found in _BREAKS.finditer(text):
        if number > LINES:
            raise ValueError(f"it has more than {LINES} lines")
        if found.start() - at > LINE_CHARACTERS:
            break
        number, at = number + 1, found.end()
    else:
        found = None
    if (found.start() if found else len(text)) - at > LINE_CHARACTERS:
        raise ValueError(f"line {number} has more than {LINE_CHARACTERS} characters")
    return text.splitlines()


def inside(folder: Path, name: str) -> Path:
    """The file that a listing in a folder names.

    Raises:
        ValueError: the name leads out of the folder.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name or parts[0] == "/":
        raise ValueError(f"{shown(name)} leads out of the folder")
    return folder / name


def create(path: Path, mode: int = 0o666) -> int:
    """Make a new file and open it for writing; a link that lies there is not followed.

    Raises:
        OSError: it exists, or cannot be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, mode)


def beside(path: Path) -> Path:
    """A name that nobody can foresee, for what becomes `path` when it is complete."""
    return path.with_name(f"{path.name[:200]}.{secrets.token_hex(8)}.partial")


def write_whole(path: Path, write: Callable[[Path], object], mode: int = 0o666) -> None:
    """Write a file so that after any end, even of the power, the old or the new one is there.

    Args:
        path: the file.
        write: writes to the path that it is given, an empty file beside the file.
        mode: permissions of a new file, less those that the umask takes.

    Raises:
        OutputError: it cannot be written; what was there before is untouched.
    """
    partial = beside(path)
    try:
        os.close(create(partial, mode))
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
