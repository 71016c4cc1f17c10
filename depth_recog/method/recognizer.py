# SPDX-License-Identifier: Apache-2.0
"""The order in which a frame, and then a pair of frames, passes through blocks 101 to 107.

`Recognizer.step` is what a stream calls for each frame:

1. `observe` starts the networks (blocks 102, 103; the frame's depth is the output, block 109).
2. `advance` does meanwhile what needs no result yet. It follows the previous frame's features into
   the frame (`tracking/features.py`), waits for the labels, picks an earlier frame as its partner
   (block 101, `tracking/partner.py`), estimates the camera's motion between the two (blocks 104,
   105, `pose/`), waits for the depth, and decides which objects move (block 107, `gate/`).

`Pair.projection` makes the projection image (block 106) on request.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.gate.by_image import Motion
from depth_recog.method.gate.by_object import ObjectGate
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import UNLABELLED
from depth_recog.method.networks import Image, Networks, WaitForDepth
from depth_recog.method.observation import Observation
from depth_recog.method.pair import Pair, PairPoses, Step, correspondences_of
from depth_recog.method.past import past_of
from depth_recog.method.pose.estimator import PoseEstimator
from depth_recog.method.scale.motion import OdometryBuffer
from depth_recog.method.settings import Settings, Wanted
from depth_recog.method.stopwatch import Stopwatch
from depth_recog.method.stream_scale import ALIGN_GAP_S, StreamScale
from depth_recog.method.tracking import features, tracks
from depth_recog.method.tracking.features import Followed
from depth_recog.method.tracking.partner import PartnerBuffer
from depth_recog.method.tracking.tracks import Tracks

_ALONE = {"off": Motion.STILL, "all": Motion.MOVING}

# If a smaller share of the features is found, the video was cut.
_LEAST_FOUND = 0.15
_LEAST_STATIC = 8


class Recognizer:
    """Computes depth, masks, poses and decisions from frames.

    Args:
        networks: of depth and labels.
        estimator: of static, dynamic and target pose.
        settings: what the user chose.
        odometry: of the robot, for the scale; filled by the caller.

    Attributes:
        networks: as given.
    """

    def __init__(
        self,
        networks: Networks,
        estimator: PoseEstimator,
        settings: Settings,
        odometry: OdometryBuffer | None = None,
    ) -> None:
        self.networks, self._estimator, self._settings = networks, estimator, settings
        self._buffer: PartnerBuffer[Observation] = PartnerBuffer(settings.longest_gap_s)
        self._gate = self._new_gate()
        self.scale = StreamScale(settings.scale, odometry, networks.affine)
        """From the depth network's unit to metres."""

    def _new_gate(self) -> ObjectGate:
        return ObjectGate(self._settings.rules, self._settings.score_threshold)

    @property
    def settings(self) -> Settings:
        """The user's settings."""
        return self._settings

    def changed(self, settings: Settings, estimator: PoseEstimator | None = None) -> Recognizer:
        """Return a recognizer with the same networks, other settings and perhaps estimator.

        It keeps the buffered frames, unless their content depends on the changed settings.
        """
        estimator = estimator or self._estimator
        other = Recognizer(self.networks, estimator, settings, self.scale.odometry)
        other.keep_scale_of(self)
        if self._settings.seen_by == settings.seen_by:
            other._buffer = self._buffer
            other._gate = self._gate.with_threshold(settings.score_threshold)
        return other

    def keep_scale_of(self, other: Recognizer) -> None:
        """Go on with the scale of a recognizer that has the same depth network."""
        if self.scale.settings == other.scale.settings:
            self.scale = other.scale

    def reset(self) -> None:
        """Forget the buffered frames and the scale, because of another camera."""
        self._buffer.clear()
        self._gate.reset()
        self.scale.reset()

    def step(
        self,
        name: str,
        stamp_ns: int,
        image: NDArray[np.uint8],
        camera: Camera,
        wanted: Wanted = Wanted.PAIR,
        seen: NDArray[np.bool_] | None = None,
    ) -> Step:
        """Process the newest frame of a stream.

        Args:
            name: the frame's name.
            stamp_ns: time of exposure, nanoseconds.
            image: (h, w, 3) uint8 RGB at the network's size, rectified.
            camera: intrinsics of `image`.
            wanted: what is computed. A frame of which depth alone is wanted has no labels, and no
                later frame is compared with it.
            seen: (h, w) bool, pixels of `image` that the camera has seen; None for all.

        Returns:
            What was computed of the frame, and its comparison with an earlier one if possible.
        """
        watch = Stopwatch()
        picture = name, stamp_ns, image, camera
        wanted = max(wanted, self._settings.least_wanted, self.scale.least_wanted)
        if wanted is Wanted.DEPTH:
            depth, deviation, frozen = self._depths(image, camera)
            labels = np.full(image.shape[:2], UNLABELLED, np.uint8)
            rules, scale = self._settings.rules, self.scale.now
            frame = Observation(
                *picture, depth, labels, rules, frozen, seen, None, scale, deviation
            )
            frame.wait_for_depth()
            watch.lap("depth network")
            return Step(frame, None, "no masks were requested", seconds=watch.seconds)
        return self.advance(self.observe(*picture, seen), wanted is Wanted.PAIR, watch)

    def observe(
        self,
        name: str,
        stamp_ns: int,
        image: Image,
        camera: Camera,
        seen: NDArray[np.bool_] | None = None,
    ) -> Observation:
        """Start the networks on one frame (blocks 102, 103). Arguments as of `step`."""
        rules = self._settings.rules
        # The labels are needed first. The patent's softmax is left out: it does not change which
        # class has the maximum.
        wait = self.networks.labels(image)
        depth, deviation, frozen = self._depths(image, camera)

        def labels() -> NDArray[np.uint8]:
            ids = wait()
            return ids if seen is None else np.where(seen, ids, np.uint8(UNLABELLED))

        picture = name, stamp_ns, image, camera
        scale = self.scale.now
        return Observation(*picture, depth, labels, rules, frozen, seen, None, scale, deviation)

    def _depths(
        self, image: Image, camera: Camera
    ) -> tuple[WaitForDepth, Callable[[], NDArray[np.float32]] | None, WaitForDepth | None]:
        """Start the depth network, and the frozen one if the gate needs it.

        Returns:
            Functions that wait for depth, its deviation (None if the network has none), and the
            frozen network's depth.
        """
        wait, compute = self.networks.depth(image, camera.fy), self.networks.deviation
        depth = self.scale.applied(wait)
        deviation = None if compute is None else lambda: compute(image, wait())
        frozen = self.networks.frozen
        if frozen is None or self._settings.gate != "object":
            return depth, deviation, None
        return depth, deviation, self.scale.applied(frozen(image, camera.fy))

    def advance(
        self, frame: Observation, pair_wanted: bool = True, watch: Stopwatch | None = None
    ) -> Step:
        """Process the newest frame after `observe`; see `step`."""
        watch = watch or Stopwatch()
        # One image with a wrong time must not end the stream.
        if self._buffer.rejoin(frame.stamp_ns):
            self._gate.rejoin()
        late = why = self._buffer.broken_by(frame.stamp_ns)
        before = self._buffer.newest
        if before is not None and before.camera != frame.camera:
            late, why = None, "the camera's calibration changed"
        elif before is not None and before.scale.metric != frame.scale.metric:
            late, why = None, "the scale was found"
        followed = None
        if pair_wanted and not why and before is not None:
            followed, why = self._followed(before, frame)
        if why:
            self._buffer.clear(aside=bool(late))
            self._gate.reset(aside=bool(late))
        if pair_wanted and (why or followed is None):
            followed = features.follow(tracks.none_yet(), frame.grey, frame.grey)
        watch.lap("optical flow")
        frame.wait_for_labels()
        watch.lap("segmentation network")
        if followed is not None:
            frame = frame.with_tracks(self._kept(followed, frame))
        watch.lap("features")
        partner = self._buffer.partner(frame.stamp_ns)
        if partner is not None and partner.tracks is None:
            partner = self._buffer.newest  # earlier frames came while no pairs were wanted
        pair = None
        if partner is None:
            why = why or "first frame"
        elif not pair_wanted:
            why = "no pair was requested"
        else:
            pair = self._compared(partner, frame, watch, self._gate)
            static = pair.correspondences.within(~partner.dynamic, ~frame.dynamic)
            # Few correspondences do not measure the motion: a dark image is not a camera at rest.
            if len(static) >= _LEAST_STATIC:
                self._buffer.learn(static.median_motion / frame.camera.width)
        frame.wait_for_depth()
        watch.lap("depth network")
        self._buffer.add(frame)
        motion = _ALONE.get(self._settings.gate, Motion.UNDECIDED)
        step = Step(frame, pair, why or "", motion, watch.seconds)
        if self.scale.turned:  # the next frame has another depth than those so far
            self._buffer.clear()
            self._gate.reset()
        elif self._settings.scale.measured:
            self.scale.add(step)  # for the next frame
            watch.lap("scale")
        return step

    def _fresh_tracks(self, frame: Observation) -> Tracks:
        return self._kept(features.follow(tracks.none_yet(), frame.grey, frame.grey), frame)

    def _kept(self, followed: Followed, frame: Observation) -> Tracks:
        near = frame.near(self._settings.mask_margin)
        return features.kept_and_new(followed, frame.categories, near, frame.components)

    def _followed(self, before: Observation, frame: Observation) -> tuple[Followed, str | None]:
        """Follow the features; with a reason where the frame does not follow the other: a cut."""
        known = before.tracks
        if known is None:
            known = self._fresh_tracks(before)
            self._buffer.renew(before.with_tracks(known))
        now = features.follow(known, before.grey, frame.grey)
        if now.lost > 1 - _LEAST_FOUND:
            return now, f"cut: {len(now.found)} of {len(known)} features found again"
        return now, None

    def compare(
        self, first: Observation, second: Observation, watch: Stopwatch | None = None
    ) -> Pair:
        """Compare two frames of one camera without a stream, the earlier first."""
        known = self._fresh_tracks(first)
        first = first.with_tracks(known)
        followed = features.follow(known, first.grey, second.grey)
        second = second.with_tracks(self._kept(followed, second))
        gate = self._new_gate()
        if self._settings.gate == "object":
            gate.update(first, ())
        return self._compared(first, second, watch or Stopwatch(), gate)

    def _compared(
        self, first: Observation, second: Observation, watch: Stopwatch, gate: ObjectGate
    ) -> Pair:
        """Estimate the pair's poses (blocks 104, 105) and decide (block 107)."""
        settings = self._settings
        found = correspondences_of(first, second)
        poses = PairPoses(first, second, found, self._estimator, settings.mask_margin)
        watch.lap("static pose")
        newest = self._buffer.newest
        if gate is self._gate and newest is not None:  # in a stream
            distant = self._buffer.before(second.stamp_ns, ALIGN_GAP_S) or first
            earlier = [frame for frame in (distant, first) if frame.tracks is not None]
            self.scale.align(earlier, second, newest, settings.mask_margin)
        seconds = (second.stamp_ns - first.stamp_ns) / 1e9
        result = None
        if settings.gate == "object":
            fits = self._estimator.name == "pnp" and self.networks.frozen is None
            past = past_of(self._buffer, first, second, poses.static, fits)
            watch.lap("static pose")
            second.wait_for_depth()
            watch.lap("depth network")
            result = gate.update(second, past)
            thresholds = result.thresholds(seconds)
            decision = result.decision
        else:
            thresholds = settings.thresholds.matrix(seconds)
            # In both frames, since an object may have just come into I2, where the decision shows.
            pixels = int(first.dynamic.sum()) + int(second.dynamic.sum())
            decision = poses.decision(settings.gate, thresholds, pixels)
            if settings.gate != "image":
                thresholds = np.full((4, 4), np.inf)
        watch.lap("gate")
        return Pair(first, second, found, poses, thresholds, decision, result)
