# SPDX-License-Identifier: Apache-2.0
"""A node in the test's process that communicates with the nodes under test over DDS."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
import ros_messages
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from ros_processes import LIMIT_S, Process
from sensor_msgs.msg import CameraInfo, Image

GOALS = {
    "configure": "inactive",
    "cleanup": "unconfigured",
    "activate": "active",
    "deactivate": "inactive",
}
"""The state after each transition."""
OUTCOMES = ("published", "dropped", "rejected", "unmatched", "idle")


class Peer:
    """The robot around the node: publishes images, subscribes to outputs, calls services.

    Args:
        namespace: of the node under test.
        process: of the node; its output is shown when a wait fails.
    """

    _made = 0
    _clock_ns = 1_000 * 10**9

    def __init__(self, namespace: str, process: Process | None = None) -> None:
        self.process = process
        self.context = Context()
        rclpy.init(args=[], context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        Peer._made += 1
        self.node = Node(
            f"peer_{os.getpid()}_{Peer._made}",
            context=self.context,
            namespace=namespace,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard: dict[str, list[Any]] = defaultdict(list)
        self.diagnostics: dict[str, str] = {}
        self.statuses: dict[str, Any] = {}
        self.reported_ns = 0
        self.camera_statuses: dict[str, Any] = {}
        self._subscriptions: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        self._prefix = f"{namespace.strip('/')}/"
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.images: Any = None
        self.infos: Any = None

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        ours = [s for s in message.status if s.name.startswith(self._prefix)]
        if ours and ours[0].name.startswith(f"{self._prefix}camera_node"):
            self.camera_statuses = {status.name.split(": ")[1]: status for status in ours}
        elif ours:
            self.reported_ns = ros_messages.stamp_ns(message)
            self.statuses = {status.name.split(": ")[1]: status for status in ours}
            self.diagnostics = {v.key: v.value for status in ours for v in status.values}

    # Waiting

    def wait(self, ready: Callable[[], Any], what: str, limit: float = LIMIT_S) -> Any:
        """Spin until a condition holds; return its value."""
        deadline = time.monotonic() + limit
        while not (value := ready()):
            story = self.process.story() if self.process else ""
            if self.process and self.process.popen.poll() is not None:
                raise AssertionError(f"the process ended before: {what}\n{story}")
            assert time.monotonic() < deadline, (
                f"not within {limit} s: {what}\n{self.diagnostics}\n{story}"
            )
            self.executor.spin_once(timeout_sec=0.05)
        return value

    def drain(self, quiet: float = 0.3) -> None:
        """Spin until no message has arrived for `quiet` seconds."""
        last = (-1, 0.0)
        while True:
            total = sum(len(messages) for messages in self.heard.values())
            if total != last[0]:
                last = (total, time.monotonic())
            elif time.monotonic() - last[1] > quiet:
                return
            self.executor.spin_once(timeout_sec=0.02)

    # Topics

    def advertise(
        self,
        image: str = "image",
        info: str = "camera_info",
        reliable: bool = True,
        kind: type = Image,
    ) -> None:
        """Create the publishers of images and camera_info, in place of earlier ones."""
        self.withdraw()
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=50, reliability=policy)
        self.images = self.node.create_publisher(kind, image, qos)
        self.infos = self.node.create_publisher(CameraInfo, info, qos)

    def offer(self, images: QoSProfile, infos: QoSProfile | None = None) -> None:
        """As `advertise`, with any QoS."""
        self.withdraw()
        self.images = self.node.create_publisher(Image, "image", images)
        self.infos = self.node.create_publisher(CameraInfo, "camera_info", infos or images)

    def withdraw(self) -> None:
        for publisher in (self.images, self.infos):
            if publisher is not None:
                self.node.destroy_publisher(publisher)
        self.images = self.infos = None

    def listen(self, topics: dict[str, type], reliable: bool = True) -> None:
        """Subscribe to topics; `heard` collects their messages."""
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        for topic, kind in topics.items():
            self._subscriptions[topic] = self.node.create_subscription(
                kind, topic, self.heard[topic].append, QoSProfile(depth=200, reliability=policy)
            )

    def stop_listening(self) -> None:
        for subscription in self._subscriptions.values():
            self.node.destroy_subscription(subscription)
        self._subscriptions = {}

    def of_stamp(self, topic: str, stamp: int) -> Any:
        """Return the message with this stamp, or None."""
        found = [m for m in self.heard[topic] if ros_messages.stamp_ns(m) == stamp]
        return found[0] if found else None

    def new_stamp(self, step_ns: int = 10**8) -> int:
        Peer._clock_ns += step_ns
        return Peer._clock_ns

    def send(
        self,
        pixels: NDArray[Any],
        encoding: str = "rgb8",
        stamp: int | None = None,
        info_size: tuple[int, int] | None = None,
    ) -> int:
        """Publish an image with its camera_info; return the stamp."""
        stamp = self.new_stamp() if stamp is None else stamp
        size = info_size or (pixels.shape[1], pixels.shape[0])
        self.infos.publish(ros_messages.info_message(size, stamp))
        self.images.publish(ros_messages.image_message(pixels, encoding, stamp))
        return stamp

    def repeat(
        self, send: Callable[[], Any], ready: Callable[[], Any], what: str, every: float = 0.3
    ) -> Any:
        """Call `send` every `every` seconds until a condition holds; return its value."""

        def sent() -> Any:
            send()
            pause = time.monotonic() + every
            while not (value := ready()) and time.monotonic() < pause:
                self.executor.spin_once(timeout_sec=0.05)
            return value

        return self.wait(sent, what)

    def send_until_heard(self, pixels: NDArray[Any], topics: Sequence[str]) -> None:
        """Publish until every topic has a message: then discovery is complete."""
        for topic in topics:
            self.heard[topic].clear()
        self.repeat(
            lambda: self.send(pixels),
            lambda: all(self.heard[t] for t in topics),
            f"all of {topics}",
        )

    # The ledger

    def counts(self) -> dict[str, int]:
        return {k: int(self.diagnostics.get(k, 0)) for k in ("received", *OUTCOMES)}

    def settled(self, received: int | None = None) -> dict[str, int]:
        """Wait for a report, made from now on, in which each arrived image has an outcome.

        An image that is still on its way is not in it: wait for its depth first, or tell how many
        must have been received.
        """
        called_ns = time.time_ns()

        def ready() -> bool:
            c = self.counts()
            enough = received is None or c["received"] >= received
            new = self.reported_ns >= called_ns  # one that waits in the queue may be old
            assert c["received"] == sum(c[k] for k in OUTCOMES), c  # in every report
            return new and enough and self.diagnostics["in progress"] == "0"

        self.wait(ready, f"received = {'+'.join(OUTCOMES)}, received >= {received}")
        return self.counts()

    # Services

    def client(self, name: str, kind: Any) -> Any:
        """Return the client of a service, once there is a server."""
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self.node.create_client(kind, name)
        self.wait(client.service_is_ready, f"the service {name}")
        return client

    def call(self, name: str, kind: Any, request: Any, harmless: bool = False) -> Any:
        """Call a service; a `harmless` call is repeated after 5 s without an answer.

        rmw_fastrtps drops an answer that is ready before it has discovered the client.
        """
        client = self.client(name, kind)
        futures = [client.call_async(request)]
        start = time.monotonic()

        def answered() -> Any:
            if harmless and time.monotonic() - start > 5 * len(futures):
                futures.append(client.call_async(request))
            return next((future for future in futures if future.done()), None)

        return self.wait(answered, f"an answer of {name}").result()

    def set_parameters(self, node: str, **values: Any) -> tuple[bool, str]:
        """Set parameters atomically; return whether that succeeded, and the reason if not."""
        from rcl_interfaces.srv import SetParametersAtomically
        from rclpy.parameter import Parameter

        changes = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        request = SetParametersAtomically.Request(parameters=changes)
        name = f"{node}/set_parameters_atomically"
        result = self.call(name, SetParametersAtomically, request, harmless=True).result
        return result.successful, result.reason

    def refusal(self, node: str, **values: Any) -> str:
        """Expect that the node refuses these parameters; return the reason."""
        accepted, reason = self.set_parameters(node, **values)
        assert not accepted, values
        return reason

    def change_state(self, node: str, label: str) -> bool:
        """Request a transition by its label; return whether it succeeded."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        numbers = {
            "configure": Transition.TRANSITION_CONFIGURE,
            "cleanup": Transition.TRANSITION_CLEANUP,
            "activate": Transition.TRANSITION_ACTIVATE,
            "deactivate": Transition.TRANSITION_DEACTIVATE,
        }
        request = ChangeState.Request(transition=Transition(id=numbers[label], label=label))
        name = f"{node}/change_state"
        client = self.client(name, ChangeState)
        future = client.call_async(request)
        start = time.monotonic()

        def done() -> bool:
            """Whether the node has answered, or is in the state although its answer is lost."""
            nonlocal start
            if not future.done() and time.monotonic() - start > 10:
                start = time.monotonic()
                return self.state(node) == GOALS[label]
            return bool(future.done())

        self.wait(done, f"an answer of {name}")
        answer = future.result() if future.done() else None
        return not future.done() or bool(answer is not None and answer.success)

    def change_states(self, node: str, *labels: str) -> None:
        """Request transitions in turn; all must succeed."""
        for label in labels:
            assert self.change_state(node, label), label

    def state(self, node: str) -> str:
        from lifecycle_msgs.srv import GetState

        answer = self.call(f"{node}/get_state", GetState, GetState.Request(), harmless=True)
        return str(answer.current_state.label)
