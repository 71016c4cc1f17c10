# SPDX-License-Identifier: Apache-2.0
"""The scale beside a stream of frames: what `Recognizer` asks before a frame and tells after it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.se3 import Matrix, inverse_matrix
from depth_recog.method.masking import GROUND
from depth_recog.method.observation import Observation
from depth_recog.method.pair import Pair, Step
from depth_recog.method.scale.estimator import ScaleEstimator, ScaleSettings
from depth_recog.method.scale.height import GroundPlane
from depth_recog.method.scale.measurement import Scale
from depth_recog.method.scale.motion import OdometryBuffer

WaitForDepth = Callable[[], NDArray[np.float32]]
"""Waits for a depth network's (h, w) float32 result."""
WaitForResult = Callable[[], NDArray[np.float32]]
"""Waits for (h, w) float32 depth; or (2, h, w), depth and the standard deviation of its log."""


def depth_of(wait: WaitForResult) -> WaitForDepth:
    """The depth alone, of a network that may give its standard deviation too."""

    def depth() -> NDArray[np.float32]:
        result = wait()
        return result if result.ndim == 2 else result[0]

    return depth


def deviation_of(wait: WaitForResult) -> Callable[[], NDArray[np.float32] | None]:
    """The standard deviation alone; None of a network that gives none."""

    def deviation() -> NDArray[np.float32] | None:
        result = wait()
        return None if result.ndim == 2 else result[1]

    return deviation


_KEPT = 64
_LEAST_SHARE = 0.02
"""Least share of the lowest third of the image that must show ground."""
_MARGIN = 6
"""Growth of the movers' masks before ground is chosen, pixels: shadows and mislabelled edges."""


class StreamScale:
    """Follows the scale of one depth network and one camera over the frames of a stream.

    Args:
        settings: the sources of metres.
        odometry: filled by the caller; see `ScaleEstimator`.
    """

    def __init__(self, settings: ScaleSettings, odometry: OdometryBuffer | None = None) -> None:
        self.settings = settings
        self.odometry = odometry
        self._estimator = ScaleEstimator(settings, odometry)
        self._path = _Path()

    @property
    def now(self) -> Scale:
        """The scale for the next frame."""
        return self._estimator.scale

    @property
    def ground(self) -> GroundPlane | None:
        """The ground that the newest frame shows, in the network's unit; None if it shows none."""
        return self._estimator.ground

    def applied(self, wait: WaitForDepth) -> WaitForDepth:
        """A function that waits for the depth of the next frame, and scales it."""
        factor = np.float32(self.now.factor)
        return wait if factor == 1 else lambda: wait() * factor

    def reset(self) -> None:
        """Start anew: another camera."""
        self._estimator.reset()
        self._path = _Path()

    def add(self, step: Step) -> None:
        """Learn from a frame whose depth and labels have arrived."""
        if not self.settings.measured:
            return
        frame = step.frame
        if self.settings.by_odometry:
            self._estimator.moved(frame.stamp_ns, self._path.add(frame, step.pair))
        known = frame.scale.factor
        depth = frame.depth if known == 1 else frame.depth / np.float32(known)
        ground = ground_below(frame) if self.settings.by_height else _NOTHING
        self._estimator.observe(frame.stamp_ns, depth, ground, frame.camera)


_NOTHING = np.zeros((0, 0), np.bool_)


def ground_below(frame: Observation) -> NDArray[np.bool_]:
    """(h, w) bool, the surface that the robot stands on, away from what moves.

    That is the class of ground with the most pixels in the lowest third of the image: a kerb lies
    between road and pavement.
    """
    labels, rules = frame.labels, frame.rules
    low = labels[2 * labels.shape[0] // 3 :]
    counts = {name: int(rules.pixels_of(low, (name,)).sum()) for name in GROUND}
    best = max(counts, key=lambda name: counts[name])
    if counts[best] < _LEAST_SHARE * low.size:
        return np.zeros(labels.shape, np.bool_)
    return np.asarray(rules.pixels_of(labels, (best,)) & ~frame.near(_MARGIN), np.bool_)


class _Path:
    """The camera's path in the unit of the depth network, from the static poses."""

    def __init__(self) -> None:
        self._poses: dict[int, Matrix] = {}

    def add(self, frame: Observation, pair: Pair | None) -> NDArray[np.float64] | None:
        """(3,) position at the newest frame; None where the path begins anew."""
        before = None if pair is None else self._poses.get(pair.first.stamp_ns)
        if pair is None or before is None or not pair.static.ok:
            self._poses = {frame.stamp_ns: np.eye(4)}
            return None
        motion = inverse_matrix(pair.static.T_second_from_first)
        motion[:3, 3] /= pair.first.scale.factor
        self._poses[frame.stamp_ns] = before @ motion
        while len(self._poses) > _KEPT:
            del self._poses[next(iter(self._poses))]
        return self._poses[frame.stamp_ns][:3, 3]
