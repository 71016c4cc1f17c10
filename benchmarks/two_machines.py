# SPDX-License-Identifier: Apache-2.0
"""What arrives of images and depth where camera, depth node and listener are on three machines?

python benchmarks/two_machines.py [--profiles none network FILE ...] [--runs 3] [--seconds 4]
    [--conditions NAME ...] [--transports raw compressed] [--rate 5] [--size 640x480] [--json FILE]

Profiles: none, `one machine` (fastdds.xml), `network` (fastdds_network.xml), or a file. The
machines are network namespaces (see link.py; needs root). With `raw`, images and depth are
sent as they are; with `compressed`, images as JPEG and depth as compressedDepth. Each combination
of transport, reliability and Fast DDS profile is started once, and goes through all conditions.
`cut`: nothing passes for 10 s; then the time until the next depth, and what arrives afterwards.
"""

from __future__ import annotations

import array
import contextlib
import itertools
import os
import signal
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from common import ROOT, Row, parser_of, report, use_local_ros

use_local_ros()

import cv2
import numpy as np
import rclpy
import ros_messages
import ros_processes as rp
from link import Condition, Machines
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_recog.nodes.runtime.children import FASTDDS_PROFILE, node_command

CONDITIONS = {
    "clean": Condition(),
    "1 % loss": Condition(loss=0.01),
    "5 % loss": Condition(loss=0.05),
    "50 ms": Condition(delay=0.05),
    "100 Mbit/s": Condition(rate=100e6),
    "20 Mbit/s": Condition(rate=20e6),
    "cut": Condition(cut=True),
}
RELIABILITIES = ("reliable", "best_effort")
NAMESPACE = "apart"
CUT_S, LATE_S, SETTLE_S, CALM_S = 10.0, 1.5, 1.5, 8.0


def qos_of(reliability: str, depth: int = 10) -> QoSProfile:
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy[reliability.upper()])


