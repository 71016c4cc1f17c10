# SPDX-License-Identifier: Apache-2.0
"""How much of the device the trainer may use, and when it must leave it to the depth node."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from statistics import median

Clock = Callable[[], float]

_SLOWER_RATE = 0.1
"""Share of the depth node's rate that it may lose."""
_FRAMES = 100
"""Frames over which the depth node takes its percentiles, see `diagnostics/ledger.py`."""
_LONGEST_S = 30.0
_BASELINE = 5
"""Reports without learning from which its p99 and rate are taken."""
_IN_A_ROW = 3
"""Reports after which a slow depth node is believed: one can be an accident."""
_LEAST_SHARE = 0.02
_RECOVERY_S = 30.0
_AT_WORK = 0.02
_FORGOTTEN_S = 5.0


class Budget:
    """Measures the time in which the trainer works, and how long it must rest.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._worked: deque[tuple[float, float]] = deque()

    def worked(self, seconds: float, share: float) -> float:
        """Count work that ends now.

        Args:
            seconds: its duration.
            share: of the time that may be worked.

        Returns:
            Seconds of rest, so that no more than this share is used.
        """
        now = self._clock()
        self._worked.append((now, seconds))
        while self._worked and self._worked[0][0] < now - 120:
            self._worked.popleft()
        return seconds / max(share, _LEAST_SHARE / 2) - seconds

    def used(self, window: float) -> float:
        """Share of the last `window` seconds that was worked."""
        since = self._clock() - window
        return min(1.0, sum(s for end, s in list(self._worked) if end > since) / window)


class Guard:
    """Decides from the depth node's diagnostics whether the trainer may work, and how much.

    Its p99 and rate without learning are the median of the reports in which the trainer did not
    work. If they suffer, the trainer pauses until they are measured again, then works half as much
    as before; its share grows again while the depth node keeps its rate.

    Args:
        budget: of the trainer.
        tolerance: share by which p99 may grow.
        clock: seconds.
    """

    def __init__(self, budget: Budget, tolerance: float, clock: Clock = time.monotonic) -> None:
        self.tolerance = tolerance
        self._budget, self._clock = budget, clock
        self._quiet: deque[tuple[float, float]] = deque(maxlen=2 * _BASELINE)
        self._slow = 0
        self._published = -1
        self._seen = -1e9
        self._busy = False
        self._since = clock()
        self._share = 1.0
        self.why = ""
        """Why the trainer must not work now; "" if it may."""
        self.pauses = 0
        """How often the depth node was slowed down."""

    @property
    def baseline(self) -> tuple[float, float] | None:
        """p99 (ms) and rate (Hz) of the depth node without learning; None until measured."""
        if len(self._quiet) < _BASELINE:
            return None
        p99, rate = zip(*self._quiet, strict=True)
        return median(p99), median(rate)

    def share(self, budget: float) -> float:
        """Share of the time that may be worked: at most the parameter's, less after pauses."""
        return max(min(_LEAST_SHARE, budget), budget * self._share)

    def may_work(self) -> bool:
        """Whether the trainer may work; also if no depth node is there, or it has nothing to do."""
        if self._clock() - self._seen > _FORGOTTEN_S or not self._busy:
            self.why = ""
        return not self.why

    def report(self, p99: float, rate: float, published: int) -> None:
        """Take a report of the depth node, one per second.

        Args:
            p99: its latency, ms.
            rate: its depth images per second.
            published: how many it has published; fewer than before: it was started again.
        """
        now = self._clock()
        if published < self._published or now - self._seen > _LONGEST_S:
            self._quiet.clear()
        self._busy = published > self._published >= 0
        self._published, self._seen = published, now
        if not self._busy or rate <= 0:
            return
        window = min(_LONGEST_S, _FRAMES / rate)
        if self._budget.used(window) < _AT_WORK:
            self._quiet.append((p99, rate))
        baseline = self.baseline
        if baseline is None:
            self.why = self.why or "measures the depth node's latency without learning"
            return
        if self.why:
            self.why, self._since, self._slow = "", now, 0
            return
        usual, usual_rate = baseline
        slow = p99 > usual * (1 + self.tolerance) or rate < usual_rate * (1 - _SLOWER_RATE)
        self._slow = self._slow + 1 if slow else 0
        if self._slow >= _IN_A_ROW and self._budget.used(window) >= _AT_WORK:
            self.why = (
                f"the depth node suffers: p99 {p99:.0f} ms (without learning {usual:.0f}), "
                f"{rate:.1f} Hz ({usual_rate:.1f})"
            )
            self.pauses += 1
            self._share /= 2
            self._quiet.clear()
        elif now - self._since > _RECOVERY_S:
            self._share, self._since = min(1.0, self._share * 1.1), now
