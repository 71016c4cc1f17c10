# SPDX-License-Identifier: Apache-2.0
"""Figures of the standard deviation, beside their definition."""

from __future__ import annotations

import numpy as np
import pytest

from depth_recog.evaluation.depth_errors import Protocol
from depth_recog.evaluation.uncertainty import UncertaintyTally


def drawn(images: int, informed: bool) -> list[tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(images):
        truth = rng.uniform(2, 79, 20000)
        std = np.exp(rng.uniform(np.log(0.03), np.log(0.5), 20000))
        depth = truth * np.exp(rng.normal(0, 1, 20000) * std)
        given = std if informed else rng.permutation(std)
        found.append((depth, truth, given.astype(np.float32)))
    return found


def tally(images: list[tuple[np.ndarray, ...]], scale: float = 1.0) -> dict:
    made = UncertaintyTally(Protocol("none", 80.0))
    for depth, truth, std in images:
        made.add(depth / scale, truth, std, scale)
    return made.result()


@pytest.mark.parametrize("informed", [True, False])
def test_figures_are_those_of_sorted_pixels(informed: bool) -> None:
    images = drawn(2, informed)
    found = tally(images)
    depth, truth, std = (np.concatenate(each) for each in zip(*images, strict=True))
    error = np.abs(depth - truth) / truth
    kept = np.argsort(std)[: round(0.8 * len(std))]
    figures = found["unscaled"]
    assert found["pixels"] == len(std)
    assert figures["within_one_std"] == pytest.approx((np.abs(np.log(depth / truth)) <= std).mean())
    assert figures["abs_rel"] == pytest.approx(error.mean())
    assert figures["abs_rel_certain"] == pytest.approx(error[kept].mean(), rel=0.01)
    assert found["threshold"] == pytest.approx(np.quantile(std, 0.8), rel=0.03)
    gain = 1 - figures["abs_rel_certain"] / figures["abs_rel"]
    assert gain > 0.3 if informed else abs(gain) < 0.03
    far = (truth >= 40) & (truth < 80)
    assert found["by_range"]["40-80"]["pixels"] == far.sum()
    assert found["by_range"]["40-80"]["unscaled"]["abs_rel"] == pytest.approx(error[far].mean())


def test_a_wrong_scale_is_covered_only_after_median_scaling() -> None:
    found = tally(drawn(1, True), scale=2.0)
    assert found["unscaled"]["within_one_std"] < 0.4
    assert found["median_scaled"]["within_one_std"] == pytest.approx(0.683, abs=0.01)


def test_no_deviation_is_the_least_certain_and_covers_nothing() -> None:
    truth = np.full(10, 10.0)
    std = np.full(10, 0.1, np.float32)
    std[:2] = np.nan
    depth = np.where(np.isnan(std), np.nan, 10.5)
    found = tally([(depth, truth, std)])
    assert found["unscaled"]["within_one_std"] == pytest.approx(0.8)
    assert found["unscaled"]["abs_rel_certain"] == pytest.approx(0.05)


def test_nothing_added_is_nothing_known() -> None:
    assert tally([]) == {}
