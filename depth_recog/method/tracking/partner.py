# SPDX-License-Identifier: Apache-2.0
"""Block 101: which earlier frame makes a pair with the newest one.

At 30 Hz neighbours carry too little parallax to tell motion from noise, so the partner is chosen
by how far the static scene moved, within limits on time.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

LEAST_MOTION = 8 / 640
MOST_MOTION = 15 / 640
"""Median static motion of a good pair, as a share of the image's width (8 to 15 px of 640)."""


class Stamped(Protocol):
    """Anything with a time of exposure."""

    @property
    def stamp_ns(self) -> int:
        """Nanoseconds."""
        ...


F = TypeVar("F", bound=Stamped)


class PartnerBuffer(Generic[F]):
    """The last frames, and the gap at which the newest one's partner lies.

    The gap follows the motion by one frame at a time: measuring it costs nothing, since the
    correspondences of the chosen pair are needed anyway.

    Args:
        longest_gap_s: never pair frames further apart than this, in seconds.
        capacity: how many frames are kept.
    """

    def __init__(self, longest_gap_s: float = 0.5, capacity: int = 16) -> None:
        self._longest_ns = round(longest_gap_s * 1e9)
        self._frames: deque[F] = deque(maxlen=capacity)
        self._gap = 1
        self._used = 1

    def __len__(self) -> int:
        return len(self._frames)

    def clear(self) -> None:
        """Forget every frame: after a cut, a jump in time, or another camera."""
        self._frames.clear()
        self._gap = 1

    def broken_by(self, stamp_ns: int) -> str | None:
        """Why a frame of this time cannot follow the newest one; None when it can."""
        if not self._frames:
            return None
        step = stamp_ns - self._frames[-1].stamp_ns
        if step <= 0:
            return f"time went back by {-step / 1e9:.3f} s"
        if step > self._longest_ns:
            return f"{step / 1e9:.3f} s without a frame"
        return None

    def partner(self, stamp_ns: int) -> F | None:
        """The frame to pair with one taken at `stamp_ns`; None when none is near enough in time."""
        for gap in range(min(self._gap, len(self._frames)), 0, -1):
            candidate = self._frames[-gap]
            if stamp_ns - candidate.stamp_ns <= self._longest_ns:
                self._used = gap
                return candidate
        return None

    @property
    def newest(self) -> F | None:
        """The last frame, or None."""
        return self._frames[-1] if self._frames else None

    def renew(self, frame: F) -> None:
        """Put a frame in the newest one's place: the same, with more known of it."""
        self._frames[-1] = frame

    def before(self, stamp_ns: int, seconds: float) -> F | None:
        """The frame nearest to `seconds` before `stamp_ns`; None where there is none."""
        then = stamp_ns - round(seconds * 1e9)
        return min(self._frames, key=lambda frame: abs(frame.stamp_ns - then), default=None)

    def add(self, frame: F) -> None:
        """Append the newest frame."""
        self._frames.append(frame)

    def learn(self, motion: float) -> None:
        """Adjust the gap.

        Args:
            motion: median static motion of the last pair, as a share of the image's width.
        """
        # From the gap that was used, not the one that was wished for: a long rest must not wind it
        # up beyond what the time limit allows.
        self._gap = self._used
        if motion > MOST_MOTION:
            self._gap = max(1, self._used - 1)
        elif motion < LEAST_MOTION:
            self._gap = min(self._used + 1, self._frames.maxlen or 1)
