# SPDX-License-Identifier: Apache-2.0
"""What pairs.jsonl holds is enough to check the decisions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gate_streams import IMAGE_GATE, play, shots

from depth_recog.evaluation.run_writer import pair_record


def no_json(word: str) -> None:
    pytest.fail(f"{word} is not JSON")


def recomputed(pair: dict[str, Any]) -> str:
    """The decision of claim 5, from a line of the file alone."""
    if pair["why"] == "no pixel of a dynamic category":
        return "still"
    if pair["static"] is None or pair["dynamic"] is None:
        return "undecided"
    difference = np.abs(np.subtract(pair["static"], pair["dynamic"]))
    assert np.array_equal(difference, pair["absolute_difference"])
    thresholds = np.array(pair["thresholds"], np.float64)  # null becomes NaN
    return "moving" if (difference > thresholds).any() else "still"


def test_a_reader_can_recompute_every_decision() -> None:
    """Of moving and of parked cars, and of an empty street."""
    decisions = []
    for scene in ("lead_car", "parked", "empty"):
        for step in play(shots(scene, 10, 5), **IMAGE_GATE):
            if step.pair is not None:
                line = json.dumps(pair_record(step.pair))
                pair = json.loads(line, parse_constant=no_json)
                assert np.shape(pair["thresholds"]) == (4, 4)
                assert pair["thresholds"][3] == [None] * 4
                assert pair["thresholds"][0][3] == pytest.approx(2.5 * pair["dt"])
                decisions.append(pair["decision"])
                assert recomputed(pair) == decisions[-1]
    assert {"moving", "still"} <= set(decisions)


@pytest.mark.parametrize("gate", ["object", "off", "all"])
def test_thresholds_of_the_other_gates(gate: str) -> None:
    """Infinite ones are null; the object gate has those of the translation."""
    steps = play(shots("lead_car", 10, 5), gate=gate)
    records = [pair_record(step.pair) for step in steps if step.pair is not None]
    known = [json.loads(json.dumps(r), parse_constant=no_json)["thresholds"] for r in records]
    assert known
    for thresholds in known:
        finite = np.isfinite(np.array(thresholds, np.float64))
        assert finite.sum() in ((0, 3) if gate == "object" else (0,))
