# SPDX-License-Identifier: Apache-2.0
"""A consumer with message_filters and sensor_msgs_py, independent of the package under test.

python fusion.py NAMESPACE: one line of JSON for every depth image with its camera_info, cloud and
rectified image.
"""

import contextlib
import json
import sys
import time

import message_filters
import numpy as np
import rclpy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from sensor_msgs_py import point_cloud2

TOPICS = {
    "depth/image_rect": Image,
    "depth/camera_info": CameraInfo,
    "depth/points": PointCloud2,
    "image_rect": Image,
}


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("fusion", namespace=sys.argv[1])

    def tell(image: Image, info: CameraInfo, cloud: PointCloud2, picture: Image) -> None:
        depth = np.frombuffer(bytes(image.data), "<f4").reshape(image.height, image.width)
        points = point_cloud2.read_points(cloud, ("x", "y", "z"), skip_nans=True)
        colours = point_cloud2.read_points(cloud, ("rgb",), skip_nans=False)
        pixels = np.frombuffer(bytes(picture.data), np.uint8).reshape(*depth.shape, 3)
        record = {
            "frame": image.header.frame_id,
            "focal": info.k[0],
            "finite": int(np.isfinite(depth).sum()),
            "unknown": int(np.isnan(depth).sum()),
            "points": len(points),
            "all": len(colours),
            "farthest": float(points["z"].max()),
            "black": int((~pixels.any(-1)).sum()),
        }
        print(json.dumps(record), flush=True)

    inputs = [message_filters.Subscriber(node, kind, topic) for topic, kind in TOPICS.items()]
    message_filters.TimeSynchronizer(inputs, 20).registerCallback(tell)
    print("ready", flush=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.1)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
