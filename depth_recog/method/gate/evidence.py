# SPDX-License-Identifier: Apache-2.0
"""Does a feature move: what its displacements say, with the depth's error marginalised.

Two hypotheses for a feature that lies on something that could move, both with an unknown error
delta ~ N(0, sigma_d^2) of log depth:

- still: e = J delta + noise
- moving: e = J delta + B v dt + noise, with v ~ N(0, V), in one of two ways that are as likely:
  anyhow (V = sigma_v^2 I), or with or against the camera (large along its direction of travel,
  small across it)

The second way matters because a camera cannot tell it from a wrong depth: along the direction of
travel, J and B are alike. Most things on a road move like that. Without it, what goes nowhere
across would be called still.

Each displacement adds to the information (H^T S^-1 H, H^T S^-1 e) on x = (delta, v), H = [J, B dt].
The score is twice the logarithm of the Bayes factor of moving over still. It has Occam's factor: a
feature whose v is well measured and near 0 counts as evidence of rest, one whose v is unknown as
evidence of nothing (0). A plain test of v = 0 cannot tell these two apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.gate.ground import NETWORK_DEVIATION
from depth_recog.method.gate.residual import Float, Residual
from depth_recog.method.tracking.tracks import shared

SPEED_DEVIATION = 2.0
"""sigma_v: of each component of what moves anyhow, in the depth's unit per second."""

ALONG_DEVIATION, SIDEWAYS_DEVIATION = 8.0, 0.3
"""Of what moves with or against the camera, along and across its way, likewise."""

PIXEL_DEVIATION = 0.35
"""Of a displacement, pixels: what neighbours have in common, such as a bent lens."""

MEMORY_S = 0.5
"""Evidence fades with this time constant."""

STANDARD_GAP_S = 0.1
"""A displacement over this time counts once; one over twice of it half, since it shares its frames
with others. The sum is the same at any frame rate."""

MOST_COUNTS = 10.0
"""Of a displacement over less than a hundredth of a second."""

REACH = 0.5
"""Neighbours are pooled within this distance (a standard deviation), in the depth's unit: smaller
than a person is tall, so that a person before a car is not lost in it."""

LEAST_REACH = 6.0
"""And within this one in pixels: neighbours are needed."""

DEPTH_REACH = 0.12
"""Likewise, of log depth."""

MOST_WEIGHT = 2.0
"""A pool counts as at most so many independent features: their errors have a cause in common."""

_FEWEST = 1.5
_FARTHEST = 16.0


@dataclass(frozen=True)
class Evidence:
    """What is known of N features.

    Attributes:
        ids: (N,) int64, ascending.
        information: (N, 4, 4) float64, sum of H^T S^-1 H, x = (delta, v).
        vector: (N, 4) float64, sum of H^T S^-1 e.
    """

    ids: NDArray[np.int64]
    information: Float
    vector: Float


def nothing(ids: NDArray[np.int64]) -> Evidence:
    """Before the first displacement."""
    return Evidence(ids, np.zeros((len(ids), 4, 4)), np.zeros((len(ids), 4)))


def remembered(evidence: Evidence, ids: NDArray[np.int64], seconds: float) -> Evidence:
    """The evidence on these features (N,) after `seconds` have passed; 0 on new ones."""
    answer = nothing(ids)
    old, new = shared(evidence.ids, ids)
    fading = np.exp(-seconds / MEMORY_S)
    answer.information[new] = evidence.information[old] * fading
    answer.vector[new] = evidence.vector[old] * fading
    return answer


def neighbour_weights(
    pixels: NDArray[np.float32],
    depth: NDArray[np.float32],
    categories: NDArray[np.uint8],
    focal: float,
) -> Float:
    """How much each feature counts in each one's pool.

    Args:
        pixels: (N, 2) pixels (u, v).
        depth: (N,), positive.
        categories: (N,); features of two categories have nothing to do with each other.
        focal: pixels.

    Returns:
        (N, N) float64, 0..1, 1 on the diagonal; row i is i's pool.
    """
    reach = np.maximum(LEAST_REACH, focal * REACH / depth)
    u, v = pixels.T
    logs = np.log(depth) / np.float32(DEPTH_REACH)
    apart = ((u[:, None] - u) ** 2 + (v[:, None] - v) ** 2) / reach[:, None] ** 2
    apart += (logs[:, None] - logs) ** 2
    # Exact zeros: what is far would be denormal numbers, on which processors take ages.
    near = np.flatnonzero((apart < _FARTHEST) & (categories[:, None] == categories[None]))
    weights = np.zeros(apart.shape)
    weights.ravel()[near] = np.exp(-0.5 * apart.ravel()[near])
    return weights


