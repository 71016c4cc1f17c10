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

from depth_recog.nodes.io.matching import CameraMatcher
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


def pairs_of(found: list[tuple[list[tuple[str, str]], int]]) -> list[tuple[str, str]]:
    """All pairs; no image may have been given up."""
    assert not any(given_up for _, given_up in found)
    return [pair for pairs, _ in found for pair in pairs]


def test_one_info_for_all_images(matcher: Matcher) -> None:
    """A latched camera_info, sent once: no image is lost, and after three none waits."""
    matcher.info(0, "only")
    found = [matcher.image(i, f"a{i}") for i in range(1, 11)]
    assert matcher.loose
    assert [len(pairs) for pairs, _ in found] == [0, 1, 1, 2] + [1] * 6
    assert pairs_of(found) == [(f"a{i}", "only") for i in range(1, 11)]
    matcher.info(2, "new")
    assert matcher.image(15, "a15") == ([("a15", "new")], 0)
    # Three images in a row with a CameraInfo of their own end looseness.
    for stamp in (20, 21, 22):
        assert matcher.loose
        matcher.info(stamp, f"i{stamp}")
        assert matcher.image(stamp, f"a{stamp}") == ([(f"a{stamp}", f"i{stamp}")], 0)
    assert matcher.image(23, "a23") == ([], 0)
    assert not matcher.loose
    assert matcher.info(23, "i23") == [("a23", "i23")]


@pytest.mark.parametrize("every", [2, 3, 7])
def test_infos_that_come_more_rarely_than_images(matcher: Matcher, every: int) -> None:
    """The newest info holds; a matching stamp now and then does not make the others wait."""
    found, loose = [], []
    for stamp in range(60):
        if stamp % every == 0:
            matcher.info(stamp, f"i{stamp - stamp % every}")
        found.append(matcher.image(stamp, f"a{stamp}"))
        loose.append(matcher.loose)
    pairs = pairs_of(found)
    assert [image for image, _ in pairs] == [f"a{stamp}" for stamp in range(60)]
    assert loose == sorted(loose), "it must not change to and fro"
    assert pairs[30:] == [(f"a{s}", f"i{s - s % every}") for s in range(30, 60)]


def test_a_lost_info_now_and_then_does_not_change_the_rule(matcher: Matcher) -> None:
    found = []
    for stamp in range(60):
        if stamp % 10 != 5:
            matcher.info(stamp, f"i{stamp}")
        found.append(matcher.image(stamp, f"a{stamp}"))
        assert not matcher.loose
    pairs = dict(pairs_of(found))
    assert pairs.pop("a15") in ("i14", "i16")
    assert all(info == f"i{image[1:]}" for image, info in pairs.items() if image[-1] != "5")


def test_infos_that_come_late(matcher: Matcher) -> None:
    """Two images later: the newest there is. In time again, they are waited for again."""
    found = []
    for stamp in range(20):
        found.append(matcher.image(stamp, f"a{stamp}"))
        if stamp >= 2:
            matcher.info(stamp - 2, f"i{stamp - 2}")
    lost = sum(given_up for _, given_up in found)
    assert lost == 2, "those before the first info"
    assert matcher.loose
    for stamp in range(20, 25):
        matcher.image(stamp, f"a{stamp}")
        matcher.info(stamp, f"i{stamp}")
    assert not matcher.loose


def test_the_newest_info_that_fits_is_taken() -> None:
    """Cameras of two sizes on one topic, whose stamps never match; then a change of the mode."""
    matcher: Matcher = CameraMatcher(lambda image, info: image[0] == info[0])
    found = []
    for stamp in range(20):
        size = "sl"[stamp % 2]
        matcher.info(1000 + stamp, f"{size}{stamp}")
        found.append(matcher.image(stamp, f"{size}{stamp}"))
    assert matcher.loose
    assert pairs_of(found)[3:] == [(f"{'sl'[n % 2]}{n}",) * 2 for n in range(3, 20)]
    assert matcher.image(20, "x20") == ([], 0), "of a new size it waits, although `loose`"
    assert matcher.info(20, "x20") == [("x20", "x20")]


def test_the_last_image_need_not_wait_for_ever(matcher: Matcher) -> None:
    matcher.image(1, "a1")
    assert matcher.hurry() == []
    assert matcher.waiting, "without any info there is nothing to pair it with"
    matcher.info(0, "i0")
    assert matcher.hurry() == [("a1", "i0")]
    assert matcher.hurry() == []


def test_old_infos_are_forgotten(matcher: Matcher) -> None:
    """camera_info without images must not fill the memory."""
    for i in range(10_000):
        matcher.info(i, f"i{i}")
    assert len(matcher._infos) < 100
    assert matcher.image(0, "a0") == ([], 0)
    assert matcher.image(9_999, "a") == ([("a0", "i9999"), ("a", "i9999")], 0)


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
