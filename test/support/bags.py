# SPDX-License-Identifier: Apache-2.0
"""Small recordings, and bags that are written message by message."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not here, and in no ROS distribution")

from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from depth_recog.datasets.bags.writer import BagWriter
from depth_recog.datasets.boxes import Box
from depth_recog.datasets.reader import RecordingReader
from depth_recog.datasets.sequence import Frame, Recording, Truth
from depth_recog.method.geometry.camera import Camera

TYPES = get_typestore(Stores.ROS2_JAZZY)
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
INFO = "sensor_msgs/msg/CameraInfo"
STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
SIZE = (32, 24)
CAMERA = Camera(*SIZE, 30.0, 31.0, 15.25, 11.75, (-0.3, 0.1, 0.001, -0.002, 0.01))
START = 1_700_000_000_123_456_789
PERIOD = 100_000_000


def turned(seed: int) -> np.ndarray:
    """Return a (4, 4) motion whose rotation is orthonormal to the last digit."""
    chance = np.random.default_rng(seed)
    q, r = np.linalg.qr(chance.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    matrix = np.eye(4)
    matrix[:3, :3] = q * np.linalg.det(q)
    matrix[:3, 3] = chance.normal(size=3) * 100
    return matrix


class Drive(RecordingReader):
    """A recording with all ground truth that a bag can hold; frame 1 has empty boxes only."""

    kind = "drive"
    name = "drive"
    rate_hz = 10.0

    def __init__(self, frames: int = 6, camera: Camera = CAMERA) -> None:
        self._stamps = [START + i * PERIOD for i in range(frames)]
        self.camera = camera

    def _frame(self, index: int) -> Frame:
        # Upsampled noise differs between frames and survives JPEG.
        coarse = np.random.default_rng(index).integers(0, 256, (3, 4, 3), dtype=np.uint8)
        image = np.asarray(cv2.resize(coarse, self.camera.size), np.uint8)
        return Frame(f"{index:010d}", self._stamps[index], image, self.camera)

    def _truth(self, index: int) -> Truth:
        if index == 1:
            return Truth(boxes=())
        width, height = self.camera.size
        chance = np.random.default_rng(100 + index)
        depth = chance.uniform(1, 80, (height, width)).astype(np.float32)
        depth[chance.random(depth.shape) < 0.5] = np.nan
        depth[0] = np.inf
        names = ("a", "b \u00fc\"'")
        return Truth(
            depth=depth,
            world_from_camera=turned(index),
            labels=chance.integers(0, 19, depth.shape, dtype=np.uint8),
            moving=chance.random(depth.shape) < 0.3,
            boxes=tuple(
                Box(n, "car", turned(index + 7 * k), (4.1, 1.7, 1 / 3), speed, k == 1)
                for k, (n, speed) in enumerate(zip(names, (0.1 + 0.2, np.nan), strict=True))
            ),
        )

    def _file(self, index: int) -> None:
        return None


def make(msgtype: str, **fields: Any) -> Any:
    return TYPES.types[msgtype](**fields)


def header(stamp_ns: int, frame: str = "camera") -> Any:
    sec, nanosec = divmod(stamp_ns, 10**9)
    stamp = make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=frame)


def image(stamp_ns: int, pixels: np.ndarray, encoding: str = "rgb8", **changes: Any) -> Any:
    fields = {
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "encoding": encoding,
        "is_bigendian": 0,
        "step": pixels.strides[0],
        "data": np.ascontiguousarray(pixels).reshape(-1).view(np.uint8),
    }
    return make(IMAGE, **{"header": header(stamp_ns), **fields, **changes})


def compressed(stamp_ns: int, data: bytes, text: str = "jpeg") -> Any:
    array = np.frombuffer(data, np.uint8)
    return make(COMPRESSED, header=header(stamp_ns), format=text, data=array)


def info(stamp_ns: int, camera: Camera = CAMERA, roi: Any = None, **changes: Any) -> Any:
    from depth_recog.interfaces.camera_info import fields

    known = fields(camera)
    arrays = {k: np.array(known.pop(k), np.float64) for k in ("d", "k", "r", "p")}
    window = {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False}
    roi = make("sensor_msgs/msg/RegionOfInterest", **{**window, **(roi or {})})
    rest = {"binning_x": 0, "binning_y": 0, "roi": roi, **changes}
    return make(INFO, header=header(stamp_ns), **known, **arrays, **rest)


Messages = list[tuple[str, int, Any]]
"""Topic, time of receipt, message."""


def calibrated(count: int = 6, topic: str = "/cam/image_raw") -> Messages:
    """Return messages of a `Drive`: each image after its CameraInfo."""
    space = topic.rpartition("/")[0]
    found: Messages = []
    for frame in Drive(count):
        stamp = frame.stamp_ns
        found.append((f"{space}/camera_info", stamp + 1000, info(stamp)))
        found.append((topic, stamp + 2000, image(stamp, frame.image)))
    return found


def write(
    path: Path,
    messages: Messages,
    storage: str = "mcap",
    mode: CompressionMode = CompressionMode.NONE,
) -> Path:
    """Write a bag with rosbags; return its path."""
    writer = Writer(path, version=9, storage_plugin=STORAGES[storage])
    writer.set_compression(mode, CompressionFormat.ZSTD)
    connections: dict[str, Any] = {}
    with writer:
        for topic, time, message in messages:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=TYPES)
            writer.write(connections[topic], time, TYPES.serialize_cdr(message, kind))
    return path


def record(path: Path, storage: str = "mcap", quality: int | None = None, **more: Any) -> Path:
    """A `Drive` as `depth-recog record` writes it."""
    drive = Drive()
    with BagWriter(path, storage, quality, **more) as writer:
        for index, frame in enumerate(drive):
            writer.add(frame, drive.truth(index))
    return path


def definition(kind: str, types: Any = TYPES) -> str:
    """A message's definition as ROS installs it, followed by those of the types it uses."""
    text, _ = types.generate_msgdef(kind, ros_version=2)
    return str(text)


Rows = Iterable[tuple[str, str, int, bytes, str]]
"""Topic, type, time of receipt, serialised message, definition of the type."""


def serialised(messages: Messages, types: Any = TYPES) -> Rows:
    for topic, time, message in messages:
        kind = message.__msgtype__
        data = bytes(types.serialize_cdr(message, kind))
        yield topic, kind, time, data, definition(kind, types)


def write_mcap(path: Path, rows: Rows, **options: Any) -> Path:
    """An mcap file of the format's own library."""
    with path.open("wb") as file:
        writer = McapWriter(file, **options)
        writer.start("ros2", "rosbag2_storage_mcap")
        channels: dict[str, int] = {}
        for topic, kind, time, data, text in rows:
            if topic not in channels:
                schema = writer.register_schema(kind, "ros2msg", text.encode())
                channels[topic] = writer.register_channel(topic, "cdr", schema)
            writer.add_message(channels[topic], time, data, time)
        writer.finish()
    return path


def check_part(bag: Recording, drive: Drive) -> int:
    """Assert that the frames are the drive's first ones, unchanged; return their number."""
    frames = list(bag)
    numbers = [(frame.stamp_ns - START) // PERIOD for frame in frames]
    assert numbers == list(range(len(frames))), "not the first frames"
    for number, frame in zip(numbers, frames, strict=True):
        assert frame.stamp_ns == drive[number].stamp_ns
        np.testing.assert_array_equal(frame.image, drive[number].image)
        assert frame.camera == CAMERA
    return len(frames)
