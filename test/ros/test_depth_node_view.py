# SPDX-License-Identifier: Apache-2.0
"""What the trainer node takes from reports in the depth node's name."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("std_srvs")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from depth_recog.nodes.trainer.handover import DepthNodeView


def report(*rows: tuple[str, str]) -> DiagnosticArray:
    values = [KeyValue(key=key, value=value) for key, value in rows]
    return DiagnosticArray(status=[DiagnosticStatus(name="robot/depth_node: depth", values=values)])


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "", "many", "9" * 5000])
def test_a_number_is_finite_or_none(text: str) -> None:
    view = DepthNodeView("/robot/depth_node")
    assert view.update(report(("published", text)))
    assert view.number("published") is None


def test_a_report_of_any_length_is_kept_short() -> None:
    view = DepthNodeView("/robot/depth_node")
    rows = [("x" * 10**6, "y" * 10**6), *((f"key {n}", "") for n in range(10_000))]
    assert view.update(report(("rate (Hz)", "9.5"), *rows))
    assert view.number("rate (Hz)") == 9.5
    assert sum(len(k) + len(v) for k, v in view.rows.items()) < 10**5
    assert not view.update(DiagnosticArray(status=[DiagnosticStatus(name="other/depth_node: x")]))
