# SPDX-License-Identifier: Apache-2.0
"""A node that subscribes to the depth node's outputs and groups its messages by stamp."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from depth_recog.nodes.diagnostics.ledger import LISTENED
from depth_recog.nodes.io.messages import stamp_ns
from depth_recog.nodes.io.outputs import DEPTH, DEPTH_INFO, LABELS, MOVING

_IMAGE = "image"
_OUTPUTS = (DEPTH, DEPTH_INFO, LABELS, MOVING)
PARTS = (_IMAGE, *_OUTPUTS)


@dataclass
class Record:
    """The messages with one stamp, by topic."""

    messages: dict[str, Any] = field(default_factory=dict)
    latency: float | None = None
    """Seconds from the stamp to the arrival of the depth image; None before it arrives."""

    @property
    def complete(self) -> bool:
        """Whether there is a message of every topic in `PARTS`."""
        return len(self.messages) == len(PARTS)


class Recorder(Node):  # type: ignore[misc]  # rclpy is untyped
    """Records the depth node's outputs and diagnostics.

    It subscribes to the camera's images only after the depth node has reported this node as a
    subscriber of all outputs, so that a camera that waits for both loses no image.

    Args:
        namespace: of the depth node.
        on_complete: called with the stamp (ns) and each record that is complete; the messages are
            deleted afterwards.
    """

    def __init__(self, namespace: str, on_complete: Callable[[int, Record], None]) -> None:
        super().__init__("recorder", namespace=namespace)
        self.records: dict[int, Record] = {}
        self.diagnostics: dict[str, str] = {}
        self._on_complete = on_complete
        self._asked = False
        for topic in _OUTPUTS:
            self._subscribe(topic)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _subscribe(self, topic: str) -> None:
        qos = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
        kind = CameraInfo if topic == DEPTH_INFO else Image
        self.create_subscription(kind, topic, partial(self._keep, topic), qos)

    def _keep(self, topic: str, message: Any) -> None:
        stamp = stamp_ns(message.header)
        record = self.records.setdefault(stamp, Record())
        record.messages[topic] = message
        if topic == DEPTH:
            record.latency = (time.time_ns() - stamp) / 1e9
        if record.complete:
            self._on_complete(stamp, record)
            # Keep the number of messages only, or a long drive would fill the memory.
            record.messages = dict.fromkeys(PARTS)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        prefix = f"{self.get_namespace().lstrip('/')}/depth_node: "
        for status in message.status:
            if status.name.startswith(prefix):
                self.diagnostics |= {v.key: v.value for v in status.values}
        heard = self.diagnostics.get(LISTENED, "").split(", ")
        if not self._asked and set(_OUTPUTS) <= set(heard):
            self._asked = True
            self._subscribe(_IMAGE)

    def count(self, topic: str) -> int:
        """Number of messages received on a topic."""
        return sum(topic in record.messages for record in self.records.values())

    def latencies(self) -> list[float]:
        """Seconds from stamp to arrival of each depth image, in the order of the stamps."""
        return [r.latency for _, r in sorted(self.records.items()) if r.latency is not None]
