# SPDX-License-Identifier: Apache-2.0
"""Map the camera's image to the network's input and back: rectification and size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import CalibrationError
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.rectification import (
    Maps,
    one_to_one,
    rectification_maps,
    seen_pixels,
)

T = TypeVar("T", np.float32, np.uint8, np.int32)

NEAREST, FARTHEST = 0.1, 80.0
"""Range of valid depth in the commands, metres; a parameter of the depth node."""

LONGEST = 8
STRIDE = 32
"""Widths and heights of the networks' inputs are multiples of this."""
LEAST = 2 * STRIDE
"""Smallest side: below it the networks' coarsest features are too small to be padded, pixels."""


def network_size(camera: Camera, trained: tuple[int, int]) -> tuple[int, int]:
    """Return the size to which a camera's images are resized for the network.

    It keeps the image's aspect ratio as closely as multiples of `STRIDE` allow, and has about as
    many pixels as the images that the network was trained on.

    Args:
        camera: of the images.
        trained: (width, height) in training, pixels.

    Returns:
        (width, height) in pixels.

    Raises:
        CalibrationError: one side is more than `LONGEST` times the other.
    """
    aspect = camera.width / camera.height
    if not 1 / LONGEST <= aspect <= LONGEST:
        raise CalibrationError(
            f"image of {camera.width}x{camera.height}: one side is more than {LONGEST} times the "
            "other; crop it"
        )
    return size_alike(camera.width, camera.height, trained)


def check_size(size: tuple[int, int], camera: Camera) -> None:
    """Check that an image of (width, height) pixels is of this camera. Raises CalibrationError."""
    if size != camera.size:
        raise CalibrationError(
            f"the image has {size[0]}x{size[1]} pixels, its calibration is for "
            f"{camera.width}x{camera.height}: recalibrate, or publish the camera_info that "
            "belongs to this size"
        )


