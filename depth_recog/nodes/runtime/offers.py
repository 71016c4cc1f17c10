# SPDX-License-Identifier: Apache-2.0
"""What a topic's publishers offer: QoS and type; and which other topic could be meant."""

from __future__ import annotations

import difflib

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

DEPTH = 5
"""Length of the queues of subscriptions."""


def fitting_qos(node: Node, topic: str, kind: str) -> QoSProfile:
    """The QoS of a subscription that gets all that the publishers of a topic offer.

    As image_pipeline and rosbag2 do: reliable, or transient local, if every publisher is; else what
    matches all of them. Best effort and volatile if there is no publisher.

    Args:
        node: whose graph is looked at.
        topic: full name.
        kind: of the messages, as `sensor_msgs/msg/Image`; publishers of other types are ignored.
    """
    infos = node.get_publishers_info_by_topic(topic)
    offers = [info.qos_profile for info in infos if info.topic_type == kind]
    reliable = bool(offers) and all(o.reliability == ReliabilityPolicy.RELIABLE for o in offers)
    latched = reliable and all(o.durability == DurabilityPolicy.TRANSIENT_LOCAL for o in offers)
    return QoSProfile(
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def type_name(kind: type) -> str:
    """The name of a message class, such as `sensor_msgs/msg/Image`."""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def other_type(node: Node, topic: str, kind: str) -> str:
    """The type of a topic's publishers if none of them has the type `kind`; else empty."""
    types = {info.topic_type for info in node.get_publishers_info_by_topic(topic)}
    return "" if kind in types else ", ".join(sorted(types))


def candidate(node: Node, topic: str, kind: str) -> str:
    """The published topic of a type whose name is the most similar to one; empty without any.

    Args:
        node: whose own topics are left out.
        topic: full name of the topic that is missing.
        kind: as for `fitting_qos`.
    """
    own = {name for name, _ in _published_by(node)}
    others = [
        name
        for name, types in node.get_topic_names_and_types()
        if kind in types and name != topic and name not in own and node.count_publishers(name)
    ]
    likeness = {name: difflib.SequenceMatcher(None, topic, name).ratio() for name in others}
    return max(sorted(others), key=likeness.__getitem__, default="")


def _published_by(node: Node) -> list[tuple[str, list[str]]]:
    name, namespace = node.get_name(), node.get_namespace()
    found: list[tuple[str, list[str]]] = node.get_publisher_names_and_types_by_node(name, namespace)
    return found
