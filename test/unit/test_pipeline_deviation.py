# SPDX-License-Identifier: Apache-2.0
"""The standard deviation at the camera's size: where it is NaN, which depth it takes away."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from deviation_weights import without_head
from numpy.typing import NDArray

from depth_recog.cli.main import main
from depth_recog.evaluation.run_writer import RunWriter
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import Viewport
from depth_recog.method.networks import Networks
from depth_recog.method.observation import Observation
from depth_recog.method.pair import Step
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.scale.estimator import ScaleSettings
from depth_recog.method.settings import Settings
from depth_recog.processed import PreparedImage, ProcessedFrame

CAMERA = Camera(128, 64, 100.0, 100.0, 64.0, 32.0)
SMALL = (64, 32)
SKY = 10


def processed(
    depth: NDArray[np.float32], deviation: NDArray[np.float32] | None, lens: bool = False
) -> ProcessedFrame:
    camera = Camera(128, 64, 100.0, 100.0, 64.0, 32.0, (0.3, 0, 0, 0, 0)) if lens else CAMERA
    view = Viewport.of(camera, SMALL)
    labels = np.zeros(depth.shape, np.uint8)
    labels[:, :16] = SKY
    image = np.zeros((*depth.shape, 3), np.uint8)
    frame = Observation(
        "0", 0, image, view.network, depth, labels, known_deviation=lambda: deviation
    )
    big = np.zeros((64, 128, 3), np.uint8)
    return ProcessedFrame(Step(frame, None), PreparedImage("0", 0, big, image, view))


@pytest.fixture
def depth() -> NDArray[np.float32]:
    made = np.full(SMALL[::-1], 10, np.float32)
    made[:, :16] = 70
    made[:4, 40:] = -1
    return made


@pytest.fixture
def deviation() -> NDArray[np.float32]:
    return np.tile(np.linspace(0.02, 1, 64, dtype=np.float32), (32, 1))


def test_it_is_resized_as_depth_is(depth, deviation) -> None:
    frame = processed(depth, deviation)
    big = frame.at_input_size.deviation
    assert big.dtype == np.float32
    np.testing.assert_array_equal(
        big[32], cv2.resize(deviation, (128, 64), interpolation=cv2.INTER_LINEAR)[32]
    )
    np.testing.assert_array_equal(np.isnan(big), np.isnan(frame.at_input_size.depth()))
    assert np.isnan(big[:7, 81:]).all()
    # On the sky the depth is +inf, the deviation that of the network's depth.
    assert np.isinf(frame.at_input_size.depth()[32, :30]).all()
    assert np.isfinite(big[32, :30]).all()
    small = frame.at_network_size.deviation
    np.testing.assert_array_equal(small[10], deviation[10])


def test_what_is_too_uncertain_has_no_depth(depth, deviation) -> None:
    maps = processed(depth, deviation).at_input_size
    usual, limited = maps.depth(), maps.depth(most_uncertain=0.4)
    certain = maps.deviation <= 0.4
    assert 0.3 < certain.mean() < 0.5
    np.testing.assert_array_equal(limited[certain], usual[certain])
    assert np.isnan(limited[~certain]).all()
    # A deviation that is no number is no certainty, and the sky is no exception.
    deviation[:] = np.nan
    assert np.isnan(processed(depth, deviation).at_input_size.depth(most_uncertain=9.0)).all()
    deviation[:] = 2.0
    assert np.isnan(processed(depth, deviation).at_input_size.depth(most_uncertain=1.0)).all()


def test_what_was_not_seen_has_none(depth, deviation) -> None:
    frame = processed(depth, deviation, lens=True)
    seen = frame.prepared.view.seen
    assert not seen.all()
    assert np.isnan(frame.at_input_size.deviation[~seen]).all()


def test_a_network_without_it_has_none_and_limits_nothing(depth) -> None:
    maps = processed(depth, None).at_input_size
    assert maps.deviation is None
    np.testing.assert_array_equal(maps.depth(most_uncertain=0.1), maps.depth())


def test_it_is_computed_of_the_networks_depth_and_only_if_somebody_asks() -> None:
    five, asked = np.full(SMALL[::-1], 5, np.float32), []

    def deviation(image: NDArray[np.uint8], depth: NDArray[np.float32]) -> NDArray[np.float32]:
        asked.append(image)
        np.testing.assert_array_equal(depth, five, "not the scaled depth")
        return np.full_like(depth, 0.1)

    image = np.zeros((*SMALL[::-1], 3), np.uint8)
    labels = np.zeros(SMALL[::-1], np.uint8)
    networks = Networks(lambda *_: lambda: five, lambda _: lambda: labels)
    settings = Settings(scale=ScaleSettings("constant", 2.0))
    frames = [
        Recognizer(which, PnpEstimator(), settings).observe("0", 0, image, CAMERA)
        for which in (networks, networks._replace(deviation=deviation))
    ]
    for frame in frames:
        np.testing.assert_array_equal(frame.depth, 2 * five)
    assert not asked
    assert frames[0].deviation is None
    np.testing.assert_array_equal(frames[1].deviation, np.full_like(five, 0.1))
    assert frames[1].deviation is not None
    assert len(asked) == 1
    assert asked[0] is image


def test_run_writes_it_as_png(depth, deviation, tmp_path: Path) -> None:
    deviation[20] = 9.0
    writer = RunWriter(tmp_path, uncertainty=True)
    frame = processed(depth, deviation)
    writer.write(frame)
    writer.close()
    stored = cv2.imread(str(tmp_path / "uncertainty" / "0.png"), cv2.IMREAD_UNCHANGED)
    wanted = np.nan_to_num(frame.at_input_size.deviation, nan=0.0)
    assert stored.dtype == np.uint16
    np.testing.assert_allclose(stored / 10000, np.minimum(wanted, 6.5535), atol=6e-5)


def test_run_refuses_weights_without_it(tmp_path: Path, capsys) -> None:
    source = "synthetic:street?frames=2&width=208&height=64"
    out, plain = tmp_path / "out", str(without_head(tmp_path))
    assert main(["run", source, "--uncertainty", "--weights", plain, "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "--uncertainty" in error
    assert "trains=deviation" in error
    assert not out.exists()
