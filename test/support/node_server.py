# SPDX-License-Identifier: Apache-2.0
"""Starts processes that need not import the package: 0.3 s of CPU less for each, training 4 s.

`python node_server.py MODULE...` imports the modules once and forks a process for each request. The
child runs its entry point at the top level of the interpreter, so it also ends as any Python
process does.
It ends with the server, so that interrupted tests leave no nodes behind.
It imports rclpy itself: that starts threads, and a process with threads must not fork.

The socket on standard input carries JSON: a request has a `number`, the `arguments` and the
`environment` of a process, and two file descriptors, its stdout and stderr. The answers are
{"number": ..., "pid": ...}, and, when the process has ended, {"ended": pid, "status": exit status
as in subprocess}.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

LARGEST = 1 << 20
_PR_SET_PDEATHSIG = 1


class Child:
    """A process that a server started, with the parts of subprocess.Popen that the tests use."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = threading.Event()

    def finish(self, status: int) -> None:
        self.returncode = status
        self._ended.set()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            # It may have ended meanwhile; `subprocess.Popen` does the same.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class NodeServer:
    """The tests' side of a server; it ends with the process that made it."""

    def __init__(self, environment: dict[str, str], modules: tuple[str, ...]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self._children: dict[int, Child] = {}
        self._turn = threading.Lock()
        self._news = threading.Condition()
        self._started: dict[int, Child] = {}
        self._requests = 0
        self._gone = False
        command = [sys.executable, __file__, *modules]
        self._process = subprocess.Popen(command, stdin=theirs, env=environment)
        theirs.close()
        threading.Thread(target=self._listen, daemon=True).start()
        atexit.register(self.close)

    def _listen(self) -> None:
        while data := self._receive():
            message = json.loads(data)
            with self._news:
                if "pid" in message:
                    child = self._children[message["pid"]] = Child(message["pid"])
                    self._started[message["number"]] = child
                else:
                    self._children.pop(message["ended"]).finish(message["status"])
                self._news.notify_all()
        with self._news:
            self._gone = True
            self._news.notify_all()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait()

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(LARGEST)
        except ConnectionResetError:
            return b""

    def start(
        self, arguments: list[str], environment: dict[str, str], stdout: int, stderr: int
    ) -> Child:
        """Fork a process.

        Args:
            arguments: as for Python itself: "-c", a program, and what it finds in sys.argv.
            environment: all variables of the process.
            stdout: file descriptor, stays open here.
            stderr: likewise.
        """
        with self._turn, self._news:
            # Else an answer that comes too late would be taken for that of the next request.
            number = self._requests = self._requests + 1
            asked = {"number": number, "arguments": arguments, "environment": environment}
            socket.send_fds(self._socket, [json.dumps(asked).encode()], [stdout, stderr])
            there = self._news.wait_for(lambda: number in self._started or self._gone, 250)
            assert there, "the node server does not answer"
            assert number in self._started, "the node server has ended"
            return self._started.pop(number)


def serve(control: socket.socket) -> dict[str, Any]:
    """Answer requests until the tests have ended; returns a request in the child that it is for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to pytest's whole group
    signal.signal(signal.SIGCHLD, lambda *_: None)
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([control, wake], [], [])
        if wake in ready:
            os.read(wake, LARGEST)
            reap(control)
        if control in ready:
            data, descriptors, _, _ = socket.recv_fds(control, LARGEST, 2)
            if not data:
                sys.exit()
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                os.setsid()
                null = os.open(os.devnull, os.O_RDONLY)
                for target, descriptor in enumerate((null, *descriptors)):
                    os.dup2(descriptor, target)
                for descriptor in (wake, waker, null, *descriptors, control.detach()):
                    os.close(descriptor)
                return dict(json.loads(data))
            for descriptor in descriptors:
                os.close(descriptor)
            number = json.loads(data)["number"]
            control.send(json.dumps({"number": number, "pid": pid}).encode())


def reap(control: socket.socket) -> None:
    """Tell of all children that have ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        ended = {"ended": pid, "status": os.waitstatus_to_exitcode(status)}
        control.send(json.dumps(ended).encode())


if __name__ == "__main__":
    from depth_recog import environment

    environment.prepare()
    for module in sys.argv[1:]:
        importlib.import_module(module)
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads must not fork"
    gc.freeze()  # no child need look through what the imports left
    request = serve(socket.socket(fileno=os.dup(0)))
    os.environ.clear()
    os.environ.update(request["environment"])
    program, *sys.argv[1:] = request["arguments"][1:]
    sys.argv[0] = "-c"
    exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
