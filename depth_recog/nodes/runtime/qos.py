# SPDX-License-Identifier: Apache-2.0
"""Create publishers and subscriptions with QoS overrides, and report incompatible QoS.

The middleware sends an event for each incompatible endpoint. This module logs one warning per
topic, with the remedy, and keeps the problem in the diagnostics as long as the endpoint exists.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    QoSCompatibility,
    QoSPolicyKind,
    QoSProfile,
    qos_check_compatible,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions
from rclpy.subscription import Subscription

from depth_recog.errors import ConfigurationError

# rclpy's default lacks durability, which subscribers that start late may need.
_POLICIES = (
    QoSPolicyKind.HISTORY,
    QoSPolicyKind.DEPTH,
    QoSPolicyKind.RELIABILITY,
    QoSPolicyKind.DURABILITY,
)
# For each side, the value that is compatible with every value of the other side.
_REMEDIES = {
    ("subscription", "RELIABILITY"): "best_effort",
    ("subscription", "DURABILITY"): "volatile",
    ("publisher", "RELIABILITY"): "reliable",
    ("publisher", "DURABILITY"): "transient_local",
}
_BAD_OVERRIDES = (
    RuntimeError,
    ValueError,
    AssertionError,
    InvalidQosOverridesError,
    InvalidParameterTypeException,
)


class QosWatch:
    """Creates a node's endpoints and handles their QoS events. For the executor's thread."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._endpoints: dict[str, Publisher | Subscription] = {}
        self._mismatches: dict[tuple[str, str], str] = {}
        self.incompatible = 0
        """Number of incompatible-QoS events, as counted by the middleware."""
        self.lost = 0
        """Number of messages that the middleware reports as lost."""

    def publisher(
        self, kind: type, topic: str, qos: QoSProfile, matched: Callable[[], None] | None = None
    ) -> Publisher:
        """Create a publisher.

        Args:
            kind: message type.
            topic: its name, before remapping.
            qos: default profile, which `qos_overrides` parameters may change.
            matched: called when the topic gains or loses a subscriber.

        Raises:
            ConfigurationError: a QoS override that cannot be used.
        """
        name = self.node.resolve_topic_name(topic)
        events = PublisherEventCallbacks(
            incompatible_qos=lambda event: self._mismatch(name, "publisher", event),
            matched=None if matched is None else lambda event: matched(),
        )
        # A copy, because rclpy writes the overrides of this topic into the profile.
        return self._create(self.node.create_publisher, name, events, kind, topic, copy(qos))

    def subscription(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile
    ) -> Subscription:
        """Create a subscription; arguments and errors as for `publisher`."""
        name = self.node.resolve_topic_name(topic)
        events = SubscriptionEventCallbacks(
            incompatible_qos=lambda event: self._mismatch(name, "subscription", event),
            message_lost=lambda event: self._loss(name, event),
        )
        create = self.node.create_subscription
        return self._create(create, name, events, kind, topic, callback, copy(qos))

    def _create(self, create: Any, name: str, events: Any, *arguments: Any) -> Any:
        options = QoSOverridingOptions(_POLICIES)
        try:
            endpoint = create(*arguments, event_callbacks=events, qos_overriding_options=options)
        except _BAD_OVERRIDES as error:
            raise ConfigurationError(f"QoS of {name}: {error}") from error
        self._endpoints[name] = endpoint
        return endpoint

    def transport_topic(self, base: str, transport: str) -> str:
        """The topic of a transport: as in image_transport, the base topic is remapped first."""
        return f"{self.node.resolve_topic_name(base)}/{transport}"

    def destroy(self, endpoint: Publisher | Subscription) -> None:
        """Destroy an endpoint that this object has created."""
        self._endpoints.pop(endpoint.topic_name, None)
        if isinstance(endpoint, Publisher):
            self.node.destroy_publisher(endpoint)
        else:
            self.node.destroy_subscription(endpoint)

    def destroy_all(self) -> None:
        """Destroy all endpoints that this object has created."""
        for endpoint in list(self._endpoints.values()):
            self.destroy(endpoint)

    def mismatches(self, side: str) -> list[str]:
        """A text, with the remedy, for each of our topics with an incompatible endpoint now.

        A problem that no longer exists is forgotten, so it is reported again if it comes back.

        Args:
            side: which of our endpoints: "publisher" or "subscription".
        """
        found = []
        for (name, kind), text in list(self._mismatches.items()):
            endpoint = self._endpoints.get(name)
            if kind != side or endpoint is None:
                continue
            if self._has_incompatible(endpoint):
                found.append(text)
            else:
                del self._mismatches[name, kind]
        return found

    def _has_incompatible(self, endpoint: Publisher | Subscription) -> bool:
        own, name = endpoint.qos_profile, endpoint.topic_name
        if isinstance(endpoint, Publisher):
            others = self.node.get_subscriptions_info_by_topic(name)
            pairs = [(own, other.qos_profile) for other in others]
        else:
            others = self.node.get_publishers_info_by_topic(name)
            pairs = [(other.qos_profile, own) for other in others]
        return any(qos_check_compatible(*pair)[0] == QoSCompatibility.ERROR for pair in pairs)

    def _mismatch(self, name: str, side: str, event: Any) -> None:
        self.incompatible += event.total_count_change
        if (name, side) in self._mismatches:
            return
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        other = "publisher" if side == "subscription" else "subscriber"
        text = (
            f"{name}: a {other} has an incompatible QoS {policy}, so no messages are exchanged "
            f"with it: change it in the {other}"
        )
        if value := _REMEDIES.get((side, policy)):
            override = f"qos_overrides.{name}.{side}.{policy.lower()}"
            text += f", or set {override} to {value} in this node"
        self._mismatches[name, side] = text
        self.node.get_logger().warning(text)

    def _loss(self, name: str, event: Any) -> None:
        first = not self.lost
        self.lost += event.total_count_change
        if first:
            self.node.get_logger().warning(
                f"{name}: messages get lost before the node receives them; the diagnostics count "
                "them. For large images, set FASTRTPS_DEFAULT_PROFILES_FILE to depth_recog's "
                "fastdds.xml in the publisher's process, or use reliable QoS on both sides"
            )
