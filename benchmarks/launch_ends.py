# SPDX-License-Identifier: Apache-2.0
"""Is a process left behind when a launch ends, in whatever way it ends?

. install/setup.bash && python benchmarks/launch_ends.py [--runs 50] [--json FILE]

Runs the launch files in turn, each with the next way to end, and looks for processes that carry the
launch's mark in their environment. Exits with 1 where one is left 20 s after the end, where the
exit status is not the expected one, or where a launch does not end.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common import parser_of, report, use_local_ros

use_local_ros()

import ros_domain
import ros_processes as rp

MARK = "DEPTH_RECOG_LAUNCH_END"
SMALL = "source:=synthetic:street?width=160&height=64&rate=10&frames=8"
READY = r"\] depth weights|depth_node\]: depth weights"
LIMIT_S = 20.0
MOMENTS_S = itertools.cycle((0.05, 0.1, 0.2, 0.4, 0.8, 1.6))


def left_behind(mark: str) -> list[str]:
    """The command lines of the running processes that have inherited a mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def stand_ins(folder: Path) -> Path:
    """Packages with the names of RViz and of the frames' publisher, which only wait."""
    index = folder / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    for package, name in (("rviz2", "rviz2"), ("tf2_ros", "static_transform_publisher")):
        (index / package).touch()
        file = folder / "lib" / package / name
        file.parent.mkdir(parents=True)
        file.write_text("#!/bin/sh\nexec sleep 1000\n")
        file.chmod(0o755)
    return folder


def by(*numbers: signal.Signals, after: str = READY) -> Callable[[rp.Process], None]:
    """End launch itself by signals, 20 ms apart, after a line of its output.

    At the start they come at a different moment in each run. Not at once: a KeyboardInterrupt in
    the callback that writes the line makes launch forget the process, and wait for it for ever.
    """

    def end(process: rp.Process) -> None:
        process.wait_for_line(after)
        if after == BEGUN:
            time.sleep(next(MOMENTS_S))
        for number in numbers:
            process.popen.send_signal(number)
            time.sleep(0.02)

    return end


def killed(node: str, then: Callable[[rp.Process], None] | None = None) -> Callable[..., None]:
    """Kill a node; without `then`, launch has to end by itself."""

    def end(process: rp.Process) -> None:
        process.wait_for_line(READY)
        line = process.wait_for_line(rf"\[{node}-\d\]: process started with pid")
        os.kill(int(re.findall(r"pid \[(\d+)\]", line)[0]), signal.SIGKILL)
        if then is not None:
            process.wait_for_line("depth weights", times=2)
            then(process)

    return end


def by_itself(process: rp.Process) -> None:
    """Launch ends without help."""


INT, TERM, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL
HUP, QUIT = signal.SIGHUP, signal.SIGQUIT
DEPTH, REPLAY = "depth.launch.py", "replay.launch.py"
BEGUN = r"process started with pid"


@dataclass(frozen=True)
class Case:
    """One launch and its end; `status` None: any."""

    words: tuple[str, ...]
    end: Callable[[rp.Process], None]
    status: int | None = 0
    rviz: bool = False


