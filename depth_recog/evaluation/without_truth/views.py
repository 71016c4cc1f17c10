# SPDX-License-Identifier: Apache-2.0
"""One frame as the measures need it: its image, and where nothing moves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import ROAD, PresetRules, dilated

WIDEST = 1248
"""Wider images are resized: the optical flow gets no more precise, only slower."""

_MARGIN = 1 / 100
_UNSEEN = 255


@dataclass(frozen=True)
class View:
    """A rectified frame. Its depth may have another size with the same field of view.

    Attributes:
        name: unique in the recording.
        stamp_ns: time of exposure, nanoseconds.
        image: (H, W, 3) uint8 RGB, rectified.
        camera: intrinsics of `image`.
        static: (H, W) bool, pixels away from everything that could move or was not seen.
        road: (H, W) bool, pixels of the road.
        world_from_camera: (4, 4) float64 metres, as recorded; None if it was not.
    """

    name: str
    stamp_ns: int
    image: NDArray[np.uint8]
    camera: Camera
    static: NDArray[np.bool_]
    road: NDArray[np.bool_]
    world_from_camera: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        name: str,
        stamp_ns: int,
        image: NDArray[np.uint8],
        camera: Camera,
        labels: NDArray[np.uint8],
        rules: PresetRules,
    ) -> View:
        """Make a view from the classes of its pixels.

        Args:
            name: unique in the recording.
            stamp_ns: time of exposure, nanoseconds.
            image: (H, W, 3) uint8 RGB, rectified.
            camera: intrinsics of `image`.
            labels: (h, w) uint8 class ids, of any size with the same field of view; 255 where the
                camera saw nothing.
            rules: the meaning of the class ids.
        """
        if camera.width > WIDEST:
            size = WIDEST, round(camera.height * WIDEST / camera.width)
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            camera = camera.resized(*size)
        labels = _resized(labels, camera.size)
        unusable = rules.dynamic_pixels(labels) | (labels == _UNSEEN)
        near = dilated(unusable, max(1, round(_MARGIN * camera.width)))
        return cls(name, stamp_ns, image, camera, ~near, rules.pixels_of(labels, ROAD))

    def with_pose(self, world_from_camera: NDArray[np.float64] | None) -> View:
        """Return the same view with its recorded pose, (4, 4) metres."""
        return replace(self, world_from_camera=world_from_camera)

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """(H, W) uint8, the image in which points are matched."""
        return np.asarray(cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY), np.uint8)

    def resized(self, width: int, height: int) -> View:
        """Return the view at the size of a depth map."""
        if self.camera.size == (width, height):
            return self
        size = width, height
        smaller = width < self.camera.width
        method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        return replace(
            self,
            image=np.asarray(cv2.resize(self.image, size, interpolation=method), np.uint8),
            camera=self.camera.resized(*size),
            static=_resized(self.static.view(np.uint8), size).view(np.bool_),
            road=_resized(self.road.view(np.uint8), size).view(np.bool_),
        )


def _resized(ids: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if ids.shape[::-1] == size:
        return ids
    return np.asarray(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def depth_at(
    depth: NDArray[np.float32], pixels: NDArray[np.float32], size: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the depth at pixels of an image of another size, bilinear in inverse depth.

    Args:
        depth: (h, w) float32.
        pixels: (N, 2) float32, (u, v) in the image.
        size: (width, height) of the image.

    Returns:
        (N,) float64; NaN or infinite where the depth is unknown or infinite.
    """
    height, width = depth.shape
    scale = np.array((width / size[0], height / size[1]))
    u, v = ((pixels + 0.5) * scale - 0.5).T.astype(np.float32)
    with np.errstate(divide="ignore"):
        inverse = (1 / depth).astype(np.float32)
        if not len(pixels):
            return np.zeros(0)
        found = cv2.remap(inverse, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(1 / found[:, 0].astype(np.float64))
