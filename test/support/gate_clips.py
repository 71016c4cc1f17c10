# SPDX-License-Identifier: Apache-2.0
"""Short clips of the synthetic street, and recognizers with networks that know its truth."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.datasets.sequence import Frame, Truth
from depth_recog.datasets.street import SyntheticStreet
from depth_recog.method.gate.by_image import Motion, Thresholds
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.pair import Step
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.settings import Settings

CPU = torch.device("cpu")
CAR, ROAD = 13, 0
STEP = 100_000_000
THRESHOLDS = Thresholds(0.25, 2.5)


class Oracle:
    """Depth and scores of the frames it was shown; flat ground and road for any other."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Truth, Camera]] = {}
        self.asked: list[str] = []

    def show(self, frame: Frame, truth: Truth) -> None:
        self._known[frame.image.tobytes()] = truth, frame.camera

    def depth(self, image: Tensor, focal: Tensor) -> Tensor:
        self.asked.append("depth")
        truth, camera = self._known.get(self._key(image), (None, None))
        if truth is None or truth.depth is None or camera is None:
            return torch.full((1, 1, *image.shape[2:]), 10.0)
        assert focal.tolist() == [pytest.approx(camera.fy)]
        return torch.from_numpy(truth.depth)[None, None]

    def scores(self, image: Tensor) -> Tensor:
        self.asked.append("scores")
        truth, _ = self._known.get(self._key(image), (None, None))
        if truth is None or truth.labels is None:
            labels = torch.zeros(image.shape[2:], dtype=torch.long)
        else:
            labels = torch.from_numpy(truth.labels).long()
        return torch.nn.functional.one_hot(labels, 19).permute(2, 0, 1)[None].float()

    @staticmethod
    def _key(image: Tensor) -> bytes:
        assert image.shape[:2] == (1, 3)
        assert image.dtype == torch.float32
        assert 0 <= image.min() <= image.max() <= 1
        return (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy().tobytes()


class Clip:
    """Some frames of a street, rendered once."""

    def __init__(self, scene: str, frames: Iterable[int], seed: int = 1) -> None:
        street = SyntheticStreet(scene, seed=seed, frames=60)
        self.frames: list[Frame] = []
        self.truths: list[Truth] = []
        for i in frames:
            self.frames.append(street[i])
            self.truths.append(street.truth(i))

    def relative(self, first: int, second: int) -> NDArray[np.float64]:
        one, two = (self.truths[i].world_from_camera for i in (first, second))
        assert one is not None
        assert two is not None
        return np.asarray(np.linalg.inv(two) @ one)

    def index(self, name: str) -> int:
        return [f.name for f in self.frames].index(name)


def recognizer(
    *clips: Clip,
    gate: str = "image",
    estimator: object = None,
    thresholds: Thresholds = THRESHOLDS,
    depth_scale: float = 1.0,
) -> Recognizer:
    """The thresholds are given: what the tests say does not hang on the defaults."""
    oracle = Oracle()
    for clip in clips:
        for frame, truth in zip(clip.frames, clip.truths, strict=True):
            oracle.show(frame, truth)
    return Recognizer(
        oracle.depth,
        oracle.scores,
        PnpEstimator() if estimator is None else estimator,  # type: ignore[arg-type]
        Settings(gate=gate, thresholds=thresholds, depth_scale=depth_scale),
        CPU,
    )


def play(subject: Recognizer, frames: Iterable[Frame]) -> list[Step]:
    return [subject.step(f.name, f.stamp_ns, f.image, f.camera) for f in frames]


def grey_frame(value: int, number: int, camera: Camera) -> Frame:
    image = np.full((camera.height, camera.width, 3), value, np.uint8)
    return Frame(f"flat{number}", number * STEP, image, camera)


def check(step: Step) -> None:
    """What holds of every step, whatever was fed in."""
    shape = step.frame.image.shape[:2]
    assert step.moving.shape == shape
    assert step.moving.dtype == np.uint8
    assert not step.moving[~step.frame.dynamic].any(), "what cannot move does not"
    assert (step.pair is None) == bool(step.why_alone)
    if step.pair is None:
        assert (step.moving[step.frame.dynamic] == Motion.UNDECIDED).all()
        return
    pair = step.pair
    assert pair.second is step.frame
    assert pair.first.stamp_ns < pair.second.stamp_ns
    assert 0 < pair.seconds <= 0.5
    assert pair.decision.why
    assert (step.moving[step.frame.dynamic] == pair.decision.motion).all()
    difference = pair.absolute_difference
    if pair.static.ok and pair.dynamic.ok:
        expected = np.abs(pair.static.T_second_from_first - pair.dynamic.T_second_from_first)
        np.testing.assert_array_equal(difference, expected)
    else:
        assert np.isnan(difference).all()
