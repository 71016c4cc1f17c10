# SPDX-License-Identifier: Apache-2.0
"""A camera driver in plain rclpy, independent of the package under test.

python talker.py NAMESPACE COUNT RELIABILITY
Publishes COUNT images with camera_info once somebody listens, then one line `sent COUNT`, and
stays until it is interrupted.
"""

import array
import contextlib
import sys
import time

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

WIDTH, HEIGHT, PERIOD_S = 96, 64, 0.25


def main() -> None:
    namespace, count, reliability = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    rclpy.init()
    node = rclpy.create_node("some_driver", namespace=namespace)
    qos = QoSProfile(depth=20, reliability=ReliabilityPolicy[reliability.upper()])
    images = node.create_publisher(Image, "image", qos)
    infos = node.create_publisher(CameraInfo, "camera_info", qos)
    while min(images.get_subscription_count(), infos.get_subscription_count()) < 1:
        rclpy.spin_once(node, timeout_sec=0.05)
    sent = 0

    def send() -> None:
        nonlocal sent
        if sent == count:
            return
        stamp = node.get_clock().now().to_msg()
        info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob")
        info.header.stamp, info.header.frame_id = stamp, "front_camera_optical"
        info.k = [60.0, 0.0, 48.0, 0.0, 60.0, 32.0, 0.0, 0.0, 1.0]
        info.p = [60.0, 0.0, 48.0, 0.0, 0.0, 60.0, 32.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        image = Image(width=WIDTH, height=HEIGHT, encoding="bgr8", step=3 * WIDTH)
        image.header = info.header
        grey = [(7 * u + 3 * v + 5 * sent) % 256 for v in range(HEIGHT) for u in range(3 * WIDTH)]
        image.data = array.array("B", grey)
        infos.publish(info)
        images.publish(image)
        sent += 1
        if sent == count:
            print(f"sent {sent}", flush=True)

    node.create_timer(PERIOD_S, send)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.1)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
