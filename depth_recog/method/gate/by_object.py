# SPDX-License-Identifier: Apache-2.0
"""The object gate, `gate: object`: block 107 for every region of the image.

The patent's two poses of masked images cannot find one mover among parked cars, and a small region
has too few correspondences for a pose with six degrees of freedom. See the package's docstring for
what is done instead; `ObjectGate.update` goes through its steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import ConfigurationError
from depth_recog.method.gate import evidence, regions
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.gate.evidence import Evidence, Float
from depth_recog.method.gate.ground import contact_depth, fit_plane
from depth_recog.method.gate.regions import Decided
from depth_recog.method.gate.result import GateResult
from depth_recog.method.masking import GROUND, ROAD, PresetRules
from depth_recog.method.observation import Observation
from depth_recog.method.pose.estimator import PoseEstimate
from depth_recog.method.tracking.tracks import STATIC, at, none_yet, shared

GAPS_S = (0.1, 0.2, 0.4)
"""Besides its partner, the newest frame is compared with those this long before it, seconds: slow
objects need long gaps, fast ones are tracked over short gaps only."""

THRESHOLD = 3.0
"""Of scores. Kass and Raftery ("Bayes Factors", 1995) call 2 to 6 positive evidence."""

_SIGNIFICANT = 3.0
_AHEAD = np.array([0.0, 0.0, 1.0])
_KEPT_NS = 1_000_000_000
_NO_IDS = np.zeros(0, np.int64)
_NO_EVIDENCE = evidence.nothing(_NO_IDS)
_UNDECIDED = Decided(
    _NO_EVIDENCE, _NO_EVIDENCE, _AHEAD, np.zeros(0), np.zeros(0, np.uint8), _NO_IDS
)


@dataclass(frozen=True)
class Past:
    """An earlier frame of the stream, and the camera's motion since then.

    Attributes:
        frame: the earlier frame, with its tracks.
        static: T_newest_from_frame with its covariance, in the unit of the gate's depth.
    """

    frame: Observation
    static: PoseEstimate


@dataclass(frozen=True)
class Features:
    """The N features of one frame that lie on dynamic categories.

    Attributes:
        ids: (N,) int64 feature ids, ascending.
        pixels: (N, 2) float32, (u, v).
        depth: (N,) float32, from the network or from ground contact.
        depth_std: (N,) standard deviation of log depth.
        weights: (N, N) neighbour weights.
    """

    ids: NDArray[np.int64]
    pixels: NDArray[np.float32]
    depth: NDArray[np.float32]
    depth_std: Float
    weights: Float


class ObjectGate:
    """Decides, frame by frame, which regions move.

    Args:
        rules: preset objects.
        threshold: a feature whose score is above it moves, below its negative it stands still;
            between them it keeps its decision, which is "undecided" at first.

    Raises:
        ConfigurationError: a threshold that is not positive.
    """

    def __init__(self, rules: PresetRules, threshold: float = THRESHOLD) -> None:
        self._rules = rules
        self._threshold = _checked(threshold)
        self._next_region_id = 1
        self._seen: dict[int, Features] = {}
        self._last, self._last_ns = _UNDECIDED, 0
        self.reset()

    def reset(self, aside: bool = False) -> None:
        """Forget all frames, because of another camera or a jump in time; region ids go on.

        Args:
            aside: keep them for `rejoin`.
        """
        self._aside = (self._seen, self._last, self._last_ns) if aside else None
        self._seen = {}
        self._last, self._last_ns = _UNDECIDED, 0

    def rejoin(self) -> None:
        """Return to the frames that were set aside, as only one frame's time was wrong."""
        if self._aside is not None:
            self._seen, self._last, self._last_ns = self._aside
            self._aside = None

    def with_threshold(self, threshold: float) -> ObjectGate:
        """Return a gate with the same evidence and another threshold.

        Raises:
            ConfigurationError: a threshold that is not positive.
        """
        other = copy(self)
        other._threshold = _checked(threshold)
        other._seen = dict(self._seen)
        return other

    def update(self, frame: Observation, past: Sequence[Past]) -> GateResult:
        """Decide on the newest frame.

        Args:
            frame: the newest frame, with its tracks.
            past: earlier frames of the stream, about `GAPS_S` before it.
        """
        features = self._features(frame)
        own = self._gathered(frame, features, past)
        together, enough = evidence.pooled(own, features.weights)
        along = _direction(past)
        depth_std = features.weights @ features.depth_std / features.weights.sum(1)
        scores = evidence.score(together.information, together.vector, along, depth_std)
        scores = np.where(enough, scores, np.nan)
        old, new = shared(self._last.own.ids, features.ids)
        states = self._states(features, scores, old, new)
        links = regions.linked(features.weights, states, at(frame.components, features.pixels))
        before = np.zeros(len(states), np.int64)
        before[new] = self._last.region_ids[old]
        region_ids, following = regions.identified(links, before, self._next_region_id)
        decided = Decided(own, together, along, scores, states, region_ids)
        self._last, self._last_ns, self._next_region_id = decided, frame.stamp_ns, following
        nearest = regions.spread_over(frame.components, features.pixels)
        return regions.gate_result(
            frame, self._rules.classes, nearest, decided, self._threshold, _blind(past)
        )

    def _features(self, frame: Observation) -> Features:
        """Return the frame's features on dynamic categories, and keep them for later frames."""
        tracks = frame.tracks or none_yet()
        movable = tracks.categories != STATIC
        pixels, gate_depth = tracks.pixels[movable], frame.gate_depth
        plane = None
        if len(pixels):
            road = self._rules.pixels_of(frame.labels, ROAD)
            plane = fit_plane(gate_depth, road, frame.camera)
        ground = self._rules.pixels_of(frame.labels, GROUND)
        depth, depth_std = contact_depth(
            pixels, gate_depth, frame.dynamic, ground, plane, frame.camera
        )
        known = np.isfinite(depth) & (depth > 0)
        pixels, depth = pixels[known], depth[known]
        weights = evidence.neighbour_weights(
            pixels, depth, tracks.categories[movable][known], frame.camera.fx
        )
        features = Features(tracks.ids[movable][known], pixels, depth, depth_std[known], weights)
        oldest = frame.stamp_ns - _KEPT_NS
        self._seen = {then: f for then, f in self._seen.items() if oldest <= then}
        self._seen[frame.stamp_ns] = features
        return features

    def _gathered(self, frame: Observation, features: Features, past: Sequence[Past]) -> Evidence:
        """Return the features' own evidence, including their newest displacements."""
        passed = (frame.stamp_ns - self._last_ns) / 1e9
        own = evidence.remembered(self._last.own, features.ids, passed)
        for earlier in past:
            static, then = earlier.static, self._seen.get(earlier.frame.stamp_ns)
            if then is None or not static.ok or static.covariance is None:
                continue
            one, two = shared(then.ids, features.ids)
            moved = evidence.displacements(
                static.T_second_from_first,
                then.pixels[one],
                features.pixels[two],
                then.depth[one],
                frame.camera,
            )
            seconds = (frame.stamp_ns - earlier.frame.stamp_ns) / 1e9
            information, vector = evidence.information_of(
                *moved, seconds, static.covariance, features.weights[two][:, two]
            )
            own.information[two] += information
            own.vector[two] += vector
        return own

    def _states(
        self, features: Features, scores: Float, old: NDArray[np.intp], new: NDArray[np.intp]
    ) -> NDArray[np.uint8]:
        """Return (N,) uint8 `Motion`, with hysteresis.

        A new feature starts with the decision on the known feature that has the largest weight.
        Known are those with indices `new` here and `old` in the previous frame.
        """
        states = np.full(len(scores), Motion.UNDECIDED, np.uint8)
        states[new] = self._last.states[old]
        fresh = np.setdiff1d(np.arange(len(scores)), new, assume_unique=True)
        if len(new) and len(fresh):
            known = features.weights[fresh][:, new]
            closest = known.argmax(1)
            near = known.max(1) >= regions.LINKED
            states[fresh[near]] = states[new[closest[near]]]
        # Comparisons with NaN are false: without a score the decision stays.
        states[scores > self._threshold] = Motion.MOVING
        states[scores < -self._threshold] = Motion.STILL
        return states


def _checked(threshold: float) -> float:
    if not threshold > 0:
        raise ConfigurationError(f"gate threshold {threshold} for scores: must be positive")
    return threshold


def _direction(past: Sequence[Past]) -> Float:
    """Return (3,) unit vector of the camera's motion; the optical axis if it hardly moves."""
    for earlier in reversed(past):
        static = earlier.static
        if static.ok and static.covariance is not None:
            translation = static.T_second_from_first[:3, 3]
            length = float(np.linalg.norm(translation))
            noise = float(np.sqrt(np.trace(static.covariance[3:, 3:])))
            return translation / length if length > _SIGNIFICANT * noise else _AHEAD
    return _AHEAD


def _blind(past: Sequence[Past]) -> str:
    """Return why no displacement can be measured; empty if one can."""
    if any(earlier.static.ok for earlier in past):
        return ""
    return f"no static pose: {past[0].static.why}" if past else ""
