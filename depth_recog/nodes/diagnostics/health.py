# SPDX-License-Identifier: Apache-2.0
"""How the depth node is: one status for each thing that a person would look at."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)

# Reports, one a second: what happened longer ago is no reason to warn.
_WINDOW = 5
# A camera's first image may take this long after the subscription, seconds.
_FIRST_S = 1.0


@dataclass(frozen=True)
class Verdict:
    """A level and the sentence that goes with it."""

    level: bytes
    message: str


@dataclass(frozen=True)
class Input:
    """What is known of the image topic.

    Attributes:
        topic: its full name.
        info_topic: of the camera_info.
        publishers: how many there are.
        listening: whether images are taken.
        heard: whether one has come since they are.
        silence: seconds since the last one, or since they are taken.
        timeout: seconds of silence after which the camera counts as gone.
        mismatches: publishers whose QoS does not fit.
        why: the last rejection's reason.
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


class Recent:
    """What the counts grew by in the last seconds."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, Counter[str]]] = deque(maxlen=_WINDOW + 1)
        self.grown: Counter[str] = Counter()
        self.seconds = 0.0

    def add(self, counts: Mapping[str, int]) -> None:
        """The counts at this moment."""
        self._past.append((time.monotonic(), Counter(counts)))
        (start, before), (end, now) = self._past[0], self._past[-1]
        self.seconds = end - start
        self.grown = now - before

    def rate(self, outcome: str) -> float:
        """Hz; 0 where nothing is known yet."""
        return self.grown[outcome] / self.seconds if self.seconds else 0.0


def input_verdict(of: Input, recent: Recent) -> Verdict:
    """Do images come, and can they be used?"""
    grown = recent.grown
    if of.mismatches:
        return Verdict(WARN, of.mismatches[0])
    if not of.listening:
        return Verdict(OK, "nobody listens: no images are taken")
    if not of.heard:
        if of.silence < _FIRST_S:
            return Verdict(OK, "waiting for the first image")
        if not of.publishers:
            return Verdict(WARN, f"no image yet: nobody publishes {of.topic} (remap image to it)")
        return Verdict(WARN, f"no image yet on {of.topic}, which has a publisher")
    if of.silence > of.timeout:
        return Verdict(STALE, f"no image for {of.silence:.1f} s on {of.topic}")
    if grown["rejected"] and not grown["published"]:
        return Verdict(ERROR, f"every image is rejected: {of.why}")
    if grown["rejected"]:
        return Verdict(WARN, f"{grown['rejected']} images were rejected, the last one: {of.why}")
    if grown["unmatched"] and not grown["published"]:
        return Verdict(WARN, f"no camera_info for the images: publish it on {of.info_topic}")
    return Verdict(OK, f"{recent.rate('received'):.1f} images a second")


def depth_verdict(alive: bool, wanted: bool, mismatches: list[str], recent: Recent) -> Verdict:
    """Does depth go out?

    Args:
        alive: whether the inference thread is.
        wanted: whether somebody listens.
        mismatches: listeners whose QoS does not fit.
        recent: what became of the images.
    """
    grown = recent.grown
    if not alive:
        return Verdict(
            ERROR, "the inference thread has ended: see the log; deactivate and activate the node"
        )
    if mismatches:
        return Verdict(WARN, mismatches[0])
    if grown["dropped"] > grown["published"]:
        settled = grown["dropped"] + grown["published"]
        return Verdict(
            WARN, f"too slow: {grown['dropped']} of {settled} images were dropped for newer ones"
        )
    if not wanted:
        return Verdict(OK, "nobody listens")
    return Verdict(OK, f"{recent.rate('published'):.1f} depth images a second")


def gate_verdict(gate: str, regions: Mapping[str, float]) -> Verdict:
    """What does the gate find?

    Args:
        gate: the parameter.
        regions: how many a frame, by decision; empty where none was looked at.
    """
    if not regions:
        return Verdict(OK, gate)
    found = ", ".join(f"{number:.1f} {decision}" for decision, number in regions.items())
    return Verdict(OK, f"{gate}: {found} regions a frame")


def weights_verdict(state: str, why: str) -> Verdict:
    """Do the networks run that were asked for?"""
    if state == "failed":
        return Verdict(WARN, f"the previous networks stay in use: {why}")
    if state == "loading":
        return Verdict(OK, f"loading {why}".rstrip())
    return Verdict(OK, state or "not configured")
