# SPDX-License-Identifier: Apache-2.0
"""Evidence that a feature moves, from its displacements, with the depth error marginalised.

There are two hypotheses for the displacement e of a feature against the static pose. Both contain
an unknown error delta ~ N(0, sigma_d^2) of the logarithm of its depth:

    still:   e = J delta + noise              J = d projection / d log depth
    moving:  e = J delta + B v dt + noise     B = d projection / d point

The velocity v has one of two priors, equally likely: N(0, sigma_v^2 I) for motion in any direction,
or a wide one along the camera's direction of travel and a narrow one across it. The second matters
because most objects on a road move with or against the camera, and along that direction J and B are
parallel: the camera cannot tell such a motion from a wrong depth. Without it, an object that does
not move sideways would be called still.

Every displacement adds H^T S^-1 H and H^T S^-1 e, H = [J, B dt], to the information on
x = (delta, v), where S is the covariance of the noise. The score is twice the logarithm of the
Bayes factor of moving over still. Unlike a test of v = 0 it separates two cases: a velocity that is
known to be near 0 is evidence of rest, an unknown velocity is no evidence (score 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.gate.ground import NETWORK_STD
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.pose.refinement import linearised
from depth_recog.method.tracking.tracks import shared

Float = NDArray[np.float64]

SPEED_STD = 2.0
"""sigma_v, of each component of a velocity in any direction, in the depth's unit per second."""

ALONG_STD, SIDEWAYS_STD = 8.0, 0.3
"""Standard deviations of a velocity with or against the camera: along its direction of travel and
across it, in the depth's unit per second."""

PIXEL_STD = 0.35
"""Standard deviation of a displacement, pixels, including errors that neighbours share, such as an
uncalibrated lens distortion."""

MEMORY_S = 0.5
"""Time constant with which evidence fades, seconds."""

STANDARD_GAP_S = 0.1
"""A displacement over this time has weight 1, over twice this time weight 1/2, because longer
displacements overlap. So the sum does not depend on the frame rate."""

MOST_COUNTS = 10.0
"""Largest weight of a displacement, reached at a hundredth of a second."""

REACH = 0.5
"""Standard deviation of the neighbours' weights over the distance, in the depth's unit: less than a
person's height, so that a person in front of a car is not pooled with the car."""

LEAST_REACH = 6.0
"""Smallest such standard deviation, pixels, so that distant features have neighbours too."""

DEPTH_REACH = 0.12
"""Standard deviation of the neighbours' weights over log depth."""

MOST_WEIGHT = 2.0
"""Largest sum of weights, in independent features: neighbours' errors have common causes."""

_FEWEST = 1.5
_FARTHEST = 16.0


@dataclass(frozen=True)
class Evidence:
    """Information on x = (delta, v) of N features.

    Attributes:
        ids: (N,) int64 feature ids, ascending.
        information: (N, 4, 4) float64, sum of H^T S^-1 H.
        vector: (N, 4) float64, sum of H^T S^-1 e.
    """

    ids: NDArray[np.int64]
    information: Float
    vector: Float


def nothing(ids: NDArray[np.int64]) -> Evidence:
    """Return the evidence before the first displacement."""
    return Evidence(ids, np.zeros((len(ids), 4, 4)), np.zeros((len(ids), 4)))


