# SPDX-License-Identifier: Apache-2.0
"""Order and times of a bag's messages: one bad stamp or time of receipt costs itself at most."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import bags
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.bags.timeline import Timeline, timeline

COUNT = 40
PERIOD = 100_000_000
HOUR = 3600 * 10**9
START = 1_700_000_000 * 10**9
DELAY = 5_000_000
ALL = list(range(COUNT))

Stamps = list[int]
Change = Callable[[Stamps, Stamps], None]


def stream() -> tuple[Stamps, Stamps]:
    """Header stamps, and times of receipt with a delay that varies."""
    headers = [START + i * PERIOD for i in ALL]
    jitter = np.random.default_rng(0).integers(0, 30_000_000, COUNT).tolist()
    return headers, [h + DELAY + j for h, j in zip(headers, jitter, strict=True)]


def changed(*changes: Change) -> tuple[Stamps, Stamps]:
    headers, receipts = stream()
    for change in changes:
        change(headers, receipts)
    return headers, receipts


def header(index: int, value: int) -> Change:
    return lambda headers, _: headers.__setitem__(index, value)


def shifted(index: int, by: int) -> Change:
    return lambda headers, _: headers.__setitem__(index, headers[index] + by)


def receipt(index: int, value: int) -> Change:
    return lambda _, receipts: receipts.__setitem__(index, value)


def from_on(begin: int, by: int, both: bool = False) -> Change:
    """A clock that is set: of the camera, or of the computer that also records."""

    def change(headers: Stamps, receipts: Stamps) -> None:
        for stamps in (headers, receipts)[: 1 + both]:
            stamps[begin:] = [s + by for s in stamps[begin:]]

    return change


def all_receipts(make: Callable[[int], int]) -> Change:
    return lambda _, receipts: receipts.__setitem__(slice(None), [make(i) for i in ALL])


CASES: dict[str, tuple[Change, ...]] = {
    "an hour ahead, near the end": (shifted(37, HOUR),),
    "an hour ahead, the last": (shifted(39, HOUR),),
    "an hour ahead, the first": (shifted(0, HOUR),),
    "an hour behind": (shifted(20, -HOUR),),
    "a second ahead": (shifted(20, 10 * PERIOD),),
    "a zero first": (header(0, 0),),
    "a zero in the middle": (header(20, 0),),
    "three zeros first: the clock was not set yet": tuple(header(i, 0) for i in range(3)),
    "since boot, then set": tuple(header(i, 12 * 10**9 + i * PERIOD) for i in range(4)),
    "several outliers": (header(3, 0), shifted(12, HOUR), shifted(30, -HOUR)),
    "negative": (header(5, -1),),
    "the camera's clock is set back": (from_on(20, -HOUR),),
    "the camera's clock is set back by a second": (from_on(20, -10 * PERIOD),),
    "the camera's clock is set forward": (from_on(25, HOUR),),
    "the computer's clock is set back": (from_on(20, -HOUR, both=True),),
    "the computer's clock is set back by a second": (from_on(20, -10 * PERIOD, both=True),),
    "twice": (from_on(10, -HOUR, both=True), from_on(30, -HOUR, both=True)),
    "a time of receipt of zero": (receipt(20, 0),),
    "a time of receipt in the future": (receipt(20, START + HOUR),),
    "no times of receipt": (all_receipts(lambda i: 0),),
    "times of receipt that fall": (all_receipts(lambda i: START - i * PERIOD),),
    "times of receipt by chance": (all_receipts(lambda i: START + i * 7919 % COUNT * PERIOD),),
    "written in a burst at the end": (all_receipts(lambda i: START + HOUR + i),),
    "simulated time, ten times slower": (all_receipts(lambda i: START + 10 * i * PERIOD),),
    "no times of receipt, an outlier": (shifted(20, HOUR), all_receipts(lambda i: 0)),
}
LEFT_OUT = {"no times of receipt, an outlier": {20}}
QUIET = {
    *("a time of receipt of zero", "a time of receipt in the future", "no times of receipt"),
    *("times of receipt that fall", "times of receipt by chance", "written in a burst at the end"),
    "simulated time, ten times slower",
}


def check(found: Timeline, expected: list[int]) -> None:
    assert found.order == expected
    gaps = [after - before for before, after in pairwise(found.times)]
    assert min(gaps) > 0
    steps = [after - before for before, after in pairwise(expected)]
    # Times of receipt are up to 30 ms later than the stamps.
    for gap, step in zip(gaps, steps, strict=True):
        assert abs(gap - step * PERIOD) <= 35_000_000


@pytest.mark.parametrize("case", CASES)
def test_a_bad_stamp_costs_itself_at_most(case: str) -> None:
    """All other images keep their order and their distance in time."""
    found = timeline(*changed(*CASES[case]))
    left_out = LEFT_OUT.get(case, set())
    check(found, [i for i in ALL if i not in left_out])
    assert bool(found.notes) == (case not in QUIET | set(LEFT_OUT))


def test_good_stamps_are_not_touched() -> None:
    headers, receipts = stream()
    found = timeline(headers, receipts)
    assert (found.order, found.times, found.by_header, found.notes) == (ALL, headers, True, [])


SWAPS = {
    "pairs": [i ^ 1 for i in ALL],
    "four workers": [i - i % 4 + (0, 2, 3, 1)[i % 4] for i in ALL],
    "one comes a second late": [i for i in ALL if i != 5][:15] + [5] + list(range(16, COUNT)),
}


@pytest.mark.parametrize("case", SWAPS)
def test_images_that_overtake_each_other_are_sorted(case: str) -> None:
    arrival = SWAPS[case]
    receipts = [START + DELAY + i * PERIOD for i in ALL]
    found = timeline([START + i * PERIOD for i in arrival], receipts)
    assert [arrival[i] for i in found.order] == ALL
    assert found.times == [START + i * PERIOD for i in ALL]
    assert not found.notes


def test_pauses_are_kept() -> None:
    """Of the robot: both clocks agree."""
    headers, receipts = changed(from_on(10, HOUR, both=True), from_on(30, HOUR, both=True))
    found = timeline(headers, receipts)
    assert (found.order, found.times, found.notes) == (ALL, headers, [])


@pytest.mark.parametrize("headers", [[0] * COUNT, [START] * COUNT, [START + i % 3 for i in ALL]])
def test_without_header_stamps(headers: Stamps) -> None:
    receipts = stream()[1]
    found = timeline(headers, receipts)
    assert (found.order, found.times, found.by_header) == (ALL, receipts, False)
    assert "times of receipt are used" in found.notes[-1]
    receipts[20] = 0
    assert timeline(headers, receipts).order == [i for i in ALL if i != 20]
    found = timeline(headers, [7] * COUNT)
    assert (found.order, found.by_header) == (ALL, False)
    assert np.diff(found.times).tolist() == [PERIOD] * (COUNT - 1)
    assert "10 Hz is assumed" in found.notes[-1]


def test_a_gap_of_years_is_told() -> None:
    """Where no time of receipt shows that the first stamp is wrong."""
    headers, _ = changed(header(0, 5))
    found = timeline(headers, [0] * COUNT)
    assert found.order[-39:] == ALL[1:]
    assert "19676 days apart" in found.notes[-1]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(-(2**63), 2**63), st.integers(0, 2**63)), max_size=30))
def test_any_stamps(pairs: list[tuple[int, int]]) -> None:
    found = timeline([h for h, _ in pairs], [r for _, r in pairs])
    assert all(after > before for before, after in pairwise(found.times))
    assert len(found.order) == len(found.times) == len(set(found.order))
    assert set(found.order) <= set(range(len(pairs)))
    assert bool(found.order) == bool(pairs)


def test_many_runs_take_no_long_time() -> None:
    chance = np.random.default_rng(0)
    headers = (START + chance.permutation(20_000) * PERIOD).tolist()
    found = timeline(headers, [START + i * PERIOD for i in range(20_000)])
    assert len(found.order) > 18_000


@pytest.mark.parametrize("storage", bags.STORAGES)
@pytest.mark.parametrize(
    "case", ["an hour ahead, near the end", "the computer's clock is set back"]
)
def test_bags(case: str, storage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Cameras and truth are those of the images, which are joined by the stamps as they were."""
    headers, receipts = changed(*CASES[case])
    messages: bags.Messages = []
    for i, (stamp, time) in enumerate(zip(headers, receipts, strict=True)):
        pixels = np.full((24, 32, 3), i, np.uint8)
        messages.append(("/c/camera_info", time, bags.info(stamp)))
        messages.append(("/c/image", time, bags.image(stamp, pixels)))
        truth = bags.image(stamp, pixels[..., 0].copy(), "mono8")
        messages.append(("/c/ground_truth/labels", time, truth))
    with caplog.at_level(logging.WARNING):
        bag = Rosbag(bags.write(tmp_path / "bag", messages, storage))
    assert [int(frame.image[0, 0, 0]) for frame in bag] == ALL
    for index in ALL:
        labels = bag.truth(index).labels
        assert labels is not None
        assert labels[0, 0] == index
    assert bag.left_out == 0
    assert len(caplog.messages) == 1


def test_a_file_in_no_order() -> None:
    """As some converters and merging tools write it."""
    order = np.random.default_rng(1).permutation(COUNT).tolist()
    headers, receipts = stream()
    found = timeline([headers[i] for i in order], [receipts[i] for i in order])
    assert [order[i] for i in found.order] == ALL
    assert (found.times, found.notes) == (headers, [])
