# SPDX-License-Identifier: Apache-2.0
"""`depth-recog demo`: play a recording through the camera and depth nodes, and make a video."""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog import pictures
from depth_recog.cli.options import (
    add_camera_arguments,
    assumed_lens,
    expected_length,
    integer,
    real,
)
from depth_recog.cli.scale_options import add_height_arguments, scale_parameters
from depth_recog.datasets.assumed import AssumedLens
from depth_recog.datasets.sequence import Sequence
from depth_recog.datasets.sources import KINDS, open_source
from depth_recog.errors import DepthRecogError, OutputError
from depth_recog.interfaces import image_codec
from depth_recog.nodes.runtime.main import NO_ROS

_NAMESPACE = "depth_recog_demo"
_ROWS = 5
_VIDEO_WIDTH = 416
_TITLES = (
    "camera",
    "depth: bright is near, black beyond range",
    "masks: red moves, yellow undecided",
)
_START_LIMIT_S = 60.0
_SETTLE_LIMIT_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.epilog = KINDS
    parser.add_argument("source", metavar="SOURCE", nargs="?", default="synthetic")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), metavar="DIR")
    parser.add_argument(
        "--limit", type=integer(1), default=160, metavar="N", help="stop after N frames"
    )
    parser.add_argument(
        "--rate", type=real(0, 1000), default=0.0, metavar="HZ", help="default: the source's own"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--weights", default="", help="depth weights: a shipped name or a path")
    add_height_arguments(parser)
    add_camera_arguments(parser)


class _Film:
    """Writes a video of all frames and an image of a few of them."""

    def __init__(self, out: Path, rate: float, frames: int) -> None:
        self._path = out / "demo.mp4"
        self._picture = out / "demo.png"
        self._rate = rate
        self._every = max(1, frames // _ROWS)
        self._writer: cv2.VideoWriter | None = None
        self._count = 0
        self._rows: list[NDArray[np.uint8]] = []
        self.sizes_match = True

    def add(self, stamp: int, record: Any) -> None:
        from depth_recog.nodes.io.messages import to_rgb
        from depth_recog.nodes.io.outputs import DEPTH, DEPTH_INFO, LABELS, MOVING

        messages = record.messages
        image, info = messages["image"], messages[DEPTH_INFO]
        depth = image_codec.to_depth(*image_codec.contents(messages[DEPTH]))
        labels, moving = (
            np.asarray(image_codec.raw_view(*image_codec.contents(messages[topic])), np.uint8)
            for topic in (LABELS, MOVING)
        )
        self.sizes_match &= depth.shape == (info.height, info.width)
        row = pictures.side_by_side(to_rgb(image), depth, labels, moving)
        height = round(row.shape[0] * 3 * _VIDEO_WIDTH / row.shape[1] / 2) * 2
        shrunk = cv2.resize(row, (3 * _VIDEO_WIDTH, height), interpolation=cv2.INTER_AREA)
        small = np.asarray(shrunk, np.uint8)
        if self._writer is None:
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), codec, self._rate, small.shape[1::-1])
        self._writer.write(np.ascontiguousarray(small[..., ::-1]))
        if self._count % self._every == self._every // 2 and len(self._rows) < _ROWS:
            self._rows.append(small)
        self._count += 1

    def close(self) -> list[Path]:
        """Finish, and return the files that were written."""
        files = []
        if self._writer is not None:
            self._writer.release()
            files.append(self._path)
        if self._rows:
            strip = np.zeros((18, _VIDEO_WIDTH, 3), np.uint8)
            head = np.hstack([pictures.captioned(strip, title) for title in _TITLES])
            cv2.imwrite(str(self._picture), np.vstack([head, *self._rows])[..., ::-1])
            files.append(self._picture)
        return files


