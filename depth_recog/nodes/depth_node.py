# SPDX-License-Identifier: Apache-2.0
"""The depth node: subscribes to images; publishes depth, masks, poses and the gate's decisions.

It has two threads. The executor's thread receives messages and hands the newest image over. The
inference thread processes one image at a time; an image that is replaced by a newer one before its
turn is dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from depth_recog.errors import CalibrationError, describe
from depth_recog.interfaces import camera_info
from depth_recog.interfaces.bit_depth import BitDepth
from depth_recog.interfaces.robot_motion import RobotMotion
from depth_recog.method.geometry.camera import Camera, focal_length
from depth_recog.method.pair import Step
from depth_recog.method.settings import Wanted
from depth_recog.nodes.diagnostics import ledger
from depth_recog.nodes.diagnostics.reporter import Reporter, Running
from depth_recog.nodes.io import messages
from depth_recog.nodes.io.frames import Frames
from depth_recog.nodes.io.inputs import Inputs, Job
from depth_recog.nodes.io.outputs import Outputs
from depth_recog.nodes.io.scale_inputs import ScaleInputs
from depth_recog.nodes.io.seam import offer_trigger, transform_broadcaster
from depth_recog.nodes.io.stamps import StampReader
from depth_recog.nodes.runtime import depth_parameters
from depth_recog.nodes.runtime.allowance import Allowance
from depth_recog.nodes.runtime.assembler import Assembler
from depth_recog.nodes.runtime.depth_parameters import SPECS
from depth_recog.nodes.runtime.managed import ManagedNode
from depth_recog.nodes.runtime.parameters import Names, Parameters, Values
from depth_recog.nodes.runtime.qos import QosWatch
from depth_recog.nodes.runtime.slot import LatestSlot
from depth_recog.pipeline import Pipeline


class DepthNode(ManagedNode):
    """Lifecycle node that turns images into depth; see the module's docstring."""

    def __init__(self) -> None:
        super().__init__("depth_node")
        self._assembler = Assembler(self.get_logger())
        self._params = Parameters(
            self, SPECS, lambda: self.active, self._check, self._assembler.apply
        )
        self._ledger = ledger.Ledger()
        self._bits: BitDepth | None = None
        self._stamps = StampReader(self._warn_of_stamps)
        self._slot: LatestSlot[Job] = LatestSlot()
        self._thread: threading.Thread | None = None
        self._qos = QosWatch(self)
        self._outputs: Outputs | None = None
        self._broadcaster: Any = None
        self._inputs: Inputs | None = None
        self._scale_inputs: ScaleInputs | None = None
        self._frames = Frames(self.get_logger())
        self._camera_key: tuple[Any, ...] | None = None
        self._allowance = Allowance()
        self._pipeline: Pipeline | None = None
        self._reporter = Reporter(self._qos, self._ledger, self._assembler, self.failures)
        offer_trigger(self, "~/reset_odometry", self._reset_odometry)
        # In wall time, so also while /clock stands still.
        self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _check(self, names: Names, values: Values) -> None:
        depth_parameters.check(values)
        self._assembler.check(names, values)

    # Lifecycle

    def configure(self) -> None:
        """Load the networks and warm them up."""
        if self._params["publish_tf"] and self._broadcaster is None:
            self._broadcaster = transform_broadcaster(self)
        self._assembler.configure(self._params.values)

    def activate(self) -> None:
        """Create publishers and subscriptions, and start the inference thread."""
        p = self._params
        self._slot = LatestSlot()
        assert self._assembler.current is not None
        self._pipeline = Pipeline(self._assembler.current, self._allowance.spend)
        self._camera_key = None
        broadcaster = self._broadcaster if p["publish_tf"] else None
        self._frames = Frames(self.get_logger())
        self._outputs = Outputs(self._qos, p.__getitem__, self._on_subscribers_changed, broadcaster)
        asked = p["image_reliability"], p["image_transport"]
        self._inputs = Inputs(self._qos, *asked, self._ledger.count, self._hand_over)
        self._announce()
        self._inputs.assuming = lambda: self._params["fallback_fov"] > 0
        self._scale_inputs = ScaleInputs(
            self._qos,
            depth_parameters.scale_of(p.values),
            RobotMotion(self._assembler.odometry),
            p["base_frame"],
            self._assembler.mounted,
        )
        self._bits = None
        self._stamps = StampReader(self._warn_of_stamps)
        self._thread = threading.Thread(target=self._infer, name="inference", daemon=True)
        self._thread.start()
        self.active = True

    def deactivate(self, patience: float | None = None) -> bool:
        """Undo `activate`; returns False if the thread has not ended within `patience` seconds."""
        self.active = False
        if self._scale_inputs is not None:
            self._scale_inputs.close()
            self._scale_inputs = None
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None
        self._ledger.count("dropped", self._slot.close())
        if self._thread is not None:
            self._thread.join(patience)
            if self._thread.is_alive():
                return False
            self._thread = None
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        self._pipeline = None
        return True

    def release(self) -> None:
        """Undo `activate` and `configure`."""
        self.deactivate()
        self._assembler.release()

    def stop(self) -> bool:
        """End all threads before the process ends; returns False if one does not end in time."""
        ended = self.deactivate(patience=2.5)
        ended = self._assembler.stop(patience=0.5) and ended
        counts = self._ledger.counts
        if counts["received"]:
            summary = ", ".join(f"{k} {counts[k]}" for k in ("received", *ledger.OUTCOMES))
            self.get_logger().info(f"images: {summary}")
        return ended

    # The executor's thread

    def _hand_over(self, job: Job) -> None:
        if self._slot.put(job):
            self._ledger.count("dropped")

    def _on_subscribers_changed(self) -> None:
        """Subscribe to images as soon as an output has a subscriber."""
        if self._inputs is not None and self._outputs is not None and self._outputs.wanted():
            self._inputs.open()

    def _reset_odometry(self, request: Any, response: Any) -> Any:
        """Begin a new path at the origin of odom_frame with the next image."""
        response.success = self._outputs is not None and self._outputs.reset_odometry()
        if not response.success:
            response.message = "no odometry: activate the node with publish_odom true"
        return response

    def _report(self) -> None:
        running = None
        if self.active and self._inputs is not None and self._outputs is not None:
            wanted = self._outputs.wanted()
            if wanted:
                self._inputs.open()
            else:
                # Not as soon as the last subscriber has gone: it may come back at once.
                self._inputs.rest()
            alive = self._thread is not None and self._thread.is_alive()
            running = Running(self._inputs, wanted, alive)
            self._announce()
        self._reporter.report(self._params.values, running)

    def _announce(self) -> None:
        assembly = self._assembler.current
        if self._outputs is not None and assembly is not None:
            now = self.get_clock().now().to_msg()
            self._outputs.announce(assembly.masks.classes, Header(stamp=now))
            if assembly.depth.deviation:
                self._outputs.offer_uncertainty()

    # The inference thread

    def _infer(self) -> None:
        while (job := self._slot.take()) is not None:
            try:
                self._process(job)
            except BaseException as error:
                # One frame that fails must not end the stream.
                self._ledger.count("rejected", why=describe(error))
                text = f"image rejected: {describe(error)}"
                self.get_logger().error(text, throttle_duration_sec=5.0)
                if not isinstance(error, Exception):
                    raise

    def _process(self, job: Job) -> None:
        assert self._outputs is not None
        wanted = self._outputs.wanted()
        if not wanted:
            self._ledger.count("idle")
            return
        # Read once a frame: a change from here on takes effect with the next frame.
        pipeline, assembly = self._pipeline, self._assembler.current
        assert pipeline is not None
        assert assembly is not None
        pipeline.use(assembly)
        start = time.perf_counter()
        header = job.image.header
        if self._scale_inputs is not None:
            self._scale_inputs.frame = header.frame_id
        if self._frames.changed(header, job.info.header if job.info else None):
            # Another camera: nothing that was seen before is compared with it.
            self._camera_key, self._bits = None, None
            self._outputs.reset_odometry()
        size = messages.size_of(job.image)
        self._set_camera(pipeline, job.info, size)
        # Before the image takes memory: a small file may state, or hold, a giant one.
        pipeline.check_size(size)
        image = messages.to_rgb(job.image, self._bit_depth())
        stamp = self._stamps.time_ns(messages.stamp_ns(header), job.arrived)
        prepared = pipeline.prepare(str(stamp), stamp, image)
        resized = time.perf_counter()
        needed = self._outputs.needed(wanted)
        processed = pipeline.recognize(prepared, needed)
        step = processed.step
        recognized = time.perf_counter()
        self._outputs.publish(wanted, processed, header, assembly.in_metres(step.frame.scale))
        parts = {
            "conversion and resizing": resized - start,
            **step.seconds,
            "messages": time.perf_counter() - recognized,
        }
        decision = step.pair.decision.motion.name.lower() if step.pair else "alone"
        masked = float(step.frame.dynamic.mean()) if needed is not Wanted.DEPTH else None
        latency = time.monotonic() - job.arrived
        self._ledger.finished(latency, parts, decision, masked, _regions(step))

    def _warn_of_stamps(self, text: str) -> None:
        self.get_logger().warning(f"image: {text}")

    def _bit_depth(self) -> BitDepth:
        """That of the stream; starts again when the parameter changes."""
        given = self._params["image_bits"]
        if self._bits is None or self._bits.given != given:
            self._bits = BitDepth(given, "image")
        return self._bits

    def _set_camera(
        self, pipeline: Pipeline, info: CameraInfo | None, size: tuple[int, int]
    ) -> None:
        """Give the pipeline the calibration, if it has changed since the last image."""
        assert self._outputs is not None
        rectified, fov = self._params["input_rectified"], self._params["fallback_fov"]
        if info is None or (fov and camera_info.uncalibrated(info, rectified)):
            self._assume(pipeline, fov, size)
            return
        self._ledger.assumed = ""
        key = (*camera_info.identity(info), rectified)
        if key != self._camera_key:
            calibration = camera_info.from_message(info, rectified)
            pipeline.set_camera(calibration.camera, calibration.rectified, calibration.rotation)
            self._outputs.baseline = calibration.baseline
            self._camera_key = key

    def _assume(self, pipeline: Pipeline, fov: float, size: tuple[int, int]) -> None:
        """Give the pipeline a guessed calibration, and say so."""
        assert self._outputs is not None
        if not fov:
            raise CalibrationError("no camera_info: publish one, or set fallback_fov")
        if self._camera_key != (fov, size):
            pipeline.set_camera(Camera.guess(*size, focal_length(size[0], fov)))
            self._outputs.baseline = (0.0, 0.0)
            self._camera_key = fov, size
            self._ledger.assumed = (
                f"no calibration: a horizontal field of view of {fov:g} degrees is assumed "
                "(fallback_fov), metres are a guess"
            )
            self.get_logger().warning(self._ledger.assumed)


def _regions(step: Step) -> Counter[str] | None:
    """The number of regions with each decision; None without the gate by object."""
    if step.pair is None or step.pair.gate_result is None:
        return None
    return Counter(region.motion.name.lower() for region in step.pair.gate_result.regions)
