# SPDX-License-Identifier: Apache-2.0
"""One frame: its image, and what the networks computed from it (blocks 102 and 103)."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import PresetRules, components_of, dilated
from depth_recog.method.tracking.tracks import Tracks


@dataclass(frozen=True)
class Observation:
    """One frame at the network's size, with its depth, class labels and tracked features.

    Attributes:
        stamp_ns: time of exposure, nanoseconds.
        image: (h, w, 3) uint8 RGB.
        camera: intrinsics of `image`.
        depth: (h, w) float32, along the optical axis, in the depth network's unit.
        labels: (h, w) uint8 class ids.
        categories: (h, w) uint8 category ids, 0 on static classes.
        rules: the meaning of the class ids.
        frozen_depth: (h, w) float32, depth of the frozen network; None without one.
        seen: (h, w) bool, pixels that the camera has seen; None for all. The others are unlabelled.
        tracks: features with an identity; None for a frame without a stream.
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
    seen: NDArray[np.bool_] | None = None
    tracks: Tracks | None = None

    @cached_property
    def dynamic(self) -> NDArray[np.bool_]:
        """(h, w) bool, pixels of dynamic categories."""
        return self.categories > 0

    @cached_property
    def components(self) -> NDArray[np.int32]:
        """(h, w) int32, ids of the connected components of `dynamic`, 0 outside."""
        return components_of(self.dynamic)

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """(h, w) uint8, the image in which features are tracked."""
        return np.asarray(cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY), np.uint8)

    def near(self, margin: int) -> NDArray[np.bool_]:
        """Return (h, w) bool, `dynamic` and what was not seen, grown by `margin` pixels."""
        if margin not in self._near:
            avoided = self.dynamic if self.seen is None else self.dynamic | ~self.seen
            self._near[margin] = dilated(avoided, margin)
        return self._near[margin]

    @cached_property
    def _near(self) -> dict[int, NDArray[np.bool_]]:
        return {}

    def with_tracks(self, tracks: Tracks) -> Observation:
        """Return the same frame with these tracks; cached properties are kept."""
        other = copy(self)
        object.__setattr__(other, "tracks", tracks)
        return other

    @property
    def gate_unit(self) -> float:
        """Length of the unit in which the object gate measures, in units of `depth`."""
        if self.frozen_depth is None:
            return 1.0
        known = np.isfinite(self.depth) & np.isfinite(self.frozen_depth) & (self.frozen_depth > 0)
        ratios = self.depth[known] / self.frozen_depth[known]
        return float(np.median(ratios)) if len(ratios) else 1.0

    @property
    def gate_depth(self) -> NDArray[np.float32]:
        """(h, w) float32, the depth that the object gate uses: the frozen network's if any."""
        return self.depth if self.frozen_depth is None else self.frozen_depth


def image_tensor(image: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """Convert (h, w, 3) uint8 to (1, 3, h, w) float 0..1 in channels-last memory (the fastest)."""
    tensor = torch.from_numpy(image).to(device)[None].permute(0, 3, 1, 2)
    return tensor.float().div_(255)
