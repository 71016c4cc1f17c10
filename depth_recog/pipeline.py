# SPDX-License-Identifier: Apache-2.0
"""From a camera's image to depth, masks and decisions of the same size.

The depth node, `run` and `evaluate` send every frame through the same stages:

    rectify -> resize to the network's size -> `Recognizer.step` -> resize back -> limit the depth

`Pipeline.prepare` does the first two, `Pipeline.recognize` the third. The last two are done by
`processed.ImageMaps`, for those maps only that are read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Frame
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import Viewport, check_size
from depth_recog.method.pair import Step
from depth_recog.method.scale.measurement import Scale
from depth_recog.method.settings import Wanted
from depth_recog.networks.factory import Assembly
from depth_recog.processed import PreparedImage, ProcessedFrame

_SETTLING_NS = 5 * 10**9
KEPT = 3
"""Cameras whose maps are kept: a stream that changes between them computes nothing anew. The maps
take 7 bytes for each pixel, so those of three 8K cameras 0.7 GB."""


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
