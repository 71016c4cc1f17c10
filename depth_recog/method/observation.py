# SPDX-License-Identifier: Apache-2.0
"""What is seen in one frame, what is said of a pair, and both for the newest frame of a stream."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.method.gate import by_image
from depth_recog.method.gate.by_image import Decision, Motion
from depth_recog.method.gate.regions import GateResult
from depth_recog.method.geometry import projection
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.masking import PresetRules, components_of, dilated
from depth_recog.method.pose.estimator import PoseEstimate, Poses
from depth_recog.method.target import Target, target_images
from depth_recog.method.tracking.correspondences import Correspondences
from depth_recog.method.tracking.tracks import Tracks


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
        categories: (h, w) uint8 category ids, 0 on static classes.
        rules: what the class ids mean.
        frozen_depth: (h, w) float32, depth of the frozen network; None without one.
        tracks: features that are followed through the stream; None for a frame by itself.
    """

    name: str
    stamp_ns: int
    image: NDArray[np.uint8]
    camera: Camera
    depth: NDArray[np.float32]
    labels: NDArray[np.uint8]
    categories: NDArray[np.uint8]
    rules: PresetRules = field(default_factory=PresetRules)
    frozen_depth: NDArray[np.float32] | None = None
    tracks: Tracks | None = None

    @cached_property
    def dynamic(self) -> NDArray[np.bool_]:
        """(h, w) bool, pixels of dynamic categories."""
        return self.categories > 0

    @cached_property
    def components(self) -> NDArray[np.int32]:
        """(h, w) int32, the connected components of `dynamic` by number, 0 outside."""
        return components_of(self.dynamic)

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """(h, w) uint8, what features are tracked in."""
        return np.asarray(cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY), np.uint8)

    def near(self, margin: int) -> NDArray[np.bool_]:
        """(h, w) bool, `dynamic` grown by `margin` pixels."""
        if margin not in self._near:
            self._near[margin] = dilated(self.dynamic, margin)
        return self._near[margin]

    @cached_property
    def _near(self) -> dict[int, NDArray[np.bool_]]:
        return {}

    def with_tracks(self, tracks: Tracks) -> Observation:
        """The same frame with these; what has been computed of it is kept."""
        other = copy(self)
        object.__setattr__(other, "tracks", tracks)
        return other

    @property
    def gate_unit(self) -> float:
        """The unit of what the gate by object measures, in that of `depth`."""
        return (
            1.0 if self.frozen_depth is None else float(np.median(self.depth / self.frozen_depth))
        )

    @property
    def gate_depth(self) -> NDArray[np.float32]:
        """(h, w) float32, what the gate by object takes for this frame's depth."""
        return self.depth if self.frozen_depth is None else self.frozen_depth


@dataclass(frozen=True)
class Pair:
    """What blocks 104 to 107 say of I1 (earlier) and I2.

    Attributes:
        first: I1.
        second: I2.
        correspondences: correspondences over the whole images.
        poses: static, dynamic and target pose.
        thresholds: (4, 4), for this pair's time difference.
        decision: whether the dynamic objects move.
        gate_result: what the gate by object says of each; None with another gate.
    """

    first: Observation
    second: Observation
    correspondences: Correspondences
    poses: Poses
    thresholds: Matrix
    decision: Decision
    gate_result: GateResult | None = None

    @property
    def static(self) -> PoseEstimate:
        """Pose of the static images."""
        return self.poses.static

    @property
    def dynamic(self) -> PoseEstimate:
        """Pose of the dynamic images; with the gate by object, of the likeliest mover."""
        if self.gate_result is not None:
            unit = self.second.gate_unit
            return self.gate_result.dynamic_pose(self.static, self.seconds * unit)
        return self.poses.dynamic

    @property
    def target(self) -> PoseEstimate:
        """Pose of the images as they are."""
        return self.poses.target

    @property
    def seconds(self) -> float:
        """Time between the frames."""
        return (self.second.stamp_ns - self.first.stamp_ns) / 1e9

    @property
    def absolute_difference(self) -> Matrix:
        """(4, 4) |static - dynamic|; NaN where one of the two poses is missing."""
        if not (self.static.ok and self.dynamic.ok):
            return np.full((4, 4), np.nan)
        return by_image.absolute_difference(
            self.static.T_second_from_first, self.dynamic.T_second_from_first
        )

    @property
    def moving(self) -> NDArray[np.uint8]:
        """(h, w) uint8 of I2: 0 still, 1 undecided, 2 moving."""
        if self.gate_result is not None:
            return self.gate_result.moving
        return moving_map(self.second.dynamic, self.decision.motion)

    @property
    def scores(self) -> NDArray[np.float32]:
        """(h, w) float32 of I2, see `Step.scores`."""
        if self.gate_result is not None:
            return self.gate_result.scores
        excess = float(np.max(self.absolute_difference / self.thresholds))
        return np.where(self.second.dynamic, np.float32(excess), np.float32(np.nan))

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

    @property
    def scores(self) -> NDArray[np.float32]:
        """(h, w) float32 of the newest frame: the higher, the likelier a pixel is to move.

        Of the gate by object a region's score; of the others the largest element of the absolute
        difference by its threshold. NaN where nothing is known.
        """
        if self.pair is None:
            return np.full(self.frame.depth.shape, np.nan, np.float32)
        return self.pair.scores


def moving_map(dynamic: NDArray[np.bool_], motion: Motion) -> NDArray[np.uint8]:
    """(h, w) bool of dynamic categories to (h, w) uint8 of decisions."""
    return np.where(dynamic, np.uint8(motion), np.uint8(Motion.STILL))


def image_tensor(image: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """(h, w, 3) uint8 to (1, 3, h, w) float 0..1, channels last in memory: the fastest here."""
    tensor = torch.from_numpy(image).to(device)[None].permute(0, 3, 1, 2)
    return tensor.float().div_(255)
