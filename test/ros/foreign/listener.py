# SPDX-License-Identifier: Apache-2.0
"""A planner in plain rclpy, independent of the package under test.

python listener.py NAMESPACE: one line of JSON for every depth image and every camera_info of it.
"""

import contextlib
import json
import struct
import sys
import time

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("some_planner", namespace=sys.argv[1])
    qos = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)

    def tell(topic: str, message: object, **more: object) -> None:
        header = message.header
        record = {
            "topic": topic,
            "stamp": header.stamp.sec * 10**9 + header.stamp.nanosec,
            "frame": header.frame_id,
            "size": [message.width, message.height],
        }
        print(json.dumps(record | more), flush=True)

    def on_depth(message: Image) -> None:
        values = struct.unpack(f"<{len(message.data) // 4}f", bytes(message.data))
        good = [v for v in values if v == v and v != float("inf")]
        tell("depth", message, encoding=message.encoding, least=min(good, default=0.0))

    node.create_subscription(Image, "depth/image_rect", on_depth, qos)
    node.create_subscription(CameraInfo, "depth/camera_info", lambda m: tell("info", m), qos)
    print("ready", flush=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.1)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
