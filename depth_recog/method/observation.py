# SPDX-License-Identifier: Apache-2.0
"""What is seen in one frame, what is said of a pair, and both for the newest frame of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.method import gate_image, projection
from depth_recog.method.camera import Camera
from depth_recog.method.correspondences import Matches, find_features
from depth_recog.method.gate_image import Decision, Motion
from depth_recog.method.masking import PresetRules
from depth_recog.method.pose import PoseEstimate
from depth_recog.method.se3 import Matrix
from depth_recog.method.target import Target, target_images


@dataclass(frozen=True)
class Observation:
    """One frame at the network's size, and what the networks see in it.

    Attributes:
        name: the frame's name.
        stamp_ns: time of exposure in nanoseconds.
        image: (h, w, 3) uint8 RGB.
        camera: intrinsics of `image`.
        depth: (h, w) float32, along the optical axis, in the depth network's unit.
        labels: (h, w) uint8 class ids.
        dynamic: (h, w) bool, pixels of dynamic categories.
        rules: what the class ids mean.
    """

    name: str
    stamp_ns: int
    image: NDArray[np.uint8]
    camera: Camera
    depth: NDArray[np.float32]
    labels: NDArray[np.uint8]
    dynamic: NDArray[np.bool_]
    rules: PresetRules = field(default_factory=PresetRules)

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """(h, w) uint8, what features are tracked in."""
        return np.asarray(cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY), np.uint8)

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """(N, 2) float32, corners of this frame, found once for every pair it becomes part of."""
        return find_features(self.grey, self.dynamic)


@dataclass(frozen=True)
class Pair:
    """What blocks 104 to 107 say of I1 (earlier) and I2.

    Attributes:
        first: I1.
        second: I2.
        matches: correspondences over the whole images.
        static: pose of the static images.
        dynamic: pose of the dynamic images.
        target: pose of the images as they are.
        thresholds: (4, 4), for this pair's time difference.
        decision: whether the dynamic objects move.
    """

    first: Observation
    second: Observation
    matches: Matches
    static: PoseEstimate
    dynamic: PoseEstimate
    target: PoseEstimate
    thresholds: Matrix
    decision: Decision

    @property
    def seconds(self) -> float:
        """Time between the frames."""
        return (self.second.stamp_ns - self.first.stamp_ns) / 1e9

    @property
    def absolute_difference(self) -> Matrix:
        """(4, 4) |static - dynamic|; NaN where one of the two poses is missing."""
        if not (self.static.ok and self.dynamic.ok):
            return np.full((4, 4), np.nan)
        return gate_image.absolute_difference(
            self.static.T_second_from_first, self.dynamic.T_second_from_first
        )

    @property
    def moving(self) -> NDArray[np.uint8]:
        """(h, w) uint8 of I2: 0 still, 1 undecided, 2 moving."""
        return moving_map(self.second.dynamic, self.decision.motion)

    def projection(self) -> Target | None:
        """Blocks 106 and 107: target image and target projection image, (1, 3, h, w) float.

        None without a target pose.
        """
        if not self.target.ok:
            return None
        first = image_tensor(self.first.image)
        second = image_tensor(self.second.image)
        depth = torch.from_numpy(self.first.depth)[None, None]
        k = projection.intrinsics_tensor([self.first.camera], depth)
        motion = torch.from_numpy(self.target.T_second_from_first)[None].to(depth)
        image, where = projection.projection_image(second, depth, k, motion)
        image = torch.where(where.valid, image, torch.zeros_like(image))
        dynamic = torch.from_numpy(self.first.dynamic)[None, None]
        return target_images(first, image, dynamic, self.decision.motion is not Motion.STILL)


@dataclass(frozen=True)
class Step:
    """The newest frame, the pair it made, and where the time went.

    Attributes:
        frame: what was seen in it.
        pair: None where there was no partner.
        why_alone: the reason then.
        motion_alone: what is said then of things that can move.
        seconds: time by part.
    """

    frame: Observation
    pair: Pair | None
    why_alone: str = ""
    motion_alone: Motion = Motion.UNDECIDED
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def moving(self) -> NDArray[np.uint8]:
        """(h, w) uint8 decisions by pixel of the newest frame."""
        if self.pair is not None:
            return self.pair.moving
        return moving_map(self.frame.dynamic, self.motion_alone)


def moving_map(dynamic: NDArray[np.bool_], motion: Motion) -> NDArray[np.uint8]:
    """(h, w) bool of dynamic categories to (h, w) uint8 of decisions."""
    return np.where(dynamic, np.uint8(motion), np.uint8(Motion.STILL))


def image_tensor(image: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """(h, w, 3) uint8 to (1, 3, h, w) float 0..1, channels last in memory: the fastest here."""
    tensor = torch.from_numpy(image).to(device)[None].permute(0, 3, 1, 2)
    return tensor.float().div_(255)
