# SPDX-License-Identifier: Apache-2.0
"""Outlines and text are drawn at the right places."""

import numpy as np

from depth_recog.method.gate.by_image import Motion
from depth_recog.method.gate.result import Region
from depth_recog.pictures import MOVING_COLOR, STILL_COLOR, outline, outlined_regions

SHAPE = (120, 400)
BLANK = np.full((*SHAPE, 3), 128, np.uint8)


def region(number: int, motion: Motion) -> Region:
    three = np.ones(3)
    return Region(number, "car", 1, 1, motion, 5.0, "", 2 * three, three, three, three)


def numbers(*boxes: tuple[int, slice, slice]) -> np.ndarray:
    answer = np.zeros(SHAPE, np.int32)
    for number, rows, columns in boxes:
        answer[rows, columns] = number
    return answer


def colored(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return (picture == color).all(2)


def test_touching_regions_have_outlines_of_their_own() -> None:
    found = numbers((4, np.s_[40:100], np.s_[50:150]), (700, np.s_[40:100], np.s_[150:250]))
    both = [region(4, Motion.MOVING), region(700, Motion.MOVING)]
    picture = outlined_regions(BLANK, found, both)
    red = colored(picture, MOVING_COLOR)
    # Both sides of the border between them, half way down.
    assert red[70, (50, 149, 150, 249)].all()
    assert not red[70, (45, 100, 200, 255)].any()
    assert (BLANK == 128).all()


def test_colours_and_text() -> None:
    found = numbers((4, np.s_[40:100], np.s_[50:150]), (5, np.s_[40:100], np.s_[200:300]))
    both = [region(4, Motion.STILL), region(5, Motion.MOVING)]
    picture = outlined_regions(BLANK, found, both)
    assert colored(picture, STILL_COLOR)[70, 50]
    assert colored(picture, MOVING_COLOR)[70, 200]
    # Above each is its number; the mover's speed makes its text longer.
    written = (picture[:38] != 128).any((0, 2))
    still, moving = np.flatnonzero(written[:180]), 180 + np.flatnonzero(written[180:])
    assert 48 <= still.min() < still.max() < 70
    assert 198 <= moving.min() < 230 < moving.max()


def test_text_does_not_hide_small_regions() -> None:
    found = numbers((4, np.s_[60:66], np.s_[50:58]))
    picture = outlined_regions(BLANK, found, [region(4, Motion.MOVING)])
    assert colored(picture, MOVING_COLOR)[60, 50]
    assert not (picture[:55] != 128).any()


def test_a_region_without_pixels_and_a_text_at_the_border() -> None:
    found = numbers((4, np.s_[0:60], np.s_[350:400]))
    picture = outlined_regions(BLANK, found, [region(4, Motion.MOVING), region(9, Motion.STILL)])
    assert not colored(picture, STILL_COLOR).any()
    assert (picture[:12, 340:400] != 128).any()


def test_outline_of_a_decision() -> None:
    moving = np.zeros(SHAPE, np.uint8)
    moving[40:100, 50:150] = 2
    red = colored(outline(BLANK, moving), MOVING_COLOR)
    assert red[70, (50, 149)].all()
    assert not red[70, 100]
