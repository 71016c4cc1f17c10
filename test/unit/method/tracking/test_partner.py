# SPDX-License-Identifier: Apache-2.0
"""Block 101: the partner of the newest frame, through motion, rest, cuts, loops and drops."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_recog.method.tracking.partner import LEAST_MOTION, MOST_MOTION, PartnerBuffer


@dataclass(frozen=True)
class Stamp:
    stamp_ns: int


def drive(
    buffer: PartnerBuffer[Stamp], speeds: list[float], rate_hz: float, start: int = 0
) -> list[int | None]:
    """Feed frames whose motion is `speed` per frame; the gap, in frames, at which each paired."""
    step = round(1e9 / rate_hz)
    gaps: list[int | None] = []
    for i in range(len(speeds)):
        now = (start + i) * step
        assert buffer.broken_by(now) is None
        partner = buffer.partner(now)
        gap = None if partner is None else round((now - partner.stamp_ns) / step)
        if gap is not None:
            buffer.learn(sum(speeds[max(i - gap, 0) + 1 : i + 1]))
        gaps.append(gap)
        buffer.add(Stamp(now))
    return gaps


def test_a_good_pair_moves_8_to_15_of_640_pixels() -> None:
    assert pytest.approx(8) == LEAST_MOTION * 640
    assert pytest.approx(15) == MOST_MOTION * 640


def filled(*stamps_ns: int) -> PartnerBuffer[Stamp]:
    buffer = PartnerBuffer()
    for stamp_ns in stamps_ns:
        buffer.add(Stamp(stamp_ns))
    return buffer


def test_an_empty_buffer_has_no_partner() -> None:
    buffer = PartnerBuffer()
    assert buffer.partner(5) is None
    assert buffer.broken_by(5) is None
    assert len(buffer) == 0


def test_the_first_partner_is_the_frame_before() -> None:
    buffer = filled(0, 10**8, 2 * 10**8)
    assert buffer.partner(3 * 10**8) == Stamp(2 * 10**8)
    assert len(buffer) == 3


def test_the_gap_grows_while_there_is_too_little_motion() -> None:
    """2 px of 640 a frame at 30 Hz: four frames make 8."""
    buffer = PartnerBuffer()
    gaps = drive(buffer, [2 / 640] * 12, 30.0)
    assert gaps[:5] == [None, 1, 2, 3, 4]
    assert gaps[5:] == [4] * 7


def test_the_gap_shrinks_while_there_is_too_much() -> None:
    buffer = PartnerBuffer()
    gaps = drive(buffer, [2 / 640] * 10 + [9 / 640] * 10, 30.0)
    assert gaps[9] == 4
    # One frame at a time: 2 + 2 + 2 + 9 is still good, 2 + 2 + 9 + 9 is too much.
    assert gaps[10:] == [4, 4, 3, 2, 1, 1, 1, 1, 1, 1]
    buffer.learn(1.0)
    assert buffer.partner(20 * 33_333_333) == Stamp(19 * 33_333_333), "never less than one"


@pytest.mark.parametrize(
    ("before", "share", "gap"), [(8.0, 7.99, 2), (8.0, 15.0, 1), (0.0, 15.0, 2), (0.0, 15.01, 1)]
)
def test_the_limits_belong_to_a_good_pair(before: float, share: float, gap: int) -> None:
    """Below 8 px of 640 the gap of the pair before grows by one, above 15 px it shrinks."""
    buffer = filled(*range(5))
    for pixels in (before, share):
        buffer.learn(pixels / 640)
        partner = buffer.partner(5)
    assert partner == Stamp(5 - gap)


@given(
    st.floats(0.1, 60.0),
    st.sampled_from([5.0, 10.0, 15.0, 30.0, 60.0]),
    st.floats(0.21, 1.0),
    st.integers(2, 20),
)
def test_a_steady_drive_ends_in_a_good_pair_or_at_a_limit(
    pixels: float, rate: float, longest: float, capacity: int
) -> None:
    if 7.5 < pixels < 8:
        pixels = 7.0  # one frame is too little and two are too much: there is no good pair
    buffer = PartnerBuffer(longest, capacity)
    gaps = drive(buffer, [pixels / 640] * 60, rate)
    by_time = round(longest * 1e9) // round(1e9 / rate)
    for gap in gaps[1:]:
        assert 1 <= gap <= min(by_time, capacity)
    last = gaps[-1]
    assert len(buffer) == min(60, capacity)
    limit = min(by_time, capacity)
    if last < limit:
        assert last * pixels >= 8 - 1e-9
    if last > 1:
        assert last * pixels <= 15 + 1e-9


def test_a_partner_is_never_too_old() -> None:
    """Frames were dropped: the learnt gap of four would reach back 0.7 s."""
    buffer = PartnerBuffer()
    drive(buffer, [2 / 640] * 10, 30.0)
    newest = round(9e9 / 30)
    late = newest + 450_000_000
    assert buffer.broken_by(late) is None
    partner = buffer.partner(late)
    assert late - partner.stamp_ns <= 500_000_000
    assert partner.stamp_ns == 8 * 33_333_333, "the oldest within the limit"


def test_breaks_are_named() -> None:
    buffer = PartnerBuffer(0.5)
    buffer.add(Stamp(10**9))
    assert buffer.broken_by(10**9 + 500_000_000) is None, "the limit itself is good"
    assert buffer.broken_by(10**9 + 500_000_001) == "0.500 s without a frame"
    assert buffer.broken_by(3 * 10**9) == "2.000 s without a frame"
    assert buffer.broken_by(10**9 - 250_000_000) == "time went back by 0.250 s"
    assert buffer.broken_by(10**9) == "time went back by 0.000 s", "a frame twice is no pair"
    assert buffer.broken_by(10**9 + 1) is None


def test_clearing_forgets_the_frames_and_the_gap() -> None:
    """After a cut, a bag's loop, another camera."""
    buffer = PartnerBuffer()
    drive(buffer, [2 / 640] * 10, 30.0)
    buffer.clear()
    assert len(buffer) == 0
    assert buffer.partner(10**12) is None
    assert buffer.broken_by(0) is None
    for now in range(3):
        buffer.add(Stamp(now))
    assert buffer.partner(3) == Stamp(2), "the learnt gap of four is forgotten"
    buffer.clear()
    assert drive(buffer, [9 / 640] * 4, 30.0) == [None, 1, 1, 1]


