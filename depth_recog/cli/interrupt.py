# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM as a wish that is granted where the work can be left."""

from __future__ import annotations

import signal
from types import FrameType


class Interrupt:
    """Catches both signals while it is entered; `asked` says whether one came."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupt:
        self._old = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __exit__(self, *details: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
