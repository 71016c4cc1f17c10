# SPDX-License-Identifier: Apache-2.0
"""Exceptions of callbacks do not end a node: counted, reported, and the next one is called."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy")

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.context import Context
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from ros_processes import LIMIT_S
from std_msgs.msg import String
from std_srvs.srv import Trigger

from depth_recog.nodes.diagnostics import health
from depth_recog.nodes.runtime import guard
from depth_recog.nodes.runtime.guard import Failures, GuardedExecutor, answer_all


class Log:
    """Keeps the errors."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def error(self, text: str, **options: Any) -> None:
        self.errors.append(text)

    def debug(self, text: str) -> None:
        pass


@pytest.fixture
def node() -> Iterator[Node]:
    context = Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    made = Node("guarded", context=context, enable_rosout=False)
    try:
        yield made
    finally:
        made.destroy_node()
        context.try_shutdown()


@pytest.fixture
def failures() -> Failures:
    return Failures(Log())


@pytest.fixture
def executor(node: Node, failures: Failures) -> Iterator[GuardedExecutor]:
    made = GuardedExecutor(failures, context=node.context)
    made.add_node(node)
    yield made
    made.shutdown()


def spin(executor: GuardedExecutor, ready: Any) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not ready():
        assert time.monotonic() < deadline, f"not within {LIMIT_S} s"
        executor.spin_once(timeout_sec=0.05)


def boom(*arguments: Any) -> Any:
    raise ValueError("boom")


def test_a_timer_and_a_subscription_that_raise(
    node: Node, failures: Failures, executor: GuardedExecutor
) -> None:
    heard: list[str] = []

    def receive(message: String) -> None:
        heard.append(message.data)
        boom()

    node.create_subscription(String, "talk", receive, 10)
    publisher = node.create_publisher(String, "talk", 10)
    node.create_timer(0.01, boom)
    spin(executor, lambda: failures.count >= 3 and "Timer: ValueError: boom" in failures.why)
    for text in ("first", "second"):
        publisher.publish(String(data=text))
        spin(executor, lambda wanted=text: wanted in heard)
    spin(executor, lambda: "subscription to /talk" in failures.why)


def test_a_message_that_cannot_be_taken(
    node: Node, failures: Failures, executor: GuardedExecutor, monkeypatch: Any
) -> None:
    """rclpy would leave the subscription, and all others of its group, deaf."""
    heard: list[String] = []
    node.create_subscription(String, "talk", heard.append, 10)
    publisher = node.create_publisher(String, "talk", 10)
    take = executor._take_subscription
    broken = [True]

    def once(subscription: Any) -> Any:
        return boom() if broken and broken.pop() else take(subscription)

    monkeypatch.setattr(executor, "_take_subscription", once)
    for _ in range(2):
        publisher.publish(String(data="hello"))
        spin(executor, lambda: failures.count == 1)
    publisher.publish(String(data="again"))
    spin(executor, lambda: [m.data for m in heard][-1:] == ["again"])
    assert "subscription to /talk: ValueError: boom" in failures.why


def test_a_service_that_raises_answers(
    node: Node, failures: Failures, executor: GuardedExecutor
) -> None:
    node.create_service(Trigger, "act", boom)
    answer_all(node, failures)
    client = node.create_client(Trigger, "act")
    spin(executor, client.service_is_ready)
    future = client.call_async(Trigger.Request())
    spin(executor, future.done)
    assert not future.result().success
    assert "boom" in future.result().message
    assert "service act" in failures.why.replace("/", "")


def test_a_failure_is_an_error_for_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr(guard.time, "monotonic", lambda: now[0])
    failures = Failures(Log())
    assert health.callbacks_status(failures)[0].level == DiagnosticStatus.OK
    failures.add("subscription to /image", MemoryError("x" * 10**6))
    found, rows = health.callbacks_status(failures)
    assert found.level == DiagnosticStatus.ERROR
    assert "subscription to /image: MemoryError: xxx" in found.message
    assert len(found.message) < 4200
    assert rows["callback failures"] == "1"
    now[0] += 6
    found, rows = health.callbacks_status(failures)
    assert found.level == DiagnosticStatus.OK
    assert "MemoryError" in rows["last callback failure"]