def picture(width: int, height: int) -> NDArray[np.uint8]:
    """(H, W, 3): smooth with texture, so that its JPEG is as large as a photograph's."""
    noise = np.random.default_rng(0).integers(0, 255, (height // 4, width // 4, 3), np.uint8)
    smooth = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.GaussianBlur(smooth, (0, 0), 1.5), np.uint8)


def camera(transport: str, reliability: str, rate: float, size: str) -> None:
    """Publish one picture at a rate, and print the stamps."""
    width, height = map(int, size.split("x"))
    rclpy.init()
    node = rclpy.create_node("camera", namespace=NAMESPACE)
    raw = transport == "raw"
    kind, topic = (Image, "image") if raw else (CompressedImage, "image/compressed")
    images = node.create_publisher(kind, topic, qos_of(reliability))
    infos = node.create_publisher(CameraInfo, "camera_info", qos_of(reliability))
    pixels = picture(width, height)
    message: Any = ros_messages.image_message(pixels, "rgb8", 0)
    if not raw:
        data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        message = CompressedImage(format="rgb8; jpeg compressed bgr8", data=array.array("B", data))
        message.header.frame_id = "cam"
    start, sent = time.monotonic(), 0
    while True:
        time.sleep(max(0.0, start + sent / rate - time.monotonic()))
        stamp = time.time_ns()
        message.header.stamp = ros_messages.stamp_of(stamp)
        infos.publish(ros_messages.info_message((width, height), stamp))
        images.publish(message)
        sent += 1
        print("sent", stamp, time.time_ns(), flush=True)


def listener(topic: str, reliability: str, word: str) -> None:
    """Print stamp and time of arrival of each message of a topic of the depth node."""
    kinds: dict[str, type] = {"depth/camera_info": CameraInfo, "depth/image_rect": Image}
    rclpy.init()
    node = rclpy.create_node(f"listener_{os.getpid()}", namespace=NAMESPACE)

    def heard(message: Any) -> None:
        print(word, ros_messages.stamp_ns(message), time.time_ns(), flush=True)

    qos = qos_of(reliability)
    node.create_subscription(kinds.get(topic, CompressedImage), topic, heard, qos)
    rclpy.spin(node)


class Trial:
    """Camera, depth node and listener, each on a machine of its own."""

    def __init__(self, machines: Machines, options: Any, combination: tuple[str, str, str]) -> None:
        self._machines = machines
        transport, reliability, profile = combination
        variables = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
        for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
            variables[name] = profile
        depth = "depth/image_rect" + ("" if transport == "raw" else "/compressedDepth")
        me = [sys.executable, __file__, "--role"]
        values = {"device": "cpu", "threads": 1, "width": 192, "gate": "off"}
        values["image_transport"] = transport
        commands = {
            "camera": (
                "a",
                [*me, "camera", transport, reliability, str(options.rate), options.size],
            ),
            "depth node": ("b", node_command("depth_node", NAMESPACE, values)),
            "beside": ("b", [*me, "listener", "depth/camera_info", "best_effort", "made"]),
            "listener": ("c", [*me, "listener", depth, reliability, "heard"]),
        }
        self.processes = {
            name: rp.Process(machines.command(machine, command), **variables)
            for name, (machine, command) in commands.items()
        }

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()

    def stamps(self, name: str, word: str) -> dict[int, float]:
        """Seconds from stamp to arrival, by stamp."""
        lines = (line.split() for line in self.processes[name].stdout.splitlines())
        return {
            int(line[1]): (int(line[2]) - int(line[1])) / 1e9
            for line in lines
            if len(line) == 3 and line[0] == word
        }

    def ready(self) -> None:
        self.processes["listener"].wait_for_line("^heard", times=3)

    def measure(self, seconds: float) -> Row:
        """What of the images sent from now on arrives."""
        begin = time.time_ns()
        time.sleep(seconds)
        end = time.time_ns()
        time.sleep(LATE_S)
        sent = {s for s in self.stamps("camera", "sent") if begin <= s < end}
        made = sent.intersection(self.stamps("beside", "made"))
        arrived = {s: t for s, t in self.stamps("listener", "heard").items() if s in sent}
        latencies = sorted(arrived.values()) or [float("nan")]
        return {
            "sent": len(sent),
            "at the node (%)": 100 * len(made) / max(1, len(sent)),
            "at the listener (%)": 100 * len(arrived) / max(1, len(sent)),
            "p50 (ms)": 1e3 * median(latencies),
            "worst (ms)": 1e3 * latencies[-1],
        }

    def calm(self) -> None:
        """Wait on a clean link until depth arrives again, so that no condition spoils the next."""
        self._machines.condition = Condition()
        known, end = len(self.stamps("listener", "heard")), time.monotonic() + CALM_S
        while len(self.stamps("listener", "heard")) < known + 2 and time.monotonic() < end:
            time.sleep(0.1)

    def run(self, name: str, seconds: float) -> Row:
        self.calm()
        self._machines.condition = CONDITIONS[name]
        if not CONDITIONS[name].cut:
            time.sleep(SETTLE_S)
            return self.measure(seconds)
        time.sleep(CUT_S)
        self._machines.condition = Condition()
        restored = time.time_ns()
        row = dict(self.measure(seconds))
        arrived = {s: s / 1e9 + t for s, t in self.stamps("listener", "heard").items()}
        first = min((at for s, at in arrived.items() if at > restored / 1e9), default=float("nan"))
        return row | {"next depth after (s)": first - restored / 1e9}


def spread(values: list[float]) -> str:
    """The median, and the smallest and largest where they differ."""
    texts = [f"{value:.3g}" for value in (median(values), min(values), max(values))]
    return texts[0] if texts[1] == texts[2] else f"{texts[0]} ({texts[1]} to {texts[2]})"


def compare(options: Any) -> list[Row]:
    rows: list[Row] = []
    network = str(FASTDDS_PROFILE.with_name("fastdds_network.xml"))
    profiles = {"none": "", "one machine": str(FASTDDS_PROFILE), "network": network}
    machines = Machines(("a", "b", "c"))
    try:
        for transport, reliability, profile in itertools.product(
            options.transports, options.reliabilities, options.profiles
        ):
            file = profiles.get(profile) if profile in profiles else str(Path(profile).resolve())
            machines.condition = Condition()
            trial = Trial(machines, options, (transport, reliability, file or ""))
            try:
                trial.ready()
                for name in options.conditions:
                    runs = [trial.run(name, options.seconds) for _ in range(options.runs)]
                    row = {
                        "condition": name,
                        "transport": transport,
                        "reliability": reliability,
                        "profile": Path(profile).stem,
                        "rate (Hz)": options.rate,
                        **{k: spread([run[k] for run in runs]) for k in runs[0] if k != "sent"},
                    }
                    print(row, f"load {os.getloadavg()[0]:.1f}", flush=True)
                    rows.append(row | {"load": round(os.getloadavg()[0], 1)})
            finally:
                trial.close()
    finally:
        machines.close()
    return rows


def main() -> None:
    if sys.argv[1:2] == ["--role"]:
        with contextlib.suppress(KeyboardInterrupt):
            if sys.argv[2] == "camera":
                transport, reliability, rate, size = sys.argv[3:]
                camera(transport, reliability, float(rate), size)
            else:
                listener(*sys.argv[3:])
        return
    parser = parser_of(__doc__ or "")
    parser.add_argument("--profiles", nargs="+", default=["none", "network"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--conditions", nargs="+", default=list(CONDITIONS), choices=CONDITIONS)
    parser.add_argument("--transports", nargs="+", default=["raw", "compressed"])
    parser.add_argument("--reliabilities", nargs="+", default=list(RELIABILITIES))
    parser.add_argument("--rate", type=float, default=5.0)
    parser.add_argument("--size", default="640x480")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the namespaces must go
    assert (ROOT / "depth_recog").is_dir()
    report(options, compare(options))


if __name__ == "__main__":
    main()
