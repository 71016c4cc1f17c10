# SPDX-License-Identifier: Apache-2.0
"""The trainer node's statuses on /diagnostics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from depth_recog.nodes.diagnostics.health import ERROR, OK, WARN, HealthStatus
from depth_recog.nodes.runtime import memory
from depth_recog.nodes.trainer.handover import HandOver
from depth_recog.nodes.trainer.learning import Learning

_WINDOW_S = 60.0
Rows = dict[str, str]
Statuses = dict[str, tuple[HealthStatus, Rows]]


@dataclass(frozen=True)
class ReportedParts:
    """The parts of an active trainer node.

    Attributes:
        learning: its thread.
        hand_over: its dealings with the depth node.
        received: counts of images.
        rejection: why the last image could not be used; "" if none.
        silence: seconds without an image.
        budget: the parameter.
        timeout: the parameter `image_timeout`.
    """

    learning: Learning
    hand_over: HandOver
    received: Counter[str]
    rejection: str
    silence: float
    budget: float
    timeout: float


def statuses(parts: ReportedParts) -> Statuses:
    """Level, text and rows of each status."""
    return {
        "input": _input(parts),
        "learning": _learning(parts),
        "judge": _judge(parts),
        "weights": _weights(parts),
    }


def _input(parts: ReportedParts) -> tuple[HealthStatus, Rows]:
    counts, learning = parts.received, parts.learning
    rows = {f"images {key}": str(counts[key]) for key in ("received", "rejected", "unmatched")}
    rows["images skipped"] = str(learning.frames.skipped)
    rows |= {f"frames: {key}": str(number) for key, number in sorted(learning.counts.items())}
    if parts.rejection:
        rows["last rejection"] = parts.rejection
    if parts.silence > parts.timeout:
        return HealthStatus(WARN, f"no image for {parts.silence:.1f} s"), rows
    return HealthStatus(OK, f"last frame: {learning.last_outcome or 'none yet'}"), rows


def _learning(parts: ReportedParts) -> tuple[HealthStatus, Rows]:
    learning = parts.learning
    guard = learning.guard
    rows = {
        "steps": str(learning.steps),
        "seconds per step": f"{learning.seconds_per_step:.2f}",
        **{f"loss {name}": f"{value:.5f}" for name, value in sorted(learning.losses.items())},
        "budget": f"{parts.budget:.2f}",
        "share now": f"{guard.share(parts.budget):.3f}",
        "share used": f"{learning.budget.used(_WINDOW_S):.3f}",
        "pauses for the depth node": str(guard.pauses),
        "replay memory (MB)": f"{learning.memory_bytes / 1e6:.1f}",
        "resident memory (MB)": f"{memory.resident_mb():.0f}",
    }
    if guard.baseline is not None:
        p99, rate = guard.baseline
        rows["depth node without learning"] = f"p99 {p99:.1f} ms, {rate:.2f} Hz"
    if not learning.alive:
        return HealthStatus(ERROR, "the learning thread has ended: see the log"), rows
    level = WARN if learning.failing else OK
    return HealthStatus(level, learning.state), rows


def _judge(parts: ReportedParts) -> tuple[HealthStatus, Rows]:
    verdicts = parts.learning.judging
    kinds = ("accepted", "refused", "unsaved", "rolled back")
    rows = {kind: str(verdicts.counts[kind]) for kind in kinds}
    last = verdicts.last
    if last is None:
        return HealthStatus(OK, "nothing judged yet"), rows
    rows |= {
        "last verdict": "accepted" if last.accepted else "refused",
        "reason": last.reason,
        "seconds": f"{last.seconds:.1f}",
        "candidate sha256": verdicts.candidate,
    }
    for check in last.checks:
        passed = "passed" if check.passed else "FAILED"
        rows[f"check {check.name}"] = (
            f"{passed}: {check.active:.4g} -> {check.candidate:.4g}, worse by "
            f"{check.difference:.4g}, allowed {check.tolerance:.4g}, {check.coverage} frames"
        )
    return HealthStatus(OK, f"{rows['last verdict']}: {last.reason}"), rows


def _weights(parts: ReportedParts) -> tuple[HealthStatus, Rows]:
    lineage, hand_over = parts.learning.lineage, parts.hand_over
    active = lineage.active
    rows = {
        "folder": str(lineage.folder),
        "active": active.name,
        "active sha256": active.sha256,
        "active number": str(active.number),
        "start sha256": lineage.start.sha256,
        "depth node": hand_over.state,
        "confirmed sha256": hand_over.confirmed,
        **{f"problem {i + 1}": text for i, text in enumerate(lineage.problems)},
    }
    if parts.learning.judging.save_problem:
        return HealthStatus(ERROR, parts.learning.judging.save_problem), rows
    in_use = hand_over.confirmed == active.sha256
    level = OK if in_use and not hand_over.foreign else WARN
    return HealthStatus(level, f"{active.name}; the depth node {hand_over.state}"), rows
