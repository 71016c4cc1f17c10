# SPDX-License-Identifier: Apache-2.0
"""The focal length that fits the motion in many pairs of frames, or why none can be told.

Two views whose optical axes meet at the same distance from both say nothing of it (Sturm, "On focal
length calibration from two views", 2001): so do all pairs of a camera that looks along a circle on
which it drives. A camera before the rear axle, or one that is pitched, does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.self_calibration.epipolar import LENS, EpipolarErrors, Float, Poses
from depth_recog.method.self_calibration.pairs import PointPair

MOST_STD = 0.02
"""Largest standard deviation of log focal length that is still told."""
LEAST_PAIRS = 12
MOST_PAIRS, MOST_TURNING = 240, 100
TURNING = 0.5
"""Least rotation of a pair that is used, as a share of the largest ones. Straight pairs say nothing
of the focal length, but a small systematic error of their points looks like a distortion, and with
it changes the focal length by several percent."""
FIELDS_OF_VIEW = (35, 50, 65, 80, 95, 110, 125)
"""Where the search begins, degrees: it has several minima."""
CENTRE_STD = 0.025
"""What is known beforehand of the principal point: standard deviation as a share of the width."""
STRAIGHT_STD, BENT_STD = 0.005, 0.25
"""The same of k1, of a lens without and with a visible distortion."""
LEAST_GAIN, LEAST_RATIO = 0.04, 6.0
"""A distortion is visible if it lowers the cost by this share, and k1 is so many times its standard
deviation. Small systematic errors of the points look like a small k1, and k1 changes the focal
length."""
LEAST_TURN = math.radians(1.0)
"""Of the tenth of the pairs that turn most; less is straight driving."""
LEAST_PARALLAX = 1.5
"""Median of the pairs' parallax, pixels at 640; less is a pure rotation."""
_FLOOR_STD = 0.004
_BLOCKS = 10
_NOISE_PX = 0.4
_LEAST_NOISE_PX = 0.1
_LARGEST_STEP = 0.15
_TRIED, _FEW = 2, 40
_OUTLIER = 4.0
"""Points farther from their lines, in noise, are left out: they move, or were mistaken."""


@dataclass(frozen=True)
class FocalEstimate:
    """The lens of a camera.

    Attributes:
        focal: focal length, pixels.
        std: standard deviation of its logarithm.
        k1: first radial coefficient (plumb_bob); 0 where the motion does not show it.
        k1_std: its standard deviation.
        pairs: number of pairs.
        noise: typical distance from the epipolar lines, pixels.
    """

    focal: float
    std: float
    k1: float
    k1_std: float
    pairs: int
    noise: float


@dataclass(frozen=True)
class NotShown:
    """Why the motion does not show the focal length.

    Attributes:
        why: the reason.
        focal, std: what was found nevertheless; NaN for nothing.
    """

    why: str
    focal: float = math.nan
    std: float = math.nan


@dataclass
class _Fit:
    poses: Poses
    lens: Float
    cost: float

    def of(self, kept: NDArray[np.intp]) -> _Fit:
        """The same for some of the pairs; the cost is not known."""
        poses = Poses(self.poses.rotations[kept], self.poses.directions[kept])
        return _Fit(poses, self.lens.copy(), math.inf)


