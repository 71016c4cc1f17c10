# SPDX-License-Identifier: Apache-2.0
"""Publish the depth node's statuses on /diagnostics."""

from __future__ import annotations

import math
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile

from depth_recog.nodes.diagnostics import health
from depth_recog.nodes.diagnostics.health import OK, HealthStatus, Recent
from depth_recog.nodes.diagnostics.ledger import LISTENED, Ledger, status
from depth_recog.nodes.io.inputs import IMAGE, Inputs
from depth_recog.nodes.runtime import memory
from depth_recog.nodes.runtime.assembler import Assembler
from depth_recog.nodes.runtime.guard import Failures
from depth_recog.nodes.runtime.parameters import Values
from depth_recog.nodes.runtime.qos import QosWatch


@dataclass(frozen=True)
class Running:
    """The parts of the node that exist only while it is active.

    Attributes:
        inputs: the subscriptions.
        wanted: outputs that have a subscriber.
        alive: whether the inference thread is running.
    """

    inputs: Inputs
    wanted: set[str]
    alive: bool


class Reporter:
    """Publishes one array of statuses: `input`, `depth`, `gate`, `scale`, `callbacks`, `weights`.

    Args:
        watch: creates the publisher and knows of QoS mismatches.
        ledger: counts the images.
        assembler: holds the networks.
        failures: of the node's callbacks.
    """

    def __init__(
        self, watch: QosWatch, ledger: Ledger, assembler: Assembler, failures: Failures
    ) -> None:
        self._node = watch.node
        self._failures = failures
        self._watch = watch
        self._ledger = ledger
        self._assembler = assembler
        self._recent = Recent()
        self._publisher = watch.publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))

    def report(self, values: Values, running: Running | None) -> None:
        """Publish all statuses.

        Args:
            values: all parameters of the node.
            running: None while the node is not active.
        """
        counts, rows = self._ledger.report()
        self._recent.add(counts | {health.LOST: self._watch.lost})
        rows["input"] |= {
            "image rate (Hz)": f"{self._recent.rate('received'):.2f}",
            "QoS mismatches": str(self._watch.incompatible),
            "messages lost": str(self._watch.lost),
        }
        rows["gate"]["gate"] = values["gate"]
        rows["scale"] = self._scale_rows()
        rows["weights"] = self._weights_rows()
        health_of = dict.fromkeys(rows, HealthStatus(OK, "inactive"))
        if running is not None:
            health_of |= self._health(values, running)
            rows["depth"][LISTENED] = ", ".join(sorted(running.wanted))
        health_of["callbacks"], rows["callbacks"] = health.callbacks_status(self._failures)
        health_of["weights"] = health.weights_status(self._assembler.state, self._assembler.why)
        name = self._node.get_fully_qualified_name().lstrip("/")
        camera = self._node.resolve_topic_name(IMAGE)
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        array.status = [
            status(f"{name}: {part}", found.level, found.message, rows[part], camera)
            for part, found in health_of.items()
        ]
        self._publisher.publish(array)

    def _health(self, values: Values, running: Running) -> dict[str, HealthStatus]:
        inputs = running.inputs
        state = health.InputState(
            topic=inputs.topic,
            info_topic=inputs.info_topic,
            publishers=self._node.count_publishers(inputs.topic),
            listening=inputs.listening,
            heard=inputs.heard,
            silence=inputs.silence,
            timeout=values["image_timeout"],
            mismatches=self._watch.mismatches("subscription"),
            why=self._ledger.last_rejection,
            hint=inputs.hint if inputs.listening else "",
        )
        wanted, mismatches = bool(running.wanted), self._watch.mismatches("publisher")
        return {
            "input": health.input_status(state, self._recent),
            "depth": health.depth_status(
                running.alive, wanted, mismatches, self._recent, self._ledger.assumed
            ),
            "gate": health.gate_status(values["gate"], self._ledger.regions()),
            "scale": self._scale_health(),
        }

    def _scale_health(self) -> HealthStatus:
        assembly = self._assembler.current
        if assembly is None:
            return HealthStatus(OK, "not configured")
        return health.scale_status(assembly.recognizer.scale.now, assembly.depth.unit)

    def _scale_rows(self) -> dict[str, str]:
        assembly = self._assembler.current
        if assembly is None:
            return {}
        stream = assembly.recognizer.scale
        scale, ground, mount = stream.now, stream.ground, stream.settings.mount
        rows = {
            "scale": stream.settings.mode,
            "scale state": scale.state.value,
            "in metres": str(assembly.in_metres(scale)).lower(),
            "scale reason": scale.why,
        }
        if scale.metric:
            rows["scale factor"] = f"{scale.factor:.4g}"
            rows["scale deviation"] = f"{scale.std:.1%}"
        if stream.settings.by_height and mount is not None:
            rows["camera height (m)"] = f"{mount.height:.2f}"
        if ground is not None:
            rows["camera pitch (deg)"] = f"{math.degrees(ground.pitch):.1f}"
            rows["camera roll (deg)"] = f"{math.degrees(ground.roll):.1f}"
        return rows

    def _weights_rows(self) -> dict[str, str]:
        rows = {"resident memory (MB)": f"{memory.resident_mb():.0f}"}
        assembly = self._assembler.current
        if assembly is None:
            return rows
        if assembly.device.type == "cuda":
            rows["GPU memory (MB)"] = f"{memory.on_gpu_mb():.0f}"
        depth, masks, gate = assembly.depth, assembly.masks, assembly.gate
        gate_rows = (
            {"gate weights": gate.path.stem, "gate weights sha256": gate.sha256} if gate else {}
        )
        state = self._assembler.state
        return rows | {
            "device": str(assembly.device),
            "backend": assembly.backend,
            "precision": assembly.precision,
            "weights": depth.path.stem,
            "weights sha256": depth.sha256,
            "unit": depth.unit,
            **gate_rows,
            "mask weights": masks.path.stem,
            "mask weights sha256": masks.sha256,
            "mask classes": ", ".join(f"{i} {name}" for i, name in enumerate(masks.classes)),
            "weights state": f"{state}: {self._assembler.why}" if self._assembler.why else state,
        }
