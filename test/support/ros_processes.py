# SPDX-License-Identifier: Apache-2.0
"""Nodes as processes, and a peer in the test's process that communicates with them over DDS.

All waits are for events, with a deadline. A failure shows the output of the process.
"""

from __future__ import annotations

import array
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from node_server import Child, NodeServer
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image

from depth_recog.nodes.runtime.children import FASTDDS_PROFILE, node_command

LIMIT_S = 45.0
FOREIGN = Path(__file__).parents[1] / "ros" / "foreign"
OUTCOMES = ("published", "dropped", "rejected", "unmatched", "idle")
# The publisher's profile matters: Fast DDS's default segment loses large best-effort images.
os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(FASTDDS_PROFILE))
_LOGS = tempfile.mkdtemp(prefix="depth_recog_test_ros_")


def environment() -> dict[str, str]:
    """Variables of every process; one thread each, since several nodes share few cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "ROS_LOG_DIR": _LOGS, "PYTHONUNBUFFERED": "1"}


class Process:
    """A process whose output is collected while it runs."""

    def __init__(self, command: list[str], forked: bool = False, **changes: str) -> None:
        self.command = command
        everything = environment() | changes
        everything = {name: value for name, value in everything.items() if value}
        self._lines: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._news = threading.Condition()
        pipes = [os.pipe() for _ in self._lines]
        out, err = (pipe[1] for pipe in pipes)
        self.popen: subprocess.Popen[bytes] | Child
        if forked:
            self.popen = _node_server().start(command[1:], everything, out, err)
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
            reader.join(5)
        return code

    def interrupt(self, limit: float = LIMIT_S) -> int:
        """Send SIGINT, as launch and Ctrl-C do; return the exit status."""
        self.popen.send_signal(signal.SIGINT)
        return self.wait(limit)

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
    forked: bool = True,
    **changes: str,
) -> Process:
    """Start a node of the package under test as a process.

    Args:
        executable: "depth_node" or "camera_node".
        namespace: of the node, without a leading slash.
        parameters: that differ from their defaults.
        ros_args: further arguments behind --ros-args.
        forked: from the node server, where the imports have been done; not for a test of the
            imports or of what is read before them.
        changes: environment variables; "" unsets one.
    """
    command = node_command(executable, namespace, parameters or {})
    return Process([*command, *ros_args], forked, **changes)


def start_command(*arguments: str, forked: bool = True) -> Process:
    """The command depth-recog as a process; `forked` as in `start_node`."""
    code = "import sys; from depth_recog.cli.main import main; sys.exit(main())"
    return Process([sys.executable, "-c", code, *arguments], forked)


@cache
def _node_server() -> NodeServer:
    return NodeServer(environment())


def foreign(script: str, *arguments: str) -> Process:
    """A plain rclpy program that knows nothing of depth_recog."""
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


def slowness() -> float:
    """How many times slower than alone a process runs on this machine now, about."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


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
        Exit status, and the seconds from the signal to the exit.
    """
    wait_until(
        lambda: handles_signals(process) or process.popen.poll() is not None, "signal handlers"
    )
    if line:
        process.wait_for_line(line)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.popen.wait(delay)
    start = time.monotonic()
    for number in SIGNALS[kind]:
        process.popen.send_signal(number)
        time.sleep(0.01)
    code = process.wait()
    return code, time.monotonic() - start


def stamp_of(ns: int) -> Time:
    return Time(sec=ns // 10**9, nanosec=ns % 10**9)


def stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def image_message(
    data: bytes | NDArray[Any],
    encoding: str,
    stamp: int,
    size: tuple[int, int] | None = None,
    step: int | None = None,
    frame: str = "cam",
) -> Image:
    """Make an image of an (H, W[, C]) array, or of bytes with (width, height) and step."""
    message = Image(encoding=encoding)
    message.header.frame_id = frame
    message.header.stamp = stamp_of(stamp)
    if isinstance(data, np.ndarray):
        data = np.ascontiguousarray(data)
        message.height, message.width = data.shape[:2]
        message.step = data.strides[0] if step is None else step
        message.data = array.array("B", data.tobytes())
    else:
        assert size is not None
        assert step is not None
        message.width, message.height = size
        message.step = step
        message.data = array.array("B", data)
    return message


def info_message(
    size: tuple[int, int], stamp: int, focal: float | None = None, frame: str = "cam"
) -> CameraInfo:
    """Make a CameraInfo without distortion; the default focal length is 0.58 of the width."""
    width, height = size
    f = 0.58 * width if focal is None else focal
    message = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
    message.header.frame_id = frame
    message.header.stamp = stamp_of(stamp)
    message.d = [0.0] * 5
    last = 1.0 if f else 0.0
    message.k = [f, 0.0, width / 2, 0.0, f, height / 2, 0.0, 0.0, last]
    message.r = np.eye(3).reshape(-1).tolist() if f else [0.0] * 9
    message.p = [f, 0.0, width / 2, 0.0, 0.0, f, height / 2, 0.0, 0.0, 0.0, last, 0.0]
    if not f:
        message.k, message.p = [0.0] * 9, [0.0] * 12
    return message


def array_of(message: Image) -> NDArray[Any]:
    """Return (H, W) of a single-channel or (H, W, 3) of a colour image."""
    kinds = {"32FC1": ("<f4", 1), "16UC1": ("<u2", 1), "mono8": ("u1", 1), "rgb8": ("u1", 3)}
    kind, channels = kinds[message.encoding]
    item = np.dtype(kind).itemsize
    assert not message.is_bigendian
    assert message.step >= message.width * channels * item
    assert len(message.data) == message.step * message.height
    rows = np.frombuffer(bytes(message.data), np.uint8).reshape(message.height, message.step)
    values = np.ascontiguousarray(rows[:, : message.width * channels * item]).view(kind)
    shape = (message.height, message.width)
    return values.reshape(shape if channels == 1 else (*shape, channels))


class Peer:
    """The robot around the node: publishes images, subscribes to outputs, calls services.

    Args:
        namespace: of the node under test.
        process: of the node; its output is shown when a wait fails.
    """

    _made = 0
    _clock_ns = 1_000 * 10**9

    def __init__(self, namespace: str, process: Process | None = None) -> None:
        self.process = process
        self.context = Context()
        rclpy.init(args=[], context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        Peer._made += 1
        self.node = Node(
            f"peer_{os.getpid()}_{Peer._made}",
            context=self.context,
            namespace=namespace,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard: dict[str, list[Any]] = defaultdict(list)
        self.diagnostics: dict[str, str] = {}
        self.statuses: dict[str, Any] = {}
        self._subscriptions: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        self._prefix = f"{namespace.strip('/')}/"
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.images: Any = None
        self.infos: Any = None

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        ours = [s for s in message.status if s.name.startswith(self._prefix)]
        if ours:
            self.statuses = {status.name.split(": ")[1]: status for status in ours}
            self.diagnostics = {v.key: v.value for status in ours for v in status.values}

    # Waiting

    def wait(self, ready: Callable[[], Any], what: str, limit: float = LIMIT_S) -> Any:
        """Spin until a condition holds; return its value."""
        deadline = time.monotonic() + limit
        while not (value := ready()):
            story = self.process.story() if self.process else ""
            if self.process and self.process.popen.poll() is not None:
                raise AssertionError(f"the process ended before: {what}\n{story}")
            assert time.monotonic() < deadline, (
                f"not within {limit} s: {what}\n{self.diagnostics}\n{story}"
            )
            self.executor.spin_once(timeout_sec=0.05)
        return value

    def drain(self, quiet: float = 0.3) -> None:
        """Spin until no message has arrived for `quiet` seconds."""
        last = (-1, 0.0)
        while True:
            total = sum(len(messages) for messages in self.heard.values())
            if total != last[0]:
                last = (total, time.monotonic())
            elif time.monotonic() - last[1] > quiet:
                return
            self.executor.spin_once(timeout_sec=0.02)

    # Topics

    def advertise(
        self, image: str = "image", info: str = "camera_info", reliable: bool = True
    ) -> None:
        """Create the publishers of images and camera_info."""
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=50, reliability=policy)
        self.images = self.node.create_publisher(Image, image, qos)
        self.infos = self.node.create_publisher(CameraInfo, info, qos)

    def withdraw(self) -> None:
        self.node.destroy_publisher(self.images)
        self.node.destroy_publisher(self.infos)

    def listen(self, topics: dict[str, type], reliable: bool = True) -> None:
        """Subscribe to topics; `heard` collects their messages."""
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        for topic, kind in topics.items():
            self._subscriptions[topic] = self.node.create_subscription(
                kind, topic, self.heard[topic].append, QoSProfile(depth=200, reliability=policy)
            )

    def stop_listening(self) -> None:
        for subscription in self._subscriptions.values():
            self.node.destroy_subscription(subscription)
        self._subscriptions = {}

    def of_stamp(self, topic: str, stamp: int) -> Any:
        """Return the message with this stamp, or None."""
        found = [m for m in self.heard[topic] if stamp_ns(m) == stamp]
        return found[0] if found else None

    def new_stamp(self, step_ns: int = 10**8) -> int:
        Peer._clock_ns += step_ns
        return Peer._clock_ns

    def send(
        self,
        pixels: NDArray[Any],
        encoding: str = "rgb8",
        stamp: int | None = None,
        info_size: tuple[int, int] | None = None,
    ) -> int:
        """Publish an image with its camera_info; return the stamp."""
        stamp = self.new_stamp() if stamp is None else stamp
        size = info_size or (pixels.shape[1], pixels.shape[0])
        self.infos.publish(info_message(size, stamp))
        self.images.publish(image_message(pixels, encoding, stamp))
        return stamp

    def send_until_heard(
        self, pixels: NDArray[Any], topics: list[str], limit: float = LIMIT_S
    ) -> None:
        """Publish until every topic has a message: then discovery is complete."""
        for topic in topics:
            self.heard[topic].clear()
        deadline = time.monotonic() + limit
        while missing := [t for t in topics if not self.heard[t]]:
            story = self.process.story() if self.process else ""
            assert time.monotonic() < deadline, f"nothing on {missing}: {story}"
            if self.process:
                self.process.assert_alive()
            self.send(pixels)
            pause = time.monotonic() + 0.3
            while time.monotonic() < pause and any(not self.heard[t] for t in topics):
                self.executor.spin_once(timeout_sec=0.05)

    # The ledger

    def counts(self) -> dict[str, int]:
        return {k: int(self.diagnostics.get(k, -1)) for k in ("received", *OUTCOMES)}

    def settled(self, received: int | None = None) -> dict[str, int]:
        """Wait for a new report in which every received image has an outcome."""

        def ready() -> bool:
            c = self.counts()
            enough = received is None or c["received"] >= received
            return (
                bool(self.diagnostics) and enough and c["received"] == sum(c[k] for k in OUTCOMES)
            )

        self.diagnostics = {}
        self.wait(ready, f"received = {'+'.join(OUTCOMES)}, received >= {received}")
        return self.counts()

    # Services

    def call(self, name: str, kind: Any, request: Any, harmless: bool = False) -> Any:
        """Call a service; a `harmless` call is repeated after 5 s without an answer.

        rmw_fastrtps drops an answer that is ready before it has discovered the client.
        """
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self.node.create_client(kind, name)
        self.wait(client.service_is_ready, f"the service {name}")
        futures = [client.call_async(request)]
        start = time.monotonic()

        def answered() -> Any:
            if harmless and time.monotonic() - start > 5 * len(futures):
                futures.append(client.call_async(request))
            return next((future for future in futures if future.done()), None)

        return self.wait(answered, f"an answer of {name}").result()

    def set_parameters(self, node: str, **values: Any) -> tuple[bool, str]:
        """Set parameters atomically; return whether that succeeded, and the reason if not."""
        from rcl_interfaces.srv import SetParametersAtomically
        from rclpy.parameter import Parameter

        changes = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        request = SetParametersAtomically.Request(parameters=changes)
        name = f"{node}/set_parameters_atomically"
        result = self.call(name, SetParametersAtomically, request, harmless=True).result
        return result.successful, result.reason

    def change_state(self, node: str, label: str) -> bool:
        """Request a transition by its label; return whether it succeeded."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        numbers = {
            "configure": Transition.TRANSITION_CONFIGURE,
            "cleanup": Transition.TRANSITION_CLEANUP,
            "activate": Transition.TRANSITION_ACTIVATE,
            "deactivate": Transition.TRANSITION_DEACTIVATE,
        }
        request = ChangeState.Request(transition=Transition(id=numbers[label], label=label))
        answer = self.call(f"{node}/change_state", ChangeState, request)
        return bool(answer is not None and answer.success)

    def state(self, node: str) -> str:
        from lifecycle_msgs.srv import GetState

        answer = self.call(f"{node}/get_state", GetState, GetState.Request(), harmless=True)
        return str(answer.current_state.label)
