# SPDX-License-Identifier: Apache-2.0
"""Pair images with their CameraInfo."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741 - an image message
C = TypeVar("C")  # its CameraInfo

# So many images in a row decide whether the next ones wait for a CameraInfo of their stamp.
_PATIENCE = 3
_INFOS_KEPT = 32


class CameraMatcher(Generic[I, C]):
    """Pairs each image with the CameraInfo of its stamp, and without one with the newest.

    Drivers send CameraInfo once, more rarely than images, late, or with other stamps. An image
    waits for its CameraInfo until the next image arrives. After three that waited in vain images
    wait no longer (`loose`), until three in a row have had a CameraInfo of their own.

    Args:
        fits: whether a CameraInfo can be the image's; the newest that can is preferred. Several
            cameras may share a topic, and a camera may change its mode.
    """

    def __init__(self, fits: Callable[[I, C], bool] = lambda image, info: True) -> None:
        self._fits = fits
        self._infos: OrderedDict[int, C] = OrderedDict()
        self._waiting: tuple[int, I] | None = None
        self._last: tuple[int, bool] | None = None  # stamp; whether its own CameraInfo has arrived
        self._missed = self._matched = 0
        self.loose = False
        """Whether images are paired at once, with the newest CameraInfo if need be."""

    def image(self, stamp_ns: int, message: I) -> tuple[list[tuple[I, C]], int]:
        """Add an image.

        Returns:
            The pairs that are complete now, oldest first, and how many images were given up.
        """
        self._learn()
        pairs, lost = self._overdue()
        own = stamp_ns in self._infos
        self._last = stamp_ns, own
        if own:
            pairs.append((message, self._infos[stamp_ns]))
        elif self.loose and self._fits(message, self._newest(message)):
            pairs.append((message, self._newest(message)))
        else:
            self._waiting = (stamp_ns, message)
        return pairs, lost

    def info(self, stamp_ns: int, message: C) -> list[tuple[I, C]]:
        """Add a CameraInfo; returns the pair that it completes, if any."""
        self._infos[stamp_ns] = message
        self._infos.move_to_end(stamp_ns)
        if len(self._infos) > _INFOS_KEPT:
            self._infos.popitem(last=False)
        if self._last is not None and self._last[0] == stamp_ns:
            self._last = stamp_ns, True
        if self._waiting is not None and self._waiting[0] == stamp_ns:
            image, self._waiting = self._waiting[1], None
            return [(image, message)]
        return []

    def hurry(self) -> list[tuple[I, C]]:
        """Pair the image that waits with the newest CameraInfo, if there is one."""
        return self._overdue()[0] if self._infos else []

    @property
    def waiting(self) -> int:
        """1 while an image waits for its CameraInfo, else 0."""
        return int(self._waiting is not None)

    @property
    def informed(self) -> bool:
        """Whether any CameraInfo has arrived."""
        return bool(self._infos)

    def give_up(self) -> int:
        """Forget the image that waits for its CameraInfo; returns how many (0 or 1) that was."""
        lost, self._waiting, self._last = self.waiting, None, None
        return lost

    def _learn(self) -> None:
        """Decide, when an image arrives, whether the one before had its own CameraInfo."""
        if self._last is None or not self._infos:
            return
        if self._last[1]:
            self._matched += 1
            if self._matched >= _PATIENCE:
                self._missed, self.loose = 0, False
        else:
            self._matched = 0
            self._missed += 1
            self.loose = self.loose or self._missed >= _PATIENCE

    def _overdue(self) -> tuple[list[tuple[I, C]], int]:
        """The pair of the image that waits, and 1 if there is no CameraInfo at all for it."""
        if self._waiting is None:
            return [], 0
        image, self._waiting = self._waiting[1], None
        return ([(image, self._newest(image))], 0) if self._infos else ([], 1)

    def _newest(self, image: I) -> C:
        newest = self._infos[next(reversed(self._infos))]
        return next((c for c in reversed(self._infos.values()) if self._fits(image, c)), newest)
