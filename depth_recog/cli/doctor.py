# SPDX-License-Identifier: Apache-2.0
"""`depth-recog doctor`: check the installation, and tell how to get what is missing."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from depth_recog import __version__
from depth_recog.errors import DepthRecogError

if TYPE_CHECKING:
    from depth_recog.networks.factory import Assembly

_OK, _NOTE, _BAD = "ok", "note", "MISSING"
_DDS_LIMIT_S = 20.0
_TOPIC = "depth_recog_doctor"
_REQUIRED = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "openvino": "openvino",
    "onnx": "onnx",
    "safetensors": "safetensors",
    "yaml": "PyYAML",
    "tqdm": "tqdm",
}
"""Modules that every verb needs, and the distributions that contain them."""
_OPTIONAL = {
    "rosbags": "no bags as sources, no depth-recog record: pip install rosbags",
    "mcap": "no bags as sources: pip install mcap",
    "torch": "no GPU, no training, no depth networks of transformers: pip install torch",
    "onnxruntime": "no ONNX models as mask network: pip install 'depth-recog[onnx]'",
    "transformers": "no depth networks of transformers: pip install 'depth-recog[hf]'",
    "cv_bridge": "images are converted with numpy instead",
    "launch_ros": "ros2 launch needs a ROS workspace; the nodes start without it",
    "message_filters": "images and camera_info are matched by depth_recog itself",
    "tf2_ros": "no TF: the pose topics work without",
}
"""Modules that a feature needs, and what is missing without them."""

Findings = Iterator[tuple[str, str, str]]
"""State, subject, and what was found or what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: none for users."""
    parser.add_argument("--talk", action="store_true", help=argparse.SUPPRESS)


def main(options: argparse.Namespace) -> int:
    """Print the findings; return 1 where something that the nodes need is missing."""
    if options.talk:
        return _talk()
    worst = 0
    for check in (_python, _libraries, _backend, _weights, _ros, _seam, _dds, _optional):
        for state, subject, text in check():
            print(f"{state:<8} {subject:<22} {text}")
            worst |= state == _BAD
    return int(worst)


def _python() -> Findings:
    yield _OK, "depth_recog", f"{__version__} at {Path(__file__).parents[1]}"
    yield _OK, "Python", f"{platform.python_version()} at {sys.executable}"


def _libraries() -> Findings:
    for module, distribution in _REQUIRED.items():
        try:
            imported = importlib.import_module(module)
        except ImportError as error:
            yield _BAD, distribution, f"{error}: pip install {distribution}"
            continue
        try:
            found = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            # Debian's packages have no metadata under the name on PyPI.
            found = str(getattr(imported, "__version__", "installed"))
        yield _OK, distribution, found


def _backend() -> Findings:
    """Time the depth network with each backend, and tell which one `auto` takes."""
    from depth_recog.networks import factory
    from depth_recog.networks.backends import choice

    try:
        place = choice.choose("auto", "auto", "auto")
    except DepthRecogError as error:
        yield _BAD, "backend", str(error)
        return
    why = "torch serves GPUs" if place.device.type == "cuda" else "the first that is installed"
    taken = f"auto takes {place.backend} on {place.device} in {place.precision}: {why}"
    times: dict[str, float] = {}
    for name in choice.BACKENDS[1:]:
        if not choice.installed(name):
            yield _NOTE, f"backend: {name}", "not installed"
            continue
        try:
            options = factory.NetworkOptions(backend=name, device=str(place.device))
            times[name] = _milliseconds(factory.assemble(options))
        except DepthRecogError as error:
            yield _NOTE, f"backend: {name}", str(error)
            continue
        yield _OK, f"backend: {name}", f"{times[name]:.0f} ms for masks and depth of an image"
    fastest = min(times, key=lambda name: times[name], default=place.backend)
    yield _OK, "backend", f"{taken}; fastest here: {fastest}"


def _milliseconds(assembly: Assembly) -> float:
    """The shortest of a few runs of both networks: other work only adds to it."""
    assembly.warm_up()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        assembly.warm_up(1)
        seconds.append(time.perf_counter() - start)
    return min(seconds) * 1e3


def _weights() -> Findings:
    try:
        from depth_recog.networks.weights import DEFAULT, read_header, resolve
    except ImportError as error:
        yield _BAD, "weights", str(error)
        return
    for network in DEFAULT:
        try:
            header = read_header(resolve("", network))
            text = f"{header.path.stem}, {header.size[0]}x{header.size[1]}, {header.sha256[:12]}"
            yield _OK, f"weights: {network}", text
        except DepthRecogError as error:
            yield _BAD, f"weights: {network}", str(error)


def _ros() -> Findings:
    try:
        import rclpy
    except ImportError as error:
        remedy = (
            "pip install '.[ros]' in a checkout, or source /opt/ros/DISTRO/setup.bash "
            "(depth-recog run works without)"
        )
        yield _BAD, "rclpy", f"{error}: {remedy}"
        return
    place = str(Path(rclpy.__file__).parent)
    distribution = os.environ.get("ROS_DISTRO")
    from_pip = "site-packages" in place
    yield _OK, "rclpy", f"{'PyPI wheel' if from_pip else 'workspace'} at {place}"
    yield _OK, "RMW", rclpy.get_rmw_implementation_identifier()
    if distribution and from_pip:
        text = (
            f"a {distribution} workspace is sourced, but Python imports the PyPI wheels: they "
            "shadow the system's messages; pip uninstall the ros-jazzy-* packages here, or "
            "leave the workspace unsourced"
        )
        yield _NOTE, "two ROS installations", text
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "RMW_IMPLEMENTATION"):
        if name in os.environ:
            yield _NOTE, name, os.environ[name]


def _seam() -> Findings:
    from depth_recog.nodes.io import seam

    yield _OK, "image conversion", f"{seam.CHOSEN} (of {', '.join(seam.CHOICES)})"


def _dds() -> Findings:
    """Receive a message from a second process."""
    try:
        import rclpy
        from std_msgs.msg import String
    except ImportError:
        yield _BAD, "DDS", "not tested: rclpy is missing"
        return
    rclpy.init()
    node = rclpy.create_node("doctor_listener")
    heard: list[str] = []
    node.create_subscription(String, _TOPIC, lambda m: heard.append(m.data), 10)
    talker = subprocess.Popen([sys.executable, "-m", "depth_recog.cli.main", "doctor", "--talk"])
    start = time.monotonic()
    try:
        while not heard and time.monotonic() - start < _DDS_LIMIT_S and talker.poll() is None:
            rclpy.spin_once(node, timeout_sec=0.1)
    finally:
        talker.kill()  # a signal that it handles would print a traceback
        talker.wait()
        node.destroy_node()
        rclpy.try_shutdown()
    if heard:
        seconds = time.monotonic() - start
        yield _OK, "DDS", f"a message from another process arrived within {seconds:.1f} s"
        return
    remedy = (
        "check ROS_DOMAIN_ID, ROS_AUTOMATIC_DISCOVERY_RANGE, a firewall on UDP multicast, and "
        "/dev/shm"
    )
    yield _BAD, "DDS", f"no message from another process within {_DDS_LIMIT_S:.0f} s: {remedy}"


def _talk() -> int:
    import rclpy
    from std_msgs.msg import String

    rclpy.init()
    node = rclpy.create_node("doctor_talker")
    publisher = node.create_publisher(String, _TOPIC, 10)
    node.create_timer(0.1, lambda: publisher.publish(String(data="hello")))
    start = time.monotonic()
    # The listener ends this process; the limit applies if the listener died.
    while time.monotonic() - start < 2 * _DDS_LIMIT_S:
        rclpy.spin_once(node, timeout_sec=0.1)
    return 0


def _optional() -> Findings:
    for module, without in _OPTIONAL.items():
        try:
            importlib.import_module(module)
            yield _OK, module, "installed"
        except Exception as error:
            reason = "not installed" if isinstance(error, ImportError) else f"broken: {error}"
            yield _NOTE, module, f"{reason}: {without}"
