# SPDX-License-Identifier: Apache-2.0
"""Decide the level and text of each status that the depth node reports on /diagnostics."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus

from depth_recog.method.scale.measurement import Scale, ScaleState
from depth_recog.nodes.runtime.guard import Failures

OK, WARN = DiagnosticStatus.OK, DiagnosticStatus.WARN
ERROR = DiagnosticStatus.ERROR

# Reports, one per second: earlier events do not cause a warning any more.
_WINDOW = 5
LOST = "lost"
"""Key of the messages that the middleware has lost, in the counts that `Recent` is given."""
# The first image may arrive this long after the subscription, seconds.
_FIRST_S = 1.0


@dataclass(frozen=True)
class HealthStatus:
    """Level and text of a DiagnosticStatus."""

    level: bytes
    message: str


@dataclass(frozen=True)
class InputState:
    """The state of the image subscription.

    Attributes:
        topic: full name of the image topic; `info_topic` of the camera_info topic.
        publishers: number of publishers of the image topic.
        listening: whether the node is subscribed to images.
        heard: whether an image has arrived since the node subscribed.
        silence: seconds since the last image; since the subscription if none has arrived.
        timeout: seconds without an image after which the status is ERROR.
        mismatches: texts about publishers whose QoS is incompatible.
        why: reason of the last rejection.
        hint: what could be wrong with the topics' names, see `Inputs.hint`.
    """

    topic: str
    info_topic: str
    publishers: int
    listening: bool
    heard: bool
    silence: float
    timeout: float
    mismatches: list[str]
    why: str
    hint: str = ""


class Recent:
    """How much each count has grown in the last five seconds."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, Counter[str]]] = deque(maxlen=_WINDOW + 1)
        self.grown: Counter[str] = Counter()
        self.seconds = 0.0

    def add(self, counts: Mapping[str, int]) -> None:
        """Add the counts of this moment."""
        self._past.append((time.monotonic(), Counter(counts)))
        (start, before), (end, now) = self._past[0], self._past[-1]
        self.seconds = end - start
        self.grown = now - before

    def rate(self, outcome: str) -> float:
        """Events per second (Hz); 0 before the second call of `add`."""
        return self.grown[outcome] / self.seconds if self.seconds else 0.0


def input_status(state: InputState, recent: Recent) -> HealthStatus:
    """Whether images arrive and can be used."""
    grown = recent.grown
    if state.mismatches:
        return HealthStatus(WARN, state.mismatches[0])
    if not state.listening:
        return HealthStatus(OK, "no output has a subscriber: no images are received")
    if not state.heard:
        if state.silence < _FIRST_S:
            return HealthStatus(OK, "waiting for the first image")
        text = f"no image yet on {state.topic}, which has a publisher{state.hint}"
        if not state.publishers:
            hint = state.hint or " (remap image to your topic)"
            text = f"no image yet: {state.topic} has no publisher{hint}"
        return HealthStatus(ERROR if state.silence > state.timeout else WARN, text)
    if state.silence > state.timeout:
        # As diagnostic_updater's FrequencyStatus: STALE is the aggregator's word for a node that
        # no longer reports.
        return HealthStatus(ERROR, f"no image for {state.silence:.1f} s on {state.topic}")
    if grown["rejected"] and not grown["published"]:
        return HealthStatus(ERROR, f"every image is rejected: {state.why}")
    if grown["rejected"]:
        text = f"{grown['rejected']} images were rejected, the last one because: {state.why}"
        return HealthStatus(WARN, text)
    if grown["unmatched"] and not grown["published"]:
        text = f"no camera_info for the images: publish it on {state.info_topic}{state.hint}"
        return HealthStatus(WARN, text)
    if grown[LOST]:
        text = (
            f"{grown[LOST]} messages of {state.topic} or {state.info_topic} were lost on their way "
            "to the node: use reliable QoS in the publisher, or fastdds.xml (see the log)"
        )
        return HealthStatus(WARN, text)
    return HealthStatus(OK, f"{recent.rate('received'):.1f} images per second")


def depth_status(
    alive: bool, wanted: bool, mismatches: list[str], recent: Recent, assumed: str = ""
) -> HealthStatus:
    """Whether depth is published, and its metres can be believed.

    Args:
        alive: whether the inference thread is running.
        wanted: whether an output has a subscriber.
        mismatches: texts about subscribers whose QoS is incompatible.
        recent: counts of the last seconds.
        assumed: what is assumed because there is no calibration; empty with one.
    """
    grown = recent.grown
    if not alive:
        text = "the inference thread has ended: see the log; deactivate and activate the node"
        return HealthStatus(ERROR, text)
    if mismatches:
        return HealthStatus(WARN, mismatches[0])
    if grown["dropped"] > grown["published"]:
        total = grown["dropped"] + grown["published"]
        text = f"too slow: {grown['dropped']} of {total} images were dropped for newer ones"
        return HealthStatus(WARN, text)
    if not wanted:
        return HealthStatus(OK, "no output has a subscriber")
    if assumed:
        return HealthStatus(WARN, assumed)
    return HealthStatus(OK, f"{recent.rate('published'):.1f} depth images per second")


def gate_status(gate: str, regions: Mapping[str, float]) -> HealthStatus:
    """What the gate decides; always OK.

    Args:
        gate: the parameter.
        regions: mean number of regions per frame by decision; empty without the gate by object.
    """
    if not regions:
        return HealthStatus(OK, gate)
    found = ", ".join(f"{number:.1f} {decision}" for decision, number in regions.items())
    return HealthStatus(OK, f"{gate}: {found} regions per frame")


def scale_status(scale: Scale, unit: str) -> HealthStatus:
    """Whether depth is in metres.

    Args:
        scale: of the newest frame.
        unit: that the depth weights declare.
    """
    if scale.state is ScaleState.NONE and unit == "metres":
        text = "metres for the camera that the weights were trained on: set scale for another one"
        return HealthStatus(OK, text)
    if scale.state in (ScaleState.CONSTANT, ScaleState.LOCKED):
        return HealthStatus(OK, scale.why)
    return HealthStatus(WARN, f"{scale.state.value}: {scale.why}")


def weights_status(state: str, why: str) -> HealthStatus:
    """Whether the networks that the parameters name are in use; see `Assembler`."""
    if state == "failed":
        return HealthStatus(WARN, f"the previous networks stay in use: {why}")
    if state == "loading":
        return HealthStatus(OK, f"loading {why}".rstrip())
    return HealthStatus(OK, state or "not configured")


def callbacks_status(failures: Failures) -> tuple[HealthStatus, dict[str, str]]:
    """Whether a callback of the node has failed, and the rows of that status."""
    rows = {"callback failures": str(failures.count)}
    if failures.why:
        rows["last callback failure"] = failures.why
    if failures.recent:
        return HealthStatus(ERROR, f"a callback has failed: {failures.why}"), rows
    return HealthStatus(OK, "no callback fails"), rows
