# SPDX-License-Identifier: Apache-2.0
"""The scale beside a stream of frames: what `Recognizer` asks before a frame and tells after it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.se3 import Matrix, inverse_matrix
from depth_recog.method.masking import GROUND
from depth_recog.method.networks import WaitForDepth
from depth_recog.method.observation import Observation
from depth_recog.method.pair import Pair, Step, correspondences_of, pose_for_gate
from depth_recog.method.scale.agreement import Points, SeenMotion, see_motion
from depth_recog.method.scale.estimator import ScaleEstimator, ScaleSettings
from depth_recog.method.scale.height import CameraMount, GroundPlane, network_height
from depth_recog.method.scale.measurement import Refusal, Scale, ScaleState
from depth_recog.method.scale.motion import OdometryBuffer
from depth_recog.method.scale.road import align_road
from depth_recog.method.settings import Wanted
from depth_recog.method.static_points import static_points
from depth_recog.method.stream_affine import STANDING, AffineFilter
from depth_recog.method.tracking.tracks import Correspondences, at

ALIGN_GAP_S = 0.5
"""Time between the frames that show scale and shift, seconds: the unit drifts with each step."""
ENOUGH = 80
"""Static correspondences of such frames; with fewer a nearer frame is taken."""
_KEPT = 64
_COMPARED = 16
LONGEST_NS = 1_000_000_000
"""Number of frames with which the newest one may be compared, and their greatest age."""
BEST_MOTION = 0.3
"""Motion between the frames from which the road is found, in heights of the camera by the network's
road, which may be too high."""
LEAST_MOTION = 0.03
"""The least such motion that shows anything."""
EVERY_NS = 150_000_000
"""Least time between two measurements: more of them cost time and tell little more."""
_LEVEL = CameraMount(1.0)
_LEAST_SHARE = 0.02
"""Least share of the lowest third of the image that must show ground."""
_MARGIN = 6
"""Growth of the movers' masks before ground is chosen, pixels: shadows and mislabelled edges."""


