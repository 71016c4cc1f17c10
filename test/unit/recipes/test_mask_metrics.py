# SPDX-License-Identifier: Apache-2.0
"""Metrics of masks, each against a slow reference."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.sequence import Truth
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import CITYSCAPES
from recipes.mask_metrics import GROUPS, Agreement, Points, confusion, ids
from recipes.temperature import CalibrationTally, fit_temperature

CAMERA = Camera(60, 40, 50.0, 50.0, 29.5, 19.5)


def iou(truth: np.ndarray, answer: np.ndarray, names: tuple[str, ...]) -> float:
    """Slow reference: sets of pixels."""
    wanted = {CITYSCAPES.index(name) for name in names}
    pixels = list(zip(truth.ravel().tolist(), answer.ravel().tolist(), strict=True))
    known = [(t, a) for t, a in pixels if t != 255]
    both = sum(t in wanted and a in wanted for t, a in known)
    either = sum(t in wanted or a in wanted for t, a in known)
    return both / either if either else float("nan")


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_agreement_is_that_of_sets_of_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 8, 11, 12, 13, 14, 18, 255], (20, 30)).astype(np.uint8)
    answer = rng.choice([0, 8, 11, 12, 13, 14, 15], (20, 30)).astype(np.uint8)
    found = Agreement.of(confusion(truth[:9], answer[:9]) + confusion(truth[9:], answer[9:]))
    assert set(found.by_class) == {CITYSCAPES[i] for i in np.unique(truth) if i != 255}
    for name, value in found.by_class.items():
        assert value == pytest.approx(iou(truth, answer, (name,)))
    for group, names in GROUPS.items():
        assert found.by_group[group] == pytest.approx(iou(truth, answer, names))
    assert found.mean == pytest.approx(np.mean([*found.by_class.values()]))
    assert found.accuracy == pytest.approx((truth == answer)[truth != 255].mean())


def test_a_class_of_a_few_pixels_is_not_present() -> None:
    truth = np.zeros((100, 100), np.uint8)
    truth[0, :5] = 13
    assert set(Agreement.of(confusion(truth, truth)).by_class) == {"road"}
    truth[0, 5] = 13
    assert set(Agreement.of(confusion(truth, truth)).by_class) == {"road", "car"}


def scene(truncated: bool = False) -> Truth:
    """A wall at 20 m; before it a car at 10 m in the left half, half of it behind a post at 5 m."""
    depth = np.full((40, 60), 20.0, np.float32)
    depth[10:30, 5:25] = 10.0
    depth[10:30, 5:15] = 5.0
    depth[12, 20] = np.nan
    place = np.eye(4)
    place[:3, 3] = ((15 - CAMERA.cx) / CAMERA.fx * 10.0, 0.0, 10.0)
    car = Box("1", "car", place, (4.0, 4.0, 2.0), 0.0, truncated)
    far = np.eye(4)
    far[:3, 3] = ((50 - CAMERA.cx) / CAMERA.fx * 20.0, 0.0, 20.0)
    person = Box("2", "rider", far, (1.0, 1.0, 1.0), 1.0)
    odd = Box("3", "misc", far, (30.0, 30.0, 30.0), 1.0)
    return Truth(depth=depth, boxes=(odd, car, person))


def test_points_lie_within_boxes() -> None:
    points = Points.of(scene(), CAMERA)
    cars = points.group == list(GROUPS).index("vehicles")
    wanted = {(u, v) for u in range(15, 25) for v in range(10, 30)} - {(20, 12)}
    assert set(zip(points.u[cars].tolist(), points.v[cars].tolist(), strict=True)) == wanted
    people = ~cars
    assert set(points.u[people]) == {49, 50, 51}


def test_without_lidar_or_boxes_or_at_the_border_there_are_no_points() -> None:
    assert not (Points.of(scene(truncated=True), CAMERA).group == 0).any()
    assert Points.of(Truth(depth=scene().depth), CAMERA) is None
    assert Points.of(Truth(boxes=scene().boxes), CAMERA) is None


def test_found_counts_points_on_the_classes_of_a_group() -> None:
    points = Points.of(scene(), CAMERA)
    labels = np.zeros((80, 120), np.uint8)  # twice the size
    labels[:, 30:40] = CITYSCAPES.index("truck")  # the original's columns 15 to 19
    labels[:, 100:102] = CITYSCAPES.index("car")  # a person's column 50, for another group
    labels[:, 98:100] = CITYSCAPES.index("bicycle")
    (vehicles, cars), (wheels, people) = points.found(labels)
    assert (vehicles, cars) == (100, 199)
    assert wheels * 3 == people > 0


def test_the_groups_are_preset_classes_and_share_none() -> None:
    both = np.concatenate([ids(name) for name in GROUPS])
    assert len(set(both)) == len(both) == 8


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_calibration_error_is_that_of_bins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    said = rng.random(200).astype(np.float32)
    right = rng.random(200) < 0.6
    tally = CalibrationTally()
    tally.add(said[:70], right[:70])
    tally.add(said[70:], right[70:])
    slow = 0.0
    for low in range(15):
        inside = (said * 15 >= low) & (said * 15 < low + 1)
        if inside.any():
            slow += abs(right[inside].mean() - said[inside].mean()) * inside.mean()
    assert tally.error == pytest.approx(slow, abs=1e-6)


def test_one_is_in_the_last_bin() -> None:
    tally = CalibrationTally()
    tally.add(np.ones(3, np.float32), np.array([True, True, False]))
    assert tally.error == pytest.approx(1 / 3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_random_labels_is_found(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = 2 * torch.randn(20000, 5, generator=generator)
    chances = (scores / temperature).softmax(1)
    labels = torch.multinomial(chances, 1, generator=generator)[:, 0]
    assert fit_temperature(scores, labels) == pytest.approx(temperature, rel=0.05)
