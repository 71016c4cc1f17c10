# SPDX-License-Identifier: Apache-2.0
"""The order in which a frame, and then a pair of frames, goes through blocks 101 to 107.

`Recognizer.observe` looks at one frame (blocks 102, 103, and 109: its depth is the answer);
`Recognizer.compare` looks at a pair (blocks 104, 105, 107). `Recognizer.step` does both for the
newest frame of a stream. Block 106's projection image is `Pair.projection`, made when asked for.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.method.gate import by_image
from depth_recog.method.gate.by_image import Decision, Motion
from depth_recog.method.gate.by_object import GAPS_S, ObjectGate, Past
from depth_recog.method.geometry import se3
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.observation import Observation, Pair, Step, image_tensor
from depth_recog.method.pose.estimator import PoseEstimate, PoseEstimator
from depth_recog.method.pose.pair_poses import PairPoses, pose_pair
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.settings import Settings
from depth_recog.method.stopwatch import Stopwatch
from depth_recog.method.tracking import tracks
from depth_recog.method.tracking.partner import PartnerBuffer
from depth_recog.method.tracking.tracks import Tracks

DepthModel = Callable[[Tensor, Tensor], Tensor]
"""(1, 3, H, W) float 0..1 and (1,) focal length in pixels -> (1, 1, H, W) depth."""
ScoreModel = Callable[[Tensor], Tensor]
"""(1, 3, H, W) float 0..1 -> (1, k, H, W) class scores."""

_ALONE = {
    "object": Motion.UNDECIDED,
    "image": Motion.UNDECIDED,
    "off": Motion.STILL,
    "all": Motion.MOVING,
}

# Fewer features than this share found again: the picture was cut, not moved.
_LEAST_FOUND = 0.15
_LEAST_STATIC = 8
_PNP = PnpEstimator()


class Recognizer:
    """Frames in, depth, masks, poses and decisions out.

    Args:
        depth: the depth network.
        scores: the segmentation network.
        estimator: of static, dynamic and target pose.
        settings: what a user may decide.
        device: where the networks live.
        frozen: a depth network for the gate by object alone, one that is not trained meanwhile: a
            network that learns on a lead car explains its motion by a wrong depth, and a gate that
            saw that depth would call it still. None: the gate sees what `depth` says.
    """

    def __init__(
        self,
        depth: DepthModel,
        scores: ScoreModel,
        estimator: PoseEstimator,
        settings: Settings,
        device: torch.device,
        frozen: DepthModel | None = None,
    ) -> None:
        self._depth = depth
        self._scores = scores
        self._estimator = estimator
        self._settings = settings
        self._device = device
        self._frozen = frozen
        self._buffer: PartnerBuffer[Observation] = PartnerBuffer(settings.longest_gap_s)
        self._gate = self._new_gate()

    def _new_gate(self) -> ObjectGate:
        return ObjectGate(self._settings.rules, self._settings.score_threshold)

    @property
    def settings(self) -> Settings:
        """What the user decided."""
        return self._settings

    def changed(self, settings: Settings, estimator: PoseEstimator | None = None) -> Recognizer:
        """The same networks with other settings, and perhaps another estimator.

        It goes on with the buffered frames, unless what was seen in them depends on the change.
        """
        other = Recognizer(
            self._depth,
            self._scores,
            estimator or self._estimator,
            settings,
            self._device,
            self._frozen,
        )
        if self._settings.seen_by == settings.seen_by:
            other._buffer = self._buffer
            other._gate = self._gate.with_threshold(settings.score_threshold)
        return other

    def reset(self) -> None:
        """Forget the buffered frames: another camera, a jump in time."""
        self._buffer.clear()
        self._gate.reset()

    def step(
        self,
        name: str,
        stamp_ns: int,
        image: NDArray[np.uint8],
        camera: Camera,
        pair_wanted: bool = True,
    ) -> Step:
        """The newest frame of a stream.

        Args:
            name: the frame's name.
            stamp_ns: time of exposure in nanoseconds.
            image: (h, w, 3) uint8 RGB at the network's size, rectified.
            camera: intrinsics of `image`.
            pair_wanted: False leaves blocks 104 to 107 out: only depth and masks are needed.

        Returns:
            What was seen, and the pair with an earlier frame where there was one.
        """
        watch = Stopwatch()
        return self.advance(self.observe(name, stamp_ns, image, camera, watch), pair_wanted, watch)

    def advance(
        self, frame: Observation, pair_wanted: bool = True, watch: Stopwatch | None = None
    ) -> Step:
        """As `step`, of a frame in which the networks have looked already."""
        watch = watch or Stopwatch()
        why = self._buffer.broken_by(frame.stamp_ns)
        before = self._buffer.newest
        if before is not None and before.camera != frame.camera:
            why = "the camera's calibration changed"
        if pair_wanted and not why and before is not None:
            if before.tracks is None:
                before = before.with_tracks(self._fresh_tracks(before))
                self._buffer.renew(before)
            frame, why = self._followed(before, frame)
            watch.lap("optical flow")
        if why:
            self.reset()
        if pair_wanted and frame.tracks is None:
            frame = frame.with_tracks(self._fresh_tracks(frame))
            watch.lap("features")
        partner = self._buffer.partner(frame.stamp_ns)
        if partner is not None and partner.tracks is None:
            partner = self._buffer.newest  # those before were seen while nobody asked for pairs
        pair = None
        if partner is None:
            why = why or "first frame"
        elif not pair_wanted:
            why = "no pair was asked for"
        else:
            pair = self._compared(partner, frame, watch, self._gate)
            static = pair.correspondences.within(~partner.dynamic, ~frame.dynamic)
            # Too few say nothing of the motion: darkness is not rest.
            if len(static) >= _LEAST_STATIC:
                self._buffer.learn(static.median_motion / frame.camera.width)
        self._buffer.add(frame)
        return Step(frame, pair, why or "", _ALONE[self._settings.gate], watch.seconds)

    def _fresh_tracks(self, frame: Observation) -> Tracks:
        return self._follow(tracks.none_yet(), frame, frame)

    def _follow(self, known: Tracks, before: Observation, frame: Observation) -> Tracks:
        return tracks.follow(
            known,
            before.grey,
            frame.grey,
            frame.categories,
            frame.near(self._settings.mask_margin),
            frame.components,
        )

    def _followed(self, before: Observation, frame: Observation) -> tuple[Observation, str | None]:
        """The frame with its tracks, and why it cannot follow the one before: a cut."""
        known = before.tracks or tracks.none_yet()
        now = self._follow(known, before, frame)
        if now.lost > 1 - _LEAST_FOUND:
            found = round((1 - now.lost) * len(known))
            return frame, f"cut: {found} of {len(known)} features found again"
        return frame.with_tracks(now), None

    def observe(
        self,
        name: str,
        stamp_ns: int,
        image: NDArray[np.uint8],
        camera: Camera,
        watch: Stopwatch | None = None,
    ) -> Observation:
        """Blocks 102 and 103 on one frame. Arguments as in `step`."""
        watch = watch or Stopwatch()
        with torch.inference_mode():
            tensor = image_tensor(image, self._device)
            focal = torch.tensor([camera.fy], dtype=tensor.dtype, device=self._device)
            depth = self._depth_of(self._depth, tensor, focal)
            frozen_depth = None
            if self._frozen is not None and self._settings.gate == "object":
                frozen_depth = self._depth_of(self._frozen, tensor, focal)
            watch.lap("depth network")
            # The largest probability is the largest score: the softmax changes no order.
            labels = self._scores(tensor).argmax(1)[0].to(torch.uint8).cpu().numpy()
            watch.lap("segmentation network")
        rules = self._settings.rules
        categories = rules.category_ids(labels)
        watch.lap("masks")
        return Observation(
            name, stamp_ns, image, camera, depth, labels, categories, rules, frozen_depth
        )

    def _depth_of(self, model: DepthModel, image: Tensor, focal: Tensor) -> NDArray[np.float32]:
        scaled = model(image, focal)[0, 0].float() * self._settings.depth_scale
        return np.asarray(scaled.cpu().numpy(), np.float32)

    def compare(
        self, first: Observation, second: Observation, watch: Stopwatch | None = None
    ) -> Pair:
        """Blocks 104, 105 and 107 on two frames of one camera by themselves, the earlier first."""
        known = self._fresh_tracks(first)
        first = first.with_tracks(known)
        second = second.with_tracks(self._follow(known, first, second))
        gate = self._new_gate()
        if self._settings.gate == "object":
            gate.update(first, ())
        return self._compared(first, second, watch or Stopwatch(), gate)

    def _compared(
        self, first: Observation, second: Observation, watch: Stopwatch, gate: ObjectGate
    ) -> Pair:
        settings = self._settings
        assert first.tracks is not None
        assert second.tracks is not None
        correspondences = tracks.correspondences(first.tracks, second.tracks)
        poses = PairPoses(
            first,
            second,
            correspondences,
            self._estimator,
            settings.mask_margin,
            settings.depth_scale,
        )
        watch.lap("static pose")
        seconds = (second.stamp_ns - first.stamp_ns) / 1e9
        thresholds, result = settings.thresholds.matrix(seconds), None
        if settings.gate == "object":
            past = self._past(first, second, poses.static)
            watch.lap("static pose")
            result = gate.update(second, past)
            thresholds = result.thresholds(seconds)
            decision = result.decision
        else:
            # Of both: the decision is shown on I2, where something may have just come into view.
            pixels = int(first.dynamic.sum()) + int(second.dynamic.sum())
            decision = self._decide(poses, thresholds, pixels)
            if settings.gate != "image":
                thresholds = np.full((4, 4), np.inf)
        watch.lap("gate")
        return Pair(first, second, correspondences, poses, thresholds, decision, result)

    def _past(self, partner: Observation, frame: Observation, static: PoseEstimate) -> list[Past]:
        """The frames that the gate by object compares the newest one with, and their poses."""
        fits = self._estimator.name == "pnp" and self._frozen is None
        seconds = (frame.stamp_ns - partner.stamp_ns) / 1e9
        chosen = {partner.stamp_ns: partner}
        for gap in GAPS_S:
            earlier = self._buffer.before(frame.stamp_ns, gap) or partner
            chosen.setdefault(earlier.stamp_ns, earlier)
        past = []
        motion = se3.log_twist(static.T_second_from_first) / seconds if static.ok else None
        for stamp_ns, earlier in sorted(chosen.items(), reverse=True):
            if earlier is partner and fits:
                past.append(Past(earlier, static))
            elif earlier.tracks is not None:
                guess = None
                if motion is not None:
                    guess = se3.exp_twist(motion * ((frame.stamp_ns - stamp_ns) / 1e9))
                past.append(Past(earlier, self._pose_for_gate(earlier, frame, guess)))
        return past

    def _pose_for_gate(
        self, earlier: Observation, frame: Observation, guess: Matrix | None
    ) -> PoseEstimate:
        """Always by pnp: the gate needs a covariance, and a pose that fits the depth it sees."""
        assert earlier.tracks is not None
        assert frame.tracks is not None
        found = tracks.correspondences(earlier.tracks, frame.tracks)
        keep, scale = (~earlier.dynamic, ~frame.dynamic), self._settings.depth_scale
        pair = pose_pair(earlier, frame, found, keep, scale, earlier.gate_depth)
        return _PNP.estimate_from(pair, guess)

    def _decide(self, poses: PairPoses, thresholds: Matrix, pixels: int) -> Decision:
        if self._settings.gate == "off":
            return Decision(Motion.STILL, "the gate is off")
        if self._settings.gate == "all":
            return Decision(Motion.MOVING if pixels else Motion.STILL, "the gate masks all")
        return by_image.decide(poses.static, poses.dynamic, thresholds, pixels)
