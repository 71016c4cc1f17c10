# SPDX-License-Identifier: Apache-2.0
"""Publishers and subscriptions whose QoS can be overridden, and what a person must know of it.

The middleware tells of every endpoint that does not fit; here that becomes one warning for a topic,
with the remedy, and a problem that stands in the diagnostics for as long as the endpoint does.
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

# rclpy's default leaves durability out, which listeners that come late ask for.
_POLICIES = (
    QoSPolicyKind.HISTORY,
    QoSPolicyKind.DEPTH,
    QoSPolicyKind.RELIABILITY,
    QoSPolicyKind.DURABILITY,
)
# For each side, the value that fits whatever the other side has.
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
    """Makes a node's endpoints and listens to their QoS events. For the executor's thread.

    Args:
        node: their owner.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self._endpoints: dict[str, Publisher | Subscription] = {}
        self._mismatches: dict[tuple[str, str], str] = {}
        self.incompatible = 0
        """Events of endpoints that do not fit, as the middleware counts them."""
        self.lost = 0
        """Messages that the middleware says it lost before we could take them."""

    def publisher(
        self,
        kind: type,
        topic: str,
        qos: QoSProfile,
        matched: Callable[[], None] | None = None,
    ) -> Publisher:
        """A publisher; `matched` is called when listeners come and go.

        Raises:
            ConfigurationError: a QoS override that cannot be used.
        """
        name = self.node.resolve_topic_name(topic)
        events = PublisherEventCallbacks(
            incompatible_qos=lambda event: self._mismatch(name, "publisher", event),
            matched=None if matched is None else lambda event: matched(),
        )
        # A copy: rclpy writes the overrides of this topic into the profile that it is given.
        return self._make(self.node.create_publisher, name, events, kind, topic, copy(qos))

    def subscription(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile
    ) -> Subscription:
        """A subscription. Raises as `publisher` does."""
        name = self.node.resolve_topic_name(topic)
        events = SubscriptionEventCallbacks(
            incompatible_qos=lambda event: self._mismatch(name, "subscription", event),
            message_lost=lambda event: self._loss(name, event),
        )
        create = self.node.create_subscription
        return self._make(create, name, events, kind, topic, callback, copy(qos))

    def _make(self, create: Any, name: str, events: Any, *arguments: Any) -> Any:
        options = QoSOverridingOptions(_POLICIES)
        try:
            endpoint = create(*arguments, event_callbacks=events, qos_overriding_options=options)
        except _BAD_OVERRIDES as error:
            raise ConfigurationError(f"QoS of {name}: {error}") from error
        self._endpoints[name] = endpoint
        return endpoint

    def destroy(self, endpoint: Publisher | Subscription) -> None:
        """Close an endpoint that was made here."""
        self._endpoints.pop(endpoint.topic_name, None)
        if isinstance(endpoint, Publisher):
            self.node.destroy_publisher(endpoint)
        else:
            self.node.destroy_subscription(endpoint)

    def mismatches(self, side: str) -> list[str]:
        """What does not fit our publishers or subscriptions at present, and how to cure it.

        An endpoint that has gone, or fits now, is forgotten: should it come back, it is told again.

        Args:
            side: "publisher" or "subscription", of ours.
        """
        found = []
        for (name, kind), text in list(self._mismatches.items()):
            endpoint = self._endpoints.get(name)
            if kind != side or endpoint is None:
                continue
            if self._others_that_do_not_fit(endpoint):
                found.append(text)
            else:
                del self._mismatches[name, kind]
        return found

    def _others_that_do_not_fit(self, endpoint: Publisher | Subscription) -> bool:
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
        asks = "a publisher there offers" if side == "subscription" else "a listener there asks for"
        lost = "nothing comes from it" if side == "subscription" else "it gets nothing"
        text = f"{name}: {asks} an incompatible QoS {policy}, and {lost}"
        value = _REMEDIES.get((side, policy))
        cure = f"change it there, or set qos_overrides.{name}.{side}.{policy.lower()}"
        text += f": {cure} to {value} here" if value else ": change it there"
        self._mismatches[name, side] = text
        self.node.get_logger().warning(text)

    def _loss(self, name: str, event: Any) -> None:
        first = not self.lost
        self.lost += event.total_count_change
        if first:
            self.node.get_logger().warning(
                f"{name}: messages get lost before they are taken: for large images set "
                "FASTRTPS_DEFAULT_PROFILES_FILE to depth_recog's fastdds.xml in the publisher's "
                "process, or use reliable QoS on both sides; the diagnostics count them"
            )
