# SPDX-License-Identifier: Apache-2.0
"""From live frames to blocks: frames with parallax, annotated by the frozen start.

Most frames of a camera at 30 Hz, or at rest, teach nothing: each is compared with the last frame
that was kept by optical flow alone, which is cheap. Only frames that moved enough since then pass
through the networks. Depth, labels, the camera's motion and the gate's decisions all come from the
weights of the start, whatever is being learnt.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.adaptation.frame import (
    DUPLICATE,
    KEPT,
    LITTLE_PARALLAX,
    NO_FEATURES,
    STANDSTILL,
    LiveFrame,
)
from depth_recog.adaptation.memory import Block, descriptor_of
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.geometry.se3 import Matrix, inverse_matrix
from depth_recog.method.pair import Step
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.tracking.features import find_features
from depth_recog.method.tracking.tracks import Points, optical_flow
from depth_recog.training.data.batches import TrainingRecording
from depth_recog.training.data.points import points_of
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.data.triplets import LEAST, choose_triplets

_FEWEST = 12
"""Least number of features that must be found again."""
_AT_REST = 0.5 / 640
"""Median motion, as a share of the width, below which the camera stands still."""
_LEAST_BLOCK = 5
_POSES = 64


@dataclass(frozen=True)
class _Kept:
    frame: LiveFrame
    step: Step
    pose: Matrix
    """(4, 4) first frame of the stream from this one, in the unit of the start's depth."""


class BlockBuilder:
    """Collects frames into blocks.

    Args:
        recognizer: with the start's networks, and the gate by object.
        length: frames of a block.
        longest_gap: longest time between neighbours, seconds.
        with_points: whether points are triangulated for `loss.points`.
    """

    def __init__(
        self, recognizer: Recognizer, length: int, longest_gap: float, with_points: bool = False
    ) -> None:
        self._recognizer, self._length, self._gap = recognizer, length, longest_gap
        self._with_points = with_points
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        self._kept: list[_Kept] = []
        self._poses: dict[int, Matrix] = {}
        self._grey: NDArray[np.uint8] | None = None
        self._features: Points = np.zeros((0, 2), np.float32)
        self._camera: tuple[object, ...] = ()
        self._seen_stamp = 0

    def observe(self, frame: LiveFrame) -> tuple[str, str, Block | None]:
        """Take the next frame of the stream.

        Returns:
            Its outcome; why the stream began anew, or ""; and a block, where one was completed.
        """
        seen = None if frame.seen is None else frame.seen.tobytes()
        camera = (frame.camera, frame.image.shape, frame.intrinsics.tobytes(), seen)
        restarted, block = "", None
        if self._grey is not None:
            if camera != self._camera:
                restarted = "another camera, size or calibration"
            elif frame.stamp < self._seen_stamp:
                restarted = "time went back"
            elif frame.stamp - self._seen_stamp > self._gap * 1e9:
                restarted = "a gap in time"
            if restarted:
                block = self.restart()
        grey = np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), np.uint8)
        outcome = self._worth(frame, grey)
        if outcome is None:
            restarted, block, outcome = "cut", self.restart(), KEPT
        self._camera, self._seen_stamp = camera, frame.stamp
        if outcome == KEPT:
            block = self._keep(frame, grey) or block
        return outcome, restarted, block

    def restart(self) -> Block | None:
        """End the stream: the next frame begins a new one. Returns what the frames so far give."""
        block = self._finish()
        self._recognizer.reset()
        self._begin()
        return block

    def _worth(self, frame: LiveFrame, grey: NDArray[np.uint8]) -> str | None:
        """The frame's outcome; None where it does not continue the stream."""
        if self._grey is None:
            return KEPT if _has_features(frame, grey) else NO_FEATURES
        if frame.stamp == self._seen_stamp or np.array_equal(grey, self._grey):
            return DUPLICATE
        found = optical_flow(self._grey, grey, self._features)
        if len(found) < _FEWEST:
            return None if _has_features(frame, grey) else NO_FEATURES
        moved = found.median_motion / grey.shape[1]
        if moved < _AT_REST:
            return STANDSTILL
        return KEPT if moved >= LEAST else LITTLE_PARALLAX

    def _keep(self, frame: LiveFrame, grey: NDArray[np.uint8]) -> Block | None:
        stamp, image = frame.stamp, frame.image
        step = self._recognizer.step(str(stamp), stamp, image, frame.model, seen=frame.seen)
        pose = self._pose_of(step)
        block = None
        if pose is None:
            block = self._finish()
            self._poses.clear()
            pose = np.eye(4)
        self._poses[frame.stamp] = pose
        if len(self._poses) > _POSES:
            del self._poses[next(iter(self._poses))]
        self._kept.append(_Kept(frame, step, pose))
        self._grey = grey
        self._features = find_features(grey, step.frame.dynamic, step.frame.near(0))
        if len(self._kept) >= self._length:
            block = self._finish()
        return block

    def _pose_of(self, step: Step) -> Matrix | None:
        """Pose of a frame in the stream; None where its motion is not known."""
        if step.pair is None or not step.pair.static.ok:
            return None
        earlier = self._poses.get(step.pair.first.stamp_ns)
        if earlier is None:
            return None
        return earlier @ inverse_matrix(step.pair.static.T_second_from_first)

    def _finish(self) -> Block | None:
        """A block of the frames so far; None if no frame has neighbours on both sides."""
        kept, self._kept = self._kept, []
        if len(kept) < _LEAST_BLOCK:
            return None
        rules = self._recognizer.settings.rules
        frames = _frames(kept)
        seen = kept[0].frame.seen
        triplets, _ = choose_triplets(frames, rules, self._gap, seen)
        if not triplets:
            return None
        still = [k.step.frame.dynamic & (k.step.moving == Motion.STILL) for k in kept]
        exclusions = np.ones((len(triplets), 2), np.bool_)
        points = points_of(frames, triplets, rules, seen) if self._with_points else None
        recording = TrainingRecording(frames, triplets, exclusions, np.stack(still), seen, points)
        where = kept[len(kept) // 2].frame.pose
        place = None if where is None else where[:3, 3]
        self._number += 1
        return Block(recording, descriptor_of(frames, place), self._number)


def _has_features(frame: LiveFrame, grey: NDArray[np.uint8]) -> bool:
    """Whether the part of a frame that the camera has seen has texture."""
    unseen = None if frame.seen is None else ~frame.seen
    return len(find_features(grey, near=unseen)) >= _FEWEST


def _frames(kept: list[_Kept]) -> PreparedFrames:
    """The frames of a block as training reads them.

    The motion between them is that of the images, in the unit of the start's depth: so the scale is
    held, whatever odometry says. To correct it is the depth node's work (`depth_scale`).
    """
    steps = [k.step for k in kept]
    depths = np.stack([s.frame.depth for s in steps])
    return PreparedFrames(
        kept[0].frame.camera,
        [s.frame.name for s in steps],
        [],
        np.stack([k.frame.image for k in kept]),
        np.stack([s.frame.rules.train_ids(s.frame.labels) for s in steps]),
        np.stack([k.frame.intrinsics for k in kept]).astype(np.float64),
        np.array([k.frame.stamp for k in kept], np.int64),
        np.stack([k.pose for k in kept]),
        anchors=(1 / depths).astype(np.float16),
    )
