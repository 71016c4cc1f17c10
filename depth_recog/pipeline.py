# SPDX-License-Identifier: Apache-2.0
"""From a camera's image to depth, masks and decisions of the same size.

The depth node, `run` and `evaluate` send every frame through the same stages:

    rectify -> resize to the network's size -> `Recognizer.step` -> resize back -> limit the depth

`Pipeline.prepare` does the first two, `Pipeline.recognize` the third. The last two are done by
`ImageMaps`, for those maps only that are read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Frame
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import FARTHEST, NEAREST, T, Viewport, limit_depth
from depth_recog.method.pair import Step
from depth_recog.networks.factory import Assembly


@dataclass(frozen=True)
class PreparedImage:
    """A frame, rectified and resized.

    Attributes:
        stamp_ns: time of exposure, nanoseconds.
        rectified: (H, W, 3) uint8 RGB at the input's size.
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
        image: (H, W, 3) uint8 RGB, rectified.
        camera: intrinsics of `image` and of all maps.
        step: the results at the network's size.
        view: resizes them; None to leave them at the network's size.
    """

    image: NDArray[np.uint8]
    camera: Camera
    step: Step
    view: Viewport | None

    def depth(self, nearest: float = NEAREST, farthest: float = FARTHEST) -> NDArray[np.float32]:
        """(H, W) float32 along the optical axis: -inf below `nearest`, +inf beyond `farthest`.

        The sky is +inf too, see `limit_depth`. Without a metric network the unit is the network's.
        """
        frame = self.step.frame
        depth = frame.depth if self.view is None else self.view.enlarge_depth(frame.depth)
        sky = self._resized_mask(frame.rules.sky_pixels(frame.labels))
        return limit_depth(depth, nearest, farthest, sky)

    @property
    def labels(self) -> NDArray[np.uint8]:
        """(H, W) uint8 class ids of the segmentation network."""
        return self.resized(self.step.frame.labels)

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
        return self.resized(self.step.scores)

    def resized(self, values: NDArray[T]) -> NDArray[T]:
        """A map of ids or scores from the network's size to this one, nearest neighbour."""
        return values if self.view is None else self.view.enlarge_labels(values)

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
        return ImageMaps(self.prepared.rectified, view.rectified, self.step, view)

    @property
    def at_network_size(self) -> ImageMaps:
        """The results at the size at which they were computed."""
        return ImageMaps(self.prepared.image, self.prepared.view.network, self.step, None)


class Pipeline:
    """Processes the frames of one stream, in order.

    Args:
        assembly: networks, pose estimator, gate and settings.
    """

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._camera: Camera | None = None
        self._rectified: Camera | None = None
        self._rotation: NDArray[np.float64] | None = None
        self._view: Viewport | None = None

    def use(self, assembly: Assembly) -> None:
        """Continue with other networks or settings."""
        self._assembly = assembly

    def set_camera(
        self,
        camera: Camera,
        rectified: Camera | None = None,
        rotation: NDArray[np.float64] | None = None,
    ) -> None:
        """Set the calibration of the images that follow; earlier frames are no longer used.

        Args:
            camera: of the images as they come, with distortion.
            rectified: intrinsics after rectification; None for those of `camera`.
            rotation: (3, 3) rectification rotation; None for the identity.
        """
        self._camera, self._rectified, self._rotation = camera, rectified, rotation
        self._view = None

    def prepare(self, name: str, stamp_ns: int, image: NDArray[np.uint8]) -> PreparedImage:
        """Rectify an image of the camera that was set, and resize it to the network's size.

        Args:
            name: of the frame; unique in the stream.
            stamp_ns: time of exposure, nanoseconds.
            image: (H, W, 3) uint8 RGB.

        Raises:
            CalibrationError: the image has another size than its calibration, or is too long.
        """
        view = self._viewport()
        rectified = view.rectify(image)
        return PreparedImage(name, stamp_ns, rectified, view.shrink(rectified), view)

    def recognize(self, prepared: PreparedImage, pair_wanted: bool = True) -> ProcessedFrame:
        """Compute depth, masks and, unless `pair_wanted` is False, poses and decisions."""
        step = self._assembly.recognizer.step(
            prepared.name, prepared.stamp_ns, prepared.image, prepared.view.network, pair_wanted
        )
        return ProcessedFrame(step, prepared)

    def prepare_frame(self, frame: Frame) -> PreparedImage:
        """Prepare a frame that comes with its calibration.

        Raises:
            CalibrationError: as `prepare`.
        """
        if frame.camera != self._camera:
            self.set_camera(frame.camera)
        return self.prepare(frame.name, frame.stamp_ns, frame.image)

    def process(self, frame: Frame) -> ProcessedFrame:
        """Do all stages for a frame that comes with its calibration. Raises as `prepare`."""
        return self.recognize(self.prepare_frame(frame))

    def _viewport(self) -> Viewport:
        if self._camera is None:
            raise RuntimeError("set_camera must be called before prepare")
        size = self._assembly.network_size(self._rectified or self._camera.rectified())
        if self._view is None or self._view.network.size != size:
            self._view = Viewport.of(self._camera, size, self._rectified, self._rotation)
            self._assembly.recognizer.reset()
        return self._view
