# SPDX-License-Identifier: Apache-2.0
"""Triangulated points of two frames: what is known of the depth without any network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.evaluation.without_truth.matching import Follower
from depth_recog.evaluation.without_truth.motion import Motion, motion_of
from depth_recog.evaluation.without_truth.views import View
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import relative
from depth_recog.method.pose.epipolar import Unsolved, camera_coordinates, triangulated_depth
from depth_recog.method.pose.refinement import linearised
from depth_recog.method.tracking.tracks import Correspondences

Float = NDArray[np.float64]

LEAST_POINTS = 60
"""Points that a pair of frames needs."""

MOST_STD = 0.1
"""Largest standard deviation of the log depth of a point."""

WANTED_MOTION = 1 / 25
"""Median motion of the static points at which a pair has parallax enough, share of the width."""

LEAST_MOTION = 1 / 500
"""Below this a pair of frames has no parallax."""

PATCH_STD = 0.012
"""Standard deviation of the log depth of every point, however large its parallax: what is matched
is a patch, not a point. Measured on the synthetic street."""

_LEAST_SURVIVING = 0.35
_LEAST_PARALLAX = np.radians(0.4)
_LARGEST_RESIDUAL = 3.0
_LEAST_EPIPOLE = 1 / 40


@dataclass(frozen=True)
class Points:
    """Triangulated static points of a pair of frames.

    Attributes:
        pixels: (N, 2) float32, (u, v) in the first view.
        depth: (N,) float64, in the first camera; the unit is the length of the translation.
        std: (N,) float64, standard deviation of log depth.
        T_second_from_first: (4, 4) float64, translation of length 1.
        metres: length of the translation by the recorded poses; None if there are none.
    """

    pixels: NDArray[np.float32]
    depth: Float
    std: Float
    T_second_from_first: Float
    metres: float | None = None

    def __len__(self) -> int:
        return len(self.depth)


@dataclass(frozen=True)
class Evidence:
    """A pair of frames, and what is known of it without any depth.

    Attributes:
        first: the view that is judged.
        second: its partner, some frames later.
        points: None if too few can be trusted.
        why: the reason then.
    """

    first: View
    second: View
    points: Points | None
    why: str = ""


def evidence_of(views: Sequence[View]) -> Evidence:
    """Triangulate points of the first view with the partner that shows enough parallax.

    Args:
        views: in order of time, at least two. The partner is the earliest view in which the static
            points moved by `WANTED_MOTION`, or the last in which enough of them are found.
    """
    first, partner = views[0], views[1]
    follower, found = Follower(first), None
    for view in views[1:]:
        these = follower.next(view)
        if found is not None and len(these) < max(_LEAST_SURVIVING * these.tried, LEAST_POINTS):
            break
        partner, found = view, these
        if found.median_motion > WANTED_MOTION * first.camera.width:
            break
    assert found is not None
    if len(found) < LEAST_POINTS:
        return Evidence(first, partner, None, "too few points are found in both frames")
    if found.median_motion < LEAST_MOTION * first.camera.width:
        return Evidence(first, partner, None, "the camera hardly moves")
    motion = motion_of(found, first.camera)
    if isinstance(motion, Unsolved):
        return Evidence(first, partner, None, "no motion of the camera fits")
    metres = None
    if first.world_from_camera is not None and partner.world_from_camera is not None:
        moved = relative(first.world_from_camera, partner.world_from_camera)
        metres = float(np.linalg.norm(moved[:3, 3])) or None
    points = triangulate(found, motion, first.camera, metres)
    if len(points) < LEAST_POINTS:
        return Evidence(first, partner, None, "too little parallax")
    return Evidence(first, partner, points)


def triangulate(
    found: Correspondences, motion: Motion, camera: Camera, metres: float | None = None
) -> Points:
    """Triangulate correspondences and keep the points that can be trusted.

    The depth of a point moves its projection into I2 along the line j = d pi / d log Z. It is found
    where that line comes nearest to the observed pixel. With s, the points' noise, and the part
    p of the pose's error along j, the variance of log Z is (s^2 + p^2) / |j|^2 + `PATCH_STD`^2.

    A point is kept if it lies in front of both cameras, close to its epipolar line, away from the
    epipole, and if its rays meet at an angle; its standard deviation is at most `MOST_STD`.

    Args:
        found: correspondences on static pixels.
        motion: of the camera.
        camera: intrinsics of both images.
        metres: length of the translation, if it is known.
    """
    T = motion.T_second_from_first
    first = camera_coordinates(found.first, camera)
    second = camera_coordinates(found.second, camera)
    depth = triangulated_depth(first, second, T)
    good = np.isfinite(depth) & (depth > 0)
    depth = np.where(good, depth, 1.0)
    pixels = found.second.T.astype(np.float64)
    for _ in range(3):
        residual, by_pose, by_depth, front = linearised(
            (first * depth[:, None]).T, pixels, T, camera
        )
        lever = np.maximum((by_depth**2).sum(0), 1e-12)
        along = (residual * by_depth).sum(0) / lever
        depth = depth * np.exp(np.clip(along, -0.5, 0.5))
    residual, by_pose, by_depth, front = linearised((first * depth[:, None]).T, pixels, T, camera)
    lever = np.maximum((by_depth**2).sum(0), 1e-12)
    axis = by_depth / np.sqrt(lever)
    pose = np.einsum("kan,an->nk", by_pose, axis)  # (N, 6), pixels along j
    pose_variance = np.einsum("nk,kl,nl->n", pose, motion.covariance, pose)
    std = np.sqrt((motion.noise**2 + pose_variance) / lever + PATCH_STD**2)
    good &= front & (std < MOST_STD)
    good &= np.hypot(*residual) < _LARGEST_RESIDUAL * motion.noise
    good &= _parallax(first, second, T) > _LEAST_PARALLAX
    good &= _from_epipole(found.second, T, camera) > _LEAST_EPIPOLE * camera.width
    return Points(found.first[good], depth[good], std[good], T, metres)


def _parallax(first: Float, second: Float, T: Float) -> Float:
    """Return (N,) angles between corresponding rays, radians."""
    one, two = first @ T[:3, :3].T, second
    sine = np.linalg.norm(np.cross(one, two), axis=1)
    return np.asarray(np.arctan2(sine, (one * two).sum(1)))


def _from_epipole(pixels: NDArray[np.float32], T: Float, camera: Camera) -> Float:
    """Return (N,) distances of pixels in I2 from the image of the first camera's centre."""
    t = T[:3, 3]
    if abs(t[2]) < 1e-6:
        return np.full(len(pixels), np.inf)
    epipole = np.array((camera.fx * t[0] / t[2] + camera.cx, camera.fy * t[1] / t[2] + camera.cy))
    return np.asarray(np.linalg.norm(pixels - epipole, axis=1))