CASES = {
    "Ctrl-C": Case((DEPTH, SMALL), by(INT)),
    "Ctrl-C twice": Case((DEPTH, SMALL), by(INT, INT)),
    "Ctrl-C at the start": Case((DEPTH, SMALL), by(INT, after=BEGUN), None),
    "SIGTERM": Case((DEPTH, SMALL), by(TERM), None),
    "SIGTERM at the start": Case((DEPTH, SMALL), by(TERM, after=BEGUN), None),
    "SIGKILL": Case((DEPTH, SMALL), by(KILL), None),
    "SIGKILL at the start": Case((DEPTH, SMALL), by(KILL, after=BEGUN), None),
    "the terminal is closed": Case((DEPTH, SMALL), by(HUP), None),
    "SIGQUIT": Case((DEPTH, SMALL), by(QUIT), None),
    "namespace": Case((DEPTH, SMALL, "namespace:=/robot/left", "frame_prefix:=left/"), by(INT)),
    "no camera node": Case((DEPTH, "source:=none"), by(INT)),
    "compressed": Case((DEPTH, SMALL, "image_transport:=compressed"), by(INT)),
    "depth node killed": Case((DEPTH, SMALL), killed("depth_node"), 1),
    "camera node killed": Case((DEPTH, SMALL), killed("camera_node"), 1),
    "respawn": Case((DEPTH, SMALL, "respawn:=true"), killed("depth_node", by(INT))),
    "respawn, SIGTERM": Case((DEPTH, SMALL, "respawn:=true"), killed("depth_node", by(TERM)), None),
    "no rviz2": Case((DEPTH, SMALL, "rviz:=true"), by_itself, 1),
    "rviz": Case((DEPTH, SMALL, "rviz:=true"), by(INT), rviz=True),
    "rviz, SIGKILL": Case((DEPTH, SMALL, "rviz:=true"), by(KILL), None, rviz=True),
    "no such weights": Case((DEPTH, SMALL, "weights:=nothing"), by_itself, 1),
    "no such source": Case((DEPTH, "source:=/nowhere"), by_itself, 1),
    "no such file": Case((DEPTH, SMALL, "params_file:=/no.yaml"), by_itself, 1),
    "replay": Case((REPLAY, SMALL), by_itself),
    "replay, SIGTERM": Case((REPLAY, SMALL, "loop:=true"), by(TERM), None),
    "training, SIGKILL": Case(("train.launch.py", SMALL, "out:=OUT"), by(KILL, after=BEGUN), None),
}


def trial(case: Case) -> tuple[float, str]:
    """Launch and end; returns the seconds from the end to no process, and what failed."""
    with tempfile.TemporaryDirectory(prefix="launch_end_") as folder:
        path = os.environ["AMENT_PREFIX_PATH"]
        if case.rviz:
            path = f"{stand_ins(Path(folder) / 'ros')}{os.pathsep}{path}"
        words = [word.replace("OUT", f"{folder}/run") for word in case.words]
        domain = ros_domain.claim()
        changes = {MARK: folder, "AMENT_PREFIX_PATH": path, "ROS_DOMAIN_ID": str(domain)}
        ros2 = shutil.which("ros2") or "ros2"
        process = rp.Process([ros2, "launch", "depth_recog", *words], **changes)
        try:
            case.end(process)
            start = time.monotonic()
            status = process.wait()
            rp.wait_until(lambda: not left_behind(folder), "no process", LIMIT_S)
            good = case.status is None or status == case.status
            return time.monotonic() - start, "" if good else f"status {status}: {process.story()}"
        except (AssertionError, OSError) as error:
            return float("nan"), f"{error}; left: {left_behind(folder)}"
        finally:
            if process.popen.poll() is None:
                process.kill()
            ros_domain.release(domain)


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--runs", type=int, default=2 * len(CASES))
    parser.add_argument("--only", choices=CASES, help="one way to end")
    options = parser.parse_args()
    names = [options.only] if options.only else list(CASES)
    # A background job ignores these signals, and its children inherit that.
    for number in (INT, HUP, QUIT):
        signal.signal(number, signal.SIG_DFL)
    rows: dict[str, dict[str, object]] = {}
    failures = 0
    for run in range(options.runs):
        name = names[run % len(names)]
        seconds, failure = trial(CASES[name])
        print(
            f"{run + 1}: {name}: {failure or f'nothing is left after {seconds:.1f} s'}", flush=True
        )
        failures += bool(failure)
        row = rows.setdefault(name, {"end": name, "runs": 0, "nothing left": 0, "longest, s": 0.0})
        row["runs"] = int(str(row["runs"])) + 1
        row["nothing left"] = int(str(row["nothing left"])) + (not failure)
        row["longest, s"] = max(float(str(row["longest, s"])), 0.0 if failure else seconds)
    report(options, list(rows.values()))
    print(f"nothing left behind: {options.runs - failures} of {options.runs}")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
