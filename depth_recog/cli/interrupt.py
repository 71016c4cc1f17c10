# SPDX-License-Identifier: Apache-2.0
"""What an interrupt means: a wish where each frame is of use, nothing where only the end is."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
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


def all_or_nothing(work: Callable[[], int], lost: str) -> int:
    """Do work whose half is no use: what would go on with its outcome must not, after a signal.

    Args:
        work: returns the exit status.
        lost: what there is none of where SIGINT or SIGTERM came; said on stderr.

    Returns:
        The exit status; 1 where a signal came.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return work()
    except KeyboardInterrupt:
        print(f"interrupted: {lost}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
