# SPDX-License-Identifier: Apache-2.0
"""The order in which a frame, and then a pair of frames, passes through blocks 101 to 107.

`Recognizer.step` is what a stream calls for each frame:

1. `observe` runs the networks (blocks 102, 103; the frame's depth is the output, block 109).
2. `advance` follows the previous frame's features into it (`tracking/tracks.py`), picks an earlier
   frame as its partner (block 101, `tracking/partner.py`), estimates the camera's motion between
   the two (blocks 104, 105, `pose/`) and decides which objects move (block 107, `gate/`).

`Pair.projection` makes the projection image (block 106) on request.
"""

from __future__ import annotations

import time
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
from depth_recog.method.masking import UNLABELLED
from depth_recog.method.observation import Observation, image_tensor
from depth_recog.method.pair import Pair, PairPoses, Step, correspondences_of, pose_for_gate
from depth_recog.method.pose.estimator import PoseEstimate, PoseEstimator
from depth_recog.method.settings import Settings, Wanted
from depth_recog.method.tracking import features, tracks
from depth_recog.method.tracking.partner import PartnerBuffer
from depth_recog.method.tracking.tracks import Tracks

DepthModel = Callable[[Tensor, Tensor], Tensor]
"""(1, 3, H, W) float 0..1 and (1,) focal length in pixels -> (1, 1, H, W) depth."""
ScoreModel = Callable[[Tensor], Tensor]
"""(1, 3, H, W) float 0..1 -> (1, k, H, W) class scores."""

_ALONE = {"off": Motion.STILL, "all": Motion.MOVING}

# If a smaller share of the features is found, the video was cut.
_LEAST_FOUND = 0.15
_LEAST_STATIC = 8


