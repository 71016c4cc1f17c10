# SPDX-License-Identifier: Apache-2.0
"""Recorded frames as the live stream has them."""

from __future__ import annotations

from collections.abc import Iterator

from depth_recog.adaptation.frame import LiveFrame
from depth_recog.datasets.reader import readable
from depth_recog.method.geometry.viewport import Viewport, network_size
from depth_recog.training.data.cache import SourceFrames


def live_frames(chosen: SourceFrames, trained: tuple[int, int]) -> Iterator[LiveFrame]:
    """Read frames, rectified and at the network's size, with their poses if they are recorded.

    Args:
        chosen: frames of a recording.
        trained: (width, height) of the network's training images, pixels.

    Raises:
        SourceError, CalibrationError: no frame can be read.
    """
    view: Viewport | None = None
    for index, frame in readable(chosen.recording, chosen.frames):
        if view is None or view.camera != frame.camera:
            view = Viewport.of(frame.camera, network_size(frame.camera.rectified(), trained))
        pose = chosen.recording.truth(index).world_from_camera
        yield LiveFrame.of(frame.image, view, frame.stamp_ns, chosen.source, pose)
