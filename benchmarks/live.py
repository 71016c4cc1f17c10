# SPDX-License-Identifier: Apache-2.0
"""What soak.py and chaos.py share: a robot that records what the depth node gives, and when."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import ros_messages
from common import Row, resident_mb
from ros_peer import OUTCOMES, Peer
from sensor_msgs.msg import Image

DEPTH = "depth/image_rect"


class Recorder(Peer):
    """Hears depth, and keeps the latencies and the node's reports."""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace)
        self.latencies: list[tuple[float, float]] = []
        """Time of arrival and seconds since the stamp, of each depth image."""
        self.listen_to_depth()

    def listen_to_depth(self) -> None:
        self.node.create_subscription(Image, DEPTH, self._on_depth, 10)

    def _on_depth(self, message: Image) -> None:
        now = time.time()
        self.latencies.append((now, now - ros_messages.stamp_ns(message) / 1e9))

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=rest)

    def until_depth(self, limit: float) -> float:
        """Seconds until a depth image of an image that was taken from now on."""
        start = time.time()

        def there() -> bool:
            return bool(self.latencies) and self.latencies[-1][0] - self.latencies[-1][1] > start

        self.wait(there, "depth", limit)
        return time.time() - start


class Windows:
    """Figures of equal parts of a run.

    Args:
        recorder: of the run.
        pid: of the depth node's process.
    """

    def __init__(self, recorder: Recorder, pid: int) -> None:
        self._recorder, self._pid = recorder, pid
        self._resident: list[tuple[float, float]] = []
        self._counts = recorder.counts()
        self._start = time.time()
        self.rows: list[dict[str, Any]] = []

    def sample(self) -> None:
        """Note the memory; call it about once a second."""
        self._resident.append((time.time(), resident_mb(self._pid)))

    def end(self) -> Row:
        """End a window."""
        counts, now, start = self._recorder.counts(), time.time(), self._start
        seconds = [late for at, late in self._recorder.latencies if at >= start] or [float("nan")]
        memory = [mb for at, mb in self._resident if at >= start] or [float("nan")]
        p50, p99 = np.percentile(seconds, (50, 99))
        row = {
            "minutes": round((now - start) / 60, 2),
            **{k: counts[k] - self._counts[k] for k in ("received", *OUTCOMES)},
            "depth heard": len(seconds),
            "p50 (ms)": round(1e3 * float(p50), 1),
            "p99 (ms)": round(1e3 * float(p99), 1),
            "resident, median (MB)": round(float(np.median(memory)), 1),
            "lost by DDS": int(self._recorder.diagnostics.get("messages lost", 0)),
        }
        self._counts, self._start = counts, now
        self._recorder.latencies.clear()
        self._resident.clear()
        self.rows.append(row)
        print(row, flush=True)
        return row
