# SPDX-License-Identifier: Apache-2.0
"""Create publishers and subscriptions with QoS overrides, and report incompatible QoS.

The middleware sends an event for each incompatible endpoint. This module logs one warning per
topic, with the remedy, and keeps the problem in the diagnostics as long as the endpoint exists.
"""

from __future__ import annotations

import time
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
from depth_recog.nodes.runtime import overrides

# rclpy's default lacks durability, which subscribers that start late may need.
_POLICIES = (
    QoSPolicyKind.HISTORY,
    QoSPolicyKind.DEPTH,
    QoSPolicyKind.RELIABILITY,
    QoSPolicyKind.DURABILITY,
)
_NEGOTIATED = (QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)
_JOINING_S = 1.0
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
        self._suspected: dict[str, Any] = {}  # events of topics whose subscription may be renewed
        self.incompatible = 0
        """Number of incompatible-QoS events, as counted by the middleware."""
        self._joined: dict[str, float] = {}  # when a topic's first message came, by time.monotonic
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
        create = self.node.create_publisher
        return self._create(create, name, events, (kind, topic, copy(qos)))

    def subscription(
        self,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile,
        changed: Callable[[], None] | None = None,
    ) -> Subscription:
        """Create a subscription; errors as for `publisher`.

        Args:
            kind: message type.
            topic: its name, before remapping.
            callback: called with each message.
            qos: default profile, which `qos_overrides` parameters may change.
            changed: called when the topic gains or loses a publisher, by a caller who then may
                subscribe with another reliability and durability: only if the publisher does not
                fit after that is it reported.
        """
        name = self.node.resolve_topic_name(topic)
        events = SubscriptionEventCallbacks(
            incompatible_qos=lambda event: self._unfit(name, event, changed),
            message_lost=lambda event: self._loss(name, event),
            matched=lambda event: self._publishers_changed(name, event, changed),
        )

        def received(message: Any) -> None:
            self._joined.setdefault(name, time.monotonic())
            callback(message)

        create = self.node.create_subscription
        # rclpy would keep the first value of a policy as the parameter's for all later ones.
        policies = _POLICIES if changed is None else self._lasting_policies(name)
        return self._create(create, name, events, (kind, topic, received, copy(qos)), policies)

    def _lasting_policies(self, name: str) -> tuple[QoSPolicyKind, ...]:
        """Policies that a subscription to a topic keeps: all but what the publishers decide."""
        prefix, given = f"qos_overrides.{name}.subscription.", overrides.given(self.node)
        return tuple(
            p for p in _POLICIES if p not in _NEGOTIATED or prefix + p.name.lower() in given
        )

    def _publishers_changed(
        self, name: str, event: Any, changed: Callable[[], None] | None
    ) -> None:
        if event.current_count_change > 0:
            self._joined.pop(name, None)
        if changed is not None:
            changed()

    def _unfit(self, name: str, event: Any, changed: Callable[[], None] | None) -> None:
        if changed is None:
            self._mismatch(name, "subscription", event)
            return
        self._suspected[name] = event
        changed()

    def _create(
        self,
        create: Any,
        name: str,
        events: Any,
        arguments: tuple[Any, ...],
        policies: tuple[QoSPolicyKind, ...] = _POLICIES,
    ) -> Any:
        options = QoSOverridingOptions(policies)
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
        self._joined.pop(endpoint.topic_name, None)
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
        if side == "subscription":
            self._confirm()
        for (name, kind), text in list(self._mismatches.items()):
            endpoint = self._endpoints.get(name)
            if kind != side or endpoint is None:
                continue
            if self._has_incompatible(endpoint):
                found.append(text)
            else:
                del self._mismatches[name, kind]
        return found

    def _confirm(self) -> None:
        """Report those suspected mismatches that no new subscription has resolved."""
        suspected, self._suspected = self._suspected, {}
        for name, event in suspected.items():
            endpoint = self._endpoints.get(name)
            if endpoint is not None and self._has_incompatible(endpoint):
                self._mismatch(name, "subscription", event)

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
        # What a publisher sent before the subscription reached it is reported as lost as well.
        joined = self._joined.get(name)
        if joined is None or time.monotonic() - joined < _JOINING_S:
            return
        first = not self.lost
        self.lost += event.total_count_change
        if first:
            self.node.get_logger().warning(
                f"{name}: messages get lost before the node receives them; the diagnostics count "
                "them. For large images, set FASTRTPS_DEFAULT_PROFILES_FILE to depth_recog's "
                "fastdds.xml in the publisher's process, or use reliable QoS on both sides"
            )
