# SPDX-License-Identifier: Apache-2.0
"""Depth metrics: exact on constructed truth, and equal to a short reference."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from constructed import CAMERA, Given, Says, figures_of, says_depth, textured
from hypothesis import given, settings
from hypothesis import strategies as st
from kitti_files import real
from numpy.typing import NDArray

from depth_recog.datasets.kitti.raw import KittiRaw
from depth_recog.datasets.sequence import Recording, Truth
from depth_recog.datasets.street import SyntheticStreet
from depth_recog.errors import ConfigurationError
from depth_recog.evaluation.answer import Answer
from depth_recog.evaluation.depth_errors import CROPS, METRICS, Protocol, figures, terms
from depth_recog.evaluation.evaluate import evaluate

PROPERTY = settings(max_examples=60, derandomize=True, database=None)
ZERO = ("abs_rel", "sq_rel", "rmse", "rmse_log", "silog")
ONE = ("a1", "a2", "a3")


def judged(*given: Any) -> dict[str, Any]:
    """The figures of depth, of what `figures_of` takes."""
    return figures_of(*given)["depth"]


def drive(frames: int = 4) -> Given:
    return Given([Truth(depth=textured(i)) for i in range(frames)])


@pytest.mark.parametrize("crop", CROPS)
def test_the_truth_itself_has_no_error(crop: str) -> None:
    depth = judged(drive(), says_depth(drive()), Protocol(crop))
    for kind in ("unscaled", "median_scaled"):
        assert [depth[kind][name] for name in ZERO] == [0] * 5
        assert [depth[kind][name] for name in ONE] == [1] * 3
    assert depth["scale"] == {"median": 1, "spread": 0, "lowest": 1, "highest": 1}
    assert depth["coverage"] == 1
    assert depth["images"] == 4


def test_ten_percent_too_far() -> None:
    depth = judged(drive(), says_depth(drive(), lambda i, d: d * np.float32(1.1)))
    assert depth["unscaled"]["abs_rel"] == pytest.approx(0.1, abs=1e-7)
    assert depth["unscaled"]["rmse_log"] == pytest.approx(math.log(1.1), abs=1e-6)
    assert depth["median_scaled"]["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert depth["scale"]["median"] == pytest.approx(1 / 1.1)
    # Up to the variance's rounding: it is a factor for all pixels.
    assert depth["unscaled"]["silog"] == pytest.approx(0, abs=1e-4)


def test_shuffled_frames_are_much_worse() -> None:
    street = SyntheticStreet(frames=40, width=208, height=64)
    frames = Given([street.truth(i) for i in range(0, 40, 8)], street.camera)
    right = judged(frames, says_depth(frames, lambda i, d: d * np.float32(1.02)))
    order = (3, 0, 4, 1, 2)
    wrong = judged(frames, Says(lambda i: Answer(np.asarray(frames.truth(order[i]).depth))))
    assert wrong["unscaled"]["abs_rel"] > 5 * right["unscaled"]["abs_rel"]
    assert wrong["unscaled"]["a1"] < right["unscaled"]["a1"] - 0.05


def test_a_factor_of_exactly_125_percent_is_not_within_it() -> None:
    truth = np.array([1.0, 2.0, 4.0, 10.0])
    for depth in (truth * 1.25, truth / 1.25):
        got = figures(terms(depth, truth).sum(1))
        assert (got["a1"], got["a2"], got["a3"]) == (0, 1, 1)


def test_without_pixels_there_are_no_figures() -> None:
    assert all(math.isnan(v) for v in figures(np.zeros(9)).values())


@PROPERTY
@given(
    st.lists(st.tuples(st.floats(0.01, 500), st.floats(0.01, 80)), min_size=1, max_size=40),
    st.floats(0.1, 10),
)
def test_properties_of_the_metrics(pairs: list[tuple[float, float]], factor: float) -> None:
    """Never NaN or negative, a1 <= a2 <= a3 <= 1, and silog ignores a common factor."""
    depth, truth = np.array(pairs).T
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = figures(terms(depth, truth).sum(1))
        again = figures(terms(depth * factor, truth).sum(1))
    assert all(v >= 0 for v in got.values())
    assert got["a1"] <= got["a2"] <= got["a3"] <= 1
    assert again["silog"] == pytest.approx(got["silog"], abs=1e-3)
    assert got["rmse"] >= got["abs_rel"] * truth.min() - 1e-9


def test_a_pixel_without_depth_counts_as_the_cap() -> None:
    """Leaving pixels out must not improve the figures."""
    truth = np.full((40, 64), 20.0, np.float32)
    sequence = Given([Truth(depth=truth)])
    for silence in (np.nan, np.inf, 0.0, -1.0, -np.inf):
        depth = truth.copy()
        depth[:10] = silence
        got = judged(sequence, Says(lambda i, d=depth: Answer(d)))
        assert got["coverage"] == pytest.approx(0.75)
        assert got["unscaled"]["abs_rel"] == pytest.approx(0.25 * (80 - 20) / 20)
    # A finite answer stays as it is, however far.
    far = judged(sequence, Says(lambda i: Answer(np.full_like(truth, 100.0))))
    assert far["unscaled"]["abs_rel"] == pytest.approx(4)


def test_unknown_and_far_truth_is_left_out() -> None:
    truth = np.full((40, 64), 20.0, np.float32)
    truth[0], truth[1], truth[2], truth[3], truth[4] = np.nan, np.inf, 0.0, -3.0, 80.0
    got = judged(Given([Truth(depth=truth)]), Says(lambda i: Answer(np.full_like(truth, 20))))
    assert got["pixels"] == 35 * 64
    assert got["unscaled"]["abs_rel"] == 0


def test_the_crop_is_gargs() -> None:
    """The paper's fractions at KITTI's size: rows 153 to 370, columns 44 to 1197."""
    mask = Protocol("garg").judged(np.ones((375, 1242), np.float32))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert (rows[0], rows[-1]) == (153, 370)
    assert (columns[0], columns[-1]) == (44, 1196)
    assert mask.sum() == len(rows) * len(columns)


def test_an_invalid_cap_or_crop() -> None:
    for cap in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ConfigurationError, match="m is needed"):
            Protocol("garg", cap)
    with pytest.raises(ConfigurationError, match=r"eigen.*garg, none"):
        Protocol("eigen")


# An independent implementation, of a few lines.


def reference(
    pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]], crop: str
) -> dict[str, dict[str, float]]:
    rows: dict[str, list[list[float]]] = {"unscaled": [], "median_scaled": []}
    scales = []
    for depth, truth in pairs:
        use = np.isfinite(truth) & (truth > 0.001) & (truth < 80)
        if crop == "garg":
            h, w = truth.shape
            v, u = np.mgrid[:h, :w]
            use &= (v >= int(0.40810811 * h)) & (v < int(0.99189189 * h))
            use &= (u >= int(0.03594771 * w)) & (u < int(0.96405229 * w))
        d, t = depth[use].astype(float), truth[use].astype(float)
        d[~np.isfinite(d)] = 80
        scales.append(np.median(t) / np.median(d))
        for kind, p in (("unscaled", d), ("median_scaled", d * scales[-1])):
            worst = np.maximum(p / t, t / p)
            e = np.log(p / t)
            relative = [np.mean(abs(p - t) / t), np.mean((p - t) ** 2 / t)]
            squared = [np.mean((p - t) ** 2) ** 0.5, np.mean(e**2) ** 0.5, 100 * e.std()]
            within = [np.mean(worst < 1.25**k) for k in (1, 2, 3)]
            rows[kind].append(relative + squared + within)
    figures = {k: dict(zip(METRICS, np.mean(v, 0), strict=True)) for k, v in rows.items()}
    figures["scale"] = {"median": np.median(scales), "spread": np.std(scales) / np.median(scales)}
    return figures


def agrees(sequence: Recording, frames: range, crop: str) -> None:
    """A method with many kinds of errors, compared by both."""

    def answer(index: int) -> Answer:
        truth = np.asarray(sequence.truth(index).depth)
        rng = np.random.default_rng(index)
        noise = np.exp(rng.normal(0.1 * np.sin(index), 0.3, truth.shape)).astype(np.float32)
        depth = np.where(np.isfinite(truth), truth, 30.0) * noise
        depth[rng.random(truth.shape) < 0.02] = np.nan
        return Answer(depth.astype(np.float32))

    evaluation = evaluate(sequence, frames, Says(answer), Protocol(crop), {})
    got = evaluation.figures["depth"]
    pairs = [(answer(i).depth, np.asarray(sequence.truth(i).depth)) for i in frames]
    for kind, expected in reference(pairs, crop).items():
        for name, value in expected.items():
            assert got[kind][name] == pytest.approx(value, abs=1e-6, rel=1e-6), (kind, name)


@pytest.mark.parametrize("crop", CROPS)
def test_agrees_with_an_independent_implementation(crop: str) -> None:
    agrees(SyntheticStreet(frames=4, width=208, height=64), range(1, 4), crop)
    agrees(drive(3), range(3), crop)
    assert CAMERA.size == (64, 40)


@pytest.mark.data
@pytest.mark.parametrize("crop", CROPS)
def test_agrees_with_an_independent_implementation_on_kitti(crop: str) -> None:
    folder = real("kitti_raw/2011_09_26/2011_09_26_drive_0005_sync")
    agrees(KittiRaw(folder), range(70, 154, 12), crop)
