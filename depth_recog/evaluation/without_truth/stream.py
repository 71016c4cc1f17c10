# SPDX-License-Identifier: Apache-2.0
"""Pairs of frames from a stream, with whatever belongs to each frame: its depth, say."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from depth_recog.evaluation.without_truth.points import Evidence, evidence_of
from depth_recog.evaluation.without_truth.views import View

REACH = 8
"""Most frames between the frames of a pair."""

LONGEST_NS = 2_000_000_000
"""Most nanoseconds between two successive frames: beyond is another place."""

MOST_PAIRS = 100
"""Pairs of one recording that are judged; more cost time and tell little, as neighbours agree."""

T = TypeVar("T")


class Pair(NamedTuple, Generic[T]):
    """Two frames of a stream.

    Attributes:
        number: of the first frame in the stream.
        evidence: what is known of them without depth.
        first: what belongs to the first frame.
        second: what belongs to the second.
    """

    number: int
    evidence: Evidence
    first: T
    second: T


def step_for(frames: int) -> int:
    """Return how many frames lie between the pairs of a recording, for `MOST_PAIRS`."""
    return max(1, -(-frames // MOST_PAIRS))


def pairs_of(frames: Iterable[tuple[View, T]], step: int) -> Iterator[Pair[T]]:
    """Pair every `step`-th frame of a stream with a later one.

    Args:
        frames: in order of time; at most `REACH` + 1 of them are kept.
        step: 1 to begin a pair at every frame.
    """
    window: deque[tuple[int, View, T]] = deque()
    for index, (view, own) in enumerate(frames):
        if window and not 0 < view.stamp_ns - window[-1][1].stamp_ns <= LONGEST_NS:
            yield from _rest(window, step)
        window.append((index, view, own))
        if len(window) > REACH:
            yield from _pair(window, step)
            window.popleft()
    yield from _rest(window, step)


def _rest(window: deque[tuple[int, View, T]], step: int) -> Iterator[Pair[T]]:
    while window:
        yield from _pair(window, step)
        window.popleft()


def _pair(window: deque[tuple[int, View, T]], step: int) -> Iterator[Pair[T]]:
    index, _, first = window[0]
    if index % step or len(window) < 2:
        return
    evidence = evidence_of([view for _, view, _ in window])
    (second,) = (own for _, view, own in window if view is evidence.second)
    yield Pair(index, evidence, first, second)
