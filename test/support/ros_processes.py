# SPDX-License-Identifier: Apache-2.0
"""Nodes and commands as processes.

All waits are for events, with a deadline. A failure shows the output of the process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from node_server import Child, NodeServer

from depth_recog.nodes.runtime.children import FASTDDS_PROFILE, node_command

LIMIT_S = 90.0
FOREIGN = Path(__file__).parents[1] / "ros" / "foreign"
# The publisher's profile matters: Fast DDS's default segment loses large best-effort images.
os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(FASTDDS_PROFILE))
INFERENCE = ("depth_recog.datasets.sources", "depth_recog.networks.factory")
TRAINING = (*INFERENCE, "depth_recog.adaptation.adapter", "depth_recog.training.train")
"""What a node server has imported."""
_LOGS = tempfile.mkdtemp(prefix="depth_recog_test_ros_")
atexit.register(shutil.rmtree, _LOGS, ignore_errors=True)


def environment() -> dict[str, str]:
    """Variables of every process; one thread each, since several nodes share few cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "ROS_LOG_DIR": _LOGS, "PYTHONUNBUFFERED": "1"}


class Process:
    """A process whose output is collected while it runs.

    Args:
        command: of Python: the executable, "-c", a program, and its arguments; or any, if not
            `forked`.
        forked: from the node server with these imports, such as `TRAINING`; True: `INFERENCE`. Not
            for a test of the imports or of what is read before them.
        changes: environment variables; "" unsets one.
    """

    def __init__(
        self, command: list[str], forked: bool | tuple[str, ...] = False, **changes: str
    ) -> None:
        self.command = command
        everything = environment() | changes
        everything = {name: value for name, value in everything.items() if value}
        self._lines: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._news = threading.Condition()
        pipes = [os.pipe() for _ in self._lines]
        out, err = (pipe[1] for pipe in pipes)
        self.popen: subprocess.Popen[bytes] | Child
        if forked:
            modules = INFERENCE if forked is True else forked
            self.popen = _node_server(modules).start(command[1:], everything, out, err)
        else:
            self.popen = subprocess.Popen(
                command, stdout=out, stderr=err, start_new_session=True, env=everything
            )
        os.close(out)
        os.close(err)
        self._readers = [
            threading.Thread(target=self._read, args=(name, pipe[0]), daemon=True)
            for name, pipe in zip(self._lines, pipes, strict=True)
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, pipe: int) -> None:
        with open(pipe, errors="replace") as lines:
            for line in lines:
                with self._news:
                    self._lines[name].append(line)
                    self._news.notify_all()

    @property
    def stdout(self) -> str:
        return "".join(self._lines["stdout"])

    @property
    def stderr(self) -> str:
        return "".join(self._lines["stderr"])

    def story(self) -> str:
        """Return command, exit status and output, for the message of an assertion."""
        text = f"{' '.join(self.command)[-300:]}\nstatus {self.popen.poll()}\n"
        return text + f"--- stdout\n{self.stdout[-3000:]}\n--- stderr\n{self.stderr[-6000:]}"

    def wait_for_line(self, pattern: str, times: int = 1, limit: float = LIMIT_S) -> str:
        """Wait until stderr and stdout have `times` lines that match; return the last."""

        def found() -> list[str]:
            lines = self._lines["stderr"] + self._lines["stdout"]
            return [line for line in lines if re.search(pattern, line)]

        deadline = time.monotonic() + limit
        with self._news:
            while len(found()) < times:
                rest = deadline - time.monotonic()
                ended = self.popen.poll() is not None and not any(
                    r.is_alive() for r in self._readers
                )
                assert rest > 0, f"no line {pattern!r} within {limit} s: {self.story()}"
                assert not ended, f"ended without a line {pattern!r}: {self.story()}"
                self._news.wait(min(rest, 0.2))
            return found()[-1]

    def wait(self, limit: float = LIMIT_S) -> int:
        """Wait for the end; return the exit status."""
        try:
            code = self.popen.wait(limit)
        except subprocess.TimeoutExpired:
            story = self.story()
            self.kill()
            raise AssertionError(f"did not end within {limit} s: {story}") from None
        for reader in self._readers:
            reader.join(20)
        return code

    def interrupt(self, limit: float = LIMIT_S) -> int:
        """Send SIGINT, as launch and Ctrl-C do; return the exit status."""
        self.popen.send_signal(signal.SIGINT)
        return self.wait(limit)

    def end(self) -> None:
        """Send SIGINT; expect exit status 0 and no traceback."""
        assert self.interrupt() == 0, self.story()
        assert "Traceback" not in self.stderr, self.story()

    def kill(self) -> None:
        """End the process with SIGKILL."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        for reader in self._readers:
            reader.join(5)

    def assert_alive(self) -> None:
        assert self.popen.poll() is None, f"the process is gone: {self.story()}"
        assert "Traceback" not in self.stderr, self.story()

    def assert_failed(self, *words: str, limit: float = LIMIT_S) -> None:
        """Expect exit status 1 and one line with all of `words`, without a traceback."""
        assert self.wait(limit) == 1, self.story()
        assert "Traceback" not in self.stderr, self.story()
        lines = self.stderr.splitlines()
        assert any(all(word in line for word in words) for line in lines), (
            f"no line with all of {words}: {self.story()}"
        )


def start_node(
    executable: str,
    namespace: str,
    parameters: dict[str, Any] | None = None,
    ros_args: tuple[str, ...] = (),
    forked: bool | tuple[str, ...] = False,
    **changes: str,
) -> Process:
    """Start a node of the package under test as a process.

    Args:
        executable: "depth_node" or "camera_node".
        namespace: of the node, without a leading slash.
        parameters: that differ from their defaults.
        ros_args: further arguments behind --ros-args.
        forked: as in `Process`.
        changes: environment variables; "" unsets one.
    """
    command = node_command(executable, namespace, parameters or {})
    return Process([*command, *ros_args], forked, **changes)


def assert_all_fail(
    executable: str,
    starts: Iterable[tuple[Any, tuple[str, ...], Any]],
    forked: bool | tuple[str, ...] = True,
) -> None:
    """Expect that nodes end with 1 and a line with all words, several at a time.

    Args:
        executable: "depth_node" or "camera_node".
        starts: parameters, further arguments behind --ros-args, and the words, for each node.
        forked: as in `Process`.
    """
    waiting = list(starts)
    while waiting:
        some, waiting = waiting[:4], waiting[4:]
        processes = [start_node(executable, "bad", p, args, forked) for p, args, _ in some]
        try:
            for process, (_, _, words) in zip(processes, some, strict=True):
                process.assert_failed(*words)
        finally:
            for process in processes:
                process.kill()


def start_command(
    *arguments: str, forked: bool | tuple[str, ...] = False, before: str = ""
) -> Process:
    """The command depth-recog as a process; `forked` as in `Process`, `before` a program."""
    code = f"{before}\nimport sys; from depth_recog.cli.main import main; sys.exit(main())"
    return Process([sys.executable, "-c", code, *arguments], forked)


@cache
def _node_server(modules: tuple[str, ...]) -> NodeServer:
    return NodeServer(environment(), modules)


def foreign(script: str, *arguments: str) -> Process:
    """Start a plain rclpy program, which does not import depth_recog."""
    command = [sys.executable, str(FOREIGN / script), *arguments]
    return Process(command, FASTRTPS_DEFAULT_PROFILES_FILE="")


def handles_signals(process: Process) -> bool:
    """Whether the process has installed a handler of SIGTERM; Python itself has none."""
    try:
        status = Path(f"/proc/{process.popen.pid}/status").read_text()
    except OSError:
        return False
    caught = re.search(r"SigCgt:\s*([0-9a-f]+)", status)
    return bool(caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def wait_until(ready: Callable[[], Any], what: str, limit: float = LIMIT_S) -> None:
    """Poll a condition that no event announces."""
    deadline = time.monotonic() + limit
    while not ready():
        assert time.monotonic() < deadline, f"not within {limit} s: {what}"
        time.sleep(0.002)


def waited_for_cpu(process: Process) -> float:
    """Seconds that the process's threads, those that run now, have waited for a core."""
    total = 0
    with contextlib.suppress(OSError):  # it ends meanwhile
        for thread in Path(f"/proc/{process.popen.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((thread / "schedstat").read_text().split()[1])
    return total / 1e9


SIGNALS = {"int": [signal.SIGINT], "int2": [signal.SIGINT] * 2, "term": [signal.SIGTERM]}
"""Kinds of ends; two signals are less than 20 ms apart."""


def end_with(process: Process, kind: str, delay: float, line: str = "") -> tuple[int, float]:
    """End a process by signals.

    Args:
        process: any that has handlers of its own.
        kind: a key of `SIGNALS`.
        delay: seconds from the moment on at which the handlers are there, or `line` was logged.
        line: a regular expression; "" for the handlers.

    Returns:
        Exit status, and the seconds from the signal to the exit, without those for which the
        process waited for a core.
    """
    wait_until(
        lambda: handles_signals(process) or process.popen.poll() is not None, "signal handlers"
    )
    if line:
        process.wait_for_line(line)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.popen.wait(delay)
    start, before, waited = time.monotonic(), waited_for_cpu(process), 0.0
    for number in SIGNALS[kind]:
        process.popen.send_signal(number)
        time.sleep(0.01)
    while process.popen.poll() is None and time.monotonic() < start + LIMIT_S:
        waited = max(waited, waited_for_cpu(process) - before)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.popen.wait(0.02)
    seconds = time.monotonic() - start - waited
    return process.wait(), seconds
