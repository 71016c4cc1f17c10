# SPDX-License-Identifier: Apache-2.0
"""Times of images: header stamps where a driver sets them, else times of arrival."""

from __future__ import annotations

from collections.abc import Callable

_JUMP_NS = 10_000_000_000
_PAUSE_S = 10.0
"""Between two warnings."""
_FASTEST = 100
"""How much faster than time a recording may be played."""


class StampReader:
    """Chooses the time of each image, and warns of stamps that jump.

    Args:
        warn: called with a text.
    """

    def __init__(self, warn: Callable[[str], object]) -> None:
        self._warn = warn
        self._last: tuple[int, float] | None = None
        self._told = False
        self._quiet_until = 0.0

    def time_ns(self, stamp_ns: int, arrived: float) -> int:
        """The time of an image, in nanoseconds.

        Args:
            stamp_ns: the header stamp.
            arrived: seconds of a monotonic clock.
        """
        if stamp_ns <= 0:
            if not self._told:
                self._told = True
                self._warn("header stamps are not set: the times of arrival are used")
            return round(arrived * 1e9)
        last, self._last = self._last, (stamp_ns, arrived)
        if last is not None:
            step, passed = stamp_ns - last[0], (arrived - last[1]) * 1e9
            jumped = not 0 < step <= _JUMP_NS + _FASTEST * passed
            if jumped and arrived >= self._quiet_until:
                self._quiet_until = arrived + _PAUSE_S
                self._warn(
                    f"header stamps jump by {step / 1e9:.3f} s within {passed / 1e9:.3f} s: this "
                    "image is not compared with the one before"
                )
        return stamp_ns