def estimate_focal(pairs: list[PointPair], size: tuple[int, int]) -> FocalEstimate | NotShown:
    """Estimate the lens.

    Args:
        pairs: of one camera.
        size: (width, height) of its images, pixels.
    """
    if len(pairs) < LEAST_PAIRS:
        return NotShown(
            f"only {len(pairs)} pairs of frames with enough motion: the recording is too short, or "
            "the camera hardly moves"
        )
    errors = EpipolarErrors([pairs[i] for i in _evenly(len(pairs), MOST_PAIRS)], size)
    few = _Solver(errors.subset(_evenly(len(errors.known), _FEW)), _NOISE_PX)
    costs = {fov: few.start(fov).cost for fov in FIELDS_OF_VIEW}
    whole = _Solver(errors, _NOISE_PX)
    starts = [whole.start(fov) for fov in sorted(costs, key=lambda fov: costs[fov])[:_TRIED]]
    angles = min(starts, key=lambda fit: fit.cost).poses.angles
    turn = float(np.quantile(angles, 0.9))
    turning = _turning(angles)
    errors = errors.subset(turning)
    solver = _Solver(errors, _NOISE_PX)
    fits = [solver.solved(start.of(turning)) for start in starts]
    best = min(fits, key=lambda fit: fit.cost)
    spread = np.abs(errors.distances(best.poses, best.lens))
    noise = max(_LEAST_NOISE_PX, 1.4826 * float(np.median(spread[errors.known])))
    errors = errors.kept(spread < _OUTLIER * noise)
    solver, bent = _Solver(errors, noise), _Solver(errors, noise, BENT_STD)
    best, other = solver.solved(best), bent.solved(best)
    stds = bent.deviations(other)
    gain = 1 - other.cost / best.cost
    seen = gain > LEAST_GAIN and abs(other.lens[1]) > LEAST_RATIO * float(stds[1])
    if seen:
        solver, best = bent, other
    stds = solver.deviations(best)
    std = math.hypot(max(float(stds[0]), _by_blocks(errors, best, solver)), _FLOOR_STD)
    focal, k1 = math.exp(best.lens[0]), float(best.lens[1]) if seen else 0.0
    parallax = float(np.median(errors.parallax(best.poses, best.lens))) * 640 / size[0]
    if std > MOST_STD or turn < LEAST_TURN or parallax < LEAST_PARALLAX:
        return NotShown(_reason(turn, parallax, noise * 640 / size[0], std), focal, std)
    return FocalEstimate(focal, std, k1, float(stds[1]), len(turning), noise)


