# SPDX-License-Identifier: Apache-2.0
"""Header stamps of live images: missing, wrong once, and set back."""

from __future__ import annotations

from depth_recog.nodes.io.stamps import StampReader

PERIOD = 100_000_000
START = 1_700_000_000 * 10**9


def read(stamps: list[int], period_s: float = 0.1) -> tuple[list[int], list[str]]:
    told: list[str] = []
    reader = StampReader(told.append)
    return [reader.time_ns(s, 5 + i * period_s) for i, s in enumerate(stamps)], told


def test_good_stamps() -> None:
    """Also after a pause, and of a recording that is played fast."""
    stamps = [START + i * PERIOD for i in range(9)]
    assert read(stamps) == (stamps, [])
    assert read(stamps, 0.001) == (stamps, [])
    told: list[str] = []
    reader = StampReader(told.append)
    assert reader.time_ns(START, 5.0) == START
    assert reader.time_ns(START + 3600 * 10**9, 3605.0) == START + 3600 * 10**9
    assert not told


def test_without_stamps_the_time_of_arrival_is_used() -> None:
    """With one warning."""
    times, told = read([0] * 5)
    assert times == [5_000_000_000 + i * PERIOD for i in range(5)]
    assert len(told) == 1
    assert "times of arrival" in told[0]


def test_jumps_are_told() -> None:
    good = [START + i * PERIOD for i in range(9)]
    for wrong in (START + 3600 * 10**9, START - 1, START + 3 * PERIOD):
        stamps = [*good[:4], wrong, *good[5:]]
        times, told = read(stamps)
        assert times == stamps
        assert len(told) == 1, "another only after a pause"
        assert "header stamps jump by" in told[0]
