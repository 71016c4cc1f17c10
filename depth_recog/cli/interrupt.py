# SPDX-License-Identifier: Apache-2.0
"""An interrupt as a wish, for verbs that write something whole."""

from __future__ import annotations

import signal
from types import FrameType


class Interrupt:
    """Turns SIGINT and SIGTERM into a wish that is granted between two frames.

    Attributes:
        asked: whether there was one.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupt:
        """Takes the signals over."""
        self._old = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __exit__(self, *details: object) -> None:
        """Gives them back."""
        for number, handler in self._old.items():
            signal.signal(number, handler)
