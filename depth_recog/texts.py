# SPDX-License-Identifier: Apache-2.0
"""Foreign text in messages: without control characters, and never long."""

from __future__ import annotations

import reprlib

from depth_recog.limits import SHOWN


class _Short(reprlib.Repr):
    """A `repr` of limited size, whatever the value is."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = 8
        self.maxstring = self.maxother = most
        self.maxlong = 60

    def repr_int(self, x: int, level: int) -> str:
        """Huge numbers take Python long to write, or are refused."""
        return super().repr_int(x, level) if x.bit_length() < 1000 else "a huge number"


def shown(value: object, most: int = SHOWN) -> str:
    """A value for a message, as `repr` writes it but of at most about `most` characters.

    Args:
        value: from a file, a message or the user.
        most: characters.
    """
    try:
        text = _Short(most).repr(value)
    except Exception:
        return f"a {type(value).__name__}"
    return plain(text, 2 * most)


def plain(text: str, most: int | None = None, keep: str = "") -> str:
    """A text without control characters, which could drive a terminal; they are written as escapes.

    Args:
        text: foreign.
        most: characters; None for no limit. A longer text loses its middle.
        keep: control characters that may stay, such as a new line.
    """
    if most is not None and len(text) > most:
        text = f"{text[: most * 2 // 3]}...{text[-(most // 3) :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in text)
