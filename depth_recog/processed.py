# SPDX-License-Identifier: Apache-2.0
"""A frame before and after the recognizer, and its results as images of either size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import FARTHEST, NEAREST, T, Viewport, limit_depth
from depth_recog.method.masking import UNLABELLED, masked_image
from depth_recog.method.pair import Step


@dataclass(frozen=True)
class PreparedImage:
    """A frame, rectified and resized.

    Attributes:
        stamp_ns: time of exposure, nanoseconds.
        rectified: (H, W, 3) uint8 RGB at the input's size; what the camera has not seen is filled
            with the mirrored image.
        image: (h, w, 3) uint8 RGB at the network's size.
        view: the cameras of both images.
    """

    name: str
    stamp_ns: int
    rectified: NDArray[np.uint8]
    image: NDArray[np.uint8]
    view: Viewport


@dataclass(frozen=True)
class ImageMaps:
    """The results for one frame as images of one size, each computed when it is read.

    Attributes:
        filled: (H, W, 3) uint8 RGB, rectified, as the networks get it.
        camera: intrinsics of `image` and of all maps.
        step: the results at the network's size.
        view: resizes them; None to leave them at the network's size.
        seen: (H, W) bool, pixels that the camera has seen; None for all.
    """

    filled: NDArray[np.uint8]
    camera: Camera
    step: Step
    view: Viewport | None
    seen: NDArray[np.bool_] | None = None

    @property
    def image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, rectified, black where the camera has seen nothing."""
        return self.filled if self.seen is None else masked_image(self.filled, ~self.seen)

    def depth(
        self, nearest: float = NEAREST, farthest: float = FARTHEST, most_uncertain: float = 0.0
    ) -> NDArray[np.float32]:
        """(H, W) float32 along the optical axis: -inf below `nearest`, +inf beyond `farthest`.

        The sky is +inf too, see `limit_depth`. NaN where the camera has seen nothing, and where the
        standard deviation is above `most_uncertain`, unless that is 0. Without a metric network the
        unit is the network's.
        """
        frame = self.step.frame
        depth = frame.depth if self.view is None else self.view.enlarge_depth(frame.depth)
        sky = self._resized_mask(frame.rules.sky_pixels(frame.labels))
        limited = limit_depth(depth, nearest, farthest, sky)
        if self.seen is not None:
            limited[~self.seen] = np.nan
        deviation = self._deviation() if most_uncertain else None
        if deviation is not None:
            # Not `>`: a deviation that is no number is no certainty.
            limited[~(deviation <= most_uncertain)] = np.nan
        return limited

    @property
    def deviation(self) -> NDArray[np.float32] | None:
        """(H, W) float32, standard deviation of the log of the depth; None if the network has none.

        NaN where the depth is. On the sky and beyond the range it is that of the network's depth.
        """
        deviation = self._deviation()
        if deviation is None:
            return None
        frame = self.step.frame
        depth = frame.depth if self.view is None else self.view.enlarge_depth(frame.depth)
        known = depth > 0
        if self.seen is not None:
            known &= self.seen
        return np.where(known, deviation, np.float32(np.nan))

    def _deviation(self) -> NDArray[np.float32] | None:
        deviation = self.step.frame.deviation
        if deviation is None or self.view is None:
            return deviation
        return self.view.enlarge_depth(deviation)

    @property
    def labels(self) -> NDArray[np.uint8]:
        """(H, W) uint8 class ids of the segmentation network; 255 where nothing was seen."""
        return self.resized(self.step.frame.labels, np.uint8(UNLABELLED))

    @property
    def dynamic(self) -> NDArray[np.bool_]:
        """(H, W) bool, pixels of the dynamic classes."""
        return self._resized_mask(self.step.frame.dynamic)

    @property
    def moving(self) -> NDArray[np.uint8]:
        """(H, W) uint8, the gate's decision: 0 still, 1 undecided, 2 moving."""
        return self.resized(self.step.moving)

    @property
    def scores(self) -> NDArray[np.float32]:
        """(H, W) float32, see `Step.scores`."""
        return self.resized(self.step.scores, np.float32(np.nan))

    def resized(self, values: NDArray[T], unseen: np.generic | int = 0) -> NDArray[T]:
        """A map of ids or scores from the network's size to this one, nearest neighbour.

        Args:
            values: (h, w).
            unseen: value of pixels that the camera has not seen.
        """
        resized = values if self.view is None else self.view.enlarge_labels(values)
        if self.seen is None:
            return resized
        return np.asarray(np.where(self.seen, resized, unseen), values.dtype)

    def _resized_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return self.resized(mask.view(np.uint8)).view(np.bool_)


@dataclass(frozen=True)
class ProcessedFrame:
    """A frame after all stages.

    Attributes:
        step: the results at the network's size.
        prepared: the image that they were computed from.
    """

    step: Step
    prepared: PreparedImage

    @property
    def at_input_size(self) -> ImageMaps:
        """The results at the size of the camera's images."""
        view = self.prepared.view
        return ImageMaps(self.prepared.rectified, view.rectified, self.step, view, view.seen)

    @property
    def at_network_size(self) -> ImageMaps:
        """The results at the size at which they were computed."""
        view = self.prepared.view
        return ImageMaps(self.prepared.image, view.network, self.step, None, view.network_seen)
