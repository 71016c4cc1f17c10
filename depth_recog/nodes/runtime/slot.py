# SPDX-License-Identifier: Apache-2.0
"""Hand over the newest item from one thread to another."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestSlot(Generic[T]):
    """A queue of length one in which a newer item replaces one that was not taken yet."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> bool:
        """Store an item; returns True if one is lost: another that was not taken, or this one."""
        with self._condition:
            if self._closed:
                return True
            replaced = self._item is not None
            self._item = item
            self._condition.notify()
            return replaced

    def take(self) -> T | None:
        """Wait for an item and remove it; returns None once the slot is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._closed)
            if self._closed:
                return None
            item, self._item = self._item, None
            return item

    def close(self) -> int:
        """Make `take` return None from now on; returns how many items (0 or 1) were discarded."""
        with self._condition:
            self._closed = True
            left = int(self._item is not None)
            self._item = None
            self._condition.notify_all()
            return left
