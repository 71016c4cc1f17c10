# SPDX-License-Identifier: Apache-2.0
"""Which CameraInfo belongs to which image, and the slot in which the newest pair waits. No ROS."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741 - an image message
C = TypeVar("C")  # its CameraInfo

# Images without a CameraInfo of their stamp, before any CameraInfo will do.
_PATIENCE = 3
_KEPT = 32


class CameraMatcher(Generic[I, C]):
    """Joins images and CameraInfos of equal stamps, in whichever order they arrive.

    Some drivers stamp CameraInfo differently, or send it once: after a few images in a row without
    one of their own, the newest CameraInfo is taken.
    """

    def __init__(self) -> None:
        self._infos: OrderedDict[int, C] = OrderedDict()
        self._waiting: tuple[int, I] | None = None
        self._unmatched = 0
        self.loose = False

    def image(self, stamp_ns: int, message: I) -> tuple[list[tuple[I, C]], int]:
        """An image arrives.

        Returns:
            The pairs that are complete now, oldest first, and how many images were given up.
        """
        pairs: list[tuple[I, C]] = []
        lost = 0
        if self._waiting is not None:
            # The next image is here, and the last one's own CameraInfo still is not.
            self._unmatched += 1
            if self._infos and self._unmatched >= _PATIENCE:
                self.loose = True
            waiting, self._waiting = self._waiting, None
            if self.loose and self._infos:
                pairs.append((waiting[1], self._newest()))
            else:
                lost = 1
        if stamp_ns in self._infos:
            self._unmatched, self.loose = 0, False
            pairs.append((message, self._infos[stamp_ns]))
        elif self.loose and self._infos:
            pairs.append((message, self._newest()))
        else:
            self._waiting = (stamp_ns, message)
        return pairs, lost

    def info(self, stamp_ns: int, message: C) -> list[tuple[I, C]]:
        """A CameraInfo arrives; returns the pair that it completes, if any."""
        self._infos[stamp_ns] = message
        self._infos.move_to_end(stamp_ns)
        while len(self._infos) > _KEPT:
            self._infos.popitem(last=False)
        if self._waiting is not None and self._waiting[0] == stamp_ns:
            image = self._waiting[1]
            self._waiting = None
            self._unmatched, self.loose = 0, False
            return [(image, message)]
        return []

    @property
    def waiting(self) -> int:
        """1 while an image waits for its CameraInfo, else 0."""
        return int(self._waiting is not None)

    @property
    def informed(self) -> bool:
        """Whether a CameraInfo has come."""
        return bool(self._infos)

    def give_up(self) -> int:
        """Forget the image that waits for its CameraInfo; returns how many (0 or 1) that was."""
        lost, self._waiting = self.waiting, None
        return lost

    def _newest(self) -> C:
        return self._infos[next(reversed(self._infos))]


T = TypeVar("T")


class LatestSlot(Generic[T]):
    """One place: a newer item replaces one that nobody took. Late work is dropped, not queued."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> bool:
        """Leave an item; returns True where that displaced another one (it is lost)."""
        with self._condition:
            displaced = self._item is not None
            self._item = item
            self._condition.notify()
            return displaced

    def take(self) -> T | None:
        """Wait for an item; None once the slot is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._closed)
            if self._closed:
                return None
            item, self._item = self._item, None
            return item

    def close(self) -> int:
        """Wake the taker and end; returns how many items (0 or 1) were left behind."""
        with self._condition:
            self._closed = True
            left = int(self._item is not None)
            self._item = None
            self._condition.notify_all()
            return left
