# SPDX-License-Identifier: Apache-2.0
"""Streams for the object gate: frames with the output of both networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.street import SyntheticStreet
from depth_recog.interfaces.regions import record
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.pair import Step
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.settings import Settings

Depth = NDArray[np.float32]
Mask = NDArray[np.bool_]
CAR, ROAD, BUILDING = 13, 0, 2


@dataclass(frozen=True)
class Shot:
    """One frame, and the output of the networks."""

    stamp_ns: int
    image: NDArray[np.uint8]
    camera: Camera
    depth: Depth
    labels: NDArray[np.uint8]
    world_from_camera: NDArray[np.float64]
    boxes: tuple[Box, ...] = ()
    moving: Mask | None = None

    def pixels_of(self, box: Box, depth: Depth | None = None) -> Mask:
        """(h, w) bool, the pixels of an object, by their points; the depth must be exact."""
        z = (self.depth if depth is None else depth).astype(np.float64)
        v, u = np.mgrid[: z.shape[0], : z.shape[1]]
        x, y = (u - self.camera.cx) / self.camera.fx, (v - self.camera.cy) / self.camera.fy
        with np.errstate(invalid="ignore"):
            points = np.stack((x * z, y * z, z), 2)
        grown = replace(box, size=tuple(side + 0.02 for side in box.size))
        return grown.contains(points) & (self.labels >= 11)


@cache
def shots(
    scene: str, first: int, count: int, seed: int = 1, rate_hz: float = 10.0
) -> tuple[Shot, ...]:
    """Frames of the synthetic street with exact depth and labels; made once."""
    street = SyntheticStreet(scene, seed=seed, frames=first + count + 1, rate_hz=rate_hz)
    made = []
    for i in range(first, first + count):
        frame, truth = street[i], street.truth(i)
        assert truth.depth is not None
        assert truth.labels is not None
        assert truth.world_from_camera is not None
        made.append(
            Shot(
                frame.stamp_ns,
                frame.image,
                frame.camera,
                truth.depth,
                truth.labels,
                truth.world_from_camera,
                truth.boxes or (),
                truth.moving,
            )
        )
    return tuple(made)


class Networks:
    """Both networks: they return the output stored in the current shot."""

    def __init__(self, frozen: Callable[[Shot], Depth] | None = None) -> None:
        self._shot: Shot | None = None
        self._frozen_depth = frozen

    def look(self, shot: Shot) -> None:
        self._shot = shot

    def depth(self, image: Tensor, focal: Tensor) -> Tensor:
        return torch.from_numpy(self._seen(image).depth)[None, None]

    def frozen(self, image: Tensor, focal: Tensor) -> Tensor:
        assert self._frozen_depth is not None
        return torch.from_numpy(self._frozen_depth(self._seen(image)))[None, None]

    def scores(self, image: Tensor) -> Tensor:
        labels = torch.from_numpy(self._seen(image).labels).long()
        return torch.nn.functional.one_hot(labels, 19).permute(2, 0, 1)[None].float()

    def _seen(self, image: Tensor) -> Shot:
        assert self._shot is not None
        expected = self._shot.image.astype(np.float32) / 255
        np.testing.assert_allclose(image[0].permute(1, 2, 0).numpy(), expected, atol=1e-6)
        return self._shot


class Stream:
    """A recognizer that is fed with shots."""

    def __init__(
        self,
        frozen: Callable[[Shot], Depth] | None = None,
        estimator: object = None,
        **given: object,
    ) -> None:
        self.networks = Networks(frozen)
        self.recognizer = Recognizer(
            self.networks.depth,
            self.networks.scores,
            PnpEstimator() if estimator is None else estimator,  # type: ignore[arg-type]
            Settings(gate="object", **given),  # type: ignore[arg-type]
            torch.device("cpu"),
            None if frozen is None else self.networks.frozen,
        )

    def step(self, shot: Shot) -> Step:
        self.networks.look(shot)
        step = self.recognizer.step(str(shot.stamp_ns), shot.stamp_ns, shot.image, shot.camera)
        check(step)
        return step


def play(given: Iterable[Shot], **settings: object) -> list[Step]:
    stream = Stream(**settings)  # type: ignore[arg-type]
    return [stream.step(shot) for shot in given]


def check(step: Step) -> None:
    """Assert what holds for every step with the object gate, for any input."""
    dynamic, moving = step.frame.dynamic, step.moving
    assert moving.shape == step.frame.image.shape[:2]
    assert moving.dtype == np.uint8
    assert not moving[~dynamic].any(), "what cannot move does not"
    assert (step.pair is None) == bool(step.why_alone)
    if step.pair is None:
        assert (moving[dynamic] == Motion.UNDECIDED).all()
        assert np.isnan(step.scores).all()
        return
    result = step.pair.gate_result
    assert result is not None
    assert step.pair.decision.why
    assert result.scores.shape == result.region_ids.shape == moving.shape
    assert not result.region_ids[~dynamic].any()
    assert np.isnan(result.scores[~dynamic]).all()
    assert (moving[dynamic & (result.region_ids == 0)] == Motion.UNDECIDED).all()
    region_ids = [region.region_id for region in result.regions]
    assert len(set(region_ids)) == len(region_ids)
    assert set(np.unique(result.region_ids)) - {0} == set(region_ids)
    for region in result.regions:
        own = result.region_ids == region.region_id
        assert own.sum() == region.pixels > 0
        assert region.features > 0
        assert (moving[own] == region.motion).all()
        np.testing.assert_array_equal(np.unique(result.scores[own]), np.float32([region.score]))
        assert region.why
        assert json.loads(json.dumps(record(region)))["pixels"] == region.pixels
        known = np.isfinite(region.score)
        assert (np.isfinite(region.velocity) == known).all()
        assert (np.isfinite(region.velocity_std) == known).all()
        if known:
            assert (region.velocity_std > 0).all()


def share(step: Step, pixels: Mask, motion: Motion) -> float:
    """Of a thing's pixels, how many are called so."""
    own = step.moving[pixels & step.frame.dynamic]
    return float((own == motion).mean()) if own.size else 0.0


def called(step: Step, pixels: Mask) -> Motion:
    """What most of a thing's pixels are called."""
    own = step.moving[pixels & step.frame.dynamic]
    return Motion(int(np.bincount(own, minlength=3).argmax()))


def retimed(given: Sequence[Shot], stamps_ns: Iterable[int]) -> list[Shot]:
    """The same frames at other times."""
    return [replace(shot, stamp_ns=ns) for shot, ns in zip(given, stamps_ns, strict=True)]


def gain(shot: Shot, factor: float) -> Shot:
    """Another exposure."""
    image = np.clip(np.rint(shot.image.astype(np.float32) * factor), 0, 255).astype(np.uint8)
    return replace(shot, image=image)


def texture(shape: tuple[int, int], seed: int = 0, contrast: float = 40.0) -> NDArray[np.uint8]:
    """(h, w, 3) blurred noise: corners everywhere."""
    rng = np.random.default_rng(seed)
    field = cv2.GaussianBlur(rng.normal(size=shape).astype(np.float32), (0, 0), 1.5)
    grey = np.clip(128 + contrast * field / field.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)
