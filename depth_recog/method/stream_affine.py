# SPDX-License-Identifier: Apache-2.0
"""Scale and shift of a depth network whose answer is affine in inverse depth.

Networks such as Depth Anything give a disparity d; the inverse depth is a d + b, where a and b
differ from image to image. Without b the depth is bent, and no single factor makes metres of it.
Static points that two frames triangulate tell a and b. The unit is handed on from frame to frame:
the points of a pair are measured with the earlier frame's depth. So what is left unknown is one
factor, which `scale` finds from the camera's height or the odometry.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.affine import LEAST_POINTS, Affine, fit_affine, log_ratio
from depth_recog.method.observation import Observation
from depth_recog.method.pose.refinement import median
from depth_recog.method.scale.measurement import Refusal
from depth_recog.method.static_points import StaticPoints
from depth_recog.method.tracking.tracks import at, shared

Float = NDArray[np.float64]

LEAST_AGREEING = 6
"""Frames in a row that must agree before scale and shift are trusted."""
AGREEMENT = 0.25
"""Largest difference between such a frame and those before it, in log of far over near depth."""
JUMP = 0.4
"""Largest difference to those before it, in log depth, of a frame that is used once they are
trusted."""
WINDOW_S = 0.3
"""Time in which the weight of older points falls to 1 / e, seconds."""
PATIENCE_S = 0.7
"""Time after which scale and shift are forgotten if no frame confirms them, seconds: the network's
may have changed."""
SETTLING_S = 1.5
"""Time after which the unit no longer changes with the first maps, seconds."""
STANDING = 1 / 800
"""Median motion in the image, as a share of its width, of a camera at rest."""
SAME = 0.05
"""Median change of the network's log depth up to which the map still holds at rest. What passes by
can change the answer everywhere."""

_LARGEST_EDGE = 0.05
"""Largest difference of a pixel's inverse depth from the mean about it, as a share of the range."""
_STEP = 8


