# SPDX-License-Identifier: Apache-2.0
"""A camera driver at full rate, in plain rclpy, independent of the package under test.

python camera.py NAMESPACE WIDTHxHEIGHT HZ RELIABILITY [COUNT LISTENERS]
Publishes images with camera_info of the same stamps from the start on, whoever listens; with COUNT,
so many from the moment on at which LISTENERS listen, then a line `sent COUNT`, and it stays.
"""

import array
import contextlib
import sys
import time

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image


def main() -> None:
    namespace, size, hz, reliability = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]
    count, listeners = map(int, sys.argv[5:7]) if len(sys.argv) > 5 else (10**9, 0)
    width, height = map(int, size.split("x"))
    rclpy.init()
    node = rclpy.create_node("fast_driver", namespace=namespace)
    qos = QoSProfile(depth=10, reliability=ReliabilityPolicy[reliability.upper()])
    images = node.create_publisher(Image, "image", qos)
    infos = node.create_publisher(CameraInfo, "camera_info", qos)
    # Made once, so that the driver needs little CPU.
    image = Image(width=width, height=height, encoding="rgb8", step=3 * width)
    row = bytes((3 * u + u // 50) % 251 for u in range(3 * width))
    image.data = array.array("B", b"".join(row[v:] + row[:v] for v in range(height)))
    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
    f = 0.58 * width
    info.k = [f, 0.0, width / 2, 0.0, f, height / 2, 0.0, 0.0, 1.0]
    info.p = [f, 0.0, width / 2, 0.0, 0.0, f, height / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    image.header.frame_id = info.header.frame_id = "fast_camera_optical"
    print("ready", flush=True)
    while min(p.get_subscription_count() for p in (images, infos)) < listeners:
        rclpy.spin_once(node, timeout_sec=0.05)
    sent = 0
    start = time.monotonic() + 0.5  # their discovery of us may take longer
    with contextlib.suppress(KeyboardInterrupt):
        while sent < count:
            time.sleep(max(0.0, start + sent / hz - time.monotonic()))
            stamp = node.get_clock().now().to_msg()
            image.header.stamp = info.header.stamp = stamp
            infos.publish(info)
            images.publish(image)
            sent += 1
    print(f"sent {sent}", flush=True)
    while sent == count:
        rclpy.spin_once(node, timeout_sec=0.1)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
