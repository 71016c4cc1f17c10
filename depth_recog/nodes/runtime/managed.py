# SPDX-License-Identifier: Apache-2.0
"""What the project's nodes have in common: a life cycle that starts itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy._rclpy_pybind11 import RCLError
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from depth_recog.errors import DepthRecogError


class ManagedNode(LifecycleNode):
    """A lifecycle node that configures and activates itself unless `autostart` is false.

    `failed` is True after a configure or activate that failed at the start: the process then ends
    with 1.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.failed = False
        self.active = False
        self._refuse_wrong_transitions()

    def _refuse_wrong_transitions(self) -> None:
        """Answer a transition that the state does not have (configure while active) with a no.

        rclpy raises out of the executor instead, which would end the node and leave the caller
        without an answer.
        """
        service = self._service_change_state
        change = service.callback

        def answer(request: Any, response: Any) -> Any:
            try:
                return change(request, response)
            except RCLError as error:
                self.get_logger().warning(f"refused: {str(error).split(', at /')[0]}")
                response.success = False
                return response

        service.callback = answer

    def every(self, seconds: float, work: Callable[[], None]) -> None:
        """Call something again and again in wall time: /clock may stop, which is worth saying."""
        self.create_timer(seconds, work, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def release(self) -> None:
        """Let go of everything that configure and activate have made; safe at any time."""
        raise NotImplementedError

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After an exception in a transition: unconfigured, and ready to be configured again."""
        self.release()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to how the node was before configure."""
        self.release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close whatever is open."""
        self.release()
        return TransitionCallbackReturn.SUCCESS

    def start_if(self, wanted: bool) -> None:
        """Configure and activate. Raises DepthRecogError with the reason where that fails."""
        if not wanted:
            return
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                self.failed = True
                raise DepthRecogError(f"{self.get_name()} did not start: see the error above")

    def guarded(
        self, work: Callable[[], None], undo: Callable[[], object]
    ) -> TransitionCallbackReturn:
        """Run a transition's work; a user's mistake is a FAILURE with the reason in the log.

        Args:
            work: the transition.
            undo: what leads back to the state before, from wherever a failure came.
        """
        try:
            work()
        except DepthRecogError as error:
            self.get_logger().error(str(error))
            undo()
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            # rclpy would swallow it and only say that the transition failed.
            self.get_logger().error(f"{type(error).__name__}: {error}")
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def sim_time(self) -> bool:
        """Whether the node's clock is /clock."""
        value: bool = self.get_parameter("use_sim_time").value
        return value


__all__ = ["LifecycleState", "ManagedNode", "Parameter", "TransitionCallbackReturn"]
