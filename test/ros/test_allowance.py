# SPDX-License-Identifier: Apache-2.0
"""How much time a node may spend on getting ready for other cameras."""

from __future__ import annotations

import pytest

from depth_recog.errors import CalibrationError
from depth_recog.nodes.runtime.allowance import Allowance


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def refused(allowance: Allowance, clock: Clock, seconds: float) -> bool:
    try:
        with allowance.spend():
            clock.now += seconds
    except CalibrationError:
        return True
    return False


def test_a_few_changes_are_free_and_endless_ones_get_half_of_the_time() -> None:
    clock = Clock()
    allowance = Allowance(clock)
    assert not any(refused(allowance, clock, 3.0) for _ in range(12))
    start, prepared = clock.now, 0
    while clock.now < start + 600:
        if refused(allowance, clock, 3.0):
            clock.now += 0.01
        else:
            prepared += 1
    assert prepared * 3.0 == pytest.approx(300, abs=6)
    # After a quiet time they are free again, but no more than at the start.
    clock.now += 3600
    assert sum(not refused(allowance, clock, 3.0) for _ in range(30)) <= 14


def test_a_preparation_that_fails_costs_its_time() -> None:
    clock = Clock()
    allowance = Allowance(clock)

    def fail() -> None:
        with allowance.spend():
            clock.now += 70.0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(CalibrationError, match="changes too often"):
        fail()
