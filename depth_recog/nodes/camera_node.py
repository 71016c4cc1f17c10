# SPDX-License-Identifier: Apache-2.0
"""The camera node: publishes a source of frames on image, image/compressed and camera_info."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice

from builtin_interfaces.msg import Time as TimeMessage
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from depth_recog.datasets.assumed import AssumedLens
from depth_recog.datasets.sequence import Frame, Sequence
from depth_recog.datasets.sources import open_source
from depth_recog.errors import ConfigurationError, describe
from depth_recog.interfaces import compressed_image
from depth_recog.interfaces.camera_info import uncalibrated_fields
from depth_recog.nodes.diagnostics.health import callbacks_status
from depth_recog.nodes.diagnostics.ledger import status
from depth_recog.nodes.io import messages
from depth_recog.nodes.io.names import info_topic
from depth_recog.nodes.runtime.main import request_stop
from depth_recog.nodes.runtime.managed import ManagedNode
from depth_recog.nodes.runtime.parameters import Names, Parameters, Spec, Values
from depth_recog.nodes.runtime.qos import QosWatch

SPECS = (
    Spec("autostart", True, "Configure and activate when the node starts."),
    Spec(
        "source",
        "synthetic",
        "What is played: a path, a device, or kind:path; see depth-recog run --help.",
    ),
    Spec("rate", 0.0, "Frames per second; 0: the rate of the source.", 0.0, 1000.0),
    Spec("loop", False, "Start again after the last frame."),
    Spec("limit", 0, "Number of frames after which the node ends; 0: all frames.", 0, 2**31 - 1),
    Spec("frame_id", "camera_optical_frame", "Frame of the images (x right, y down, z forward)."),
    Spec("frame_prefix", "", "Put before frame_id, such as left/: one for each camera."),
    Spec(
        "stamps",
        "now",
        "Stamps of the messages: now (time of the node's clock) or recorded.",
        choices=("now", "recorded"),
    ),
    Spec("publish_clock", False, "Publish the stamps on /clock, for nodes with use_sim_time."),
    Spec("wait_for_subscribers", 0, "Start when the images have this many subscribers.", 0, 1000),
    Spec(
        "wait_for_node",
        "",
        "Start when the node of this name subscribes to camera_info; empty: at once.",
    ),
    Spec(
        "fallback_fov",
        0.0,
        "Field of view of a source without calibration, degrees; its camera_info is uncalibrated "
        "(K is zero), so set this parameter of the depth node too; 0: such a source is refused.",
        0.0,
        170.0,
    ),
    Spec(
        "reliability",
        "reliable",
        "QoS reliability of the publishers; reliable matches every subscriber.",
        choices=("reliable", "best_effort"),
    ),
)

_POLL_S = 0.005
# A publisher discovers a subscriber before the subscriber discovers it; messages published in
# between are lost.
_GRACE_S = 0.5
_ACKNOWLEDGE_S = 2.5


class CameraNode(ManagedNode):
    """Lifecycle node that plays frames; without `loop`, the process ends after the last one."""

    def __init__(self) -> None:
        super().__init__("camera_node")
        self._params = Parameters(self, SPECS, lambda: self.active, _check)
        self._sequence: Sequence | None = None
        self._thread: threading.Thread | None = None
        self._halt = threading.Event()
        self._qos = QosWatch(self)
        # Not of `_qos`, which destroys its own at deactivate.
        self._reports = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # In wall time, so also while /clock stands still.
        self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.published = 0

    def configure(self) -> None:
        """Open the source."""
        fov = self._params["fallback_fov"]
        assumed = AssumedLens(fov=fov) if fov else None
        self._sequence = open_source(self._params["source"], assumed)
        rate = self._params["rate"] or self._sequence.rate_hz
        self.get_logger().info(f"{self._sequence.kind}: {self._sequence.name}, {rate:g} Hz")

    def activate(self) -> None:
        """Create the publishers and start to play."""
        p = self._params
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy[p["reliability"].upper()])
        self._images = self._qos.publisher(Image, "image", qos)
        self._infos = self._qos.publisher(CameraInfo, info_topic(self, "image", "camera_info"), qos)
        compressed = self._qos.transport_topic("image", "compressed")
        self._compressed = self._qos.publisher(CompressedImage, compressed, qos)
        self._clock_publisher = None
        if p["publish_clock"]:
            self._clock_publisher = self._qos.publisher(
                ClockMessage, "/clock", QoSProfile(depth=10)
            )
        self._halt.clear()
        self._thread = threading.Thread(target=self._play, name="play", daemon=True)
        self._thread.start()
        self.active = True

    def deactivate(self) -> bool:
        """Stop playing and destroy the publishers, unless the thread does not end in time."""
        self.active = False
        self._halt.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout=3.0)
            if thread.is_alive():
                return False
        self._qos.destroy_all()
        return True

    def release(self) -> None:
        """Stop playing and close the source."""
        self.deactivate()
        self._sequence = None

    def _report(self) -> None:
        health, rows = callbacks_status(self.failures)
        name = f"{self.get_fully_qualified_name().lstrip('/')}: callbacks"
        report = DiagnosticArray()
        report.header.stamp = self.get_clock().now().to_msg()
        report.status = [status(name, health.level, health.message, rows)]
        self._reports.publish(report)

    # The playing thread

    def _play(self) -> None:
        try:
            self._wait_for_subscribers()
            self._play_frames()
        except Exception as error:
            self.get_logger().fatal(describe(error))
            self.failed = True
        if not self._halt.is_set():
            # Messages that a reliable subscriber has not received yet are lost with the process.
            end = time.monotonic() + _ACKNOWLEDGE_S
            for publisher in (self._infos, self._images, self._compressed):
                publisher.wait_for_all_acked(Duration(seconds=max(0.0, end - time.monotonic())))
            self.get_logger().info(f"played {self.published} frames")
            request_stop()

    def _wait_for_subscribers(self) -> None:
        wanted, name = self._params["wait_for_subscribers"], self._params["wait_for_node"]
        while not self._has_subscribers(wanted, name) and not self._halt.is_set():
            self._halt.wait(_POLL_S)
        if wanted or name:
            self._halt.wait(_GRACE_S)

    def _has_subscribers(self, wanted: int, name: str) -> bool:
        images = (self._images, self._compressed)
        if sum(publisher.get_subscription_count() for publisher in images) < wanted:
            return False
        # A node subscribes to camera_info whatever the image transport, and also while it does not
        # subscribe to images because none of its outputs has a subscriber.
        listeners = self.get_subscriptions_info_by_topic(self._infos.topic_name) if name else ()
        return not name or any(listener.node_name == name for listener in listeners)

    def _play_frames(self) -> None:
        assert self._sequence is not None
        p = self._params
        period = round(1e9 / (p["rate"] or self._sequence.rate_hz))
        due = self._now()
        for frame in islice(self._frames(), p["limit"] or None):
            # Reading a live source waits for its next frame.
            if not self._sequence.live:
                self._wait_until(due)
                # After a slow frame, do not catch up with a burst: its stamps would be bunched.
                late = self._now() - due
                due += period if late < period else late + period
            if self._halt.is_set():
                return
            self._publish(frame)

    def _frames(self) -> Iterator[Frame]:
        assert self._sequence is not None
        yield from self._sequence
        while self._params["loop"]:
            yield from self._sequence

    def _paced_by_clock(self) -> bool:
        """Whether /clock sets the pace: with use_sim_time, unless this node publishes /clock."""
        return self.get_parameter("use_sim_time").value and not self._params["publish_clock"]

    def _now(self) -> int:
        """Nanoseconds of the clock that sets the pace."""
        if self._paced_by_clock():
            return int(self.get_clock().now().nanoseconds)
        return time.monotonic_ns()

    def _wait_until(self, due: int) -> None:
        while (rest := due - self._now()) > 0 and not self._halt.is_set():
            self._halt.wait(_POLL_S if self._paced_by_clock() else rest / 1e9)

    def _publish(self, frame: Frame) -> None:
        frame_id = self._params["frame_prefix"] + self._params["frame_id"]
        header = Header(frame_id=frame_id, stamp=self._stamp(frame))
        message = messages.image(frame.image, "rgb8", header)
        compressed = None
        if self._compressed.get_subscription_count() > 0:
            data = compressed_image.to_jpeg(frame.image)
            compressed = CompressedImage(header=header, format=compressed_image.FORMAT, data=data)
        if self._clock_publisher is not None:
            self._clock_publisher.publish(ClockMessage(clock=header.stamp))
        # K of a guess would be taken for a calibration.
        info = messages.camera_info(frame.camera, header)
        if frame.camera.assumed:
            info = CameraInfo(header=header, **uncalibrated_fields(frame.camera))
        self._infos.publish(info)
        self._images.publish(message)
        if compressed is not None:
            self._compressed.publish(compressed)
        self.published += 1

    def _stamp(self, frame: Frame) -> TimeMessage:
        if self._params["stamps"] == "recorded":
            return Time(nanoseconds=frame.stamp_ns).to_msg()
        return self.get_clock().now().to_msg()


def _check(names: Names, values: Values) -> None:
    if not values["source"]:
        raise ConfigurationError("parameter source is empty: set a path, a device, or kind:path")
