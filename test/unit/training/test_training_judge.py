# SPDX-License-Identifier: Apache-2.0
"""The judge on an exact street: a better copy is accepted, a worse one refused, and why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depth_recog.datasets.street.street import SyntheticStreet
from depth_recog.method.masking import CITYSCAPES, PresetRules
from depth_recog.training.data.batches import TrainingRecording
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.judge import referee
from depth_recog.training.judge.anchors import AnchorFrames
from depth_recog.training.judge.judge import Judge
from depth_recog.training.judge.judgement import Judgement
from depth_recog.training.judge.witness import Witness

FRAMES = 24
RULES = PresetRules()
ROAD, SKY = CITYSCAPES.index("road"), CITYSCAPES.index("sky")

Error = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(B, 1, H, W) true depth, (B, 1, H, W) labels, (1, 1, H, 1) row from 0 to 1 -> depth."""


class Street:
    """Blocks of an exact street, and networks that know its depth."""

    def __init__(self) -> None:
        recording = SyntheticStreet("oncoming", 7, FRAMES)
        frames = [recording[i] for i in range(FRAMES)]
        truths = [recording.truth(i) for i in range(FRAMES)]
        images = np.stack([frame.image for frame in frames])
        labels = np.stack([truth.labels for truth in truths])
        depths = np.stack([truth.depth for truth in truths])
        moving = np.stack([truth.moving for truth in truths])
        still = RULES.dynamic_pixels(labels) & ~moving
        k = frames[0].camera.matrix
        self.blocks = []
        for part in (slice(0, 12), slice(12, 24)):
            count = part.stop - part.start
            prepared = PreparedFrames(
                "street",
                [frame.name for frame in frames[part]],
                [],
                images[part],
                labels[part],
                np.stack([k] * count),
                np.array([frame.stamp_ns for frame in frames[part]]),
                np.stack([truth.world_from_camera for truth in truths[part]]),
            )
            exclusions = np.ones((0, 2), np.bool_)
            learnt = TrainingRecording(prepared, [], exclusions, still[part])
            self.blocks.append(learnt)
        self.anchors = AnchorFrames(images[::8], depths[::8], k)
        finite = np.minimum(depths, 150.0)
        self.known = {
            image.tobytes(): (torch.from_numpy(z)[None], torch.from_numpy(label)[None])
            for image, z, label in zip(images, finite, labels, strict=True)
        }
        self.networks: dict[Error, nn.Module] = {}
        self.judge = Judge(Witness(RULES, torch.device("cpu")), self.network(blurred))

    def network(self, error: Error) -> nn.Module:
        return self.networks.setdefault(error, Oracle(self.known, error))

    def judged(self, active: Error, candidate: Error, better: bool = True) -> Judgement:
        networks = self.network(active), self.network(candidate)
        return self.judge.compare(*networks, self.blocks, self.anchors, better)


class Oracle(nn.Module):
    """Gives the true depth of known images, with an error."""

    def __init__(self, known: dict[bytes, tuple[Tensor, Tensor]], error: Error) -> None:
        super().__init__()
        self._known, self._error = known, error

    def forward(self, image: Tensor, focal: Tensor) -> Tensor:
        rows = (image * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        found = [self._known[one.numpy().tobytes()] for one in rows]
        depth, labels = (torch.stack(part) for part in zip(*found, strict=True))
        row = torch.linspace(0, 1, depth.shape[2]).view(1, 1, -1, 1)
        return self._error(depth, labels, row)


def wavy(size: float) -> Error:
    """Errors of the shape that keep the scale."""

    def error(depth: Tensor, labels: Tensor, row: Tensor) -> Tensor:
        column = torch.linspace(0, 1, depth.shape[3]).view(1, 1, 1, -1)
        return depth * (1 + size * torch.sin(40 * column) * (labels != ROAD))

    return error


blurred = wavy(0.1)


def scaled(depth: Tensor, labels: Tensor, row: Tensor) -> Tensor:
    return blurred(depth, labels, row) * 1.1


def noisy(depth: Tensor, labels: Tensor, row: Tensor) -> Tensor:
    return depth * torch.exp(0.2 * torch.randn(depth.shape, generator=torch.manual_seed(0)))


def sunk(depth: Tensor, labels: Tensor, row: Tensor) -> Tensor:
    return torch.where(labels == ROAD, depth * 1.4, wavy(0.02)(depth, labels, row))


def near_clouds(depth: Tensor, labels: Tensor, row: Tensor) -> Tensor:
    return torch.where(labels == SKY, 30.0, wavy(0.02)(depth, labels, row))


def far_movers(depth: Tensor, labels: Tensor, row: Tensor) -> Tensor:
    dynamic = torch.from_numpy(RULES.dynamic_pixels(labels.numpy().squeeze(1)))[:, None]
    return torch.where(dynamic, depth * 2, wavy(0.02)(depth, labels, row))


@pytest.fixture(scope="module")
def street() -> Street:
    return Street()


def test_a_better_copy_is_accepted(street: Street) -> None:
    found = street.judged(blurred, wavy(0.02))
    assert found.accepted, found.reason
    assert found.gain > 0.1
    assert "nothing is worse" in found.reason


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        pytest.param(blurred, "triangulation", id="the same: no gain"),
        pytest.param(wavy(0.15), "triangulation", id="worse shape"),
        pytest.param(scaled, "scale", id="scaled"),
        pytest.param(lambda z, labels, row: z * (0.6 + 0.8 * row), "triangulation", id="ramp"),
        pytest.param(noisy, "flicker", id="noise"),
        pytest.param(sunk, "road height", id="road sunk"),
        pytest.param(near_clouds, "sky", id="near clouds"),
        pytest.param(far_movers, "contact", id="far movers"),
        pytest.param(lambda z, labels, row: z * torch.nan, "finite depth", id="not finite"),
    ],
)
def test_a_worse_copy_is_refused(street: Street, candidate: Error, reason: str) -> None:
    found = street.judged(blurred, candidate)
    assert not found.accepted
    assert reason in {check.name for check in found.checks if not check.passed}, found.reason
    assert reason in found.reason


def test_training_is_judged_alike(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(referee, "judged_anchors", lambda size: street.anchors)
    known = street.blocks, RULES, torch.device("cpu")
    judge = referee.referee_of(street.network(blurred), *known, steady=True)
    before, better = judge(street.network(blurred)), judge(street.network(wavy(0.02)))
    assert before.worse == better.worse == ""
    assert better.triangulation < before.triangulation
    assert "road height" in judge(street.network(sunk)).worse
    assert "scale" in judge(street.network(scaled)).worse
    free = referee.referee_of(street.network(blurred), *known, steady=False)
    assert free(street.network(scaled)).worse == ""


def test_without_held_back_frames_nothing_is_accepted(street: Street) -> None:
    network = street.network(wavy(0.0))
    found = street.judge.compare(network, network, [], street.anchors)
    assert not found.accepted
    assert "held back" in found.reason


def test_what_is_the_same_need_not_be_better(street: Street) -> None:
    assert street.judged(blurred, blurred, better=False).accepted
    assert not street.judged(blurred, wavy(0.2), better=False).accepted
