# SPDX-License-Identifier: Apache-2.0
"""A stand-in for tf2_ros, which the wheels do not have (nor tf2_msgs, its message).

It has the signature of tf2_ros.TransformBroadcaster and publishes every transform alone, on
/tf_stand_in, so that a test can hear over DDS what would be sent to tf.
"""

from __future__ import annotations

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile


class TransformBroadcaster:
    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        self._publisher = node.create_publisher(TransformStamped, "/tf_stand_in", qos or 100)

    def sendTransform(self, transform: TransformStamped | list[TransformStamped]) -> None:  # noqa: N802
        for one in transform if isinstance(transform, list) else [transform]:
            self._publisher.publish(one)
