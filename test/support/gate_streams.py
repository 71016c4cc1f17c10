# SPDX-License-Identifier: Apache-2.0
"""Streams of the synthetic street: frames with the output of both networks, and a recognizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.street import SyntheticStreet
from depth_recog.interfaces.regions import record
from depth_recog.method import networks
from depth_recog.method.gate.by_image import Motion, Thresholds
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import relative
from depth_recog.method.networks import Image
from depth_recog.method.observation import Observation
from depth_recog.method.pair import Pair, Step
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.settings import Settings, Wanted

Depth = NDArray[np.float32]
Mask = NDArray[np.bool_]
CAR, ROAD, BUILDING = 13, 0, 2
STEP = 100_000_000
IMAGE_GATE = {"gate": "image", "thresholds": Thresholds(0.25, 2.5)}


@dataclass(frozen=True)
class Shot:
    """One frame, and the output of the networks."""

    stamp_ns: int
    image: NDArray[np.uint8]
    camera: Camera
    depth: Depth
    labels: NDArray[np.uint8]
    world_from_camera: NDArray[np.float64]
    boxes: tuple[Box, ...]
    moving: Mask

    @property
    def name(self) -> str:
        return str(self.stamp_ns)

    def pixels_of(self, box: Box) -> Mask:
        """(h, w) bool, the pixels of an object, by their points; the depth must be exact."""
        z = self.depth.astype(np.float64)
        v, u = np.mgrid[: z.shape[0], : z.shape[1]]
        x, y = self.camera.rays(u, v)
        with np.errstate(invalid="ignore"):
            points = np.stack((x * z, y * z, z), 2)
        grown = replace(box, size=tuple(side + 0.02 for side in box.size))
        return grown.contains(points) & (self.labels >= 11)


@cache
def shots(scene: str, first: int, count: int, seed: int = 1) -> tuple[Shot, ...]:
    """Frames of the synthetic street with exact depth and labels; made once."""
    street = SyntheticStreet(scene, seed=seed, frames=first + count + 1)
    frames = ((street[i], street.truth(i)) for i in range(first, first + count))
    return tuple(
        Shot(
            f.stamp_ns, f.image, f.camera, t.depth, t.labels, t.world_from_camera, t.boxes, t.moving
        )
        for f, t in frames
    )


def motion_of_pair(given: Sequence[Shot], pair: Pair) -> NDArray[np.float64]:
    """The true T_second_from_first of two frames of a stream."""
    poses = {shot.stamp_ns: shot.world_from_camera for shot in given}
    return relative(poses[pair.first.stamp_ns], poses[pair.second.stamp_ns])


class Networks:
    """Both networks: they return what is stored in the shot with this image.

    For any other image they return a flat depth of 10 and road.
    """

    def __init__(self, frozen: Callable[[Shot], Depth] | None = None) -> None:
        self._shots: dict[bytes, Shot] = {}
        self._frozen_depth = frozen
        self.scored = 0

    def show(self, shot: Shot) -> None:
        self._shots[shot.image.tobytes()] = shot

    def depth(self, image: Image, focal: float) -> Callable[[], Depth]:
        shot = self._seen(image)
        if shot is None:
            return lambda: np.full(image.shape[:2], 10, np.float32)
        assert focal == pytest.approx(shot.camera.fy)
        return lambda: shot.depth

    def frozen(self, image: Image, focal: float) -> Callable[[], Depth]:
        return lambda: self._frozen_depth(self._seen(image))

    def labels(self, image: Image) -> Callable[[], Image]:
        shot = self._seen(image)
        self.scored += 1
        return lambda: np.zeros(image.shape[:2], np.uint8) if shot is None else shot.labels

    def _seen(self, image: Image) -> Shot | None:
        assert image.shape[2] == 3
        assert image.dtype == np.uint8
        return self._shots.get(image.tobytes())


class Stream:
    """A recognizer that is fed with shots; by default with the object gate."""

    def __init__(
        self,
        frozen: Callable[[Shot], Depth] | None = None,
        estimator: object = None,
        **given: object,
    ) -> None:
        self.networks = Networks(frozen)
        self.recognizer = Recognizer(
            networks.Networks(
                self.networks.depth,
                self.networks.labels,
                None if frozen is None else self.networks.frozen,
            ),
            PnpEstimator() if estimator is None else estimator,
            Settings(**given),
        )

    def step(self, shot: Shot, wanted: Wanted = Wanted.PAIR) -> Step:
        self.networks.show(shot)
        frame = shot.name, shot.stamp_ns, shot.image, shot.camera
        step = self.recognizer.step(*frame, wanted)
        check(step, {"off": 0, "all": 2}.get(self.recognizer.settings.gate, 1))
        return step

    def observe(self, shot: Shot) -> Observation:
        self.networks.show(shot)
        return self.recognizer.observe(shot.name, shot.stamp_ns, shot.image, shot.camera)


def play(given: Iterable[Shot], **settings: object) -> list[Step]:
    stream = Stream(**settings)
    return [stream.step(shot) for shot in given]


def check(step: Step, motion_alone: int = Motion.UNDECIDED) -> None:
    """Assert what holds for every step, for any input."""
    dynamic, moving = step.frame.dynamic, step.moving
    assert moving.shape == step.frame.image.shape[:2]
    assert moving.dtype == np.uint8
    assert not moving[~dynamic].any(), "what cannot move does not"
    assert (step.pair is None) == bool(step.why_alone)
    if step.pair is None:
        assert (moving[dynamic] == motion_alone).all()
        assert np.isnan(step.scores).all()
        return
    pair = step.pair
    assert pair.second is step.frame
    assert 0 < pair.seconds <= 0.5
    assert pair.decision.why
    difference = pair.absolute_difference
    if pair.static.ok and pair.dynamic.ok:
        expected = np.abs(pair.static.T_second_from_first - pair.dynamic.T_second_from_first)
        np.testing.assert_array_equal(difference, expected)
    else:
        assert np.isnan(difference).all()
    if pair.gate_result is None:
        assert (moving[dynamic] == pair.decision.motion).all()
    else:
        _check_regions(pair, moving)


def _check_regions(pair: Pair, moving: NDArray[np.uint8]) -> None:
    result, dynamic = pair.gate_result, pair.second.dynamic
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


def called(step: Step, pixels: Mask) -> Motion:
    """The decision on most of an object's pixels."""
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
