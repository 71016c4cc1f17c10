# SPDX-License-Identifier: Apache-2.0
"""The depth node: frames in; depth, masks, poses and the gate's decisions out.

Two threads. The executor's only hands over the newest image with its CameraInfo; the inference
thread does everything else, one frame at a time, and what comes late is dropped and counted.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_recog.errors import DepthRecogError
from depth_recog.interfaces import compressed_image
from depth_recog.method.viewport import Viewport
from depth_recog.networks.factory import Assembly, assemble
from depth_recog.nodes import camera_info, diagnostics, messages
from depth_recog.nodes.depth_parameters import SPECS, check, settings_of
from depth_recog.nodes.managed import LifecycleState, ManagedNode, TransitionCallbackReturn
from depth_recog.nodes.matching import CameraMatcher, LatestSlot
from depth_recog.nodes.outputs import Outputs
from depth_recog.nodes.parameters import Parameters
from depth_recog.nodes.seam import image_to_rgb, transform_broadcaster


@dataclass(frozen=True)
class _Job:
    """An image, its CameraInfo, and when it arrived (monotonic seconds)."""

    image: Image | CompressedImage
    info: CameraInfo
    arrived: float


class DepthNode(ManagedNode):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("depth_node")
        self._params = Parameters(self, SPECS, lambda: self.active, check)
        self._assembly: Assembly | None = None
        self._ledger = diagnostics.Ledger()
        self._matcher: CameraMatcher[_Job, CameraInfo] = CameraMatcher()
        self._slot: LatestSlot[_Job] = LatestSlot()
        self._thread: threading.Thread | None = None
        self._outputs: Outputs | None = None
        self._broadcaster: Any = None
        self._inputs: list[Any] = []
        self._view_key: tuple[Any, ...] | None = None
        self._view: Viewport | None = None
        self._rejected_before = 0
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = self.create_timer(1.0, self._report)

    def autostart(self) -> None:
        """Start unless told not to."""
        self.start_if(self._params["autostart"])

    # Life cycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the networks."""
        return self.guarded(self._configure)

    def _configure(self) -> None:
        p = self._params
        if p["threads"]:
            torch.set_num_threads(p["threads"])
        if p["publish_tf"] and self._broadcaster is None:
            self._broadcaster = transform_broadcaster(self)
        self._assembly = assemble(
            p["device"],
            p["weights"],
            p["mask_weights"],
            p["pose_weights"],
            p["pose_estimator"],
            settings_of(p.values),
        )
        self._assembly.warm_up()
        depth = self._assembly.depth
        self.get_logger().info(
            f"depth weights {depth.path.stem} ({depth.sha256[:12]}), in {depth.unit}, "
            f"on {self._assembly.device}"
        )

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the topics and start the inference thread."""
        return self.guarded(self._activate)

    def _activate(self) -> None:
        p = self._params
        self._slot = LatestSlot()
        self._matcher = CameraMatcher()
        self._view_key = None
        self._outputs = Outputs(self, p.__getitem__, self._broadcaster if p["publish_tf"] else None)
        reliability = ReliabilityPolicy[p["image_reliability"].upper()]
        qos = QoSProfile(depth=5, reliability=reliability)
        options = QoSOverridingOptions.with_default_policies()
        self._inputs = [
            self.create_subscription(
                CameraInfo, "camera_info", self._on_info, qos, qos_overriding_options=options
            ),
            self.create_subscription(
                *self._image_topic(), self._on_image, qos, qos_overriding_options=options
            ),
        ]
        self._thread = threading.Thread(target=self._infer, name="inference", daemon=True)
        self._thread.start()
        self.active = True

    def _image_topic(self) -> tuple[type, str]:
        if self._params["image_transport"] == "raw":
            return Image, "image"
        # image_transport's rule: the base topic is remapped first, then the transport is appended.
        return CompressedImage, f"{self.resolve_topic_name('image')}/compressed"

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the topics and end the inference thread."""
        self._deactivate()
        return TransitionCallbackReturn.SUCCESS

    def _deactivate(self) -> bool:
        self.active = False
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        self._ledger.count("dropped", self._slot.close())
        self._ledger.count("unmatched", self._matcher.waiting)
        idle = True
        if self._thread is not None:
            self._thread.join(timeout=3.0)
            idle = not self._thread.is_alive()
            self._thread = None
        if self._outputs is not None and idle:
            self._outputs.close()
            self._outputs = None
        return idle

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the networks."""
        self._assembly = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close whatever is open."""
        self._deactivate()
        self._assembly = None
        return TransitionCallbackReturn.SUCCESS

    def stop(self) -> bool:
        """End before the process does; False where the inference thread would not come back."""
        idle = self._deactivate()
        if self._ledger.counts["received"]:
            rows = self._ledger.report()
            counts = ", ".join(f"{k} {rows[k]}" for k in ("received", *diagnostics.OUTCOMES))
            self.get_logger().info(f"images: {counts}")
        return idle

    # The executor's thread: hand over the newest image

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._ledger.count("received")
        stamp = messages.stamp_ns(message.header)
        was_loose = self._matcher.loose
        job = _Job(message, CameraInfo(), time.monotonic())
        pairs, lost = self._matcher.image(stamp, job)
        self._ledger.count("unmatched", lost)
        if self._matcher.loose and not was_loose:
            self.get_logger().warning(
                "camera_info's stamps differ from the images': using the newest camera_info"
            )
        self._hand_over(pairs)

    def _on_info(self, message: CameraInfo) -> None:
        self._hand_over(self._matcher.info(messages.stamp_ns(message.header), message))

    def _hand_over(self, pairs: list[tuple[_Job, CameraInfo]]) -> None:
        for job, info in pairs:
            if self._slot.put(_Job(job.image, info, job.arrived)):
                self._ledger.count("dropped")

    # The inference thread: from an image to everything that is published of it

    def _infer(self) -> None:
        while (job := self._slot.take()) is not None:
            try:
                self._process(job)
            except DepthRecogError as error:
                self._ledger.count("rejected", why=str(error))
                self.get_logger().error(str(error), throttle_duration_sec=5.0)
            except Exception as error:
                # One bad frame must not end the stream; the reason is counted and logged.
                why = f"{type(error).__name__}: {error}"
                self._ledger.count("rejected", why=why)
                self.get_logger().error(f"a frame failed: {why}", throttle_duration_sec=5.0)

    def _process(self, job: _Job) -> None:
        assert self._outputs is not None
        assert self._assembly is not None
        wanted = self._outputs.wanted()
        if not wanted:
            self._ledger.count("idle")
            return
        start = time.perf_counter()
        view = self._viewport(job.info)
        rectified = view.rectify(_pixels(job.image))
        image = view.shrink(rectified)
        prepared = time.perf_counter()
        header = job.image.header
        stamp = messages.stamp_ns(header)
        recognizer = self._assembly.recognizer
        step = recognizer.step(
            str(stamp), stamp, image, view.network, self._outputs.need_pair(wanted)
        )
        recognized = time.perf_counter()
        self._outputs.publish(wanted, step, view, header, rectified)
        parts = {
            "conversion and resizing": prepared - start,
            **step.seconds,
            "messages": time.perf_counter() - recognized,
        }
        decision = step.pair.decision.motion.name.lower() if step.pair else "alone"
        masked = float(step.frame.dynamic.mean())
        self._ledger.finished(time.monotonic() - job.arrived, parts, decision, masked)

    def _viewport(self, info: CameraInfo) -> Viewport:
        key = (
            info.width,
            info.height,
            tuple(info.k),
            tuple(info.d),
            tuple(info.r),
            tuple(info.p),
            info.distortion_model,
            info.binning_x,
            info.binning_y,
            (info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height),
        )
        if key != self._view_key or self._view is None:
            assert self._assembly is not None
            calibration = camera_info.from_message(info, self._params["input_rectified"])
            size = self._assembly.network_size(calibration.rectified)
            self._view = Viewport.of(
                calibration.camera, size, calibration.rectified, calibration.rotation
            )
            self._view_key = key
            self._assembly.recognizer.reset()
        return self._view

    def _report(self) -> None:
        rows = self._ledger.report()
        if self._assembly is not None:
            depth = self._assembly.depth
            rows["device"] = str(self._assembly.device)
            rows["weights"] = depth.path.stem
            rows["weights sha256"] = depth.sha256
            rows["unit"] = depth.unit
            scale = self._params["depth_scale"]
            rows["depth scale"] = f"{scale:g}, declared" if scale else "not declared"
        level, message = DiagnosticStatus.OK, "publishing" if self.active else "inactive"
        if self.active and not self._ledger.counts["received"]:
            topic = self.resolve_topic_name(self._image_topic()[1])
            level, message = DiagnosticStatus.WARN, f"no image yet on {topic}"
        rejected = self._ledger.counts["rejected"]
        if rejected > self._rejected_before:
            level, message = DiagnosticStatus.WARN, "images are rejected: see last rejection"
        self._rejected_before = rejected
        stamp = self.get_clock().now().to_msg()
        name = f"{self.get_fully_qualified_name().lstrip('/')}: depth"
        self._diagnostics.publish(diagnostics.status(name, level, message, rows, stamp))


def _pixels(message: Image | CompressedImage) -> NDArray[np.uint8]:
    """(H, W, 3) RGB. Raises EncodingError."""
    if isinstance(message, CompressedImage):
        return compressed_image.to_rgb(message.format, message.data)
    return image_to_rgb(message)
