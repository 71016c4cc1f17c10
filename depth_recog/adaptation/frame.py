# SPDX-License-Identifier: Apache-2.0
"""A frame of the live stream, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import Viewport

KEPT = "kept"
DUPLICATE = "the same image or stamp again"
STANDSTILL = "the camera stands still"
LITTLE_PARALLAX = "too little parallax"
NO_FEATURES = "too few features: dark, covered or blurred"
OUTCOMES = (KEPT, DUPLICATE, STANDSTILL, LITTLE_PARALLAX, NO_FEATURES)
"""What `Adapter.observe` may do with a frame."""


@dataclass(frozen=True)
class LiveFrame:
    """A frame of a stream, at the network's size.

    Attributes:
        image: (H, W, 3) uint8 RGB, rectified.
        intrinsics: (3, 3) float64, pixels of `image`.
        stamp: time of exposure, nanoseconds.
        camera: name of the camera (frame_id); another name starts a new stream.
        pose: (4, 4) float64 world_from_camera of the optical frame, metres, by odometry: tells
            which places are alike; None if unknown.
        seen: (H, W) bool, pixels of `image` that the camera has seen; None for all. Nothing is
            learnt from the others, and nothing judged by them.
    """

    image: NDArray[np.uint8]
    intrinsics: NDArray[np.float64]
    stamp: int
    camera: str = "camera"
    pose: NDArray[np.float64] | None = None
    seen: NDArray[np.bool_] | None = None

    @classmethod
    def of(
        cls,
        image: NDArray[np.uint8],
        view: Viewport,
        stamp: int,
        camera: str,
        pose: NDArray[np.float64] | None,
    ) -> LiveFrame:
        """Rectify and resize an image, as the pipeline does for the networks.

        Args:
            image: (H, W, 3) uint8 RGB, as the camera gives it.
            view: of the camera, with the network's size.
            stamp: see the attributes.
            camera: see the attributes.
            pose: see the attributes.

        Raises:
            CalibrationError: the image has another size than its calibration.
        """
        small = np.ascontiguousarray(view.prepare(image)[1])
        return cls(small, view.network.matrix, stamp, camera, pose, view.network_seen)

    @property
    def model(self) -> Camera:
        """The intrinsics with the image's size."""
        height, width = self.image.shape[:2]
        return Camera.from_matrix(self.intrinsics, width, height)


@dataclass(frozen=True)
class Observed:
    """What became of a frame.

    Attributes:
        outcome: one of `OUTCOMES`.
        restarted: why the stream began anew with this frame; "" if it goes on.
        block: "learn" or "judge" where the frame completed a block for that; else "".
    """

    outcome: str
    restarted: str = ""
    block: str = ""
