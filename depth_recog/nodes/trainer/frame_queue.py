# SPDX-License-Identifier: Apache-2.0
"""Frames on their way from the executor's thread to the learning thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from depth_recog.adaptation.frame import LiveFrame

BURST = 36
"""Frames in a row that are taken: neighbours are needed, so single frames would be of no use."""


class FrameQueue:
    """Takes frames in bursts, because learning is slower than the camera.

    While it is closed, frames are skipped before they are converted.

    Args:
        turn: whether a new burst may begin; called by `wants`.
    """

    def __init__(self, turn: Callable[[], bool]) -> None:
        self._turn = turn
        self._lock = threading.Lock()
        self._frames: deque[LiveFrame] = deque()
        self._taken = 0
        self._asked = time.monotonic()
        self.skipped = 0

    def wants(self) -> bool:
        """Whether the next frame is to be put; else it counts as skipped."""
        self._asked = time.monotonic()
        with self._lock:
            if not self._frames and self._taken >= BURST:
                self._taken = 0
            wanted = self._taken < BURST and (self._taken > 0 or self._turn())
            self.skipped += not wanted
            return wanted

    def put(self, frame: LiveFrame) -> None:
        """Add a frame."""
        with self._lock:
            self._frames.append(frame)
            self._taken += 1

    def take(self) -> LiveFrame | None:
        """Remove the oldest frame; None if there is none."""
        with self._lock:
            return self._frames.popleft() if self._frames else None

    def clear(self) -> None:
        """Drop all frames, and end the burst."""
        with self._lock:
            self._frames.clear()
            self._taken = BURST

    @property
    def silence(self) -> float:
        """Seconds since `wants` was called last: since the last image."""
        return time.monotonic() - self._asked

    def __len__(self) -> int:
        return len(self._frames)
