# SPDX-License-Identifier: Apache-2.0
"""Count the depth node's images and collect the figures that it reports on /diagnostics."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

OUTCOMES = ("published", "dropped", "rejected", "unmatched", "idle")
"""What happens to a received image: its depth is published; a newer image replaces it; an error in
it or in its processing; no camera_info for it; no output has a subscriber."""

DECISIONS = ("moving", "still", "undecided", "alone")
"""The gate's decision on a published frame; "alone": no earlier frame to compare it with."""

LISTENED = "listened to"
"""Key of the list of outputs that have a subscriber."""

REGIONS = ("moving", "still", "undecided")
"""Decisions of the gate by object on a region."""

# Frames over which medians and percentiles are taken.
_WINDOW = 100
# Seconds over which numbers of regions are averaged.
_REGIONS_S = 1.0


class Ledger:
    """Counts received images by outcome: received = the sum over `OUTCOMES` + in progress."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # With all keys from the start, because other threads iterate over it.
        self.counts: Counter[str] = Counter(dict.fromkeys(("received", *OUTCOMES), 0))
        self.decisions: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=_WINDOW)
        self._finished: deque[float] = deque(maxlen=_WINDOW)
        self._parts: dict[str, deque[float]] = {}
        self._masked: deque[float] = deque(maxlen=_WINDOW)
        self._regions: deque[tuple[float, Counter[str]]] = deque(maxlen=_WINDOW)
        self.last_rejection = ""
        self.assumed = ""
        """What is assumed because there is no calibration; empty with one."""

    def count(self, outcome: str, number: int = 1, why: str = "") -> None:
        """Add to "received" or to one of `OUTCOMES`."""
        with self._lock:
            self.counts[outcome] += number
            if why:
                self.last_rejection = why

    def finished(
        self,
        latency: float,
        parts: dict[str, float],
        decision: str,
        masked: float | None,
        regions: Counter[str] | None = None,
    ) -> None:
        """Count a published frame.

        Args:
            latency: seconds since the image arrived.
            parts: seconds by processing stage.
            decision: one of `DECISIONS`.
            masked: share of dynamic pixels, 0 to 1; None without masks.
            regions: number of regions by decision; None without the gate by object.
        """
        with self._lock:
            self.counts["published"] += 1
            self._latencies.append(latency)
            self._finished.append(time.monotonic())
            self.decisions[decision] += 1
            if masked is not None:
                self._masked.append(masked)
            if regions is not None:
                self._regions.append((time.monotonic(), regions))
            for part, seconds in parts.items():
                self._parts.setdefault(part, deque(maxlen=_WINDOW)).append(seconds)

    def regions(self) -> dict[str, float]:
        """Mean number of regions per frame in the last second; empty without the gate by object."""
        with self._lock:
            since = time.monotonic() - _REGIONS_S
            recent = [counts for stamp, counts in self._regions if stamp > since]
        if not recent:
            return {}
        return {name: sum(c[name] for c in recent) / len(recent) for name in REGIONS}

    def report(self) -> dict[str, dict[str, str]]:
        """Keys and values of the statuses "input", "depth" and "gate"."""
        regions = self.regions()
        with self._lock:
            counts = {outcome: str(self.counts[outcome]) for outcome in ("received", *OUTCOMES)}
            inputs = {key: counts[key] for key in ("received", "rejected", "unmatched")}
            if self.last_rejection:
                inputs["last rejection"] = self.last_rejection
            depth = {key: counts[key] for key in ("published", "dropped", "idle")}
            depth["calibration"] = self.assumed or "camera_info"
            gate = {f"gate {name}": str(self.decisions[name]) for name in DECISIONS}
            gate |= {f"regions {name}": f"{number:.1f}" for name, number in regions.items()}
            if len(self._finished) > 1:
                span = self._finished[-1] - self._finished[0]
                depth["rate (Hz)"] = f"{(len(self._finished) - 1) / max(span, 1e-6):.2f}"
            if self._latencies:
                p50, p99 = np.percentile(self._latencies, (50, 99))
                depth["latency p50 (ms)"] = f"{p50 * 1e3:.1f}"
                depth["latency p99 (ms)"] = f"{p99 * 1e3:.1f}"
            if self._masked:
                gate["dynamic share of the image"] = f"{np.mean(self._masked):.3f}"
            for part, values in self._parts.items():
                depth[f"{part} (ms)"] = f"{np.median(values) * 1e3:.2f}"
            return {"input": inputs, "depth": depth, "gate": gate}


def status(
    name: str, level: bytes, message: str, rows: dict[str, str], hardware_id: str = "depth_recog"
) -> DiagnosticStatus:
    """A status message; its name has the form `node: part`, by which aggregators sort.

    Args:
        name: of the form `node: part`.
        level: of DiagnosticStatus.
        message: one sentence.
        rows: keys and values.
        hardware_id: of the camera: the full name of its topic.
    """
    entry = DiagnosticStatus(level=level, name=name, message=message, hardware_id=hardware_id)
    entry.values = [KeyValue(key=key, value=value) for key, value in rows.items()]
    return entry
