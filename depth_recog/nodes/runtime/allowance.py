# SPDX-License-Identifier: Apache-2.0
"""Limit the time that a node spends on getting ready for other cameras.

Rectification maps and compiled networks are made for one calibration and one size of images, which
takes up to seconds. A publisher whose size changes with every image would occupy the node for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from depth_recog.errors import CalibrationError
from depth_recog.nodes.runtime import memory

_SHARE = 0.5
_AT_ONCE_S = 20.0
"""For a start, and for a few changes of a camera's mode."""


class Allowance:
    """Seconds of preparation that are left. For one thread.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = _AT_ONCE_S
        self._last = clock()

    @contextmanager
    def spend(self) -> Iterator[None]:
        """Measure one preparation.

        Raises:
            CalibrationError: more than half of the time would go into preparations.
        """
        start = self._clock()
        self._left = min(_AT_ONCE_S, self._left + _SHARE * (start - self._last))
        self._last = start
        if self._left <= 0:
            raise CalibrationError(
                "size or calibration of the images changes too often to get ready for each: give "
                "each camera a topic and a depth node of its own"
            )
        try:
            yield
        finally:
            memory.give_back()  # of those that were made for another camera
            self._left -= self._clock() - start
