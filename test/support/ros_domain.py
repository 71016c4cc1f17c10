# SPDX-License-Identifier: Apache-2.0
"""A ROS domain that no other test process on this machine uses."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

DOMAINS = range(1, 101)
"""Up to 101 all ports of a domain lie below Linux's ephemeral ports."""

_held: dict[int, int] = {}
_last = os.getpid()


def claim() -> int:
    """Lock a domain id until `release`, or until this process ends."""
    global _last
    for _ in DOMAINS:
        _last += 1
        number = DOMAINS[_last % len(DOMAINS)]
        path = Path(tempfile.gettempdir()) / f"depth_recog_ros_domain_{number}.lock"
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:  # another user's
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            continue
        _held[number] = file
        return number
    raise RuntimeError(f"no free ROS domain: all of {tempfile.gettempdir()}/*.lock are held")


def release(number: int) -> None:
    os.close(_held.pop(number))