def _evenly(count: int, most: int) -> NDArray[np.intp]:
    """Indices of at most so many of `count`."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.intp)


def _turning(angles: Float) -> NDArray[np.intp]:
    """Indices of the pairs with much rotation, in order; `LEAST_PAIRS` at least."""
    order = np.argsort(-angles)
    enough = int((angles > TURNING * np.quantile(angles, 0.95)).sum())
    return np.sort(order[: max(LEAST_PAIRS, min(enough, MOST_TURNING))])


def _reason(turn: float, parallax: float, noise: float, std: float) -> str:
    if turn < LEAST_TURN:
        return "the camera goes straight on: record curves, or turn it while it moves"
    if parallax < LEAST_PARALLAX:
        return "the camera turns without moving: record a drive with curves"
    if noise > 1.0:
        return (
            f"the images do not fit one rigid scene ({noise:.1f} pixels off): things move, or the "
            "shutter rolls"
        )
    return (
        f"the curves are too few or too weak: the deviation would be {std:.0%}; a circle shows "
        "nothing to a camera that looks along it: vary the curves, or pitch the camera"
    )


def _by_blocks(errors: EpipolarErrors, best: _Fit, like: _Solver) -> float:
    """Standard deviation by leaving out each tenth of the recording (jackknife)."""
    count = len(errors.known)
    blocks = np.array_split(np.arange(count), _BLOCKS)
    found = []
    for block in blocks:
        kept = np.setdiff1d(np.arange(count), block)
        solver = _Solver(errors.subset(kept), like.noise, like.k1_std)
        found.append(solver.solved(best.of(kept), 8).lens[0])
    logs = np.array(found)
    return float(np.sqrt((_BLOCKS - 1) / _BLOCKS * ((logs - logs.mean()) ** 2).sum()))


class _Solver:
    """Minimises Cauchy's loss of all distances, with what is known beforehand of the lens.

    Args:
        errors: of the pairs.
        noise: standard deviation of a distance, pixels.
        k1_std: what is known beforehand of k1.
    """

    def __init__(self, errors: EpipolarErrors, noise: float, k1_std: float = STRAIGHT_STD) -> None:
        self._errors, self.noise, self.k1_std = errors, noise, k1_std
        self._prior = np.array((0.0, k1_std**-2, CENTRE_STD**-2, CENTRE_STD**-2))

    def start(self, fov: float) -> _Fit:
        """Poses for a field of view, refined with that lens."""
        lens = np.zeros(LENS)
        lens[0] = math.log(self._errors.width / 2 / math.tan(math.radians(fov) / 2))
        poses = self._errors.five_points(lens)
        fit = _Fit(poses, lens, self._cost(poses, lens))
        for _ in range(4):
            fit = self._stepped(fit, lens_fixed=True)[0]
        return fit

    def solved(self, fit: _Fit, steps: int = 20) -> _Fit:
        """The minimum next to a fit."""
        fit = _Fit(fit.poses, fit.lens, self._cost(fit.poses, fit.lens))
        for _ in range(steps):
            fit, change = self._stepped(fit)
            if change < 1e-5:
                break
        return fit

    def deviations(self, fit: _Fit) -> Float:
        """Standard deviations of the lens; errors of a pair may be alike in all of its points."""
        errors, slopes, weights = self._weighted(fit)
        normal, _, reduced, inverse = self._reduced(errors, slopes, weights)
        own = slopes[..., 5:] - slopes[..., :5] @ (inverse @ normal[:, :5, 5:])
        scores = np.einsum("pnj,pn,pn->pj", own, weights, errors)
        total = np.linalg.inv(reduced + np.diag(self._prior))
        spread = total @ (scores.T @ scores + np.diag(self._prior)) @ total
        return np.asarray(np.sqrt(np.maximum(np.diag(spread), np.diag(total))))

    def _cost(self, poses: Poses, lens: Float) -> float:
        squares = (self._errors.distances(poses, lens) / self.noise) ** 2
        losses = 2 * np.log1p(squares / 4) * self._errors.known
        return float(losses.sum() + (self._prior * lens**2).sum() / 2)

    def _weighted(self, fit: _Fit) -> tuple[Float, Float, NDArray[np.float64]]:
        errors, slopes = self._errors.linearised(fit.poses, fit.lens)
        squares = (errors / self.noise) ** 2
        return errors, slopes, self._errors.known / (1 + squares / 4) / self.noise**2

    def _reduced(
        self, errors: Float, slopes: Float, weights: Float
    ) -> tuple[Float, Float, Float, Float]:
        """Normal equations (P, 9, 9), gradient (P, 9), without the poses (4, 4); their inverse."""
        weighted = slopes * weights[..., None]
        normal = np.swapaxes(weighted, 1, 2) @ slopes
        gradient = np.einsum("pni,pn->pi", weighted, errors)
        poses = normal[:, :5, :5]
        damped = 1e-9 * np.trace(poses, axis1=1, axis2=2)[:, None, None] + 1e-12
        inverse = np.linalg.inv(poses + damped * np.eye(5))
        mixed = normal[:, :5, 5:]
        reduced = (normal[:, 5:, 5:] - np.swapaxes(mixed, 1, 2) @ inverse @ mixed).sum(0)
        return normal, gradient, reduced, inverse

    def _stepped(self, fit: _Fit, lens_fixed: bool = False) -> tuple[_Fit, float]:
        """One Gauss-Newton step, shortened until the cost falls; and the change of the lens."""
        normal, gradient, reduced, inverse = self._reduced(*self._weighted(fit))
        mixed, step = normal[:, :5, 5:], np.zeros(LENS)
        if not lens_fixed:
            by_poses = np.swapaxes(mixed, 1, 2) @ inverse @ gradient[:, :5, None]
            right = (gradient[:, 5:] - by_poses[..., 0]).sum(0) + self._prior * fit.lens
            step = -np.linalg.solve(reduced + np.diag(self._prior + 1e-9), right)
            step *= min(1.0, _LARGEST_STEP / max(1e-12, float(np.abs(step).max())))
        poses = -(inverse @ (gradient[:, :5, None] + mixed @ step[:, None]))[..., 0]
        poses = np.clip(poses, -0.2, 0.2)
        for share in (1.0, 0.5, 0.25, 0.1):
            moved, lens = fit.poses.moved(share * poses), fit.lens + share * step
            cost = self._cost(moved, lens)
            if cost < fit.cost:
                return _Fit(moved, lens, cost), float(np.abs(share * step).max())
        return fit, 0.0
