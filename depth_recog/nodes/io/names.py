# SPDX-License-Identifier: Apache-2.0
"""Names of topics that belong together."""

from __future__ import annotations

from rclpy.node import Node


def info_topic(node: Node, image: str, info: str) -> str:
    """The full name of the camera_info that belongs to an image topic.

    It lies beside the image, as in image_transport: that of `/cam/image_raw` is `/cam/camera_info`,
    to which remapping rules apply. A remapping of `info` itself comes first.

    Args:
        node: whose remapping rules apply.
        image: name of the image topic in the node, before remapping.
        info: name of the camera_info topic in the node, before remapping.
    """
    remapped: str = node.resolve_topic_name(info)
    if remapped != node.resolve_topic_name(info, only_expand=True):
        return remapped
    beside = node.resolve_topic_name(image).rpartition("/")[0]
    return str(node.resolve_topic_name(f"{beside}/camera_info"))
