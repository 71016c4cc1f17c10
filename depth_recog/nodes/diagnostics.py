# SPDX-License-Identifier: Apache-2.0
"""What the depth node says of itself on /diagnostics."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

OUTCOMES = ("published", "dropped", "rejected", "unmatched", "idle")
"""What can become of an image: its depth went out; a newer one came first; it could not be read;
no camera_info belongs to it; nobody listened."""

_WINDOW = 100


class Ledger:
    """Counts every image and what became of it: received = published + ... + in progress."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.decisions: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=_WINDOW)
        self._finished: deque[float] = deque(maxlen=_WINDOW)
        self._parts: dict[str, deque[float]] = {}
        self._masked: deque[float] = deque(maxlen=_WINDOW)
        self.last_rejection = ""

    def count(self, outcome: str, number: int = 1, why: str = "") -> None:
        """Add to "received" or to one of `OUTCOMES`."""
        with self._lock:
            self.counts[outcome] += number
            if why:
                self.last_rejection = why

    def finished(
        self, latency: float, parts: dict[str, float], decision: str, masked: float
    ) -> None:
        """A frame went out: seconds since its arrival, seconds by part, decision, masked share."""
        with self._lock:
            self.counts["published"] += 1
            self._latencies.append(latency)
            self._finished.append(time.monotonic())
            self.decisions[decision] += 1
            self._masked.append(masked)
            for part, seconds in parts.items():
                self._parts.setdefault(part, deque(maxlen=_WINDOW)).append(seconds)

    def report(self) -> dict[str, str]:
        """Key and value, as diagnostics have them."""
        with self._lock:
            rows = {"received": str(self.counts["received"])}
            rows |= {outcome: str(self.counts[outcome]) for outcome in OUTCOMES}
            if len(self._finished) > 1:
                span = self._finished[-1] - self._finished[0]
                rows["rate (Hz)"] = f"{(len(self._finished) - 1) / max(span, 1e-6):.2f}"
            if self._latencies:
                p50, p99 = np.percentile(self._latencies, (50, 99))
                rows["latency p50 (ms)"] = f"{p50 * 1e3:.1f}"
                rows["latency p99 (ms)"] = f"{p99 * 1e3:.1f}"
                rows["dynamic share of the image"] = f"{np.mean(self._masked):.3f}"
            for part, values in self._parts.items():
                rows[f"{part} (ms)"] = f"{np.median(values) * 1e3:.2f}"
            for decision in ("moving", "still", "undecided", "alone"):
                rows[f"gate {decision}"] = str(self.decisions[decision])
            if self.last_rejection:
                rows["last rejection"] = self.last_rejection
            return rows


def status(
    name: str, level: bytes, message: str, rows: dict[str, str], stamp: Any
) -> DiagnosticArray:
    """One status as a DiagnosticArray."""
    array = DiagnosticArray()
    array.header.stamp = stamp
    entry = DiagnosticStatus(level=level, name=name, message=message, hardware_id="depth_recog")
    entry.values = [KeyValue(key=key, value=value) for key, value in rows.items()]
    array.status = [entry]
    return array