def remembered(evidence: Evidence, ids: NDArray[np.int64], seconds: float) -> Evidence:
    """Return the evidence on features (N,) after `seconds` have passed; 0 for new features."""
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
    """Return how much each feature contributes to the pooled evidence of each other one.

    w_ij = exp(-(|p_i - p_j|^2 / reach_i^2 + (log z_i - log z_j)^2 / DEPTH_REACH^2) / 2)

    Args:
        pixels: (N, 2) pixels (u, v).
        depth: (N,), positive.
        categories: (N,); the weight between two categories is 0.
        focal: focal length, pixels.

    Returns:
        (N, N) float64, 0..1, 1 on the diagonal; row i holds the weights for feature i.
    """
    reach = np.maximum(LEAST_REACH, focal * REACH / depth)
    u, v = pixels.T
    logs = np.log(depth) / np.float32(DEPTH_REACH)
    apart = ((u[:, None] - u) ** 2 + (v[:, None] - v) ** 2) / reach[:, None] ** 2
    apart += (logs[:, None] - logs) ** 2
    # Distant pairs are set to 0 exactly: arithmetic with denormal numbers is very slow.
    near = np.flatnonzero((apart < _FARTHEST) & (categories[:, None] == categories[None]))
    weights = np.zeros(apart.shape)
    weights.ravel()[near] = np.exp(-0.5 * apart.ravel()[near])
    return weights


def displacements(
    T_second_from_first: Matrix,
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    depth: NDArray[np.float32],
    camera: Camera,
) -> tuple[Float, Float, Float]:
    """Compare M correspondences with the static pose.

    Args:
        T_second_from_first: (4, 4), the static pose.
        first: (M, 2) pixels (u, v) in I1.
        second: (M, 2) pixels (u, v) in I2.
        depth: (M,) in I1, in the pose's unit, positive.
        camera: intrinsics of both frames.

    Returns:
        (M, 2) e, observed minus projected pixels in I2; (M, 2) J, pixels; (M, 2, 6) A, the
        derivative of the projection by a pose perturbed as exp(r) R, t + dt, pixels. The last three
        columns of A are B.
    """
    z = depth.astype(np.float64)
    x, y = camera.rays(*first.astype(np.float64).T)
    error, by_pose, by_depth, front = linearised(
        np.array((x * z, y * z, z)), second.astype(np.float64).T, T_second_from_first, camera
    )
    # A point behind the second camera has no projection and adds no evidence.
    error[:, ~front], by_pose[..., ~front], by_depth[:, ~front] = 0.0, 0.0, 0.0
    return error.T, by_depth.T, np.ascontiguousarray(by_pose.T)


def information_of(
    error: Float,
    by_depth: Float,
    by_pose: Float,
    seconds: float,
    pose_covariance: Float,
    weights: Float,
) -> tuple[Float, Float]:
    """Return H^T S^-1 H (M, 4, 4) and H^T S^-1 e (M, 4) of M displacements.

    S = A P A^T + (PIXEL_STD^2 + variance of e among the neighbours) I

    Args:
        error: (M, 2), e, see `displacements`.
        by_depth: (M, 2), J.
        by_pose: (M, 2, 6), A; its last three columns are B.
        seconds: time between the frames.
        pose_covariance: (6, 6), P, of the static pose.
        weights: (M, M) neighbour weights.
    """
    moments = weights @ np.hstack((np.ones((len(weights), 1)), error, error**2))  # (M, 5)
    moments = moments[:, 1:] / moments[:, :1]  # (M, 4): means of e and of e^2
    variance = np.maximum(moments[:, 2:] - moments[:, :2] ** 2, 0)  # (M, 2)
    noise = by_pose @ pose_covariance @ np.swapaxes(by_pose, 1, 2)  # (M, 2, 2)
    noise[:, (0, 1), (0, 1)] += PIXEL_STD**2 + variance
    h = np.concatenate((by_depth[:, :, None], by_pose[:, :, 3:] * seconds), 2)  # (M, 2, 4)
    counts = min(STANDARD_GAP_S / seconds, MOST_COUNTS)
    weighted = np.swapaxes(h, 1, 2) @ _inverse(noise) * counts  # (M, 4, 2)
    return weighted @ h, (weighted @ error[:, :, None])[:, :, 0]


def _inverse(matrices: Float) -> Float:
    """Invert (N, 2, 2) matrices; `numpy.linalg.inv` would call LAPACK for each one."""
    (a, b), (c, d) = np.moveaxis(matrices, 0, -1)
    adjugate = np.array(((d, -b), (-c, a))) / (a * d - b * c)
    return np.moveaxis(adjugate, -1, 0)


