# SPDX-License-Identifier: Apache-2.0
"""Order and times of messages: header stamps where they are sane, times of receipt where not.

Header stamps are exact, but a driver may send zeros, a clock may be set, or one stamp may be
nonsense. Times of receipt are late by a delay that changes, and some converters do not write them.
Both are split into runs, at jumps of more than a few frames, and the runs are compared.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

_JUMP_PERIODS = 4.5
"""Frames that overtake each other by less are sorted by header stamp."""
_CLOCK_STEP_NS = 10_000_000_000
"""How far a run in order may be off the times of receipt, as a recorder may be late by seconds."""
_SHARE_LOST = 0.1
"""Share of messages that may be left out before another clock is used."""
_MOST_RUNS = 2000
"""Clocks with more runs are used as they are: comparing all runs takes too long."""
_NOMINAL_NS = 100_000_000
_DAY_NS = 86_400_000_000_000


@dataclass
class Timeline:
    """The messages that are kept.

    Attributes:
        order: their indices, in order of time.
        times: nanoseconds, strictly increasing.
        by_header: whether the times are header stamps, but for a few.
        notes: what is wrong with the stamps, for a warning.
    """

    order: list[int]
    times: list[int]
    by_header: bool = True
    notes: list[str] = field(default_factory=list)


def timeline(headers: Sequence[int], receipts: Sequence[int]) -> Timeline:
    """Orders the messages of a topic.

    Args:
        headers: header stamps in nanoseconds, in the order in which the messages were written.
        receipts: times of receipt, in the same order.
    """
    written = list(range(len(headers)))
    received = sorted(written, key=lambda i: receipts[i])
    # A clock that was set back mixes the order of receipt up, but some tools write in no order.
    unordered = _steps_back([headers[i] for i in written])
    unordered -= _steps_back([headers[i] for i in received])
    base = received if unordered > max(3, len(written) // 20) else written
    found = _by_clock(base, headers, receipts)
    enough = (1 - _SHARE_LOST) * len(headers)
    if len(found.order) < enough:
        other = _by_clock(written, receipts, None)
        other.by_header = False
        other.notes.append("header stamps do not increase: times of receipt are used")
        found = max(found, other, key=lambda one: len(one.order))
    if len(found.order) < enough:
        note = "neither header stamps nor times of receipt increase: 10 Hz is assumed"
        found = Timeline(written, [i * _NOMINAL_NS for i in written], False, [note])
    longest = max((after - before for before, after in pairwise(found.times)), default=0)
    if longest > _DAY_NS:
        found.notes.append(f"two images are {longest / _DAY_NS:.0f} days apart")
    return found


@dataclass
class _Run:
    """Consecutive messages without a jump.

    Attributes:
        members: indices of the messages.
        first, last: the earliest and the latest time.
    """

    members: list[int]
    first: int
    last: int


def _by_clock(base: list[int], clock: Sequence[int], other: Sequence[int] | None) -> Timeline:
    """Times by one clock; `other` corrects it where it was set, if it runs as fast."""
    period = _period([clock[i] for i in base])
    jump = round(_JUMP_PERIODS * period)
    runs = _runs(base, clock, jump)
    shifts: list[int | None] = [0] * len(runs)
    notes: list[str] = []
    if len(runs) > 1:
        if other is not None and _comparable(base, runs, clock, other, jump):
            shifts = _shifts_by_other(runs, clock, other, period)
        elif len(runs) <= _MOST_RUNS:
            shifts = _shifts_alone(runs, period)
        notes = _described(runs, shifts)
    times = {
        i: clock[i] + shift
        for run, shift in zip(runs, shifts, strict=True)
        if shift is not None
        for i in run.members
    }
    order: list[int] = []
    for i in sorted(times, key=times.__getitem__):
        if not order or times[i] > times[order[-1]]:
            order.append(i)
    return Timeline(order, [times[i] for i in order], True, notes)


def _period(times: list[int]) -> int:
    """Time between two messages: the upper quartile, so that bursts do not make it small."""
    gaps = sorted(abs(after - before) for before, after in pairwise(times) if after != before)
    return gaps[len(gaps) * 3 // 4] if gaps else 0


def _steps_back(times: list[int]) -> int:
    return sum(after < before for before, after in pairwise(times))


def _runs(base: list[int], clock: Sequence[int], jump: int) -> list[_Run]:
    runs: list[_Run] = []
    for i in base:
        time = clock[i]
        # Zero is a stamp that was not set, each a run of its own.
        if runs and time and abs(time - clock[runs[-1].members[-1]]) <= jump:
            run = runs[-1]
            run.members.append(i)
            run.first, run.last = min(run.first, time), max(run.last, time)
        else:
            runs.append(_Run([i], time, time))
    return runs


def _comparable(
    base: list[int], runs: list[_Run], clock: Sequence[int], other: Sequence[int], jump: int
) -> bool:
    """Whether the other clock was never set back and runs as fast as this one."""
    if any(other[before] - other[after] > jump for before, after in pairwise(base)):
        return False
    ends = [(run.members[0], run.members[-1]) for run in runs]
    by_clock = sum(clock[last] - clock[first] for first, last in ends)
    by_other = sum(other[last] - other[first] for first, last in ends)
    return 0 < by_clock <= 2 * by_other <= 4 * by_clock


def _shifts_by_other(
    runs: list[_Run], clock: Sequence[int], other: Sequence[int], period: int
) -> list[int | None]:
    """What is added to each run so that it agrees with the longest one by the other clock."""
    jump = round(_JUMP_PERIODS * period)
    offsets = [round(median(other[i] - clock[i] for i in run.members)) for run in runs]
    longest = max(range(len(runs)), key=lambda n: len(runs[n].members))
    times = sorted(clock[i] for run in runs for i in run.members)
    shifts: list[int | None] = []
    for n, run in enumerate(runs):
        shift = offsets[n] - offsets[longest]
        in_order = (n == 0 or runs[n - 1].last < run.first) and (
            n + 1 == len(runs) or run.last < runs[n + 1].first
        )
        tolerance = max(jump, _CLOCK_STEP_NS) if in_order else jump
        # A message that came late, and belongs where one is missing, is right.
        believed = abs(shift) <= tolerance or (not in_order and _fills_hole(run, times, period))
        shifts.append(0 if believed else shift)
    return shifts


def _fills_hole(run: _Run, times: list[int], period: int) -> bool:
    """Whether the run lies between two others of `times`, sorted, where a few are missing."""
    begin, end = bisect_left(times, run.first), bisect_right(times, run.last)
    if begin == 0 or end == len(times) or end - begin != len(run.members):
        return False
    distances = run.first - times[begin - 1], times[end] - run.last
    return all(period // 2 < distance <= _JUMP_PERIODS * period for distance in distances)


def _shifts_alone(runs: list[_Run], period: int) -> list[int | None]:
    """What is added to each run so that time goes on; None leaves it out.

    The largest set of runs that are in order is right. Of the others, short ones are outliers, and
    before long ones the clock was set.
    """
    in_order = _longest_chain(runs)
    total = sum(len(run.members) for run in runs)
    shifts: list[int | None] = []
    shift, last = 0, None
    for n, run in enumerate(runs):
        if n not in in_order and len(run.members) <= max(2, total // 20):
            shifts.append(None)
            continue
        if last is not None and run.first + shift <= last:
            shift = last + period - run.first
        shifts.append(shift)
        last = run.last + shift
    return shifts


def _longest_chain(runs: list[_Run]) -> set[int]:
    """The runs, in order of time, that have the most messages together."""
    sizes: list[int] = []
    before: list[int | None] = []
    for n, run in enumerate(runs):
        earlier = [m for m in range(n) if runs[m].last < run.first]
        best = max(earlier, key=lambda m: (sizes[m], m), default=None)
        before.append(best)
        sizes.append(len(run.members) + (0 if best is None else sizes[best]))
    at: int | None = max(range(len(runs)), key=lambda n: (sizes[n], n))
    chain: set[int] = set()
    while at is not None:
        chain.add(at)
        at = before[at]
    return chain


def _described(runs: list[_Run], shifts: list[int | None]) -> list[str]:
    notes = []
    counts = [(len(run.members), shift) for run, shift in zip(runs, shifts, strict=True)]
    few = sum(n for n, shift in counts if shift and n <= 2)
    if few:
        notes.append(f"stamps far off the others, replaced by the times of receipt: {few}")
    if any(shift for n, shift in counts if n > 2):
        notes.append("the clock was set while it was recorded: the stamps are made continuous")
    return notes