def size_alike(width: int, height: int, trained: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) with this aspect ratio and about the area of `trained`."""
    aspect = width / height
    area = trained[0] * trained[1]
    height = max(LEAST, round((area / aspect) ** 0.5 / STRIDE) * STRIDE)
    width = max(LEAST, round(height * aspect / STRIDE) * STRIDE)
    return width, height


@dataclass(frozen=True)
class Viewport:
    """The mapping between one camera's images and the network's input.

    Attributes:
        camera: of the input images; may be distorted.
        rectified: of the same images without distortion; the depth output has these intrinsics.
        network: of the network's input.
        seen: (H, W) bool, pixels of the rectified image that the camera has seen; None for all.
        network_seen: (h, w) bool, the same for the network's input: pixels seen as a whole.
    """

    camera: Camera
    rectified: Camera
    network: Camera
    _maps: Maps | None
    seen: NDArray[np.bool_] | None = None
    network_seen: NDArray[np.bool_] | None = None

    @classmethod
    def of(
        cls,
        camera: Camera,
        size: tuple[int, int],
        rectified: Camera | None = None,
        rotation: NDArray[np.float64] | None = None,
    ) -> Viewport:
        """Prepare the mapping for a camera.

        Args:
            camera: of the images.
            size: (width, height) of the network's input, pixels.
            rectified: intrinsics after rectification (CameraInfo's P); the camera's own if None.
            rotation: (3, 3) rectification rotation (CameraInfo's R); identity if None.
        """
        target = rectified or camera.rectified()
        rotation = np.eye(3) if rotation is None else rotation
        maps, seen, network_seen = None, None, None
        turned = not np.allclose(rotation, np.eye(3))
        if camera.distorted or turned or target != camera.rectified():
            maps = rectification_maps(camera, target, rotation)
            seen = seen_pixels(camera, target, rotation)
        if seen is not None:
            shrunk = _resized(np.where(seen, np.uint8(255), np.uint8(0)), size)
            network_seen = np.asarray(shrunk == 255, np.bool_)
        return cls(camera, target, target.resized(*size), maps, seen, network_seen)

    def rectify(self, image: NDArray[np.uint8], mirrored: bool = False) -> NDArray[np.uint8]:
        """Remove the distortion; an undistorted image is returned as it is.

        Args:
            image: (H, W, 3) uint8.
            mirrored: whether pixels beyond the image's border show its mirror image, as the
                networks work best (docs/decisions/0023-unseen-pixels.md); else they are black.

        Raises:
            CalibrationError: image and calibration differ in size.
        """
        check_size((image.shape[1], image.shape[0]), self.camera)
        if self._maps is None:
            return image
        border = cv2.BORDER_REFLECT_101 if mirrored else cv2.BORDER_CONSTANT
        turned = cv2.remap(image, *self._maps, cv2.INTER_LINEAR, borderMode=border)
        return np.asarray(turned, np.uint8)

    def prepare(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Rectify an image as the networks work best, and resize it for them.

        What the camera has not seen is filled with the mirrored image: see `seen`, `network_seen`.

        Args:
            image: (H, W, 3) uint8, as the camera gives it.

        Returns:
            (H, W, 3) uint8, rectified, and (h, w, 3) uint8, the network's input.

        Raises:
            CalibrationError: as `rectify`.
        """
        rectified = self.rectify(image, mirrored=True)
        return rectified, self.shrink(rectified)

    def shrink(self, rectified: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize a rectified image for the network: (h, w, 3) uint8, averaged to avoid aliasing."""
        size = self.network.size
        return rectified if size == self.rectified.size else _resized(rectified, size)

    def enlarge_depth(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resize (h, w) float32 from network size to the rectified image's size, bilinearly."""
        if depth.shape[::-1] == self.rectified.size:
            return depth
        size = self.rectified.size
        return np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_LINEAR), np.float32)

    def enlarge_labels(self, labels: NDArray[T]) -> NDArray[T]:
        """Resize (h, w) ids or scores from network size to the rectified image's size, nearest."""
        if labels.shape[::-1] == self.rectified.size:
            return labels
        size = self.rectified.size
        enlarged = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
        return np.asarray(enlarged, labels.dtype)


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    method = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


def rectify_nearest(values: NDArray[T], camera: Camera, fill: float) -> NDArray[T]:
    """Remove the distortion from sparse depth or labels of a camera's image.

    Nearest-neighbour sampling: an average of depths across an edge is the depth of neither side.

    Args:
        values: (H, W) float32 or uint8.
        camera: of the image.
        fill: value of pixels that the camera has not seen.

    Returns:
        (H, W); the input itself if the camera has no distortion.
    """
    if not camera.distorted:
        return values
    maps, usable = _exact_maps(camera)
    border = cv2.BORDER_CONSTANT
    turned = cv2.remap(values, *maps, cv2.INTER_NEAREST, borderMode=border, borderValue=fill)
    turned[~usable] = fill
    return np.asarray(turned, values.dtype)


@lru_cache(maxsize=2)
def _exact_maps(camera: Camera) -> tuple[Maps, NDArray[np.bool_]]:
    # Not the fixed-point maps of `Viewport`: rounded to 1/32 pixel they may select another pixel.
    target, rotation = camera.rectified(), np.eye(3)
    maps = rectification_maps(camera, target, rotation, cv2.CV_32FC1)
    return maps, one_to_one(camera, target, rotation)


def limit_depth(
    depth: NDArray[np.float32],
    nearest: float,
    farthest: float,
    sky: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Mark depth that is out of range, after REP 117.

    Args:
        depth: (H, W) float32.
        nearest: smaller depths become -inf; those that are not positive NaN.
        farthest: larger depths become +inf.
        sky: (H, W) bool, pixels of the sky: +inf, unless they are nearer than half of `farthest`.
            There the two networks disagree, and an obstacle must not be lost.

    Returns:
        (H, W) float32, a new array.
    """
    limited = depth.copy()
    far = limited > farthest
    if sky is not None:
        far |= sky & (limited > farthest / 2)
    limited[far] = np.inf
    limited[limited < nearest] = -np.inf
    limited[depth <= 0] = np.nan
    return limited