def _smooth(inverses: NDArray[np.float32], pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N,) bool, pixels away from edges of the depth.

    A corner there moves with what is in front; the depth at its pixel may be that behind.
    """
    with np.errstate(invalid="ignore"):
        rough = cv2.dilate(np.abs(cv2.blur(inverses, (5, 5)) - inverses), np.ones((5, 5)))
    values = at(inverses, pixels)
    values = values[np.isfinite(values)]
    if not len(values):
        return np.zeros(len(pixels), np.bool_)
    low, high = np.quantile(values, (0.1, 0.9))
    return np.asarray(at(rough, pixels) < _LARGEST_EDGE * (high - low))


def _length(
    past: tuple[Observation, Observation], second: Observation, points: StaticPoints
) -> float | None:
    """The baseline in the stream's unit: the median ratio of earlier depths and triangulated ones.

    Two earlier frames hand the unit on: with I1 alone, at a distance of two frames, even and odd
    frames would have units of their own. A point's depth changes evenly from I1 to I2.
    """
    sure = points.sure
    if sure.sum() < LEAST_POINTS:
        return None
    first, before = past
    pixels, ids = points.first[sure], points.ids[sure]
    near, far = 1 / points.second_inverse[sure], 1 / points.first_inverse[sure]
    ratios = [at(first.depth, pixels) / first.scale.factor / far]
    if before is not first and before.tracks is not None:
        one, two = shared(before.tracks.ids, ids)
        share = (second.stamp_ns - before.stamp_ns) / (second.stamp_ns - first.stamp_ns)
        between = near[two] + share * (far - near)[two]
        depth = at(before.depth, before.tracks.pixels[one]) / before.scale.factor
        ratios.append(depth / between)
    values = np.concatenate(ratios)
    values = values[np.isfinite(values) & (values > 0)]
    return math.exp(median(np.log(values))) if len(values) >= LEAST_POINTS else None


class AffineFilter:
    """Scale and shift over the frames of a stream: points of the last moments, newest first.

    It holds the normal equations of the least squares over the points so far, which fade with
    time: so the map follows the network without jumps, and a frame with few points changes little.
    """

    def __init__(self) -> None:
        self._last: Affine | None = None
        self.reset()

    def reset(self) -> None:
        """Forget everything: another camera."""
        self.now: Affine | None = None
        """The trusted map; None while there is none."""
        self.settled = False
        """Whether the map has been trusted for a moment: the first depths are still bent."""
        self.why = "scale and shift of the depth: no motion seen yet"
        self._left = np.zeros((2, 2))
        self._right = np.zeros(2)
        self._learned: NDArray[np.float32] | None = None
        self._agreeing = 0
        self._newest_s = self._confirmed_s = self._trusted_s = 0.0

    def applied(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """A network's (h, w) depth with the map that is trusted, or was until this frame."""
        return depth if self._last is None else self._last.depth(depth)

    def add(
        self,
        past: tuple[Observation, Observation],
        second: Observation,
        static: StaticPoints | Refusal,
        raw: NDArray[np.float32],
        standing: bool,
    ) -> bool:
        """Learn from a pair of frames.

        Args:
            past: I1, and the frame before I2, which may be the same. Their depths are in the
                stream's unit times the factor of their scale.
            second: I2, whose depth is not read.
            static: triangulated points of I1 and I2.
            raw: (h, w) float32, the network's depth of I2.
            standing: whether the camera is at rest, see `STANDING`.

        Returns:
            Whether the map became trusted, or ceased to be.
        """
        was, seconds = self.now, second.stamp_ns / 1e9
        again = seconds < self._newest_s  # the recording begins anew
        if again or (standing and self._holds_for(raw)):
            self._confirmed_s = seconds
        passed, self._newest_s = abs(seconds - self._newest_s), seconds
        if isinstance(static, Refusal):
            refused = static.why
        else:
            refused = self._learn(past, second, static, raw, passed)
        if not refused:
            self._confirmed_s = seconds
        elif self.now is None:
            self.why = f"scale and shift of the depth are not known: {refused}"
        elif seconds - self._confirmed_s > PATIENCE_S:
            self.reset()
            self._newest_s = self._confirmed_s = seconds
            self.why = f"scale and shift of the depth were lost: {refused}"
        turned = (was is None) != (self.now is None)
        if turned or seconds < self._trusted_s:
            self._trusted_s = seconds
        elif self.now is not None and seconds - self._trusted_s > SETTLING_S:
            self.settled = True
        return turned

    def _learn(
        self,
        past: tuple[Observation, Observation],
        second: Observation,
        static: StaticPoints,
        raw: NDArray[np.float32],
        passed: float,
    ) -> str:
        """Add the points of a pair; why it cannot be used, "" if it was."""
        with np.errstate(divide="ignore"):
            inverses = np.asarray(1 / raw, np.float32)
        inverse = at(inverses, static.second).astype(np.float64)
        smooth = _smooth(inverses, static.second) & np.isfinite(inverse)
        inverse, points = inverse[smooth], static.where(smooth)
        length = _length(past, second, points)
        if length is None:
            return "too few static points have a depth"
        wanted, std = points.second_inverse / length, points.std / length
        fit = fit_affine(inverse, wanted, std)
        if isinstance(fit, Refusal):
            return fit.why
        factor = self._fits(inverse, fit.affine)
        if factor is None:
            return "the newest contradict those before"
        wanted = wanted * factor
        fade = max(math.exp(-passed / WINDOW_S), 0.5)
        terms = np.stack((inverse, np.ones_like(inverse)), 1)
        weighted = terms * (fit.weights / factor**2)[:, None]
        self._left = fade * self._left + weighted.T @ terms
        self._right = fade * self._right + weighted.T @ wanted
        if self.now is not None or self._agreeing >= LEAST_AGREEING:
            # The shape is that of the last moments, the unit that of the earlier frames at the same
            # points: a unit that follows slowly would be handed on with its delay.
            shape, sure = self._solved(), points.sure
            found = shape.inverse(inverse[sure])
            unit = math.exp(-median(log_ratio(found, wanted[sure])))
            self.now = self._last = Affine(shape.scale * unit, shape.shift * unit)
        self._learned = raw[::_STEP, ::_STEP].copy()
        return ""

    def _holds_for(self, raw: NDArray[np.float32]) -> bool:
        """Whether the network's answer is still that of the last frame that was learned from."""
        sample = raw[::_STEP, ::_STEP]
        if self._learned is None or self._learned.shape != sample.shape:
            return False
        with np.errstate(divide="ignore", invalid="ignore"):
            changes = np.abs(np.log(sample / self._learned))
        changes = changes[np.isfinite(changes)]
        return bool(len(changes) and np.median(changes) < SAME)

    def _solved(self) -> Affine:
        return Affine(*(float(v) for v in np.linalg.solve(self._left, self._right)))

    def _fits(self, inverse: Float, newest: Affine) -> float | None:
        """The factor that brings a frame into the unit of those before it; None: it is refused.

        Before any map is trusted the unit is not handed on, as the depth is bent: frames have to
        agree up to a factor.
        """
        ends = np.quantile(inverse, (0.3, 0.9))
        changes = np.zeros(2)
        if self._left.any():
            before = np.maximum(self._solved().inverse(ends), 1e-9)
            changes = np.log(np.maximum(newest.inverse(ends), 1e-9) / before)
        if self.now is not None:
            return 1.0 if float(np.abs(changes).max()) <= JUMP else None
        if abs(changes[1] - changes[0]) > AGREEMENT:
            self._left, self._right, self._agreeing = np.zeros((2, 2)), np.zeros(2), 0
            changes = np.zeros(2)
        self._agreeing += 1
        self.why = f"scale and shift of the depth agree in {self._agreeing} frames so far"
        return math.exp(-float(changes.mean()))
