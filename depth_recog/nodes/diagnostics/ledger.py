# SPDX-License-Identifier: Apache-2.0
"""Count the depth node's images and collect the figures that it reports on /diagnostics."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from depth_recog.texts import plain

ARRIVED = "arrived"
OUTCOMES = ("published", "dropped", "rejected", "unmatched", "idle")
"""What happens to a received image: its depth is published; a newer image replaces it; an error in
it or in its processing; no camera_info for it; no output has a subscriber."""

DECISIONS = ("moving", "still", "undecided", "alone")
"""The gate's decision on a published frame; "alone": no earlier frame to compare it with."""

IN_PROGRESS = "in progress"
"""Key of the images that have arrived and have no outcome yet: they wait, or are processed."""

LISTENED = "listened to"
"""Key of the list of outputs that have a subscriber."""

REGIONS = ("moving", "still", "undecided")
"""Decisions of the gate by object on a region."""

# Characters of a message or value; the classes of a segmentation model take the most.
_LONGEST = 8000
# Frames over which medians and percentiles are taken.
_WINDOW = 100
# Seconds over which numbers of regions are averaged.
_REGIONS_S = 1.0


class Ledger:
    """Counts images by outcome.

    "received" are those with an outcome, so it is the sum over `OUTCOMES` at any moment; those that
    have none yet are counted apart.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrived = 0
        self._outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
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
        """Add images that have "arrived", or that got one of `OUTCOMES`."""
        with self._lock:
            if outcome == ARRIVED:
                self._arrived += number
            else:
                self._outcomes[outcome] += number
            if why:
                self.last_rejection = why

    @property
    def counts(self) -> Counter[str]:
        """Images "received", by outcome, and "in progress", of one moment."""
        with self._lock:
            return self._counts()

    def _counts(self) -> Counter[str]:
        received = self._outcomes.total()
        waiting = self._arrived - received
        return Counter({"received": received, **self._outcomes, IN_PROGRESS: waiting})

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
            self._outcomes["published"] += 1
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

    def report(self) -> tuple[Counter[str], dict[str, dict[str, str]]]:
        """The counts, and keys and values of the statuses "input", "depth" and "gate"."""
        regions = self.regions()
        with self._lock:
            counts = self._counts()
            keys = ("received", "rejected", "unmatched", IN_PROGRESS)
            inputs = {key: str(counts[key]) for key in keys}
            if self.last_rejection:
                inputs["last rejection"] = self.last_rejection
            depth = {key: str(counts[key]) for key in ("published", "dropped", "idle")}
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
            return counts, {"input": inputs, "depth": depth, "gate": gate}


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
    text = plain(message, _LONGEST)
    entry = DiagnosticStatus(level=level, name=name, message=text, hardware_id=hardware_id)
    entry.values = [
        KeyValue(key=plain(key), value=plain(value, _LONGEST)) for key, value in rows.items()
    ]
    return entry