def main(options: argparse.Namespace) -> int:
    """Start both nodes, record their topics, and print a table."""
    lens = assumed_lens(options)
    scale_parameters(options)
    sequence = open_source(options.source, lens)  # fails before the nodes start
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions
    except ImportError as error:
        raise DepthRecogError(NO_ROS) from error
    from depth_recog.nodes.diagnostics.recorder import Recorder
    from depth_recog.nodes.runtime import children

    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{options.out}: cannot be written ({error.strerror})") from error
    # Local only: the demo neither receives nor disturbs topics of other machines.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(children.FASTDDS_PROFILE))
    rate_hz = options.rate or sequence.rate_hz
    frames = options.limit
    if length := expected_length(sequence):
        frames = min(frames, length)
    fov = 0.0 if lens is None else _field_of_view(lens, sequence)
    film = _Film(options.out, rate_hz, frames)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    recorder = Recorder(_NAMESPACE, film.add)
    processes: list[subprocess.Popen[bytes]] = []
    interrupted = False
    # Treated as Ctrl-C, so that the nodes end with this process.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        parameters = {"device": options.device, "weights": options.weights}
        parameters |= {"image_reliability": "reliable", "fallback_fov": fov}
        parameters |= scale_parameters(options)
        processes.append(children.start("depth_node", _NAMESPACE, parameters))
        parameters = {"source": options.source, "limit": options.limit}
        parameters |= {"rate": float(options.rate), "wait_for_subscribers": 2}
        parameters["fallback_fov"] = fov
        processes.append(children.start("camera_node", _NAMESPACE, parameters))
        _listen(recorder, *processes)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        codes = [children.end(process) for process in reversed(processes)]
        files = film.close()
        table = _table(recorder, film, options.source)
        recorder.destroy_node()
        rclpy.try_shutdown()
    print(table)
    for file in files:
        print(file)
    if interrupted:
        return 0  # the user ended it: not a failure
    if any(codes):
        raise DepthRecogError(
            f"a node ended with status {next(c for c in codes if c)}: see its message above"
        )
    if not files:
        why = "see the messages above, and run depth-recog doctor"
        if recorder.diagnostics.get("in metres") == "false":
            why = f"the scale was not found ({recorder.diagnostics.get('scale reason')})"
        raise DepthRecogError(f"no depth image arrived: {why}")
    return 0


def _field_of_view(lens: AssumedLens, sequence: Sequence) -> float:
    """The horizontal field of view that the nodes assume, degrees."""
    if lens.fov is not None or lens.focal is None:
        return lens.fov or 0.0
    width = next(iter(sequence)).camera.width
    return math.degrees(2 * math.atan(width / 2 / lens.focal))


def _listen(recorder: Any, depth: subprocess.Popen[bytes], camera: subprocess.Popen[bytes]) -> None:
    """Spin until the camera node has ended and the depth node has processed every image."""
    import rclpy

    from depth_recog.nodes.diagnostics.ledger import IN_PROGRESS, OUTCOMES
    from depth_recog.nodes.io.outputs import DEPTH_INFO

    start = time.monotonic()
    while camera.poll() is None:
        rclpy.spin_once(recorder, timeout_sec=0.1)
        if depth.poll() is not None:
            raise DepthRecogError("the depth node ended early: see its message above")
        if not recorder.records and time.monotonic() - start > _START_LIMIT_S:
            raise DepthRecogError(
                f"no image within {_START_LIMIT_S:.0f} s: run depth-recog doctor, which tests DDS"
            )
    deadline = time.monotonic() + _SETTLE_LIMIT_S
    while time.monotonic() < deadline:
        rclpy.spin_once(recorder, timeout_sec=0.1)
        counts = {k: int(recorder.diagnostics.get(k, 0)) for k in ("received", *OUTCOMES)}
        settled = recorder.diagnostics.get(IN_PROGRESS) == "0"
        heard = recorder.count(DEPTH_INFO) >= counts["published"]
        if settled and heard and counts["received"] >= recorder.count("image"):
            return


def _table(recorder: Any, film: _Film, source: str) -> str:
    from depth_recog.nodes.diagnostics.ledger import OUTCOMES
    from depth_recog.nodes.io.outputs import DEPTH

    d = recorder.diagnostics
    latencies = recorder.latencies()
    p50, p99 = np.percentile(latencies, (50, 99)) * 1e3 if latencies else (np.nan, np.nan)
    whole = sum(r.complete for r in recorder.records.values())
    stray = sum("image" not in r.messages for r in recorder.records.values())
    gate = ", ".join(f"{k} {d.get(f'gate {k}', '0')}" for k in ("moving", "still", "undecided"))
    parts = [k for k in d if k.endswith("(ms)") and not k.startswith("latency")]
    rows = [
        ("source", source),
        ("images sent", str(recorder.count("image"))),
        ("received by the node", d.get("received", "0")),
        *((f"  {name}", d.get(name, "0")) for name in OUTCOMES),
        ("depth images received", str(recorder.count(DEPTH))),
        ("complete sets, equal stamps", str(whole)),
        ("outputs without an image", str(stray)),
        ("calibration", d.get("calibration", "-")),
        ("camera_info fits the depth", "yes" if film.sizes_match and whole else "no"),
        ("rate", f"{d.get('rate (Hz)', '-')} Hz"),
        ("latency p50 / p99", f"{p50:.0f} / {p99:.0f} ms, from the stamp to the subscriber"),
        ("scale", f"{d.get('scale state', '-')}: {d.get('scale reason', '-')}"),
        ("gate", gate),
        *((f"  {k.removesuffix(' (ms)')}", f"{d[k]} ms") for k in parts),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(["", *(f"{name:<{width}}  {value}" for name, value in rows), ""])
