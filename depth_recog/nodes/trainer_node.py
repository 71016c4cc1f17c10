# SPDX-License-Identifier: Apache-2.0
"""The trainer node: learns depth on the road, and hands better weights to the depth node.

Three threads: the executor's receives messages and answers services; the learning thread observes
frames, takes steps and judges (see `trainer/learning.py`); no other process waits for either.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_srvs.srv import Trigger

from depth_recog.adaptation.adapter import Adapter
from depth_recog.adaptation.lineage import Lineage
from depth_recog.adaptation.settings import AdaptationSettings
from depth_recog.errors import ConfigurationError, describe
from depth_recog.networks.device import choose_device
from depth_recog.nodes.diagnostics.health import OK, HealthStatus, callbacks_status
from depth_recog.nodes.diagnostics.ledger import ARRIVED, status
from depth_recog.nodes.io.inputs import Inputs, Job
from depth_recog.nodes.runtime import memory
from depth_recog.nodes.runtime.managed import ManagedNode
from depth_recog.nodes.runtime.parameters import Names, Parameters, Values
from depth_recog.nodes.runtime.qos import QosWatch
from depth_recog.nodes.trainer import report
from depth_recog.nodes.trainer.budget import Budget, Guard
from depth_recog.nodes.trainer.curves import BoundedCurves
from depth_recog.nodes.trainer.frames import FrameMaker
from depth_recog.nodes.trainer.handover import DepthNodeView, HandOver, WantedWeights
from depth_recog.nodes.trainer.learning import Learning
from depth_recog.nodes.trainer.parameters import SPECS, folder_of

_TICK_S = 0.25


class TrainerNode(ManagedNode):
    """Lifecycle node that learns; see the module's docstring."""

    def __init__(self) -> None:
        super().__init__("trainer_node")
        self._params = Parameters(self, SPECS, lambda: self.active, _check, self._changed)
        self._qos = QosWatch(self)
        self._lineage: Lineage | None = None
        self._adapter: Adapter | None = None
        self._guard: Guard | None = None
        self._learning: Learning | None = None
        self._curves: BoundedCurves | None = None
        self._inputs: Inputs | None = None
        self._odometry: Any = None
        self._diagnostics: Any = None
        self._view: DepthNodeView | None = None
        self._hand_over: HandOver | None = None
        self._maker: FrameMaker | None = None
        self._received: Counter[str] = Counter()
        self._rejection = ""
        self._reports = self._qos.publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        for name in ("pause", "resume", "save", "rollback"):
            self.create_service(Trigger, f"~/{name}", getattr(self, f"_{name}"))
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._report, clock=steady)
        self.create_timer(_TICK_S, self._tick, clock=steady)

    # Lifecycle

    def configure(self) -> None:
        """Open the folder, and load the networks."""
        p = self._params
        if p["threads"]:
            torch.set_num_threads(p["threads"])
        device = str(choose_device(p["device"]))
        folder = folder_of(p["folder"], self.get_namespace())
        self._lineage = lineage = Lineage(folder, p["weights"], p["keep"])
        for problem in lineage.problems:
            self.get_logger().warning(problem)
        changes: dict[str, Any] = {"memory": p["memory"] * 1e6}
        if p["mask_weights"]:
            changes["masks"] = p["mask_weights"]
        settings = AdaptationSettings(**changes)
        self._adapter = Adapter(str(lineage.path_of(lineage.start)), settings, str(device))
        if lineage.active != lineage.start:
            self._adapter.restart_from(lineage.path_of(lineage.active), lineage.parent_path)
        self.get_logger().info(f"learns from {lineage.active.name} in {folder}, on {device}")

    def activate(self) -> None:
        """Create the endpoints, and start to learn."""
        p = self._params
        assert self._adapter is not None
        assert self._lineage is not None
        budget = Budget()
        self._guard = Guard(budget, p["latency_tolerance"])
        self._learning = Learning(
            self._adapter, self._lineage, self._guard, budget, p.__getitem__, self._say
        )
        self._curves = BoundedCurves(self._lineage.folder)
        self._learning.on_step = self._curves.step
        self._learning.on_judgement = self._curves.judgement
        self._maker = FrameMaker(self._adapter.size, p["input_rectified"])
        self._view = DepthNodeView(self._full_name(p["depth_node"]))
        self._hand_over = HandOver(self, self._view, self._refused)
        hand_over = self._hand_over
        self._learning.waits_for = lambda: hand_over.pending
        self._diagnostics = self._qos.subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=20)
        )
        asked = p["image_reliability"], p["image_transport"]
        self._odometry = self._qos.subscription(
            Odometry,
            "odom",
            self._maker.odometry.add,
            QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT),
        )
        self._inputs = Inputs(self._qos, *asked, self._count, self._hand_in)
        self._learning.start()
        self.active = True

    def deactivate(self, patience: float | None = None) -> bool:
        """Undo `activate`; returns False if the thread has not ended within `patience` seconds."""
        self.active = False
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None
        for endpoint in (self._odometry, self._diagnostics):
            if endpoint is not None:
                self._qos.destroy(endpoint)
        self._odometry = self._diagnostics = None
        if self._hand_over is not None:
            self._hand_over.close()
            self._hand_over = None
        if self._learning is not None:
            if not self._learning.stop(patience):
                return False
            self._learning = None
        if self._curves is not None:
            self._curves.close()
            self._curves = None
        return True

    def release(self) -> None:
        """Undo `activate` and `configure`."""
        self.deactivate()
        if self._lineage is not None:
            self._lineage.close()
        self._lineage = self._adapter = None
        memory.give_back()

    def stop(self) -> bool:
        """End the thread before the process ends; returns False if a step or judgement is long."""
        return self.deactivate(patience=2.5)

    def _full_name(self, name: str) -> str:
        return name if name.startswith("/") else f"{self.get_namespace().rstrip('/')}/{name}"

    def _changed(self, names: Names, values: Values) -> None:
        if self._guard is not None:
            self._guard.tolerance = values["latency_tolerance"]

    def _say(self, level: str, text: str) -> None:
        # rclpy ties a severity to the calling line.
        if level == "error":
            self.get_logger().error(text)
        elif level == "warning":
            self.get_logger().warning(text)
        else:
            self.get_logger().info(text)

    # Messages

    def _count(self, outcome: str, number: int, why: str) -> None:
        self._received["received" if outcome == ARRIVED else outcome] += number
        self._rejection = why or self._rejection

    def _hand_in(self, job: Job) -> None:
        if self._learning is None or self._maker is None or not self._learning.frames.wants():
            return
        try:
            self._learning.frames.put(self._maker.frame(job))
        except Exception as error:
            self._received["rejected"] += 1
            self._rejection = describe(error)
            text = f"image rejected: {self._rejection}"
            self.get_logger().error(text, throttle_duration_sec=30.0)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        view, guard = self._view, self._guard
        if view is None or guard is None or not view.update(message):
            return
        p99, rate = view.number("latency p99 (ms)"), view.number("rate (Hz)")
        if p99 is not None and rate is not None:
            guard.report(p99, rate, int(view.number("published") or 0))

    def _tick(self) -> None:
        lineage = self._lineage
        if self._hand_over is None or lineage is None:
            return
        entry, start = lineage.active, lineage.start
        frozen = self._params["gate_frozen"] and entry != start
        self._hand_over.tick(
            WantedWeights(
                lineage.path_of(entry),
                entry.sha256,
                str(lineage.path_of(start)) if frozen else "",
                start.sha256 if frozen else "",
                frozenset(e.sha256 for e in lineage.family.entries),
            )
        )

    def _refused(self, sha256: str, reason: str) -> None:
        """The depth node does not take the active weights: they are of no use."""
        lineage, learning = self._lineage, self._learning
        if lineage is None or learning is None or lineage.active.sha256 != sha256:
            return
        if lineage.active != lineage.start:
            learning.rollback(reason)

    # Services

    def _answer(self, response: Trigger.Response, done: bool, message: str) -> Trigger.Response:
        response.success, response.message = done, message
        return response

    def _pause(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._learning is None:
            return self._answer(response, False, "not active")
        self._learning.pause()
        return self._answer(response, True, "paused; resume goes on")

    def _resume(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._learning is None:
            return self._answer(response, False, "not active")
        self._learning.resume()
        return self._answer(response, True, "learns again")

    def _save(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._learning is None:
            return self._answer(response, False, "not active")
        text = self._learning.save()
        return self._answer(response, bool(text), text or "nothing learnt since the last judgement")

    def _rollback(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._learning is None:
            return self._answer(response, False, "not active")
        try:
            entry = self._learning.rollback("by the service rollback")
        except ConfigurationError as error:
            return self._answer(response, False, str(error))
        return self._answer(response, True, f"{entry.name} is active")

    # Diagnostics

    def _report(self) -> None:
        learning, hand_over, inputs = self._learning, self._hand_over, self._inputs
        found: report.Statuses = {"learning": (HealthStatus(OK, "inactive"), {})}
        if learning is not None and hand_over is not None and inputs is not None:
            found = report.statuses(
                report.ReportedParts(
                    learning,
                    hand_over,
                    self._received,
                    self._rejection,
                    inputs.silence,
                    self._params["budget"],
                    self._params["image_timeout"],
                )
            )
        found["callbacks"] = callbacks_status(self.failures)
        name = self.get_fully_qualified_name().lstrip("/")
        array = DiagnosticArray()
        array.header.stamp = self.get_clock().now().to_msg()
        array.status = [
            status(f"{name}: {part}", health.level, health.message, rows)
            for part, (health, rows) in found.items()
        ]
        self._reports.publish(array)


def _check(names: Names, values: Values) -> None:
    if not values["depth_node"]:
        raise ConfigurationError("parameter depth_node is empty: name the node that gets weights")
