# SPDX-License-Identifier: Apache-2.0
"""Handles SIGINT and SIGTERM in the verbs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType


class Interrupt:
    """Turns SIGINT and SIGTERM into a request to stop after the current frame.

    Attributes:
        asked: whether a signal came.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupt:
        """Install the handlers."""
        self._old = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __exit__(self, *details: object) -> None:
        """Restore the former handlers, unless a signal came.

        The command ends then: a second signal could only print a traceback, of a destructor.
        """
        if self.asked:
            return
        for number, handler in self._old.items():
            signal.signal(number, handler)


def all_or_nothing(work: Callable[[], int], lost: str) -> int:
    """Do work whose results are of no use before its end.

    Args:
        work: returns the exit status.
        lost: message for stderr after SIGINT or SIGTERM, such as "no report was written".

    Returns:
        The exit status; 1 after a signal, so that no script continues with missing results.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return work()
    except KeyboardInterrupt:
        print(f"interrupted: {lost}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
