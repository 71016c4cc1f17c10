# SPDX-License-Identifier: Apache-2.0
"""Thresholds from samples: against the definition, counted one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_recog.calibration.gate_calibration import calibrated
from depth_recog.calibration.null_samples import LiteralSample, NullSamples, Sample
from depth_recog.calibration.thresholds import (
    LEAST_SCORE,
    literal_thresholds,
    rate,
    score_threshold,
)
from depth_recog.errors import SourceError
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.settings import Settings

STEP_NS = 100_000_000


def samples(tracks: Sequence[Sequence[float]], threshold: float = 3.0) -> list[Sample]:
    """Scores of placebos that are seen at the same times, in the order in which a pass has them."""
    answer = []
    longest = max((len(track) for track in tracks), default=0)
    for step in range(longest):
        for number, track in enumerate(tracks):
            if step < len(track):
                moves = slow_states(track, threshold)[step]
                motion = Motion.MOVING if moves else Motion.STILL
                answer.append(Sample(number, "car", step * STEP_NS, 9.0, 99, track[step], motion))
    return answer


def slow_states(track: Sequence[float], threshold: float) -> list[bool]:
    """The last score beyond the threshold, on either side, decides."""
    answer = []
    for step in range(len(track)):
        said = [score for score in track[: step + 1] if abs(score) > threshold]
        answer.append(bool(said) and said[-1] > 0)
    return answer


TRACKS = st.lists(st.lists(st.floats(-40, 40), min_size=1, max_size=15), min_size=1, max_size=12)


@settings(deadline=None)
@given(TRACKS, st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_a_threshold_is_a_quantile(tracks: list[list[float]], quantile: float) -> None:
    given_samples = samples(tracks)
    threshold = score_threshold(given_samples, quantile)
    scores = [score for track in tracks for score in track]
    # At most so many are above it; of a lower one, more, unless it is as low as it may be.
    assert sum(score > threshold for score in scores) <= (1 - quantile) * len(scores) + 1
    if threshold > LEAST_SCORE:
        assert (
            sum(score > 0.9 * threshold for score in scores)
            >= (1 - quantile) * (len(scores) - 1) - 1e-6
        )


def test_a_threshold_is_never_too_low() -> None:
    assert score_threshold(samples([[-5.0]] * 99 + [[80.0]]), 0.95) == LEAST_SCORE


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(50, 300), st.sampled_from([0.8, 0.9, 0.95]))
def test_literal_thresholds_together(seed: int, count: int, quantile: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.exp(rng.normal(0, 1, (count, 2)))
    pairs = [LiteralSample(i, float(r), float(t)) for i, (r, t) in enumerate(values)]
    found = literal_thresholds(pairs, quantile)
    beyond = (values[:, 0] > found.rotation) | (values[:, 1] > found.translation)
    assert beyond.mean() <= 1 - quantile + 1e-9
    # Not wider than they must be: a tenth less of both, and it is too many.
    tight = (values[:, 0] > 0.9 * found.rotation) | (values[:, 1] > 0.9 * found.translation)
    assert tight.mean() > 1 - quantile - 0.05
    # One quantile for both.
    shares = (values > (found.rotation, found.translation)).mean(0)
    assert abs(shares[0] - shares[1]) < 0.06


def test_rates_know_their_witnesses() -> None:
    """A hundred frames of one placebo are one witness."""
    flags = np.repeat([True, False, False, False], 100)
    together = rate(flags, [int(i) for i in np.repeat([0, 1, 2, 3], 100)])
    alone = rate(flags, list(range(400)))
    assert together.value == alone.value == 0.25
    assert together.high - together.low > 5 * (alone.high - alone.low)
    assert alone.low < 0.25 < alone.high


# A whole calibration, of given samples


def null(
    tracks: Sequence[Sequence[float]], threshold: float = 3.0, at_rest: int = 0
) -> NullSamples:
    rng = np.random.default_rng(1)
    pairs = [
        LiteralSample(i * STEP_NS, float(r), float(t))
        for i, (r, t) in enumerate(np.abs(rng.normal(0, (0.05, 2.0), (300, 2))))
    ]
    return NullSamples(samples(tracks, threshold), pairs, 300, at_rest)


def scores(seed: int = 0, count: int = 60) -> list[list[float]]:
    rng = np.random.default_rng(seed)
    return [(rng.normal(-6, 5) + rng.normal(0, 2, 12)).tolist() for _ in range(count)]


def test_the_found_threshold_is_checked_in_a_pass_of_its_own() -> None:
    asked = []

    def measure(settings: Settings, what: str) -> NullSamples:
        asked.append(settings)
        return null(scores(), settings.score_threshold)

    found = calibrated(measure, Settings(), 0.98, "here")
    assert [s.score_threshold for s in asked] == [found.threshold_now, found.threshold]
    assert found.threshold > found.threshold_now == Settings().score_threshold
    assert found.object_found.value < found.object_now.value
    assert found.image_found.value <= 0.02 < found.image_now.value
    assert (found.samples, found.placebos, found.pairs) == (720, 60, 300)


def test_the_parameters_file() -> None:
    found = calibrated(lambda settings, what: null(scores()), Settings(), 0.95, "here")
    text = found.parameters("a drive\nwith: a line break")
    assert yaml.safe_load(text) == {
        "/**": {
            "ros__parameters": {
                "gate_threshold": found.threshold,
                "gate_rotation": found.literal.rotation,
                "gate_translation": found.literal.translation,
            }
        }
    }
    assert all(
        isinstance(v, float) for v in yaml.safe_load(text)["/**"]["ros__parameters"].values()
    )


def test_the_table_tells_all() -> None:
    found = calibrated(lambda settings, what: null(scores()), Settings(), 0.95, "here")
    table = found.table()
    for words in ("720 samples of 60 placebos", "300 pairs", "gate_threshold", "0.95 "):
        assert words in table
    for number in (found.threshold, found.literal.rotation, found.literal.translation):
        assert f"{number:g}" in table
    assert f"{found.object_now.value:.1%} ({found.object_now.low:.1%}" in table


@pytest.mark.parametrize(
    ("given_null", "words"),
    [
        (null(scores(count=5)), "5 placebos in 300 frames, 20 are needed"),
        (null([[1.0, 2.0]] * 50), "100 samples in 300 frames, 150 are needed"),
        (null(scores(), at_rest=200), "stands in 200 of 300 frames"),
        (NullSamples(samples(scores()), [], 300, 0), "0 pairs of frames in 300"),
    ],
)
def test_too_little(given_null: NullSamples, words: str) -> None:
    with pytest.raises(SourceError, match=r"drive/7: .*give a ") as error:
        calibrated(lambda settings, what: given_null, Settings(), 0.95, "drive/7")
    assert words in str(error.value)
