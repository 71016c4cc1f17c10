# SPDX-License-Identifier: Apache-2.0
"""The gate by object, `gate: object`: block 107 for each thing by itself.

Two poses of masked images cannot tell a mover among parked cars, and a small region has too few
correspondences for six degrees of freedom. What separates movers is their displacement against the
static pose with the depth's error marginalised (`evidence`), gathered over time by feature, pooled
over neighbours, decided with hysteresis, and spread over the pixels (`regions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import ConfigurationError
from depth_recog.method.gate import evidence, regions
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.gate.evidence import Evidence
from depth_recog.method.gate.ground import contact_depth, fit_plane
from depth_recog.method.gate.regions import GateResult
from depth_recog.method.gate.residual import Float, residual
from depth_recog.method.gate.verdict import Known, gate_result_of
from depth_recog.method.masking import GROUND, ROAD, PresetRules
from depth_recog.method.observation import Observation
from depth_recog.method.pose.estimator import PoseEstimate
from depth_recog.method.tracking.correspondences import at
from depth_recog.method.tracking.tracks import STATIC, none_yet, shared

GAPS_S = (0.1, 0.2, 0.4)
"""The newest frame is compared with its partner and with those this long before it, seconds. Slow
things need the long ones, quick things are seen in the short ones."""

THRESHOLD = 3.0
"""Of scores. Kass and Raftery ("Bayes Factors", 1995) call 2 to 6 positive evidence."""


@dataclass(frozen=True)
class Past:
    """An earlier frame of the stream, and how the camera has moved since.

    Attributes:
        frame: the frame, with its tracks.
        static: T_newest_from_frame with its covariance, in the unit of the frame's depth.
    """

    frame: Observation
    static: PoseEstimate


@dataclass(frozen=True)
class _Features:
    """Those of one frame that lie on what could move, with what is known of them.

    Attributes:
        ids: (N,) int64, ascending.
        pixels: (N, 2) float32, (u, v).
        depth: (N,) float32, as far as network and ground can tell.
        deviation: (N,) of its logarithm.
        weights: (N, N), see `evidence.neighbour_weights`.
    """

    ids: NDArray[np.int64]
    pixels: NDArray[np.float32]
    depth: NDArray[np.float32]
    deviation: Float
    weights: Float


@dataclass(frozen=True)
class _Memory:
    """What is kept of the frame before, by feature.

    Attributes:
        stamp_ns: of that frame.
        evidence: of each feature by itself.
        states: (N,) uint8 `Motion`.
        region_ids: (N,) int64 of their regions.
        next_region_id: the first that no region has had.
    """

    stamp_ns: int
    evidence: Evidence
    states: NDArray[np.uint8]
    region_ids: NDArray[np.int64]
    next_region_id: int

    def common(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Indices of the features that are known already: here, and in `ids`."""
        return shared(self.evidence.ids, ids)


_STANDS_OUT = 3.0
_AHEAD = np.array([0.0, 0.0, 1.0])
_KEPT_NS = 1_000_000_000
_NO_IDS = np.zeros(0, np.int64)
_BLANK = _Memory(0, evidence.nothing(_NO_IDS), np.zeros(0, np.uint8), _NO_IDS, 1)


