# SPDX-License-Identifier: Apache-2.0
"""The recorder subscribes to images once the depth node has discovered its subscriptions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from ros_processes import LIMIT_S

from depth_recog.nodes.diagnostics.recorder import Recorder
from depth_recog.nodes.io.outputs import DEPTH, DEPTH_INFO, LABELS, MOVING

pytestmark = pytest.mark.ros


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    rclpy.init()
    node = Recorder("/recorded", lambda stamp, record: None)
    yield node
    node.destroy_node()
    rclpy.shutdown()


def test_images_are_requested_once_all_outputs_have_subscribers(recorder: Recorder) -> None:
    says = recorder.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def told(outputs: str) -> None:
        """Report these subscribed outputs as the depth node does, until the recorder has it."""
        row = KeyValue(key="listened to", value=outputs)
        name = "recorded/depth_node: depth"
        status = DiagnosticStatus(level=DiagnosticStatus.OK, name=name, values=[row])
        deadline = recorder.get_clock().now().nanoseconds + LIMIT_S * 1e9
        while recorder.diagnostics.get("listened to") != outputs:
            assert recorder.get_clock().now().nanoseconds < deadline
            says.publish(DiagnosticArray(status=[status]))
            rclpy.spin_once(recorder, timeout_sec=0.1)

    def images() -> int:
        return sum(s.topic_name == "/recorded/image" for s in recorder.subscriptions)

    assert images() == 0
    told(f"{DEPTH_INFO}, {DEPTH}")
    assert images() == 0
    told(", ".join(sorted((DEPTH, DEPTH_INFO, LABELS, MOVING, "odom"))))
    assert images() == 1
    told(f"{DEPTH}, {DEPTH_INFO}, {LABELS}, {MOVING}")
    assert images() == 1, "once"
