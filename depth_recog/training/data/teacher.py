# SPDX-License-Identifier: Apache-2.0
"""The depth of a teacher as pseudo-labels: it teaches where motion shows nothing.

A teacher's scale and shift differ from image to image, so each of its depths is fitted: to the
frame's triangulated points, else to the depth of the initial weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.affine import Affine, fit_affine
from depth_recog.method.masking import SKY
from depth_recog.method.pose.refinement import median
from depth_recog.method.scale.measurement import Refusal
from depth_recog.method.tracking.tracks import at
from depth_recog.training.data.prepared import PreparedFrames

POINT_STD, START_STD = 0.03, 0.1
"""Standard deviation of the log depth of a triangulated point, and of the initial weights."""
_STEP = 4
_FAINTEST = 1e-4
"""Least inverse depth that is kept: a map that is wrong far away would give none, or negative."""


def teacher_depth(
    frames: PreparedFrames, index: int, points: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """(H, W) inverse depth of a frame by the teacher, in the unit of training; 0 where unknown.

    Args:
        frames: prepared with a teacher.
        index: of the frame.
        points: (N, 3), its `table` of triangulated points; None for none. Where no motion is
            recorded they have no unit, and get that of the initial weights.
    """
    assert frames.teachers is not None, f"{frames.source}: prepared without a teacher"
    raw = np.array(frames.teachers[index], np.float64)
    start = frames.anchor(index).astype(np.float64)
    found = _by_points(raw, start, points, frames.posed)
    if isinstance(found, Refusal):
        ground = np.zeros(raw.shape, np.bool_)
        ground[::_STEP, ::_STEP] = True
        ground &= (np.asarray(frames.labels[index]) != SKY) & (start > _FAINTEST)
        ground &= np.isfinite(raw)
        wanted = start[ground]
        fit = fit_affine(raw[ground], wanted, START_STD * wanted)
        if isinstance(fit, Refusal):
            return np.zeros(raw.shape, np.float32)
        found = fit.affine
    inverse = found.inverse(raw)
    return np.where(inverse > _FAINTEST, inverse, 0).astype(np.float32)


def _by_points(
    raw: NDArray[np.float64],
    start: NDArray[np.float64],
    points: NDArray[np.float32] | None,
    recorded: bool,
) -> Affine | Refusal:
    if points is None:
        return Refusal("no points")
    answers = at(raw, points[:, :2])
    known = points[(points[:, 2] > 0) & np.isfinite(answers)]
    wanted = 1 / known[:, 2].astype(np.float64)
    fit = fit_affine(at(raw, known[:, :2]), wanted, POINT_STD * wanted)
    if isinstance(fit, Refusal) or recorded:
        return fit if isinstance(fit, Refusal) else fit.affine
    ratios = at(start, known[:, :2]) / wanted
    factor = median(ratios[ratios > 0]) if (ratios > 0).any() else 1.0
    return Affine(fit.affine.scale * factor, fit.affine.shift * factor)
