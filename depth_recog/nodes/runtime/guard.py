# SPDX-License-Identifier: Apache-2.0
"""Keep a node alive: an exception of a callback is counted and reported, and the node goes on.

Without this, rclpy raises it out of the executor, which ends the process: one service call or one
message of a broken publisher would stop the robot's depth.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from depth_recog.errors import ConfigurationError, describe
from depth_recog.limits import MESSAGE_CHARACTERS
from depth_recog.texts import plain

_LONGEST_LIST = 1000
"""Parameters of one service call: a longer one would occupy the node for seconds."""
_RECENT_S = 5.0

Answer = Callable[[Any, Any], Any]


class Failures:
    """The exceptions of a node's callbacks. For the executor's thread.

    Args:
        log: of the node.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._last = -1e9
        self.count = 0
        self.why = ""
        """Which callback failed last, and its exception."""

    def add(self, where: str, error: BaseException) -> None:
        """Count and log an exception.

        Args:
            where: the callback, such as "subscription to /image".
            error: what it raised.
        """
        self.count += 1
        self._last = time.monotonic()
        self.why = f"{where}: {describe(error)}"
        text = f"a callback failed, the node goes on: {self.why}"
        self._log.error(text, throttle_duration_sec=1.0)
        self._log.debug("".join(traceback.format_exception(error)))

    @property
    def recent(self) -> bool:
        """Whether a callback has failed in the last seconds."""
        return time.monotonic() - self._last < _RECENT_S


class GuardedExecutor(SingleThreadedExecutor):  # type: ignore[misc]  # rclpy is untyped
    """An executor that goes on after an exception of a callback.

    Args:
        failures: counts the exceptions.
        context: of rclpy; None for the default one.
    """

    def __init__(self, failures: Failures, context: Any = None) -> None:
        super().__init__(context=context)
        self._failures = failures

    def _make_handler(self, entity: Any, node: Node, take_from_wait_list: Any) -> Any:
        """Wrap what rclpy does for one message, call, timer or event.

        It must happen here: where `take_from_wait_list` raises, as for a message that cannot be
        read, rclpy leaves the entity and its callback group locked for ever.
        """

        def take(ready: Any) -> Any:
            try:
                work = take_from_wait_list(ready)
            except Exception as error:
                self._failures.add(_name(ready), error)
                return None
            return None if work is None else self._guarded(ready, work)

        return super()._make_handler(entity, node, take)

    def _guarded(self, entity: Any, work: Any) -> Any:
        async def guarded() -> None:
            try:
                await work()
            except Exception as error:
                self._failures.add(_name(entity), error)

        return guarded


def _name(entity: Any) -> str:
    """What a user calls a subscription, service, timer or event."""
    if topic := getattr(entity, "topic_name", ""):
        return f"subscription to {topic}"
    if service := getattr(entity, "srv_name", ""):
        return f"service {service}"
    return type(entity).__name__


def answer_all(node: Node, failures: Failures) -> None:
    """Make every service of a node answer, also where its callback raises: the caller waits.

    Args:
        node: with all its services.
        failures: counts the exceptions.
    """
    for service in node.services:
        kind, answer = service.srv_type, service.callback
        guarded = _guarded_answer(kind, answer, failures, service.srv_name)
        service.callback = _one_by_one(guarded) if kind is SetParameters else guarded


def _guarded_answer(kind: Any, answer: Answer, failures: Failures, name: str) -> Answer:
    def guarded(request: Any, response: Any) -> Any:
        try:
            _check_length(request)
            response = answer(request, response)
        except ConfigurationError as error:
            return _refusal(kind, str(error))
        except Exception as error:
            failures.add(f"service {name}", error)
            return _refusal(kind, describe(error))
        # rclpy's reasons repeat names and values as they came.
        for result in getattr(response, "results", [getattr(response, "result", None)]):
            if isinstance(result, SetParametersResult):
                result.reason = plain(result.reason, MESSAGE_CHARACTERS)
        return response

    return guarded


def _one_by_one(answer: Answer) -> Answer:
    """Set one parameter after another: those before and after one that fails get their answer."""

    def set_each(request: Any, response: Any) -> Any:
        try:
            _check_length(request)
        except ConfigurationError as error:
            refusal = SetParametersResult(successful=False, reason=str(error))
            response.results = [refusal] * len(request.parameters)
            return response
        for parameter in request.parameters:
            alone = SetParameters.Request(parameters=[parameter])
            response.results += answer(alone, SetParameters.Response()).results
        return response

    return set_each


def _check_length(request: Any) -> None:
    for field in ("parameters", "names", "prefixes"):
        if (number := len(getattr(request, field, ()))) > _LONGEST_LIST:
            raise ConfigurationError(
                f"{number} {field} in one call: send at most {_LONGEST_LIST} at once"
            )


def _refusal(kind: Any, reason: str) -> Any:
    """The answer of a service whose callback failed, with the reason where it has a place."""
    response = kind.Response()
    result = SetParametersResult(successful=False, reason=reason)
    if kind is SetParameters:
        response.results = [result]
    elif kind is SetParametersAtomically:
        response.result = result
    elif hasattr(response, "message"):
        response.message = reason
    return response
