# SPDX-License-Identifier: Apache-2.0
"""Depth errors by range, class and motion."""

from typing import Any

import numpy as np
import pytest
from constructed import CAMERA, Given, Says, at, figures_of, thing
from numpy.typing import NDArray

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.sequence import Truth
from depth_recog.evaluation.answer import Answer
from depth_recog.evaluation.depth_errors import Protocol
from depth_recog.evaluation.depth_tally import MOTIONS, motions
from depth_recog.evaluation.motion import MOVING, PARKED, UNKNOWN, motion_of

Depth = NDArray[np.float32]


def depth_of(truths: list[Truth], depths: list[Depth], cap: float = 80.0) -> dict[str, Any]:
    answers = Says(lambda i: Answer(depths[i]))
    return figures_of(Given(truths), answers, Protocol("none", cap))["depth"]


def columns(*metres: float) -> Depth:
    """(40, 64): vertical strips of equal depth."""
    return np.repeat(np.repeat(np.array(metres, np.float32), 64 // len(metres))[None], 40, 0)


def test_by_range() -> None:
    """A range includes its lower end, has its own error, and is scaled as the whole image is."""
    truth, factors = columns(5, 10, 20, 40), (1.1, 1.2, 1.3, 0.6)
    got = depth_of([Truth(depth=truth)], [truth * columns(*factors)])
    assert list(got["by_range"]) == ["0-10", "10-20", "20-40", "40-80"]
    scale = got["scale"]["median"]
    assert scale == pytest.approx(15 / np.median((5.5, 12, 26, 24)))
    for group, factor in zip(got["by_range"].values(), factors, strict=True):
        assert group["pixels"] == 16 * 40
        for kind, error in (("unscaled", factor - 1), ("median_scaled", factor * scale - 1)):
            assert group[kind]["abs_rel"] == pytest.approx(abs(error), abs=1e-6)


def test_groups_are_over_pixels_and_images_are_means_over_images() -> None:
    few, many = np.full((40, 64), np.nan, np.float32), np.full((40, 64), 5, np.float32)
    few[0, :10] = 5
    got = depth_of([Truth(depth=few), Truth(depth=many)], [many * 2, many])
    assert got["unscaled"]["abs_rel"] == pytest.approx(0.5)
    assert got["by_range"]["0-10"]["unscaled"]["abs_rel"] == pytest.approx(10 / 2570)
    assert got["by_range"]["0-10"]["pixels"] == 2570


def test_groups_are_in_a_fixed_order() -> None:
    far, near = (np.full((40, 64), d, np.float32) for d in (50.0, 5.0))
    labels = [np.full((40, 64), i, np.uint8) for i in (13, 0)]
    truths = [Truth(depth=d, labels=n) for d, n in zip((far, near), labels, strict=True)]
    got = depth_of(truths, [far, near])
    assert list(got["by_range"]) == ["0-10", "40-80"]
    assert list(got["by_class"]) == ["road", "car"]


def test_the_cap_ends_the_last_range() -> None:
    got = depth_of([Truth(depth=columns(5, 15, 25, 55))], [columns(5, 15, 25, 55)], cap=30.0)
    assert list(got["by_range"]) == ["0-10", "10-20", "20-40"]


def test_by_class_prefers_the_labels_of_the_truth() -> None:
    depth = columns(10, 10)
    true = np.where(columns(0, 1) > 0, 13, 0).astype(np.uint8)
    true[0] = 255
    own = np.full((40, 64), 2, np.uint8)
    answer = Answer(depth * columns(1.1, 1.5), own)
    for labels, name, groups in (
        (true, "truth", {"road": 0.1, "car": 0.5}),
        (None, "the method's own", {"building": 0.3}),
    ):
        sequence = Given([Truth(depth=depth, labels=labels)])
        got = figures_of(sequence, Says(lambda i: answer))["depth"]
        assert got["labels"] == name
        errors = {k: v["unscaled"]["abs_rel"] for k, v in got["by_class"].items()}
        assert errors == pytest.approx(groups, abs=1e-6)
    assert "by_class" not in depth_of([Truth(depth=depth)], [depth])


def test_speeds() -> None:
    box = thing("a", 0.0)
    speeds = {0.0: PARKED, 0.39: PARKED, 0.5: UNKNOWN, 0.81: MOVING, 9.0: MOVING, np.nan: UNKNOWN}
    assert {s: motion_of(at(box, speed=s)) for s in speeds} == speeds


WALL = np.full((40, 64), 10, np.float32)


def wall_with(*boxes: Box) -> dict[str, Any]:
    """Figures of a wall at 10 m; the error is 0.1 in the left half and 0.3 in the right half."""
    return depth_of([Truth(depth=WALL, boxes=boxes)], [WALL * columns(1.1, 1.3)])["by_motion"]


def pixels_within(box: Box) -> NDArray[np.bool_]:
    """A box enlarged by 15 cm to the sides and lifted by 15 cm."""
    v, u = np.mgrid[:40, :64]
    x, y = (u - CAMERA.cx) * 10 / CAMERA.fx, (v - CAMERA.cy) * 10 / CAMERA.fy
    (across, _, up), (right, down, _) = box.size, box.T_camera_from_box[:3, 3]
    inside = (abs(x - right) <= across / 2 + 0.15) & (abs(y + 0.15 - down) <= up / 2)
    return np.asarray(inside)


def test_by_motion() -> None:
    parked = thing("p", 0.1, (-3.0, 0.0, 10.0))
    moving = thing("m", 3.0, (3.0, 0.0, 10.0))
    got = wall_with(moving, parked)
    counts = {name: group["pixels"] for name, group in got.items()}
    assert list(counts) == ["moving", "parked", "background"]
    assert counts["parked"] == pixels_within(parked).sum() > 150
    assert counts["moving"] == pixels_within(moving).sum() > 150
    assert sum(counts.values()) == 40 * 64
    assert got["parked"]["unscaled"]["abs_rel"] == pytest.approx(0.1, abs=1e-6)
    assert got["moving"]["unscaled"]["abs_rel"] == pytest.approx(0.3, abs=1e-6)


def test_a_box_is_lifted_above_the_points_of_the_road() -> None:
    box = thing("p", 0.1, (-3.0, 0.0, 10.0))
    got = motions(WALL, np.ones((40, 64), np.bool_), (box,), CAMERA).reshape(40, 64)
    np.testing.assert_array_equal(got == MOTIONS.index("parked"), pixels_within(box))


def test_objects_of_unknown_motion_are_in_no_group() -> None:
    box = thing("x", np.nan)
    got = wall_with(box)
    assert list(got) == ["background"]
    assert got["background"]["pixels"] == 40 * 64 - pixels_within(box).sum()


def test_moving_objects_take_precedence_where_boxes_overlap() -> None:
    moving, parked = thing("m", 3.0), thing("p", 0.0)
    for boxes in ((moving, parked), (parked, moving)):
        assert list(wall_with(*boxes)) == ["moving", "background"]


def test_a_box_contains_points_at_its_depth_only() -> None:
    assert list(wall_with(thing("m", 3.0, (0.0, 0.0, 15.0)))) == ["background"]


def test_no_boxes_differs_from_unknown_boxes() -> None:
    assert "by_motion" not in depth_of([Truth(depth=WALL)], [WALL])
    assert list(wall_with()) == ["background"]