class ObjectGate:
    """Decides, frame by frame, which of the things that could move do.

    Args:
        rules: preset objects.
        threshold: a feature's score above it says "moving", below its negative "still"; between
            them the decision stays what it was, "undecided" at first.

    Raises:
        ConfigurationError: a threshold that is not positive.
    """

    def __init__(self, rules: PresetRules, threshold: float = THRESHOLD) -> None:
        if not threshold > 0:
            raise ConfigurationError(f"gate threshold {threshold} for scores: must be positive")
        self._rules = rules
        self._threshold = threshold
        self._memory = _BLANK
        self._seen: dict[int, _Features] = {}

    def reset(self) -> None:
        """Forget what was seen: another camera, a jump in time. Regions get new ids."""
        self._memory = replace(_BLANK, next_region_id=self._memory.next_region_id)
        self._seen.clear()

    def with_threshold(self, threshold: float) -> ObjectGate:
        """The same evidence under another threshold. Raises ConfigurationError."""
        other = ObjectGate(self._rules, threshold)
        other._memory, other._seen = self._memory, dict(self._seen)
        return other

    def update(self, frame: Observation, past: Sequence[Past]) -> GateResult:
        """The newest frame.

        Args:
            frame: what is seen in it, with its tracks.
            past: earlier frames of the same stream, about `GAPS_S` before it.
        """
        features = self._features(frame)
        own = self._gathered(frame, features, past)
        together, enough = evidence.pooled(own, features.weights)
        along = _direction(past)
        deviation = features.weights @ features.deviation / features.weights.sum(1)
        scores = evidence.score(together.information, together.vector, along, deviation)
        scores = np.where(enough, scores, np.nan)
        states = self._states(features, scores)
        links = regions.linked(features.weights, states, at(frame.components, features.pixels))
        old, new = self._memory.common(features.ids)
        before = np.zeros(len(states), np.int64)
        before[new] = self._memory.region_ids[old]
        region_ids, following = regions.identified(links, before, self._memory.next_region_id)
        self._memory = _Memory(frame.stamp_ns, own, states, region_ids, following)
        nearest = regions.spread_over(frame.components, features.pixels)
        known = Known(together, along, scores, states, region_ids, _blind(past))
        return gate_result_of(frame, self._rules.classes, nearest, known, self._threshold)

    def _features(self, frame: Observation) -> _Features:
        """The frame's features on what could move; they are kept for the frames to come."""
        tracks = frame.tracks or none_yet()
        movable = tracks.categories != STATIC
        ids, pixels, categories = (
            tracks.ids[movable],
            tracks.pixels[movable],
            tracks.categories[movable],
        )
        plane = None
        if len(ids):
            road = self._rules.pixels_of(frame.labels, ROAD)
            plane = fit_plane(frame.gate_depth, road, frame.camera)
        ground = self._rules.pixels_of(frame.labels, GROUND)
        depth, deviation = contact_depth(
            pixels, frame.gate_depth, frame.dynamic, ground, plane, frame.camera
        )
        known = np.isfinite(depth) & (depth > 0)
        ids, pixels, depth = ids[known], pixels[known], depth[known]
        weights = evidence.neighbour_weights(pixels, depth, categories[known], frame.camera.fx)
        features = _Features(ids, pixels, depth, deviation[known], weights)
        oldest = frame.stamp_ns - _KEPT_NS
        self._seen = {then: f for then, f in self._seen.items() if oldest <= then}
        self._seen[frame.stamp_ns] = features
        return features

    def _gathered(self, frame: Observation, features: _Features, past: Sequence[Past]) -> Evidence:
        """The features' own evidence, with the newest displacements."""
        passed = (frame.stamp_ns - self._memory.stamp_ns) / 1e9
        own = evidence.remembered(self._memory.evidence, features.ids, passed)
        for earlier in past:
            static, then = earlier.static, self._seen.get(earlier.frame.stamp_ns)
            if then is None or not static.ok or static.covariance is None:
                continue
            one, two = shared(then.ids, features.ids)
            left = residual(
                static.T_second_from_first,
                then.pixels[one],
                features.pixels[two],
                then.depth[one],
                frame.camera,
            )
            seconds = (frame.stamp_ns - earlier.frame.stamp_ns) / 1e9
            information, vector = evidence.displaced(
                left, seconds, static.covariance, features.weights[two][:, two]
            )
            own.information[two] += information
            own.vector[two] += vector
        return own

    def _states(self, features: _Features, scores: Float) -> NDArray[np.uint8]:
        """`Motion` by feature, with hysteresis; a new feature takes over its neighbours' state."""
        old, new = self._memory.common(features.ids)
        states = np.full(len(scores), Motion.UNDECIDED, np.uint8)
        states[new] = self._memory.states[old]
        fresh = np.setdiff1d(np.arange(len(scores)), new, assume_unique=True)
        if len(new) and len(fresh):
            known = features.weights[fresh][:, new]
            closest = known.argmax(1)
            near = known.max(1) >= regions.LINKED
            states[fresh[near]] = states[new[closest[near]]]
        # A score that is not a number changes nothing.
        states[scores > self._threshold] = Motion.MOVING
        states[scores < -self._threshold] = Motion.STILL
        return states


def _direction(past: Sequence[Past]) -> Float:
    """(3,) unit vector in which the camera goes, or looks where that is lost in the noise."""
    for earlier in reversed(past):
        static = earlier.static
        if static.ok and static.covariance is not None:
            way = static.T_second_from_first[:3, 3]
            length = float(np.linalg.norm(way))
            noise = float(np.sqrt(np.trace(static.covariance[3:, 3:])))
            return way / length if length > _STANDS_OUT * noise else _AHEAD
    return _AHEAD


def _blind(past: Sequence[Past]) -> str:
    """Why no displacement can be measured, in words; empty where one can."""
    if any(earlier.static.ok for earlier in past):
        return ""
    return f"no static pose: {past[0].static.why}" if past else ""