def test_only_the_last_frames_are_kept() -> None:
    buffer = PartnerBuffer(10.0, capacity=3)
    gaps = drive(buffer, [0.0] * 9, 30.0)
    assert len(buffer) == 3
    assert gaps[-1] == 3


def test_a_long_rest_is_forgotten_as_fast_as_a_short_one() -> None:
    """At 10 Hz, 0.5 s are five frames, however long the camera stood at the lights."""
    buffer = PartnerBuffer()
    still = drive(buffer, [0.0] * 40, 10.0)
    assert still[-1] == 5
    # The first pair's motion lies before these frames, and is none.
    gaps = drive(buffer, [20 / 640] * 8, 10.0, start=40)
    assert gaps[:6] == [5, 5, 4, 3, 2, 1]


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=20),
    st.floats(0, 2),
    st.integers(1, 6),
)
def test_before_is_the_nearest_frame_in_time(
    steps: list[int], seconds: float, capacity: int
) -> None:
    buffer = PartnerBuffer(10.0, capacity)
    times = [sum(steps[: i + 1]) for i in range(len(steps))]
    for now in times:
        buffer.add(Stamp(now))
    now = times[-1] + 5
    found = buffer.before(now, seconds)
    kept = times[-capacity:]
    assert found.stamp_ns in kept
    then = now - round(seconds * 1e9)
    assert abs(found.stamp_ns - then) == min(abs(t - then) for t in kept)


def test_newest_and_what_takes_its_place() -> None:
    buffer = PartnerBuffer()
    assert buffer.newest is None
    assert buffer.before(10**9, 0.1) is None
    first, second, better = Stamp(1), Stamp(2), Stamp(2)
    buffer.add(first)
    buffer.add(second)
    assert buffer.newest is second
    buffer.renew(better)
    assert len(buffer) == 2
    assert buffer.newest is better
    assert buffer.partner(3) is better
    assert buffer.before(2, 1e-9) is first