class StreamScale:
    """Follows the scale of one depth network and one camera over the frames of a stream.

    Args:
        settings: the sources of metres.
        odometry: filled by the caller; see `ScaleEstimator`.
        affine: whether scale and shift of the network's inverse depth are unknown.
    """

    def __init__(
        self,
        settings: ScaleSettings,
        odometry: OdometryBuffer | None = None,
        affine: bool = False,
    ) -> None:
        self.settings = settings
        self.affine = AffineFilter() if affine else None
        """Finds scale and shift; None where the network has a unit."""
        self._turned = False
        self.odometry = odometry
        self._estimator = ScaleEstimator(settings, odometry, affine)
        self._path = _Path()
        self._seen: deque[_Seen] = deque(maxlen=_COMPARED)
        self._measured_ns = -EVERY_NS

    @property
    def now(self) -> Scale:
        """The scale for the next frame."""
        scale = self._estimator.scale
        if self.affine is None or scale.state is ScaleState.NONE:
            return scale
        if not self.affine.settled:
            return Scale(state=ScaleState.ACQUIRING, why=self.affine.why)
        return scale

    @property
    def ground(self) -> GroundPlane | None:
        """The ground as the motion up to the newest frame shows it; None if it shows none."""
        return self._estimator.ground

    @property
    def least_wanted(self) -> Wanted:
        """What must be computed of every frame: pairs show scale and shift."""
        return Wanted.DEPTH if self.affine is None else Wanted.PAIR

    @property
    def turned(self) -> bool:
        """Whether scale and shift were found or lost in the newest frame; asked once."""
        turned, self._turned = self._turned, False
        return turned

    def applied(self, wait: WaitForDepth) -> WaitForDepth:
        """A function that waits for the depth of the next frame, and scales it."""
        factor = np.float32(self.now.factor)
        if self.affine is not None:
            return _AffineDepth(wait, factor, self.affine, self.affine.now is not None)
        return wait if factor == 1 else lambda: wait() * factor

    def align(
        self, earlier: Sequence[Observation], second: Observation, before: Observation, margin: int
    ) -> None:
        """Learn scale and shift of a frame; it does nothing where the network has a unit.

        Before the newest frame's depth is read: it is the first to profit. The motion is that of
        the correspondences alone: one from depth would hide that the depth is bent.

        Args:
            earlier: frames to compare it with, the best first; those with few common points are
                passed over.
            second: the newest frame.
            before: the frame before it.
            margin: pixels by which the dynamic mask is grown.
        """
        if self.affine is None or not isinstance(second.known_depth, _AffineDepth):
            return
        for first in earlier:
            found = _static_correspondences(first, second, margin)
            if len(found.first) >= ENOUGH:
                break
        standing = found.median_motion < STANDING * first.camera.width
        points = static_points(found, first.camera)
        raw = second.known_depth.raw()
        self._turned = self.affine.add((first, before), second, points, raw, standing)
        if self._turned:
            self._forget()

    def reset(self) -> None:
        """Start anew: another camera."""
        self._forget()
        self._turned = False
        if self.affine is not None:
            self.affine.reset()

    def _forget(self) -> None:
        """Forget what was measured in a unit that is no more."""
        self._estimator.reset()
        self._path = _Path()
        self._seen.clear()

    def add(self, step: Step) -> None:
        """Learn from a frame whose depth and labels have arrived."""
        if not self.settings.measured:
            return
        frame = step.frame
        place = self._path.add(frame, step.pair)
        if place is None:
            self._seen.clear()
        if self.affine is not None and not self.affine.settled:
            return
        if self.settings.by_odometry:
            self._estimator.moved(frame.stamp_ns, None if place is None else place[:3, 3])
        now = _Seen(frame, self._path.latest)
        due = not 0 <= frame.stamp_ns - self._measured_ns < EVERY_NS
        log_path, seen = self._compared(now, step.pair) if due else (math.nan, None)
        self._seen.append(now)
        if seen is None:
            return
        self._measured_ns = frame.stamp_ns
        self._estimator.observe(frame.stamp_ns, seen, log_path)

    def _compared(self, now: _Seen, pair: Pair | None) -> tuple[float, SeenMotion | Refusal]:
        """Length of the path since an earlier frame, in log, and what both frames show."""
        mount = self.settings.mount or _LEVEL
        frame = now.frame
        height = network_height(frame.depth, now.ground, frame.camera, mount)
        while self._seen and frame.stamp_ns - self._seen[0].frame.stamp_ns > LONGEST_NS:
            self._seen.popleft()
        if height is None or not self._seen:
            return math.nan, Refusal("too little ground is visible")
        height /= frame.scale.factor
        way, earlier = self._partner(now, height)
        if way < LEAST_MOTION * height:
            return math.nan, Refusal("the camera moves too little")
        first = earlier.frame
        if pair is not None and pair.first.stamp_ns == first.stamp_ns:
            pose = pair.static
        else:
            guess = inverse_matrix(now.place) @ earlier.place
            guess[:3, 3] *= first.scale.factor
            pose = pose_for_gate(first, frame, guess)
        if not pose.ok or first.tracks is None or frame.tracks is None:
            return math.nan, Refusal(f"no static pose: {pose.why or 'no features'}")
        images, camera = (first.grey, frame.grey), first.camera
        ground = earlier.ground
        road = align_road(images, ground, camera, pose, mount, height / way)
        found = correspondences_of(first, frame).within(~first.near(_MARGIN), ~frame.near(_MARGIN))
        points = Points(found, at(ground, found.first))
        share = float(ground.sum()) / max(1, int((~first.rules.sky_pixels(first.labels)).sum()))
        depth = first.depth / np.float32(first.scale.factor)
        seen = see_motion(depth, camera, points, pose.T_second_from_first, road, share)
        return math.log(max(way, 1e-9)), seen

    def _partner(self, now: _Seen, height: float) -> tuple[float, _Seen]:
        """The length of the way since the frame that is compared with the newest one, and it."""
        here = now.place[:3, 3]
        places = np.array([seen.place[:3, 3] for seen in self._seen])
        ways = np.sqrt(((here - places) ** 2).sum(1))
        chosen = len(ways) - 1
        while chosen > 0 and ways[chosen - 1] <= BEST_MOTION * height:
            chosen -= 1
        return float(ways[chosen]), self._seen[chosen]


@dataclass(frozen=True)
class _Seen:
    """A frame with its place on the path, (4, 4) in the network's unit."""

    frame: Observation
    place: Matrix

    @cached_property
    def ground(self) -> NDArray[np.bool_]:
        """(h, w) bool, see `ground_below`."""
        return ground_below(self.frame)


def _static_correspondences(
    first: Observation, second: Observation, margin: int
) -> Correspondences:
    """Correspondences of static pixels; `rows` are the ids of the tracks."""
    assert first.tracks is not None
    found = correspondences_of(first, second).within(~first.near(margin), ~second.near(margin))
    return replace(found, rows=first.tracks.ids[found.rows])


@dataclass(frozen=True)
class _AffineDepth:
    """Waits for a depth whose scale and shift are known from the stream, or not yet.

    The map is read when the depth is: by then this frame's points have changed it.
    """

    raw: WaitForDepth
    factor: np.float32
    affine: AffineFilter
    trusted: bool

    def __call__(self) -> NDArray[np.float32]:
        depth = self.raw()
        return (self.affine.applied(depth) if self.trusted else depth) * self.factor


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

    @property
    def latest(self) -> Matrix:
        """(4, 4) place of the newest frame."""
        return next(reversed(self._poses.values()))

    def add(self, frame: Observation, pair: Pair | None) -> Matrix | None:
        """(4, 4) place of the newest frame; None where the path begins anew."""
        before = None if pair is None else self._poses.get(pair.first.stamp_ns)
        if pair is None or before is None or not pair.static.ok:
            self._poses = {frame.stamp_ns: np.eye(4)}
            return None
        motion = inverse_matrix(pair.static.T_second_from_first)
        motion[:3, 3] /= pair.first.scale.factor
        self._poses[frame.stamp_ns] = before @ motion
        while len(self._poses) > _KEPT:
            del self._poses[next(iter(self._poses))]
        return self._poses[frame.stamp_ns]
