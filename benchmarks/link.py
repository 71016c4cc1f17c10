# SPDX-License-Identifier: Apache-2.0
"""A network between machines on one host: namespaces, and a switch that loses, delays and limits.

Linux's netem would do the same, but not every kernel has it. Needs root and /dev/net/tun.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import random
import selectors
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SET_INTERFACE = 0x400454CA
_TAP, _NO_INFO = 0x0002, 0x1000
_FRAME = 2048
_QUEUE_S = 0.1
"""Length of a queue in front of a slow link, as of a usual router: what is longer is lost."""


@dataclass(frozen=True)
class Condition:
    """What a link does to each frame.

    Attributes:
        loss: share of frames that are lost, each by itself.
        delay: seconds in one direction.
        rate: bits per second to each machine; 0 for no limit.
        cut: whether nothing passes.
    """

    loss: float = 0.0
    delay: float = 0.0
    rate: float = 0.0
    cut: bool = False


class Machines:
    """Network namespaces 10.77.0.1, 10.77.0.2, ... on one switch.

    Args:
        names: of the namespaces.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.condition = Condition()
        self._names = names
        self._ports = [self._add(name, number + 1) for number, name in enumerate(names)]
        self._free = [0.0] * len(names)
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._dice = random.Random(0)
        self._halt = False
        self._thread = threading.Thread(target=self._forward, daemon=True)
        self._thread.start()

    def _add(self, name: str, number: int) -> int:
        _run("ip", "netns", "add", name)
        _memory(name).mkdir(exist_ok=True)
        port = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        device = f"tap{os.getpid() % 10_000}x{number}"
        fcntl.ioctl(port, _SET_INTERFACE, struct.pack("16sH22x", device.encode(), _TAP | _NO_INFO))
        _run("ip", "link", "set", device, "netns", name)
        inside = ("ip", "netns", "exec", name, "ip")
        _run(*inside, "address", "add", f"10.77.0.{number}/24", "dev", device)
        for link in ("lo", device):
            _run(*inside, "link", "set", link, "up")
        _run(*inside, "route", "add", "224.0.0.0/4", "dev", device)
        return port

    def command(self, name: str, command: Sequence[str]) -> list[str]:
        """A command that runs in a namespace, with the shared memory of that machine."""
        shell = 'mount --bind "$0" /dev/shm && exec "$@"'
        return ["ip", "netns", "exec", name, "sh", "-c", shell, str(_memory(name)), *command]

    def close(self) -> None:
        """Remove the namespaces; their processes have ended."""
        self._halt = True
        self._thread.join()
        for port in self._ports:
            os.close(port)
        for name in self._names:
            _run("ip", "netns", "delete", name)
            shutil.rmtree(_memory(name), ignore_errors=True)

    def _forward(self) -> None:
        known: dict[bytes, int] = {}
        with selectors.DefaultSelector() as selector:
            for number, port in enumerate(self._ports):
                selector.register(port, selectors.EVENT_READ, number)
            while not self._halt:
                wait = self._waiting[0][0] - time.monotonic() if self._waiting else 0.05
                for key, _ in selector.select(max(0.0, min(wait, 0.05))):
                    for _ in range(64):
                        try:
                            frame = os.read(key.fd, _FRAME)
                        except BlockingIOError:
                            break
                        known[frame[6:12]] = key.data
                        self._take(frame, key.data, known.get(frame[:6]))
                self._deliver()

    def _take(self, frame: bytes, source: int, target: int | None) -> None:
        condition, now = self.condition, time.monotonic()
        targets = range(len(self._ports)) if target is None else (target,)
        for number in targets:
            if number == source or condition.cut or self._dice.random() < condition.loss:
                continue
            at = now
            if condition.rate:
                start = max(now, self._free[number])
                if start - now > _QUEUE_S:
                    continue
                at = self._free[number] = start + 8 * len(frame) / condition.rate
            self._count += 1
            heapq.heappush(self._waiting, (at + condition.delay, self._count, number, frame))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, number, frame = heapq.heappop(self._waiting)
            with contextlib.suppress(BlockingIOError, OSError):
                os.write(self._ports[number], frame)


def _memory(name: str) -> Path:
    return Path(f"/dev/shm/machine_{name}")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
