# SPDX-License-Identifier: Apache-2.0
"""Options after a source's path: `PATH?camera=1`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

from depth_recog.errors import SourceError
from depth_recog.files import user_path


def split_options(text: str | Path, allowed: tuple[str, ...]) -> tuple[Path, dict[str, str]]:
    """Splits a source into path and options. An existing path may contain a question mark.

    Raises:
        SourceError: an option is unknown, has no value, or is given twice.
    """
    whole = Path(text)
    path, mark, query = str(text).partition("?")
    if not mark or user_path(whole).exists():
        return whole, {}
    options: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True) or [(query, "")]:
        if key not in allowed:
            raise SourceError(f"unknown option {key!r} in {text}: {_written(allowed)}")
        if not value:
            raise SourceError(f"option {key} in {text} has no value: {_written(allowed)}")
        if key in options:
            raise SourceError(f"{key} is given twice in {text}: keep one")
        options[key] = value
    return Path(path), options


def bits_option(text: str | Path, options: dict[str, str]) -> int:
    """The option `bits`, significant bits of 16-bit images; 0 without. Raises SourceError."""
    bits = options.get("bits", "0")
    if bits != "0" and not (bits.isdecimal() and 8 <= int(bits) <= 16):
        raise SourceError(f"bits={bits} in {text}: write 8 to 16, the camera's bits per pixel")
    return int(bits)


def _written(allowed: tuple[str, ...]) -> str:
    return f"write PATH?{'&'.join(f'{key}=...' for key in allowed)}"
