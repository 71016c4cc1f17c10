# SPDX-License-Identifier: Apache-2.0
"""A small subscriber: what the depth node publishes, joined by stamp."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
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
    """All messages of one stamp, and when the depth image came.

    Attributes:
        messages: by topic.
        latency: seconds from the image's stamp to the arrival of its depth, None before.
    """

    messages: dict[str, Any] = field(default_factory=dict)
    latency: float | None = None

    @property
    def complete(self) -> bool:
        """Whether every topic of `PARTS` was heard."""
        return len(self.messages) == len(PARTS)


def depth_array(message: Image) -> NDArray[np.float32]:
    """(H, W) float32 metres of a 32FC1 message."""
    rows = np.frombuffer(message.data, np.float32).reshape(message.height, message.step // 4)
    return rows[:, : message.width]


def mono_array(message: Image) -> NDArray[np.uint8]:
    """(H, W) uint8 of a mono8 message."""
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    return rows[:, : message.width]


class Recorder(Node):  # type: ignore[misc]  # rclpy is untyped
    """Counts everything, keeps pictures of a few frames.

    It asks for the camera's images when the depth node has noticed that it listens to all outputs:
    a camera that waits for both then sends no image in vain.

    Args:
        namespace: where the depth node's topics are.
        on_complete: told every record that has become whole; its messages are forgotten after.
    """

    def __init__(self, namespace: str, on_complete: Any) -> None:
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
        self.create_subscription(kind, topic, self._keeper(topic), qos)

    def _keeper(self, topic: str) -> Any:
        def keep(message: Any) -> None:
            stamp = stamp_ns(message.header)
            record = self.records.setdefault(stamp, Record())
            record.messages[topic] = message
            if topic == DEPTH:
                record.latency = (time.time_ns() - stamp) / 1e9
            if record.complete:
                self._on_complete(stamp, record)
                # Only the count stays: a long drive must not fill the memory.
                record.messages = dict.fromkeys(PARTS)

        return keep

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
        """How many messages of a topic were heard."""
        return sum(topic in record.messages for record in self.records.values())

    def latencies(self) -> list[float]:
        """Seconds, in the order of the stamps."""
        return [r.latency for _, r in sorted(self.records.items()) if r.latency is not None]
