# SPDX-License-Identifier: Apache-2.0
"""The base class of the project's nodes: a lifecycle node that starts itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from depth_recog.errors import DepthRecogError, describe
from depth_recog.nodes.runtime import overrides
from depth_recog.nodes.runtime.guard import Failures
from depth_recog.nodes.runtime.parameters import Parameters


class ManagedNode(LifecycleNode):  # type: ignore[misc]  # rclpy is untyped
    """A lifecycle node that configures and activates itself unless `autostart` is false.

    Attributes:
        failed: True after a failure that must end the process with status 1.
        active: whether the node is in the lifecycle state `active`.
        failures: exceptions of its callbacks.
    """

    _params: Parameters
    """Set by the subclass; has the parameter `autostart`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.failed = False
        self.active = False
        self.failures = Failures(self.get_logger())
        self._refuse_invalid_transitions()
        overrides.warn_of_unread_files(self, sys.argv)
        self._qos_checked = False

    def _refuse_invalid_transitions(self) -> None:
        """Answer a transition that the current state does not allow with success = false.

        rclpy of Jazzy raises an exception out of the executor instead, which ends the node and
        leaves the caller without an answer: https://github.com/ros2/rclpy/issues/1209, fixed in
        later releases. It has no public hook for this, so the callback of the service is wrapped.
        """
        service = next(s for s in self.services if s.srv_type is ChangeState)
        change = service.callback

        def answer(request: Any, response: Any) -> Any:
            try:
                return change(request, response)
            except RuntimeError as error:
                self.get_logger().warning(f"refused: {str(error).split(', at /')[0]}")
                response.success = False
                return response

        service.callback = answer

    def configure(self) -> None:
        """Load what the node needs. Raises DepthRecogError."""
        raise NotImplementedError

    def activate(self) -> None:
        """Create endpoints and threads. Raises DepthRecogError."""
        raise NotImplementedError

    def deactivate(self) -> bool:
        """Undo `activate`, complete or not; returns False if a thread has not ended in time."""
        raise NotImplementedError

    def release(self) -> None:
        """Undo `activate` and `configure`, complete or not; safe in every state."""
        raise NotImplementedError

    def stop(self) -> bool:
        """Prepare for the end of the process; returns False if a thread has not ended in time."""
        return self.deactivate()

    def autostart(self) -> None:
        """Configure and activate, if the parameter `autostart` is true.

        Raises:
            DepthRecogError: a transition failed; its reason is in the log.
        """
        if not self._params["autostart"]:
            return
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                self.failed = True
                raise DepthRecogError(f"{self.get_name()} did not start: see the error above")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configure, for rclpy."""
        return self._guarded(self.configure, self.release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Activate, for rclpy."""
        result = self._guarded(self.activate, self.deactivate)
        if result == TransitionCallbackReturn.SUCCESS and not self._qos_checked:
            overrides.warn_of_unknown(self, qos=True)
            self._qos_checked = True
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate, for rclpy."""
        self.deactivate()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything: at cleanup, at shutdown, and after an exception in a transition."""
        self.release()
        return TransitionCallbackReturn.SUCCESS

    on_shutdown = on_cleanup
    on_error = on_cleanup

    def _guarded(
        self, work: Callable[[], None], undo: Callable[[], object]
    ) -> TransitionCallbackReturn:
        """Do the work of a transition, and log why it failed if it does.

        Args:
            work: what the transition does.
            undo: returns to the state before, after a failure at any point of `work`.

        Returns:
            FAILURE after a DepthRecogError, ERROR after any other exception.
        """
        try:
            work()
        except Exception as error:
            # rclpy would drop the exception and only report that the transition failed.
            self.get_logger().error(describe(error))
            if not isinstance(error, DepthRecogError):
                return TransitionCallbackReturn.ERROR
            undo()
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS
