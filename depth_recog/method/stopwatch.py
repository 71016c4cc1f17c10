# SPDX-License-Identifier: Apache-2.0
"""Where a frame's time goes."""

from __future__ import annotations

import time


class Stopwatch:
    """Seconds by part, for one frame."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """What has passed since the last lap belongs to `part`."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now
