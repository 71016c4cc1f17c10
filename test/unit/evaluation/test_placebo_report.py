# SPDX-License-Identifier: Apache-2.0
"""The figures of samples on placebos."""

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from depth_recog.errors import SourceError
from depth_recog.evaluation.placebos.report import literal_thresholds, placebo_report, rate
from depth_recog.evaluation.placebos.samples import PairSample, PlaceboSamples, RegionSample
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.settings import Settings

STEP_NS = 100_000_000


def samples(scores: NDArray[np.float64], threshold: float = 3.0) -> list[RegionSample]:
    """Samples of (placebos, frames) scores, in the order of a run; moving above the threshold."""
    return [
        RegionSample(number, float(score), Motion.MOVING if score > threshold else Motion.STILL)
        for column in scores.T
        for number, score in enumerate(column)
    ]


@given(st.integers(0, 2**31), st.integers(50, 300), st.sampled_from([0.8, 0.9, 0.95]))
def test_literal_thresholds_together(seed: int, count: int, quantile: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.exp(rng.normal(0, 1, (count, 2)))
    pairs = [PairSample(i, float(r), float(t)) for i, (r, t) in enumerate(values)]
    found = literal_thresholds(pairs, quantile)
    beyond = (values[:, 0] > found.rotation) | (values[:, 1] > found.translation)
    assert beyond.mean() <= 1 - quantile + 1e-9
    # Not wider than they must be: a tenth less of both, and it is too many.
    tight = (values[:, 0] > 0.9 * found.rotation) | (values[:, 1] > 0.9 * found.translation)
    assert tight.mean() > 1 - quantile - 0.05
    # One quantile for both.
    shares = (values > (found.rotation, found.translation)).mean(0)
    assert abs(shares[0] - shares[1]) < 0.06


def test_samples_of_one_cluster_are_not_independent() -> None:
    flags = np.repeat([True, False, False, False], 100)
    together = rate(flags, [int(i) for i in np.repeat([0, 1, 2, 3], 100)])
    alone = rate(flags, list(range(400)))
    assert together.value == alone.value == 0.25
    assert together.high - together.low > 5 * (alone.high - alone.low)
    assert alone.low < 0.25 < alone.high


# A whole report


def found(scores: NDArray[np.float64], at_rest: int = 0) -> PlaceboSamples:
    rng = np.random.default_rng(1)
    pairs = [
        PairSample(i * STEP_NS, float(r), float(t))
        for i, (r, t) in enumerate(np.abs(rng.normal(0, (0.05, 2.0), (300, 2))))
    ]
    return PlaceboSamples(samples(scores), pairs, 300, at_rest)


def scores(count: int = 60, frames: int = 12) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    return rng.normal(-6, 5, (count, 1)) + rng.normal(0, 2, (count, frames))


@pytest.fixture
def report():
    return placebo_report(found(scores()), Settings(), 0.95, "here")


def test_the_figures(report) -> None:
    assert (report.samples, report.placebos, report.pairs) == (720, 60, 300)
    assert report.moving.value == np.mean(scores() > 3.0)
    assert report.scores["0.9"] == np.quantile(scores(), 0.9)
    assert report.undecided == 0
    assert report.literal == Settings().thresholds
    assert report.literal_quantile_moving.value <= 0.05


def test_the_parameters_file(report) -> None:
    values = yaml.safe_load(report.parameters("a drive\nwith: a line break"))
    rotation, translation = report.literal_quantile.rotation, report.literal_quantile.translation
    expected = {"gate_rotation": rotation, "gate_translation": translation}
    assert values["/**"]["ros__parameters"] == expected


def test_the_table(report) -> None:
    table = report.table()
    for words in ("720 samples of 60 placebos", "300 pairs", "gate_threshold", "0.95 "):
        assert words in table
    for number in (report.literal_quantile.rotation, report.literal_quantile.translation):
        assert f"{number:g}" in table
    assert f"{report.moving.value:.1%} ({report.moving.low:.1%}" in table


@pytest.mark.parametrize(
    ("given_samples", "words"),
    [
        (found(scores(5)), "5 placebos in 300 frames, 20 are needed"),
        (found(scores(50, 2)), "100 samples in 300 frames, 150 are needed"),
        (found(scores(), at_rest=200), "stands in 200 of 300 frames"),
        (PlaceboSamples(samples(scores()), [], 300, 0), "0 pairs of frames in 300"),
    ],
)
def test_too_few_samples(given_samples: PlaceboSamples, words: str) -> None:
    with pytest.raises(SourceError, match=r"drive/7: .*give a ") as error:
        placebo_report(given_samples, Settings(), 0.95, "drive/7")
    assert words in str(error.value)