class Stopwatch:
    """Seconds by part of the pipeline, for one frame."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Add the time since the last lap to `part`."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now


class Recognizer:
    """Computes depth, masks, poses and decisions from frames.

    Args:
        depth: the depth network.
        scores: the segmentation network.
        estimator: of static, dynamic and target pose.
        settings: what the user chose.
        device: where the networks live.
        frozen: a depth network for the object gate alone, not trained meanwhile: one that is being
            trained on a moving object learns a wrong depth that explains the motion, and with it
            the gate would call the object still. None: the gate uses `depth`.
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
        self._depth, self._scores, self._frozen = depth, scores, frozen
        self._estimator, self._settings, self._device = estimator, settings, device
        self._buffer: PartnerBuffer[Observation] = PartnerBuffer(settings.longest_gap_s)
        self._gate = self._new_gate()

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
        networks = self._depth, self._scores, estimator or self._estimator
        other = Recognizer(*networks, settings, self._device, self._frozen)
        if self._settings.seen_by == settings.seen_by:
            other._buffer = self._buffer
            other._gate = self._gate.with_threshold(settings.score_threshold)
        return other

    def reset(self) -> None:
        """Forget the buffered frames, because of another camera or a jump in time."""
        self._buffer.clear()
        self._gate.reset()

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
        if wanted is Wanted.DEPTH:
            _, depth, frozen = self._depths(image, camera, watch)
            labels = np.full(image.shape[:2], UNLABELLED, np.uint8)
            rules = self._settings.rules
            frame = Observation(*picture, depth, labels, np.zeros_like(labels), rules, frozen, seen)
            return Step(frame, None, "no masks were requested", seconds=watch.seconds)
        frame = self.observe(*picture, seen, watch)
        return self.advance(frame, wanted is Wanted.PAIR, watch)

    def observe(
        self,
        name: str,
        stamp_ns: int,
        image: NDArray[np.uint8],
        camera: Camera,
        seen: NDArray[np.bool_] | None = None,
        watch: Stopwatch | None = None,
    ) -> Observation:
        """Run the networks on one frame (blocks 102, 103). Arguments as of `step`."""
        watch = watch or Stopwatch()
        tensor, depth, frozen_depth = self._depths(image, camera, watch)
        with torch.inference_mode():
            # The patent's softmax is left out: it does not change which class has the maximum.
            labels = self._scores(tensor).argmax(1)[0].to(torch.uint8).cpu().numpy()
            watch.lap("segmentation network")
        if seen is not None:
            labels[~seen] = UNLABELLED
        rules = self._settings.rules
        categories = rules.category_ids(labels)
        watch.lap("masks")
        return Observation(
            name, stamp_ns, image, camera, depth, labels, categories, rules, frozen_depth, seen
        )

    def _depths(
        self, image: NDArray[np.uint8], camera: Camera, watch: Stopwatch
    ) -> tuple[Tensor, NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the image as a tensor, its depth, and the frozen network's depth if any."""
        with torch.inference_mode():
            tensor = image_tensor(image, self._device)
            focal = torch.tensor([camera.fy], dtype=tensor.dtype, device=self._device)
            depth = self._depth_of(self._depth, tensor, focal)
            frozen_depth = None
            if self._frozen is not None and self._settings.gate == "object":
                frozen_depth = self._depth_of(self._frozen, tensor, focal)
        watch.lap("depth network")
        return tensor, depth, frozen_depth

    def _depth_of(self, model: DepthModel, image: Tensor, focal: Tensor) -> NDArray[np.float32]:
        scaled = model(image, focal)[0, 0].float() * self._settings.depth_scale
        return np.asarray(scaled.cpu().numpy(), np.float32)

    def advance(
        self, frame: Observation, pair_wanted: bool = True, watch: Stopwatch | None = None
    ) -> Step:
        """Process the newest frame after `observe`; see `step`."""
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
        self._buffer.add(frame)
        motion = _ALONE.get(self._settings.gate, Motion.UNDECIDED)
        return Step(frame, pair, why or "", motion, watch.seconds)

    def _fresh_tracks(self, frame: Observation) -> Tracks:
        return self._follow(tracks.none_yet(), frame, frame)

    def _follow(self, known: Tracks, before: Observation, frame: Observation) -> Tracks:
        near = frame.near(self._settings.mask_margin)
        pixels = frame.categories, near, frame.components
        return features.follow(known, before.grey, frame.grey, *pixels)

    def _followed(self, before: Observation, frame: Observation) -> tuple[Observation, str | None]:
        """Return the frame with its tracks, or the reason why it does not follow: a cut."""
        known = before.tracks or tracks.none_yet()
        now = self._follow(known, before, frame)
        if now.lost > 1 - _LEAST_FOUND:
            count = len(known.ids)
            return frame, f"cut: {round((1 - now.lost) * count)} of {count} features found again"
        return frame.with_tracks(now), None

    def compare(
        self, first: Observation, second: Observation, watch: Stopwatch | None = None
    ) -> Pair:
        """Compare two frames of one camera without a stream, the earlier first."""
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
        """Estimate the pair's poses (blocks 104, 105) and decide (block 107)."""
        settings = self._settings
        found = correspondences_of(first, second)
        poses = PairPoses(
            first, second, found, self._estimator, settings.mask_margin, settings.depth_scale
        )
        watch.lap("static pose")
        seconds = (second.stamp_ns - first.stamp_ns) / 1e9
        result = None
        if settings.gate == "object":
            past = self._past(first, second, poses.static)
            watch.lap("static pose")
            result = gate.update(second, past)
            thresholds = result.thresholds(seconds)
            decision = result.decision
        else:
            thresholds = settings.thresholds.matrix(seconds)
            # In both frames, since an object may have just come into I2, where the decision shows.
            pixels = int(first.dynamic.sum()) + int(second.dynamic.sum())
            decision = self._decide(poses, thresholds, pixels)
            if settings.gate != "image":
                thresholds = np.full((4, 4), np.inf)
        watch.lap("gate")
        return Pair(first, second, found, poses, thresholds, decision, result)

    def _past(self, partner: Observation, frame: Observation, static: PoseEstimate) -> list[Past]:
        """Return the frames that the object gate compares the newest one with, and their poses."""
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
                scale = self._settings.depth_scale
                past.append(Past(earlier, pose_for_gate(earlier, frame, scale, guess)))
        return past

    def _decide(self, poses: PairPoses, thresholds: Matrix, pixels: int) -> Decision:
        if self._settings.gate == "off":
            return Decision(Motion.STILL, "the gate is off")
        if self._settings.gate == "all":
            return Decision(
                Motion.MOVING if pixels else Motion.STILL, "the gate masks every dynamic object"
            )
        return by_image.decide(poses.static, poses.dynamic, thresholds, pixels)