def pooled(evidence: Evidence, weights: Float) -> tuple[Evidence, NDArray[np.bool_]]:
    """Sum the evidence of each feature's neighbours.

    Args:
        evidence: of N features.
        weights: (N, N) neighbour weights.

    Returns:
        The pooled evidence, and (N,) bool: whether enough neighbours had a displacement.
    """
    seen = evidence.information[:, 0, 0] > 0
    weights = weights * seen
    counts = weights.sum(1)
    weights *= (np.minimum(counts, MOST_WEIGHT) / np.maximum(counts, 1e-9))[:, None]
    flat = weights @ evidence.information.reshape(len(seen), 16)
    together = Evidence(evidence.ids, flat.reshape(-1, 4, 4), weights @ evidence.vector)
    return together, seen & (counts >= _FEWEST)


def speed_priors(along: Float) -> list[Float]:
    """Return the two priors of v as precisions (3, 3), inverse covariances.

    Args:
        along: (3,) unit vector, the camera's direction of travel, or its optical axis at rest.
    """
    anyhow = np.eye(3) / SPEED_STD**2
    outer = np.outer(along, along)
    across = (np.eye(3) - outer) / SIDEWAYS_STD**2
    return [anyhow, across + outer / ALONG_STD**2]


def score(
    information: Float, vector: Float, along: Float, depth_std: float | Float = NETWORK_STD
) -> Float:
    """Return twice the log Bayes factor of moving over still, (N,).

    Args:
        information: (N, 4, 4).
        vector: (N, 4).
        along: (3,) see `speed_priors`.
        depth_std: sigma_d, one for all features or (N,).
    """
    # Both hypotheses have the same prior of delta, so it is eliminated first; x = v remains.
    of_depth = information[:, 0, 0] + 1 / np.square(depth_std)  # (N,)
    share = information[:, 0, 1:] / of_depth[:, None]  # (N, 3)
    known = information[:, 1:, 1:] - information[:, 1:, :1] * share[:, None]  # (N, 3, 3)
    pull = vector[:, 1:] - vector[:, :1] * share  # (N, 3)
    ways = [_explained(known, pull, prior) for prior in speed_priors(along)]
    answer: Float = 2 * np.logaddexp.reduce(np.array(ways) / 2, 0) - 2 * np.log(len(ways))
    return answer


def _explained(known: Float, pull: Float, prior: Float) -> Float:
    """Return (N,) twice the log evidence for a prior of v, a precision (3, 3), against v = 0."""
    moving = known + prior
    fit = (pull * np.linalg.solve(moving, pull[..., None])[..., 0]).sum(-1)
    answer: Float = fit - np.linalg.slogdet(moving)[1] + np.linalg.slogdet(prior)[1]
    return answer


def velocity(information: Float, vector: Float, along: Float) -> tuple[Float, Float]:
    """Return the most likely velocities, assuming that the features move, and their covariances.

    The prior is as wide as both priors of `speed_priors` together. The narrow one alone would pull
    the velocity towards 0 and underestimate its covariance.

    Args:
        information: (..., 4, 4).
        vector: (..., 4).
        along: (3,) see `speed_priors`.

    Returns:
        (..., 3) in the second camera's axes, the depth's unit per second; (..., 3, 3).
    """
    prior = SPEED_STD**2 * np.eye(3) + ALONG_STD**2 * np.outer(along, along)
    known = information.copy()
    known[..., 0, 0] += 1 / NETWORK_STD**2
    known[..., 1:, 1:] += np.linalg.inv(prior)
    covariance = np.asarray(np.linalg.inv(known), np.float64)
    mean = (covariance @ vector[..., None])[..., 1:, 0]
    return mean, covariance[..., 1:, 1:]
