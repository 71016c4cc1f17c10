# SPDX-License-Identifier: Apache-2.0
"""Matching images with CameraInfo, and the slot that holds the newest pair.

test_seam_contract.py compares the matcher with message_filters.
"""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from depth_recog.nodes.io.inputs import CameraMatcher
from depth_recog.nodes.runtime.slot import LatestSlot

Matcher = CameraMatcher[str, str]


@pytest.fixture
def matcher() -> Matcher:
    return CameraMatcher()


def test_a_pair_is_returned_with_its_second_half(matcher: Matcher) -> None:
    assert matcher.info(1, "i1") == []
    assert matcher.image(1, "a1") == ([("a1", "i1")], 0)
    assert matcher.image(2, "a2") == ([], 0)
    assert matcher.waiting == 1
    assert matcher.info(2, "i2") == [("a2", "i2")]
    assert matcher.waiting == 0


def test_an_image_without_info_is_given_up_when_the_next_one_comes(matcher: Matcher) -> None:
    assert matcher.image(1, "a1") == ([], 0)
    assert matcher.image(2, "a2") == ([], 1)
    assert matcher.info(2, "i2") == [("a2", "i2")]
    assert not matcher.loose


def test_without_any_info_nothing_is_paired(matcher: Matcher) -> None:
    found = [matcher.image(i, f"a{i}") for i in range(50)]
    assert found == [([], 0)] + [([], 1)] * 49
    assert matcher.waiting == 1
    assert not matcher.loose


def test_one_info_for_all_images(matcher: Matcher) -> None:
    """A latched camera_info, sent once, is used after three images; then the newest one is."""
    matcher.info(0, "only")
    found = [matcher.image(i, f"a{i}") for i in range(1, 11)]
    assert matcher.loose
    assert sum(given_up for _, given_up in found) == 2
    assert [pair for pairs, _ in found for pair in pairs] == [
        (f"a{i}", "only") for i in range(3, 11)
    ]
    matcher.info(2, "new")
    assert matcher.image(15, "a15") == ([("a15", "new")], 0)
    # Equal stamps end looseness.
    matcher.info(20, "i20")
    assert matcher.image(20, "a20") == ([("a20", "i20")], 0)
    assert not matcher.loose


def test_old_infos_are_forgotten(matcher: Matcher) -> None:
    """camera_info without images must not fill the memory."""
    for i in range(10_000):
        matcher.info(i, f"i{i}")
    assert len(matcher._infos) < 100
    assert matcher.image(0, "a0") == ([], 0)
    assert matcher.image(9_999, "a") == ([("a", "i9999")], 1)


EVENTS = st.lists(st.tuples(st.sampled_from(("image", "info")), st.integers(0, 12)), max_size=80)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_every_image_is_paired_lost_or_waiting(events: list[tuple[str, int]]) -> None:
    """For any order and any stamps the counts add up and the order is kept."""
    matcher: CameraMatcher[int, int] = CameraMatcher()
    stamps: list[int] = []
    paired: list[int] = []
    infos: list[int] = []
    lost = 0
    for kind, stamp in events:
        if kind == "image":
            stamps.append(stamp)
            pairs, given_up = matcher.image(stamp, len(stamps) - 1)
            lost += given_up
        else:
            infos.append(stamp)
            pairs = matcher.info(stamp, stamp)
        for image, info in pairs:
            assert info == stamps[image] or info == infos[-1]
            paired.append(image)
        assert paired == sorted(set(paired)), "an image came twice, or late"
        assert len(paired) + lost + matcher.waiting == len(stamps)
    if not infos:
        assert not paired


# LatestSlot


def test_slot_keeps_the_newest() -> None:
    slot: LatestSlot[int] = LatestSlot()
    assert [slot.put(i) for i in range(4)] == [False, True, True, True]
    assert slot.take() == 3
    assert not slot.put(4)
    assert slot.take() == 4


def test_a_closed_slot_is_empty_and_reports_what_was_left() -> None:
    slot: LatestSlot[int] = LatestSlot()
    slot.put(1)
    assert slot.close() == 1
    assert slot.take() is None
    assert slot.close() == 0


def test_close_wakes_a_taker() -> None:
    slot: LatestSlot[int] = LatestSlot()
    got: list[int | None] = []
    taker = threading.Thread(target=lambda: got.append(slot.take()), daemon=True)
    taker.start()
    slot.close()
    taker.join(10)
    assert got == [None]


def test_slot_adds_up_between_threads() -> None:
    """Every item is taken, replaced, or left in the slot; taken items are in order."""
    slot: LatestSlot[int] = LatestSlot()
    taken: list[int] = []

    def take_all() -> None:
        while (item := slot.take()) is not None:
            taken.append(item)

    taker = threading.Thread(target=take_all, daemon=True)
    taker.start()
    displaced = sum(slot.put(i) for i in range(5000))
    left = slot.close()
    taker.join(10)
    assert not taker.is_alive()
    assert taken == sorted(set(taken))
    assert len(taken) + displaced + left == 5000
