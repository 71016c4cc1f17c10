# SPDX-License-Identifier: Apache-2.0
"""Writes frames and their ground truth as a bag for ROS 2 Jazzy."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_typestore

from depth_recog.datasets.bags import boxes as box_markers
from depth_recog.datasets.bags import messages
from depth_recog.datasets.bags.files import ASSUMED
from depth_recog.datasets.bags.topics import TRUTH
from depth_recog.datasets.boxes import Box
from depth_recog.datasets.sequence import Frame, Truth
from depth_recog.errors import OutputError
from depth_recog.interfaces import camera_info
from depth_recog.interfaces.pose import quaternion

STORAGES = {"sqlite3": StoragePlugin.SQLITE3, "mcap": StoragePlugin.MCAP}
OPTICAL_FRAME = "camera_optical_frame"
WORLD_FRAME = "world"
_VERSION: Literal[9] = 9
"""Format version of rosbag2 in ROS 2 Jazzy."""
_FOREVER = QosTime(9223372036, 854775807)
_QOS = Qos(
    QosHistory.KEEP_LAST,
    10,
    QosReliability.RELIABLE,
    QosDurability.VOLATILE,
    _FOREVER,
    _FOREVER,
    QosLiveliness.AUTOMATIC,
    _FOREVER,
    False,
)
_BOX_COLOR = (0.1, 0.6, 1.0, 0.4)


class BagWriter:
    """Writes a bag; as a context manager it closes the bag at the end, also after an exception.

    Topics, under the namespace::

        image_raw (rgb8), or image_raw/compressed (JPEG)
        camera_info
        ground_truth/depth    sensor_msgs/Image 32FC1, metres, NaN unknown
        ground_truth/pose     geometry_msgs/PoseStamped, the optical frame in the world
        ground_truth/labels   sensor_msgs/Image mono8, Cityscapes train ids
        ground_truth/moving   sensor_msgs/Image mono8, 255 where moving
        ground_truth/boxes    visualization_msgs/MarkerArray, a CUBE for each box

    Header stamp and time of receipt of every message are the frame's stamp. The bag is written to a
    temporary folder beside `out` and renamed when it is complete; existing files are not changed.

    Attributes:
        frames: number of frames written.
        truths: names of the ground truth topics written.
    """

    def __init__(
        self,
        out: Path,
        storage: str = "mcap",
        jpeg_quality: int | None = None,
        namespace: str = "/camera",
    ) -> None:
        """Creates the bag.

        Args:
            out: the bag's folder, which must not exist.
            storage: a key of `STORAGES`.
            jpeg_quality: 1 to 100 for JPEG, None for raw images.
            namespace: namespace of the topics.

        Raises:
            OutputError: the folder exists, or cannot be written.
        """
        self.out = out.absolute()
        self.frames = 0
        self.truths: set[str] = set()
        self._quality = jpeg_quality
        self._namespace = "/" + namespace.strip("/") if namespace.strip("/") else ""
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._connections: dict[str, Connection] = {}
        if self.out.exists():
            raise OutputError(f"{out} exists already: name another folder, or remove it")
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            self._place = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=self.out.parent))
            # The storage file is named after its folder, which metadata.yaml refers to.
            self._writer = Writer(
                self._place / self.out.name, version=_VERSION, storage_plugin=STORAGES[storage]
            )
            self._writer.open()
        except (OSError, sqlite3.Error) as error:
            raise OutputError(f"{out}: cannot be written ({error})") from error

    def __enter__(self) -> BagWriter:
        """The writer itself."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Keeps the frames written so far if the source failed; discards them if writing failed."""
        if self.frames and not isinstance(error, OutputError):
            self.close()
        else:
            self._discard()

    def add(self, frame: Frame, truth: Truth) -> None:
        """Writes one frame.

        Raises:
            OutputError: the disk is full, or ROS cannot represent the stamp.
        """
        seconds, nanoseconds = divmod(frame.stamp_ns, 1_000_000_000)
        if not 0 <= seconds < 2**31:
            raise OutputError(
                f"{self.out}: frame {frame.name} has the stamp {frame.stamp_ns} ns, a bag takes "
                "those from 1970 to 2038: correct the source's timestamps"
            )
        stamp = self._make("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
        header = self._make("std_msgs/msg/Header", stamp=stamp, frame_id=OPTICAL_FRAME)
        world = self._make("std_msgs/msg/Header", stamp=stamp, frame_id=WORLD_FRAME)
        if frame.camera.assumed:
            self._writer.set_custom_data(ASSUMED, f"a focal length of {frame.camera.fx:g} pixels")
        try:
            # Subscribers need the CameraInfo before the image.
            self._write("camera_info", self._info(frame, header), frame.stamp_ns)
            self._write(*self._image(frame, header), frame.stamp_ns)
            for name, message in self._truth(truth, header, world).items():
                self._write(f"{TRUTH}/{name}", message, frame.stamp_ns)
                self.truths.add(name)
        except (OSError, sqlite3.Error) as error:
            raise self._failure(error) from error
        self.frames += 1

    def close(self) -> None:
        """Completes the bag and renames it to `out`. Raises OutputError."""
        try:
            self._writer.close()
            if self.out.exists():
                raise OutputError(f"{self.out} was made meanwhile: name another folder")
            (self._place / self.out.name).rename(self.out)
        except (OSError, sqlite3.Error, WriterError) as error:
            raise self._failure(error) from error
        finally:
            self._discard()

    def _failure(self, error: Exception) -> OutputError:
        return OutputError(
            f"{self.out}: cannot be written ({error}) after {self.frames} frames, which are not "
            "kept: free some space or choose another disk; --compressed takes less, --limit "
            "writes fewer frames"
        )

    def _discard(self) -> None:
        """Removes the temporary folder."""
        try:
            self._writer.abort()
        except (OSError, sqlite3.Error):
            pass  # the last bytes cannot be written to a full disk
        finally:
            shutil.rmtree(self._place, ignore_errors=True)

    def _make(self, msgtype: str, **fields: Any) -> Any:
        return self._types.types[msgtype](**fields)

    def _write(self, topic: str, message: Any, stamp_ns: int) -> None:
        msgtype = message.__msgtype__
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                f"{self._namespace}/{topic}",
                msgtype,
                typestore=self._types,
                offered_qos_profiles=[_QOS],
            )
        data = self._types.serialize_cdr(message, msgtype)
        self._writer.write(self._connections[topic], stamp_ns, data)

    def _info(self, frame: Frame, header: Any) -> Any:
        fields = camera_info.fields(frame.camera)
        arrays = {name: np.array(fields.pop(name), np.float64) for name in ("d", "k", "r", "p")}
        region = dict.fromkeys(("x_offset", "y_offset", "height", "width"), 0)
        roi = self._make("sensor_msgs/msg/RegionOfInterest", **region, do_rectify=False)
        rest = {"header": header, "binning_x": 0, "binning_y": 0, "roi": roi}
        return self._make(messages.CAMERA_INFO, **fields, **arrays, **rest)

    def _image(self, frame: Frame, header: Any) -> tuple[str, Any]:
        """The topic's name and the message."""
        if self._quality is None:
            return "image_raw", self._pixels(frame.image, "rgb8", header)
        bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
        jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self._quality])[1]
        return "image_raw/compressed", self._make(
            messages.COMPRESSED_IMAGE,
            header=header,
            format="rgb8; jpeg compressed bgr8",
            data=np.asarray(jpeg, np.uint8).reshape(-1),
        )

    def _pixels(self, pixels: NDArray[Any], encoding: str, header: Any) -> Any:
        contiguous = np.ascontiguousarray(pixels)
        return self._make(
            messages.IMAGE,
            header=header,
            height=contiguous.shape[0],
            width=contiguous.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=contiguous.strides[0],
            data=contiguous.reshape(-1).view(np.uint8),
        )

    def _truth(self, truth: Truth, header: Any, world: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if truth.depth is not None:
            found["depth"] = self._pixels(truth.depth.astype("<f4"), "32FC1", header)
        if truth.world_from_camera is not None:
            pose = self._pose(truth.world_from_camera)
            found["pose"] = self._make(messages.POSE, header=world, pose=pose)
        if truth.labels is not None:
            found["labels"] = self._pixels(truth.labels, "mono8", header)
        if truth.moving is not None:
            found["moving"] = self._pixels(truth.moving.astype(np.uint8) * 255, "mono8", header)
        if truth.boxes is not None:
            markers = [self._marker(i, box, header) for i, box in enumerate(truth.boxes)]
            found["boxes"] = self._make(messages.MARKERS, markers=markers)
        return found

    def _pose(self, matrix: NDArray[np.float64]) -> Any:
        x, y, z, w = quaternion(matrix[:3, :3])
        px, py, pz = (float(v) for v in matrix[:3, 3])
        return self._make(
            "geometry_msgs/msg/Pose",
            position=self._make("geometry_msgs/msg/Point", x=px, y=py, z=pz),
            orientation=self._make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
        )

    def _marker(self, number: int, box: Box, header: Any) -> Any:
        length, width, height = (float(v) for v in box.size)
        red, green, blue, alpha = _BOX_COLOR
        nothing = np.array([], np.uint8)
        return self._make(
            "visualization_msgs/msg/Marker",
            header=header,
            ns=box.kind,
            id=number,
            type=box_markers.CUBE,
            action=box_markers.ADD,
            pose=self._pose(box.T_camera_from_box),
            scale=self._make("geometry_msgs/msg/Vector3", x=length, y=width, z=height),
            color=self._make("std_msgs/msg/ColorRGBA", r=red, g=green, b=blue, a=alpha),
            # RViz removes the box after this time.
            lifetime=self._make("builtin_interfaces/msg/Duration", sec=0, nanosec=500_000_000),
            frame_locked=False,
            points=[],
            colors=[],
            texture_resource="",
            texture=self._make(messages.COMPRESSED_IMAGE, header=header, format="", data=nothing),
            uv_coordinates=[],
            text=box_markers.text(box),
            mesh_resource="",
            mesh_file=self._make("visualization_msgs/msg/MeshFile", filename="", data=nothing),
            mesh_use_embedded_materials=False,
        )
