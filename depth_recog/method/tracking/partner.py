# SPDX-License-Identifier: Apache-2.0
"""Block 101: choose the earlier frame that makes a pair with the newest one.

At 30 Hz the parallax between neighbouring frames is too small compared with its noise. The partner
is therefore chosen by how far the static scene moved in the image, within a limit on time.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

LEAST_MOTION = 8 / 640
MOST_MOTION = 15 / 640
"""Median static motion of a good pair, as a share of the image's width (8 to 15 px of 640)."""


class Stamped(Protocol):
    """An object with a time of exposure."""

    @property
    def stamp_ns(self) -> int:
        """Nanoseconds."""
        ...


F = TypeVar("F", bound=Stamped)


class PartnerBuffer(Generic[F]):
    """The last frames, and the number of frames between the newest one and its partner.

    That number changes by at most one per frame, after the motion measured in the last pair.

    Args:
        longest_gap_s: largest time between the frames of a pair, seconds.
        capacity: number of frames to keep.
    """

    def __init__(self, longest_gap_s: float = 0.5, capacity: int = 16) -> None:
        self._longest_ns = round(longest_gap_s * 1e9)
        self._frames: deque[F] = deque(maxlen=capacity)
        self._gap = 1
        self._used = 1
        self._aside: deque[F] | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def clear(self, aside: bool = False) -> None:
        """Forget all frames, after a cut, a jump in time, or another camera.

        Args:
            aside: keep them for `rejoin`, until the next frame but one.
        """
        self._aside = self._frames if aside else None
        self._frames = deque(maxlen=self._frames.maxlen)
        self._gap = 1

    def rejoin(self, stamp_ns: int) -> bool:
        """Return to the frames set aside if a frame with this time follows them.

        Then only the frame in between had a wrong time, and is forgotten.
        """
        before, self._aside = self._aside, None
        if not before or len(self._frames) > 1:
            return False
        if not 0 < stamp_ns - before[-1].stamp_ns <= self._longest_ns:
            return False
        self._frames = before
        return True

    def broken_by(self, stamp_ns: int) -> str | None:
        """Return why a frame with this time cannot follow the newest one; None if it can."""
        if not self._frames:
            return None
        step = stamp_ns - self._frames[-1].stamp_ns
        if step <= 0:
            return f"time went back by {-step / 1e9:.3f} s"
        if step > self._longest_ns:
            return f"{step / 1e9:.3f} s without a frame"
        return None

    def partner(self, stamp_ns: int) -> F | None:
        """Return the frame to pair with one taken at `stamp_ns`; None if all are too old."""
        for gap in range(min(self._gap, len(self._frames)), 0, -1):
            candidate = self._frames[-gap]
            if stamp_ns - candidate.stamp_ns <= self._longest_ns:
                self._used = gap
                return candidate
        return None

    @property
    def newest(self) -> F | None:
        """The last frame; None before the first."""
        return self._frames[-1] if self._frames else None

    def renew(self, frame: F) -> None:
        """Replace the newest frame by the same one with tracks."""
        self._frames[-1] = frame

    def before(self, stamp_ns: int, seconds: float) -> F | None:
        """Return the frame closest to `seconds` before `stamp_ns`; None if there is none."""
        then = stamp_ns - round(seconds * 1e9)
        return min(self._frames, key=lambda frame: abs(frame.stamp_ns - then), default=None)

    def add(self, frame: F) -> None:
        """Append the newest frame."""
        self._frames.append(frame)

    def learn(self, motion: float) -> None:
        """Adjust the gap to the motion that was measured.

        Args:
            motion: median static motion of the last pair, as a share of the image's width.
        """
        # Starts from the gap that was used, which the time limit may have reduced: otherwise it
        # would grow without bound while the camera is at rest.
        self._gap = self._used
        if motion > MOST_MOTION:
            self._gap = max(1, self._used - 1)
        elif motion < LEAST_MOTION:
            self._gap = min(self._used + 1, self._frames.maxlen or 1)
