# SPDX-License-Identifier: Apache-2.0
"""Watch the frame names of images and their CameraInfo."""

from __future__ import annotations

from typing import Any

from std_msgs.msg import Header

from depth_recog.texts import shown

_WARNINGS = 20
"""Names of which a warning is logged: a publisher may send a new one with every image."""


class Frames:
    """Notices that the images' frame has changed, and warns once of each doubtful name.

    Args:
        log: of the node.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._warned: set[str] = set()
        self.frame: str | None = None
        """Of the newest image; None before the first."""

    def changed(self, image: Header, info: Header | None) -> bool:
        """Add an image; returns whether its frame is another one than that of the image before.

        The image's name counts, as in image_proc.

        Args:
            image: its header.
            info: that of its CameraInfo; None without.
        """
        before, self.frame = self.frame, image.frame_id
        if not image.frame_id:
            self._warn(
                "the images have no frame_id, so that tf cannot place depth and points: set it in "
                "the camera's driver"
            )
        elif info is not None and info.frame_id != image.frame_id:
            self._warn(
                f"the images' frame_id is {shown(image.frame_id)}, their camera_info's is "
                f"{shown(info.frame_id)}: the images' is used; set both alike in the "
                "camera's driver"
            )
        if before is None or before == self.frame:
            return False
        self._warn(
            f"the images' frame_id has changed from {shown(before)} to {shown(self.frame)}: "
            "frames of different cameras are not compared; give each camera a topic of its own"
        )
        return True

    def _warn(self, text: str) -> None:
        if text not in self._warned and len(self._warned) < _WARNINGS:
            self._warned.add(text)
            self._log.warning(text)
