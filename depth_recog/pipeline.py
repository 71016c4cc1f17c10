# SPDX-License-Identifier: Apache-2.0
"""From a camera's image to depth, masks and decisions of the same size.

The depth node, `run` and `evaluate` send every frame through the same stages:

    rectify -> resize to the network's size -> `Recognizer.step` -> resize back -> limit the depth

`Pipeline.prepare` does the first two, `Pipeline.recognize` the third. The last two are done by
`ImageMaps`, for those maps only that are read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Frame
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import (
    FARTHEST,
    NEAREST,
    T,
    Viewport,
    check_size,
    limit_depth,
)
from depth_recog.method.masking import UNLABELLED, masked_image
from depth_recog.method.pair import Step
from depth_recog.method.scale.measurement import Scale
from depth_recog.method.settings import Wanted
from depth_recog.networks.factory import Assembly

_SETTLING_NS = 5 * 10**9
KEPT = 3
"""Cameras whose maps are kept: a stream that changes between them computes nothing anew. The maps
take 7 bytes for each pixel, so those of three 8K cameras 0.7 GB."""


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


class Pipeline:
    """Processes the frames of one stream, in order.

    Args:
        assembly: networks, pose estimator, gate and settings.
        costly: is entered to get ready for another calibration or size, which takes seconds; it may
            refuse by a DepthRecogError.
    """

    def __init__(
        self,
        assembly: Assembly,
        costly: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._assembly = assembly
        self._costly = costly
        self._views: OrderedDict[tuple[object, ...], Viewport] = OrderedDict()
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
        # First, because maps of a giant calibration take gigabytes.
        self.check_size((image.shape[1], image.shape[0]))
        view = self._viewport()
        return PreparedImage(name, stamp_ns, *view.prepare(image), view)

    def check_size(self, size: tuple[int, int]) -> None:
        """Check that images of (width, height) pixels fit the calibration.

        Raises:
            CalibrationError: they do not, or are too long.
        """
        camera = self._known_camera()
        check_size(size, camera)
        self._assembly.network_size(self._rectified or camera.rectified())

    def recognize(self, prepared: PreparedImage, wanted: Wanted = Wanted.PAIR) -> ProcessedFrame:
        """Compute depth, and masks, poses and decisions as far as they are wanted."""
        view = prepared.view
        step = self._assembly.recognizer.step(
            prepared.name,
            prepared.stamp_ns,
            prepared.image,
            view.network,
            wanted,
            view.network_seen,
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

    def find_scale(self, frames: Iterable[Frame], limit: int = 300) -> None:
        """Process the beginning of a recording until its scale is known; then begin again.

        So the whole recording is in metres. It does nothing where no scale is measured.

        Args:
            frames: of the recording, from the first one on.
            limit: largest number of them.
        """
        recognizer = self._assembly.recognizer
        if not recognizer.settings.scale.measured:
            return
        found_ns = None
        for frame in islice(frames, limit):
            self.recognize(self.prepare_frame(frame), Wanted.DEPTH)
            if found_ns is None and recognizer.scale.now.metric:
                found_ns = frame.stamp_ns
            # The first factor rests on few frames, and then may change slowly only.
            if found_ns is not None and frame.stamp_ns - found_ns > _SETTLING_NS:
                return

    def in_metres(self, step: Step) -> bool:
        """Whether a frame's depth and translations are in metres."""
        return self._assembly.in_metres(step.frame.scale)

    @property
    def scale(self) -> Scale:
        """The scale after the newest frame."""
        return self._assembly.recognizer.scale.now

    def _known_camera(self) -> Camera:
        if self._camera is None:
            raise RuntimeError("set_camera must be called before prepare")
        return self._camera

    def _viewport(self) -> Viewport:
        camera = self._known_camera()
        size = self._assembly.network_size(self._rectified or camera.rectified())
        if self._view is None or self._view.network.size != size:
            self._view = self._view_of(camera, size)
            self._assembly.recognizer.reset()
        return self._view

    def _view_of(self, camera: Camera, size: tuple[int, int]) -> Viewport:
        """A viewport that is kept, or a new one; the networks are ready for its size."""
        turned = None if self._rotation is None else self._rotation.tobytes()
        key = (camera, self._rectified, turned, size)
        view = self._views.pop(key, None)
        if view is None or not self._assembly.is_ready_for(size):
            with self._costly():
                view = view or Viewport.of(camera, size, self._rectified, self._rotation)
                self._assembly.prepare(size)
        self._views[key] = view
        while len(self._views) > KEPT:
            self._views.popitem(last=False)
        return view
