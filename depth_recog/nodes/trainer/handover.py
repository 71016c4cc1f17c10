# SPDX-License-Identifier: Apache-2.0
"""Hand weights over to the depth node, and see in its diagnostics that it uses them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.node import Node
from rclpy.parameter import Parameter

_FORGOTTEN_S = 5.0
_ANSWER_S = 10.0
_LOADED_S = 60.0
_AGAIN_S = 5.0


@dataclass(frozen=True)
class WantedWeights:
    """What the depth node is to use: paths and hashes.

    Attributes:
        weights, sha256: of its depth.
        gate, gate_sha256: of its gate; "" to leave it alone.
        known: hashes that it may have now. With any other, somebody else decides on its weights.
    """

    weights: Path
    sha256: str
    gate: str
    gate_sha256: str
    known: frozenset[str]


_ROWS, _CHARACTERS = 500, 1000
"""What is kept of a report: anybody may publish one in the depth node's name."""


class DepthNodeView:
    """What the depth node's diagnostics say.

    Args:
        name: full name of the node.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._prefix = f"{name.lstrip('/')}: "
        self.rows: dict[str, str] = {}
        self._seen = -1e9

    def update(self, message: DiagnosticArray) -> bool:
        """Take an array; returns whether it is of the depth node."""
        ours = [s for s in message.status if s.name.startswith(self._prefix)]
        if not ours:
            return False
        rows = islice((v for status in ours for v in status.values), _ROWS)
        self.rows = {v.key[:_CHARACTERS]: v.value[:_CHARACTERS] for v in rows}
        self._seen = time.monotonic()
        return True

    @property
    def there(self) -> bool:
        """Whether it has reported in the last seconds."""
        return time.monotonic() - self._seen < _FORGOTTEN_S

    def number(self, key: str) -> float | None:
        """A number of its report; None where there is none."""
        try:
            number = float(self.rows[key])
        except (KeyError, ValueError):
            return None
        return number if math.isfinite(number) else None


class HandOver:
    """Sets the depth node's `weights`, again after it was restarted, until it uses them.

    Args:
        node: the trainer node.
        view: of the depth node.
        refused: called with a hash and the reason, where the depth node does not take the weights.
    """

    def __init__(
        self, node: Node, view: DepthNodeView, refused: Callable[[str, str], None]
    ) -> None:
        self._node, self._view, self._refused = node, view, refused
        service = f"{view.name}/set_parameters_atomically"
        self._client = node.create_client(SetParametersAtomically, service)
        self._asked = ""
        self._future: Any = None
        self._since = -1e9
        self.confirmed = ""
        """Hash of the weights that the depth node was last seen with, after they were wanted."""
        self.state = "does not report"
        """One line for the diagnostics."""
        self._settled = False
        self.foreign = False
        """Whether somebody else has given the depth node weights that are not of the lineage."""

    @property
    def pending(self) -> str:
        """Why the active weights are not in use yet; "" if they are, or no depth node is there."""
        return "" if self._settled or not self._view.there else f"{self._view.name} {self.state}"

    def close(self) -> None:
        """Forget the depth node."""
        self._node.destroy_client(self._client)

    def tick(self, wanted: WantedWeights) -> None:
        """Do the next step; called a few times per second."""
        self._settled = False
        if not self._view.there:
            self.state, self.foreign = "does not report", False
            return
        rows = self._view.rows
        current = rows.get("weights sha256", "")
        if current == wanted.sha256 and wanted.gate_sha256 in (
            "",
            rows.get("gate weights sha256", ""),
        ):
            if self.confirmed != current:
                self._node.get_logger().info(f"{self._view.name} uses {wanted.weights.stem}")
            self.state, self.confirmed, self._asked = "uses the active weights", current, ""
            self.foreign, self._future, self._settled = False, None, True
            return
        if not current:
            self.state = "is not configured"
            return
        self.foreign = current not in wanted.known
        if self.foreign:
            self.state = (
                f"uses {rows.get('weights', '')} ({current[:12]}), which is not of this lineage: "
                f"set its weights to {wanted.weights.parent}, or begin a folder with those"
            )
            return
        self._ask_or_wait(wanted)

    def _ask_or_wait(self, wanted: WantedWeights) -> None:
        waited = time.monotonic() - self._since
        if self._asked != wanted.sha256:
            self._ask(wanted)
            return
        if self._future is None:
            # It was asked, has agreed, and loads them; unless that failed, or it was restarted.
            failed = self._view.rows.get("weights state", "")
            if failed.startswith("failed") and waited > 2.0:
                self._refuse(wanted, failed)
            elif waited > _LOADED_S:
                self._asked = ""
            return
        if not self._future.done():
            if waited > _ANSWER_S:
                self._client.remove_pending_request(self._future)
                self.state, self._asked, self._future = "does not answer", "", None
            return
        result, self._future = self._future.result().result, None
        if result.successful:
            self.state, self._since = f"loads {wanted.weights.stem}", time.monotonic()
        else:
            self._refuse(wanted, result.reason)

    def _ask(self, wanted: WantedWeights) -> None:
        if time.monotonic() - self._since < _AGAIN_S and not self._asked:
            return
        if not self._client.service_is_ready():
            self.state = "has no parameter services yet"
            return
        values = {"weights": str(wanted.weights)}
        if wanted.gate:
            values["gate_weights"] = wanted.gate
        changes = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        self._future = self._client.call_async(SetParametersAtomically.Request(parameters=changes))
        self._asked, self._since = wanted.sha256, time.monotonic()
        self.state = f"was asked to use {wanted.weights.stem}"

    def _refuse(self, wanted: WantedWeights, reason: str) -> None:
        self.state, self._asked, self._since = f"has refused: {reason}", "", time.monotonic()
        self._node.get_logger().error(f"{self._view.name} refused {wanted.weights}: {reason}")
        self._refused(wanted.sha256, f"refused by the depth node: {reason}")
