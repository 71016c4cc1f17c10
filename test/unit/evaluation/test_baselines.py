# SPDX-License-Identifier: Apache-2.0
"""Baselines: exact where the truth is what they assume."""

from typing import Any

import cv2
import numpy as np
import pytest
from constructed import CAMERA, Given, figures_of, says_depth
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Truth
from depth_recog.errors import SourceError
from depth_recog.evaluation.baselines import (
    CONSTANT_M,
    Baseline,
    Constant,
    GroundPlane,
    RowMean,
    fit_row_mean,
)
from depth_recog.method.geometry.camera import Camera

OTHER = Camera(100, 80, 60.0, 75.0, 45.0, 30.0)
Depth = NDArray[np.float32]


def slopes(camera: Camera) -> NDArray[np.float64]:
    """(H,) y / z of the rows."""
    return (np.arange(camera.height) - camera.cy) / camera.fy


def rows(values: NDArray[np.floating], camera: Camera = CAMERA) -> Depth:
    return np.repeat(values[:, None], camera.width, 1).astype(np.float32)


def figures(baseline: Baseline, depth: Depth, camera: Camera = CAMERA) -> dict[str, Any]:
    """The figures of a baseline on one frame."""
    sequence = Given([Truth(depth=depth)], camera)
    return figures_of(sequence, says_depth(sequence), it=baseline)["baselines"]["it"]


def test_constant() -> None:
    got = figures(Constant(), rows(np.full(40, CONSTANT_M)))
    assert got["unscaled"]["abs_rel"] == 0
    assert got["about"] == "15 m everywhere"
    half = figures(Constant(), rows(np.full(40, 30.0)))
    assert half["unscaled"]["abs_rel"] == pytest.approx(0.5)
    assert half["median_scaled"]["abs_rel"] == 0


@pytest.mark.parametrize("camera", [CAMERA, OTHER])
@pytest.mark.parametrize("height", [0.4, 1.65])
def test_a_level_road_seen_by_a_level_camera(camera: Camera, height: float) -> None:
    below = slopes(camera)
    with np.errstate(divide="ignore"):
        road = np.where(below > 0, height / below, np.nan)
    got = figures(GroundPlane(height, 80.0), rows(road, camera), camera)
    assert got["pixels"] > 0.4 * camera.width * camera.height
    for kind in ("unscaled", "median_scaled"):
        assert got[kind]["abs_rel"] == pytest.approx(0, abs=1e-6)
    wrong = figures(GroundPlane(2 * height, 80.0), rows(road, camera), camera)
    assert wrong["unscaled"]["abs_rel"] > 0.5


def test_the_ground_plane_ends_at_the_cap() -> None:
    depth = GroundPlane(1.65, 50.0).depth(CAMERA)
    assert depth.max() == 50
    assert (depth[:16] == 50).all()
    assert (np.diff(depth[:, 0]) <= 0).all()


def test_row_mean_is_the_mean_log_depth_of_each_row() -> None:
    rng = np.random.default_rng(0)
    truth = np.exp(rng.uniform(1, 4, (2, 40, 64))).astype(np.float32)
    truth[:, :, 10:] = np.nan
    truth[0, 7, :5] = np.nan
    truth[1, 8, 3] = 80.0  # beyond the cap
    fitted = fit_row_mean(Given([Truth(depth=t) for t in truth]), range(2), "two", 80.0)
    assert fitted.about == "mean of each row, fitted on two"
    used = np.where(truth < 80, truth, np.nan)
    expected = np.exp(np.nanmean(np.log(used), axis=(0, 2)))
    np.testing.assert_allclose(fitted.depth(CAMERA), rows(expected), rtol=1e-5)


def test_row_mean_of_a_truth_by_rows() -> None:
    truth = rows(np.exp(np.random.default_rng(1).uniform(1, 4, 40)))
    fitted = fit_row_mean(Given([Truth(depth=truth)]), range(1), "it", 80.0)
    assert figures(fitted, truth)["unscaled"]["abs_rel"] == pytest.approx(0, abs=1e-6)


def test_row_mean_fitted_with_another_camera() -> None:
    """Rows are identified by their angle below the horizon."""

    def scene(camera: Camera) -> Depth:
        return rows(np.exp(3 - 2 * slopes(camera)), camera)

    fitted = fit_row_mean(Given([Truth(depth=scene(OTHER))], OTHER), range(1), "it", 80.0)
    assert slopes(OTHER)[0] <= slopes(CAMERA)[0]
    assert slopes(OTHER)[-1] >= slopes(CAMERA)[-1]
    assert figures(fitted, scene(CAMERA))["unscaled"]["abs_rel"] == pytest.approx(0, abs=1e-6)


def test_row_mean_beyond_the_rows_that_were_fitted() -> None:
    """Rows outside take the nearest row; rows between are interpolated in log depth."""
    fitted = RowMean(np.array((-0.1, 0.1)), np.log((40.0, 10.0)), "it")
    depth = fitted.depth(CAMERA)[:, 0]
    assert depth[0] == pytest.approx(40)
    assert depth[-1] == pytest.approx(10)
    assert depth[15] == pytest.approx(20)


def test_row_mean_of_a_distorted_camera_is_fitted_without_the_distortion() -> None:
    lens = Camera(200, 120, 150.0, 140.0, 95.0, 63.0, (-0.25, 0.06, 0.002, -0.003, 0.0))
    v, u = np.mgrid[: lens.height, : lens.width].astype(np.float64)
    pixels = np.stack((u, v), -1).reshape(-1, 1, 2)
    rays = cv2.undistortPoints(pixels, lens.matrix, np.array(lens.distortion))
    truth = np.exp(3 - 2 * rays[:, 0, 1]).reshape(v.shape).astype(np.float32)
    fitted = fit_row_mean(Given([Truth(depth=truth)], lens), range(1), "it", 80.0)
    straight = rows(np.exp(3 - 2 * slopes(lens)), lens)
    error = np.abs(fitted.depth(lens.rectified()) / straight - 1)
    assert error.max() < 0.005  # a pixel's rounding
    bent = np.abs(np.exp(np.log(truth).mean(1)) / straight[:, 0] - 1)
    assert bent.max() > 0.02, "the distortion would not show"


def test_nothing_to_fit_on() -> None:
    unknown = np.full((40, 64), np.nan, np.float32)
    assert fit_row_mean(Given([Truth()]), range(1), "it", 80.0) is None
    assert fit_row_mean(Given([Truth(depth=unknown)]), range(1), "it", 80.0) is None
    for frames in (range(2), range(0)):
        with pytest.raises(SourceError, match="frames 0:"):
            fit_row_mean(Given([Truth()]), frames, "it", 80.0)
