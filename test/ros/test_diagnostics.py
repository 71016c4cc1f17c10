# SPDX-License-Identifier: Apache-2.0
"""The ledger's counts add up, and its report fits a DiagnosticArray."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from depth_recog.nodes.diagnostics import ledger as diagnostics
from depth_recog.nodes.diagnostics.ledger import OUTCOMES, Ledger

PARTS = {"depth network": 0.020, "messages": 0.002}
DECISIONS = ("moving", "still", "undecided", "alone")


def flat(ledger: Ledger) -> dict[str, str]:
    """Return the rows of all statuses; no key may occur twice."""
    parts = ledger.report()[1].values()
    rows = {key: value for part in parts for key, value in part.items()}
    assert len(rows) == sum(len(part) for part in parts)
    return rows


def test_nothing_happened() -> None:
    rows = flat(Ledger())
    assert all(rows[k] == "0" for k in ("received", *OUTCOMES))
    assert all(rows[f"gate {d}"] == "0" for d in DECISIONS)
    assert "last rejection" not in rows
    assert not [k for k in rows if "latency" in k or "rate" in k]


@given(st.lists(st.sampled_from((*OUTCOMES, "in progress")), max_size=60))
def test_received_is_the_sum_of_the_outcomes(fates: list[str]) -> None:
    ledger = Ledger()
    for fate in fates:
        ledger.count("arrived")
        if fate == "published":
            ledger.finished(0.05, PARTS, "still", 0.1)
        elif fate != "in progress":
            ledger.count(fate)
    rows = flat(ledger)
    assert int(rows["received"]) + int(rows["in progress"]) == len(fates)
    assert int(rows["in progress"]) == fates.count("in progress")
    for outcome in OUTCOMES:
        assert int(rows[outcome]) == fates.count(outcome)
    settled = sum(int(rows[outcome]) for outcome in OUTCOMES)
    assert int(rows["received"]) == settled
    assert sum(int(rows[f"gate {d}"]) for d in DECISIONS) == fates.count("published")


def test_figures() -> None:
    ledger = Ledger()
    for i in range(101):
        ledger.finished(i / 1000, PARTS, DECISIONS[i % 4], 0.25)
    rows = flat(ledger)
    # The window holds the last hundred latencies: 1 to 100 ms.
    assert float(rows["latency p50 (ms)"]) == pytest.approx(50.5, abs=0.1)
    assert float(rows["latency p99 (ms)"]) == pytest.approx(99.0, abs=0.2)
    assert float(rows["dynamic share of the image"]) == 0.25
    assert float(rows["depth network (ms)"]) == 20.0
    assert float(rows["messages (ms)"]) == 2.0
    assert float(rows["rate (Hz)"]) > 0
    assert rows["published"] == "101"
    assert rows["gate moving"] == "26"


def test_regions_are_a_mean_over_the_frames_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()
    ledger.finished(0.05, PARTS, "still", 0.1)  # another gate
    assert ledger.regions() == {}
    assert not [key for key in flat(ledger) if key.startswith("regions")]
    now = [50.0]
    monkeypatch.setattr(diagnostics.time, "monotonic", lambda: now[0])
    for counts in ({"moving": 9}, {"moving": 1, "still": 3}, {"still": 4}):
        ledger.finished(0.05, PARTS, "moving", 0.1, Counter(counts))
        now[0] += 0.6
    assert ledger.regions() == {"moving": 0.0, "still": 4.0, "undecided": 0.0}
    now[0] -= 0.3
    assert ledger.regions() == {"moving": 0.5, "still": 3.5, "undecided": 0.0}
    assert flat(ledger)["regions still"] == "3.5"
    now[0] += 9
    assert ledger.regions() == {}


def test_last_rejection_is_kept() -> None:
    ledger = Ledger()
    ledger.count("rejected", why="first")
    ledger.count("rejected", why="second")
    ledger.count("dropped")
    assert flat(ledger)["last rejection"] == "second"


def test_threads_lose_no_count() -> None:
    ledger = Ledger()

    def work() -> None:
        for _ in range(2000):
            ledger.count("arrived")
            ledger.count("dropped")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        report = flat(ledger)
        assert int(report["received"]) == sum(int(report[outcome]) for outcome in OUTCOMES)
        assert 0 <= int(report["in progress"]) <= len(threads)
    for thread in threads:
        thread.join()
    rows = flat(ledger)
    assert rows["received"] == rows["dropped"] == "8000"


def test_status_is_a_message() -> None:
    from diagnostic_msgs.msg import DiagnosticStatus

    rows = {"received": "3", "last rejection": "step 1 is too short"}
    entry = diagnostics.status("robot/depth_node: input", DiagnosticStatus.WARN, "look", rows)
    assert entry.level == DiagnosticStatus.WARN
    assert (entry.name, entry.message) == ("robot/depth_node: input", "look")
    assert entry.hardware_id
    assert {v.key: v.value for v in entry.values} == rows
