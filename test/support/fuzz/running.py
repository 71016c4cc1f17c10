# SPDX-License-Identifier: Apache-2.0
"""Runs mutated inputs through a door: the answer is a result or an error of ours, in bounds."""

from __future__ import annotations

import shutil
import signal
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_recog.errors import DepthRecogError
from fuzz.mutations import Files, mutated

SECONDS = 10.0
"""Of the processor, for one input."""
MEBIBYTES = 1500
"""Resident memory above that before the input."""


@dataclass(frozen=True)
class Door:
    """A way in for files.

    Attributes:
        corpus: makes inputs that are good, in an empty folder.
        open: reads an input from its folder, at every layer; raises DepthRecogError or returns.
        targets: pattern of the names of the files that are changed.
    """

    name: str
    corpus: Callable[[Path], list[Files]]
    open: Callable[[Path], object]
    targets: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of an input: "read", "refused", or how it failed."""

    index: int
    answer: str
    seconds: float
    detail: str = ""

    @property
    def failed(self) -> bool:
        return self.answer not in ("read", "refused")


def put(files: Files, folder: Path) -> None:
    """Write an input, and nothing else, into a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def taken(folder: Path) -> Files:
    """The files of a folder."""
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def make(door: Door, corpus: list[Files], seed: int, index: int) -> Files:
    """Input `index` of a seed."""
    chance = np.random.default_rng([seed, zlib.crc32(door.name.encode()), index])
    return mutated(corpus[int(chance.integers(len(corpus)))], corpus, door.targets, chance)


def tried(door: Door, folder: Path, index: int = 0) -> Outcome:
    """Open the input that lies in a folder."""
    began, before = time.process_time(), _resident()
    _reset_peak()
    answer, detail = "read", ""
    try:
        with _alarm(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            door.open(folder)
    except DepthRecogError as error:
        answer, detail = "refused", str(error)
    except BaseException as error:  # also KeyboardInterrupt of the alarm
        if isinstance(error, KeyboardInterrupt) and not isinstance(error, _Late):
            raise
        answer = "late" if isinstance(error, _Late) else type(error).__name__
        detail = "".join(traceback.format_exception(error))[-1500:]
    seconds = time.process_time() - began
    grown = (_peak() - before) / 1024
    if answer in ("read", "refused"):
        if seconds > SECONDS:
            answer = "late"
        elif grown > MEBIBYTES:
            answer, detail = "memory", f"{grown:.0f} MiB"
    return Outcome(index, answer, seconds, detail)


def run(
    door: Door, work: Path, seed: int, indices: range, until: Callable[[], bool] = lambda: False
) -> Iterator[tuple[Outcome, Files]]:
    """Try inputs one after the other, until there is no more time."""
    corpus = door.corpus(work / "corpus")
    for index in indices:
        if until():
            return
        files = make(door, corpus, seed, index)
        put(files, work / "input")
        yield tried(door, work / "input", index), files


class _Late(KeyboardInterrupt):
    """Raised by the alarm; not an Exception, which a door may catch."""


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise _Late

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, 1.1 * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


def _resident() -> int:
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _reset_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
