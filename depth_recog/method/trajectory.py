# SPDX-License-Identifier: Apache-2.0
"""Visual odometry: the camera's pose and velocity from chained static poses, with covariances."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.se3 import (
    Matrix,
    cross_matrix,
    exp_twist,
    inverse_matrix,
    log_twist,
)
from depth_recog.method.pair import Pair, Step
from depth_recog.method.scale.measurement import Scale

HORIZON_S = 0.5
"""Time for which a motion is extrapolated when no pose is measured."""

# Measured by benchmarks/odometry.py (docs/results.md): not contained in a pair's covariance.
AGREEING_PAIRS = 10
"""Number of consecutive pairs with correlated errors: the depth's errors persist."""
DEPTH_SHARE = 0.08
"""Standard deviation of the depth's scale, common to the whole path, besides that of `Scale`."""

# Assumed standard deviations of the camera's acceleration while its motion is not measured, and of
# its velocity before the first measurement.
_ACCELERATION = np.array((0.5,) * 3 + (3.0,) * 3)  # rad/s^2, m/s^2
_SPEED = np.array((0.5,) * 3 + (10.0,) * 3)  # rad/s, m/s
_KEPT = 64


@dataclass(frozen=True)
class Place:
    """The camera's pose and velocity at a frame.

    Vectors of six elements are a rotation (radians), then a translation (the depth's unit).

    Attributes:
        T_first_from_frame: (4, 4) float64, in the first frame's camera axes.
        covariance: (6, 6) float64 of that pose perturbed as exp(r) R, t + dt, in the first frame's
            axes; NaN after a pose without covariance.
        twist: (6,) float64, angular and linear velocity in this frame's axes, per second.
        twist_covariance: (6, 6) float64, in this frame's axes; NaN after such a pose.
    """

    T_first_from_frame: Matrix
    covariance: NDArray[np.float64]
    twist: NDArray[np.float64]
    twist_covariance: NDArray[np.float64]

    def with_depth_error(self, scale: Scale) -> Place:
        """Return the same place with the error of the depth's scale added to its covariances."""
        measured = scale.std if math.isfinite(scale.std) else 0.0  # of a stale scale it grows
        share = math.hypot(DEPTH_SHARE, measured)
        there = np.concatenate((np.zeros(3), self.T_first_from_frame[:3, 3]))
        speed = np.concatenate((np.zeros(3), self.twist[3:]))
        return replace(
            self,
            covariance=self.covariance + share**2 * np.outer(there, there),
            twist_covariance=self.twist_covariance + share**2 * np.outer(speed, speed),
        )


class Trajectory:
    """Chains static poses, each of which is relative to some earlier frame.

    A frame whose partner is k frames back continues from that partner's pose and covariance. If a
    pair or its static pose is missing, the last motion is extrapolated for at most `HORIZON_S`, and
    the covariance grows by the motion that may not have been measured. A time that goes back by
    more than `HORIZON_S` starts a new trajectory (a recording or simulation was restarted); a clock
    that is set back by less adds no motion.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._places: dict[str, Place] = {}
        self._seen = Place(np.eye(4), np.zeros((6, 6)), np.zeros(6), np.diag(_SPEED**2))
        self._stamp_ns = self._seen_ns = 0

    def add(self, step: Step) -> Place:
        """Return the place of the newest frame; add every frame of the stream, in order."""
        now = step.frame.stamp_ns
        pair = step.pair
        if self._places and (now - self._stamp_ns) / 1e9 < -HORIZON_S:
            self._begin()
        if not self._places:
            place, self._seen_ns = self._seen, now
        elif pair is not None and pair.static.ok and pair.first.name in self._places:
            place = _continued(self._places[pair.first.name], pair)
            self._seen, self._seen_ns = place, now
        else:
            place = self._unseen(now)
        self._stamp_ns = now
        self._places[step.frame.name] = place
        while len(self._places) > _KEPT:
            del self._places[next(iter(self._places))]
        return place.with_depth_error(step.frame.scale)

    def _unseen(self, now: int) -> Place:
        seen = self._seen
        gap = max(0.0, (now - self._seen_ns) / 1e9)
        believed = min(gap, HORIZON_S)
        pose, covariance = _moved(seen, exp_twist(seen.twist * believed))
        # Unmeasured acceleration, and motion beyond the extrapolation.
        pose_std = _ACCELERATION * gap**2 / 2 + np.abs(seen.twist) * (gap - believed)
        twist_std = _ACCELERATION * gap + (np.abs(seen.twist) if gap > believed else 0.0)
        turn = np.kron(np.eye(2), pose[:3, :3])
        local = np.diag(pose_std**2) + gap**2 * seen.twist_covariance
        return Place(
            pose,
            covariance + turn @ local @ turn.T,
            np.zeros(6) if gap > believed else seen.twist,
            seen.twist_covariance + np.diag(twist_std**2),
        )


def _moved(place: Place, motion: Matrix) -> tuple[Matrix, NDArray[np.float64]]:
    """Return pose and covariance of a place after an exactly known motion T_before_from_after."""
    pose = place.T_first_from_frame @ motion
    by_place = np.eye(6)
    # An error of the heading displaces the end of the motion sideways.
    by_place[3:, :3] = -cross_matrix(place.T_first_from_frame[:3, :3] @ motion[:3, 3])
    return pose, by_place @ place.covariance @ by_place.T


def _continued(place: Place, pair: Pair) -> Place:
    """Return the place of a pair's second frame, given that of its first."""
    T = pair.static.T_second_from_first
    motion = inverse_matrix(T)
    pose, covariance = _moved(place, motion)
    own = pair.static.covariance
    if own is None:
        own = np.full((6, 6), np.nan)
    # If T is perturbed as exp(r) R, t + d, its inverse has the rotation R^T exp(-r) and the
    # translation changes by -R^T (d + t x r).
    R = pose[:3, :3]
    by_motion = np.block([[-R, np.zeros((3, 3))], [-R @ cross_matrix(T[:3, 3]), -R]])
    covariance = covariance + AGREEING_PAIRS * by_motion @ own @ by_motion.T
    # The same for the twist in the second frame's axes; half of the rotation acts on the way.
    by_twist = np.block([[-np.eye(3), np.zeros((3, 3))], [-cross_matrix(T[:3, 3]) / 2, -np.eye(3)]])
    return Place(
        pose,
        covariance,
        log_twist(motion) / pair.seconds,
        by_twist @ own @ by_twist.T / pair.seconds**2,
    )
