# SPDX-License-Identifier: Apache-2.0
"""One frame: its image, and what the networks computed from it (blocks 102 and 103)."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import PresetRules, components_of, dilated
from depth_recog.method.scale.measurement import Scale
from depth_recog.method.tracking.tracks import Tracks

T = TypeVar("T", np.float32, np.uint8)


@dataclass(frozen=True)
class Observation:
    """One frame at the network's size, with its depth, class labels and tracked features.

    The networks may still be at work: features need no labels at first, and the camera's motion
    needs no depth of the newest frame. Reading a property waits for it.

    Attributes:
        stamp_ns: time of exposure, nanoseconds.
        image: (h, w, 3) uint8 RGB.
        camera: intrinsics of `image`.
        known_depth, known_labels, known_frozen_depth: the property of that name, or a function that
            waits until a network has computed it.
        rules: the meaning of the class ids.
        seen: (h, w) bool, pixels that the camera has seen; None for all. The others are unlabelled.
        tracks: features with an identity; None for a frame without a stream.
        scale: that `known_depth` and `known_frozen_depth` were multiplied with.
        known_deviation: the property `deviation`, or a function that waits for it.
    """

    name: str
    stamp_ns: int
    image: NDArray[np.uint8]
    camera: Camera
    known_depth: NDArray[np.float32] | Callable[[], NDArray[np.float32]]
    known_labels: NDArray[np.uint8] | Callable[[], NDArray[np.uint8]]
    rules: PresetRules = field(default_factory=PresetRules)
    known_frozen_depth: NDArray[np.float32] | Callable[[], NDArray[np.float32]] | None = None
    seen: NDArray[np.bool_] | None = None
    tracks: Tracks | None = None
    scale: Scale = field(default_factory=Scale)
    known_deviation: NDArray[np.float32] | Callable[[], NDArray[np.float32] | None] | None = None

    @cached_property
    def depth(self) -> NDArray[np.float32]:
        """(h, w) float32 along the optical axis; metres, or the network's unit: see `scale`."""
        return _arrived(self.known_depth)

    @cached_property
    def deviation(self) -> NDArray[np.float32] | None:
        """(h, w) float32, standard deviation of the log of `depth`; None if the network has none.

        It is that of the network's depth alone: without the standard deviation of the scale, and
        also on objects for which the gate uses contact depth.
        """
        known = self.known_deviation
        return known() if callable(known) else known

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """(h, w) uint8 class ids."""
        return _arrived(self.known_labels)

    @cached_property
    def categories(self) -> NDArray[np.uint8]:
        """(h, w) uint8 category ids, 0 on static classes."""
        return self.rules.category_ids(self.labels)

    @cached_property
    def frozen_depth(self) -> NDArray[np.float32] | None:
        """(h, w) float32, depth of the frozen network; None without one."""
        return None if self.known_frozen_depth is None else _arrived(self.known_frozen_depth)

    def wait_for_labels(self) -> None:
        """Wait for the segmentation network."""
        _ = self.labels, self.categories

    def wait_for_depth(self) -> None:
        """Wait for the depth networks."""
        _ = self.depth, self.frozen_depth

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


def _arrived(value: NDArray[T] | Callable[[], NDArray[T]]) -> NDArray[T]:
    return value() if callable(value) else value