def displaced(
    residual: Residual,
    seconds: float,
    pose_covariance: Float,
    weights: Float,
) -> tuple[Float, Float]:
    """Information of M displacements.

    Args:
        residual: of the M correspondences, over the time `seconds`.
        seconds: time between the frames.
        pose_covariance: (6, 6), of the static pose.
        weights: (M, M), their neighbour weights: where neighbours disagree, none is believed.

    Returns:
        (M, 4, 4) and (M, 4).
    """
    moments = weights @ np.hstack((np.ones((len(weights), 1)), residual.pixels, residual.pixels**2))
    moments = moments[:, 1:] / moments[:, :1]
    spread = np.maximum(moments[:, 2:] - moments[:, :2] ** 2, 0)
    a = residual.by_pose
    noise = a @ pose_covariance @ np.swapaxes(a, 1, 2)
    noise[:, (0, 1), (0, 1)] += PIXEL_DEVIATION**2 + spread
    h = np.concatenate((residual.by_depth[:, :, None], residual.by_motion * seconds), 2)
    counts = min(STANDARD_GAP_S / seconds, MOST_COUNTS)
    weighted = np.swapaxes(h, 1, 2) @ _inverse(noise) * counts
    return weighted @ h, (weighted @ residual.pixels[:, :, None])[:, :, 0]


def _inverse(matrices: Float) -> Float:
    """Of (N, 2, 2) matrices; LAPACK would be asked for each by itself."""
    (a, b), (c, d) = np.moveaxis(matrices, 0, -1)
    adjugate = np.array(((d, -b), (-c, a))) / (a * d - b * c)
    return np.moveaxis(adjugate, -1, 0)


def pooled(evidence: Evidence, weights: Float) -> tuple[Evidence, NDArray[np.bool_]]:
    """The evidence of each feature's neighbours in place of its own.

    Args:
        evidence: of N features.
        weights: (N, N), their `neighbour_weights`.

    Returns:
        The pooled evidence, and (N,) bool: whether enough neighbours had a displacement.
    """
    seen = evidence.information[:, 0, 0] > 0
    shares = weights * seen
    counts = shares.sum(1)
    shares *= (np.minimum(counts, MOST_WEIGHT) / np.maximum(counts, 1e-9))[:, None]
    flat = shares @ evidence.information.reshape(len(seen), 16)
    together = Evidence(evidence.ids, flat.reshape(-1, 4, 4), shares @ evidence.vector)
    return together, seen & (counts >= _FEWEST)


def speed_priors(along: Float) -> list[Float]:
    """Precisions (3, 3) of v under the ways in which a thing may move, all as likely.

    Args:
        along: (3,) unit vector, the direction in which the camera goes, or looks while it rests.
    """
    anyhow = np.eye(3) / SPEED_DEVIATION**2
    outer = np.outer(along, along)
    across = (np.eye(3) - outer) / SIDEWAYS_DEVIATION**2
    return [anyhow, across + outer / ALONG_DEVIATION**2]


def score(
    information: Float,
    vector: Float,
    along: Float,
    depth_deviation: float | Float = NETWORK_DEVIATION,
) -> Float:
    """Twice the log Bayes factor of moving over still.

    Args:
        information: (N, 4, 4).
        vector: (N, 4).
        along: see `speed_priors`.
        depth_deviation: sigma_d, one for all or (N,).

    Returns:
        (N,): above 0 moving is likelier, below 0 still.
    """
    # What both hypotheses say of delta is the same, so it is eliminated first: x = v is left.
    of_depth = information[:, 0, 0] + 1 / np.square(depth_deviation)
    share = information[:, 0, 1:] / of_depth[:, None]
    known = information[:, 1:, 1:] - information[:, 1:, :1] * share[:, None]
    pull = vector[:, 1:] - vector[:, :1] * share
    ways = [_explained(known, pull, prior) for prior in speed_priors(along)]
    answer: Float = 2 * np.logaddexp.reduce(np.array(ways) / 2, 0) - 2 * np.log(len(ways))
    return answer


def _explained(known: Float, pull: Float, prior: Float) -> Float:
    """(N,) twice the log evidence of moving with this precision (3, 3) of v, over that of v = 0."""
    moving = known + prior
    fit = (pull * np.linalg.solve(moving, pull[..., None])[..., 0]).sum(-1)
    answer: Float = fit - np.linalg.slogdet(moving)[1] + np.linalg.slogdet(prior)[1]
    return answer


def velocity(
    information: Float,
    vector: Float,
    along: Float,
    depth_deviation: float = NETWORK_DEVIATION,
) -> tuple[Float, Float]:
    """The likeliest velocity of what has this evidence, if it moves at all.

    Both ways' priors are one wide one here: the narrow one of the likelier way would pull the speed
    towards 0 and leave out the doubt that the other one stands for.

    Args:
        information: (..., 4, 4).
        vector: (..., 4).
        along: see `speed_priors`.
        depth_deviation: sigma_d.

    Returns:
        (..., 3) in the second camera's axes, depth's unit per second, and its covariance
        (..., 3, 3).
    """
    spread = SPEED_DEVIATION**2 * np.eye(3) + ALONG_DEVIATION**2 * np.outer(along, along)
    known = information.copy()
    known[..., 0, 0] += 1 / depth_deviation**2
    known[..., 1:, 1:] += np.linalg.inv(spread)
    covariance = np.asarray(np.linalg.inv(known), np.float64)
    mean = (covariance @ vector[..., None])[..., 1:, 0]
    return mean, covariance[..., 1:, 1:]
