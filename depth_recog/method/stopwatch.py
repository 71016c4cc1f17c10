# SPDX-License-Identifier: Apache-2.0
"""Measures the time that parts of the pipeline take."""

from __future__ import annotations

import time


class Stopwatch:
    """Seconds by part of the pipeline, for one frame."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Add the time since the last lap to `part`."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now
