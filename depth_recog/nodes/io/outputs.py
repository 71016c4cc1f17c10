# SPDX-License-Identifier: Apache-2.0
"""Publishers of the depth node. A message is built only if its topic has a subscriber."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry as OdometryMessage
from numpy.typing import NDArray
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Float64MultiArray, Header
from visualization_msgs.msg import MarkerArray

from depth_recog.errors import ConfigurationError
from depth_recog.interfaces import compressed_image
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.gate.result import GateResult
from depth_recog.method.geometry.se3 import Matrix
from depth_recog.method.masking import dynamic_image, static_image
from depth_recog.method.pair import Pair, Step
from depth_recog.method.pose.estimator import PoseEstimate
from depth_recog.method.settings import Wanted
from depth_recog.nodes.io import detections, messages, odometry
from depth_recog.nodes.io.compressed_depth import compressed_depth
from depth_recog.nodes.io.names import info_topic
from depth_recog.nodes.io.objects import Objects
from depth_recog.nodes.io.points import cloud
from depth_recog.nodes.io.seam import vision_messages
from depth_recog.nodes.runtime.qos import QosWatch
from depth_recog.pictures import depth_colors, outline, outlined_regions
from depth_recog.processed import ImageMaps, ProcessedFrame

DEPTH = "depth/image_rect"
RECTIFIED = "image_rect"
DEPTH_INFO = "depth/camera_info"
COMPRESSED = f"{DEPTH}/compressedDepth"
POINTS = "depth/points"
ODOM = "odom"
STATIC_POINTS = "depth/points_static"
RELATIVE = "depth/relative"
UNCERTAINTY = "depth/uncertainty"
LABELS, DYNAMIC, MOVING = "mask/labels", "mask/dynamic", "mask/moving"
MASK_PNGS = {f"{mask}/compressed": mask for mask in (LABELS, DYNAMIC, MOVING)}
OBJECTS = "objects"
DETECTIONS, LABEL_INFO = "detections", "mask/label_info"
TARGET, STATIC = "pose/target", "pose/static"
COLOR, OVERLAY, PROJECTION = "debug/color", "debug/objects", "debug/projection"
STATIC_IMAGE, DYNAMIC_IMAGE = "debug/static_image", "debug/dynamic_image"


def known(pose: PoseEstimate) -> Matrix:
    """(4, 4) motion; NaN if it is unknown, since the identity would mean no motion."""
    return pose.T_second_from_first if pose.ok else np.full((4, 4), np.nan)


MATRICES: dict[str, Callable[[Pair], Matrix]] = {
    "pose/target_matrix": lambda pair: known(pair.target),
    "pose/static_matrix": lambda pair: known(pair.static),
    "pose/dynamic_matrix": lambda pair: known(pair.dynamic),
    "pose/absolute_difference": lambda pair: pair.absolute_difference,
}

VISION = vision_messages()
TOPICS: dict[str, type] = {
    DEPTH: Image,
    DEPTH_INFO: CameraInfo,
    RELATIVE: Image,
    UNCERTAINTY: Image,
    COMPRESSED: CompressedImage,
    POINTS: PointCloud2,
    STATIC_POINTS: PointCloud2,
    RECTIFIED: Image,
    ODOM: OdometryMessage,
    **dict.fromkeys((LABELS, DYNAMIC, MOVING), Image),
    **dict.fromkeys(MASK_PNGS, CompressedImage),
    OBJECTS: MarkerArray,
    **({DETECTIONS: VISION.Detection3DArray} if VISION else {}),
    **dict.fromkeys((TARGET, STATIC), TransformStamped),
    **dict.fromkeys(MATRICES, Float64MultiArray),
    **dict.fromkeys((COLOR, OVERLAY, STATIC_IMAGE, DYNAMIC_IMAGE, PROJECTION), Image),
}
_IN_METRES = {DEPTH, COMPRESSED, POINTS, STATIC_POINTS, ODOM, OBJECTS, DETECTIONS, TARGET, STATIC}
"""Topics whose type or name promises metres: nothing else is published on them."""
_NEED_DEPTH = {DEPTH, DEPTH_INFO, RELATIVE, UNCERTAINTY, COMPRESSED, POINTS, RECTIFIED, COLOR}
_NEED_PAIR = {ODOM, MOVING, f"{MOVING}/compressed", STATIC_POINTS, OBJECTS, DETECTIONS}
_NEED_PAIR |= {TARGET, STATIC, *MATRICES, OVERLAY, PROJECTION}


class Outputs:
    """The depth node's publishers.

    Args:
        watch: creates the publishers.
        parameters: returns the value of a parameter of the node; `depth_encoding`, `output_size`,
            `min_depth`, `max_depth`, `max_uncertainty`, `points_step`, `depth_scale`,
            `unscaled_depth` and `longest_gap` are read for every frame.
        subscribers_changed: called when a topic gains or loses a subscriber.
        broadcaster: a tf2_ros.TransformBroadcaster for the odometry; None to broadcast nothing.

    Raises:
        ConfigurationError: a QoS override that cannot be used.
    """

    def __init__(
        self,
        watch: QosWatch,
        parameters: Callable[[str], Any],
        subscribers_changed: Callable[[], None],
        broadcaster: Any = None,
    ) -> None:
        self._watch = watch
        self._parameter = parameters
        self._broadcaster = broadcaster
        self._objects = Objects()
        self._odometry = None
        if parameters("publish_odom"):
            both = ("odom_frame", "odom_child_frame")
            frames = [parameters("frame_prefix") + parameters(name) for name in both]
            self._odometry = odometry.Odometry(*frames)
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self._as_others = qos, subscribers_changed
        self._publishers: dict[str, Publisher] = {}
        self._labels: Publisher | None = None
        self._classes: Sequence[str] = ()
        names = {
            COMPRESSED: watch.transport_topic(DEPTH, "compressedDepth"),
            DEPTH_INFO: info_topic(watch.node, DEPTH, DEPTH_INFO),
        }
        names |= {t: watch.transport_topic(mask, "compressed") for t, mask in MASK_PNGS.items()}
        self.baseline = (0.0, 0.0)
        """Of the camera, for P in the CameraInfo; see `CameraCalibration`."""
        try:
            for topic, kind in TOPICS.items():
                if topic != UNCERTAINTY and (topic != ODOM or self._odometry is not None):
                    publisher = watch.publisher(
                        kind, names.get(topic, topic), qos, subscribers_changed
                    )
                    self._publishers[topic] = publisher
            if VISION:
                latched = DurabilityPolicy.TRANSIENT_LOCAL
                once = QoSProfile(depth=1, reliability=qos.reliability, durability=latched)
                self._labels = watch.publisher(VISION.LabelInfo, LABEL_INFO, once)
        except ConfigurationError:
            self.close()
            raise

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers.values():
            self._watch.destroy(publisher)
        self._publishers = {}
        if self._labels is not None:
            self._watch.destroy(self._labels)
            self._labels = None

    def reset_odometry(self) -> bool:
        """Begin a new path with the next frame; returns False if no odometry is published."""
        if self._odometry is not None:
            self._odometry.reset()
        return self._odometry is not None

    def announce(self, classes: Sequence[str], header: Header) -> None:
        """Publish the classes of `mask/labels` for present and later subscribers, if changed."""
        if self._labels is not None and classes != self._classes:
            self._classes = classes
            self._labels.publish(detections.label_info(VISION, classes, header))

    def offer_uncertainty(self) -> None:
        """Advertise the standard deviation: the depth network gives it."""
        if self._publishers and UNCERTAINTY not in self._publishers:
            made = self._watch.publisher(Image, UNCERTAINTY, *self._as_others)
            # A new dictionary: the inference thread may be reading the old one.
            self._publishers = {**self._publishers, UNCERTAINTY: made}

    def wanted(self) -> set[str]:
        """Topics with a subscriber, and the odometry if enabled: it needs every image."""
        wanted = {t for t, p in self._publishers.items() if p.get_subscription_count() > 0}
        return wanted if self._odometry is None else wanted | {ODOM}

    @staticmethod
    def needed(wanted: set[str]) -> Wanted:
        """What must be computed for these topics."""
        if wanted & _NEED_PAIR:
            return Wanted.PAIR
        return Wanted.DEPTH if wanted <= _NEED_DEPTH else Wanted.MASKS

    def publish(
        self, wanted: set[str], processed: ProcessedFrame, header: Header, metric: bool
    ) -> None:
        """Publish what was computed from one image, with that image's stamp and frame.

        Args:
            wanted: topics with a subscriber.
            processed: the image's results.
            header: of the image.
            metric: whether depth and translations are in metres.
        """
        builders = self._builders(processed, header)
        if metric:
            wanted = wanted - {RELATIVE}
        else:
            wanted = wanted - _IN_METRES
            if self._parameter("unscaled_depth") == "hold":
                wanted = wanted - {RELATIVE}
            self.reset_odometry()
        # In the order of TOPICS: depth first, and the same order in every run.
        for topic in (t for t in TOPICS if t in wanted and t in builders):
            message = builders[topic]()
            if message is not None:
                self._publishers[topic].publish(message)

    def _builders(self, processed: ProcessedFrame, header: Header) -> dict[str, Callable[[], Any]]:
        """Functions that build the message of each topic; they may return None for no message."""
        p = self._parameter
        at_network = processed.at_network_size
        maps = processed.at_input_size if p("output_size") == "input" else at_network
        step, frame, encoding = processed.step, processed.step.frame, p("depth_encoding")
        depth = cache(lambda: self._depth(maps))
        rgb = partial(messages.image, encoding="rgb8", header=header)
        masks: dict[str, Callable[[], NDArray[np.uint8]]] = {
            LABELS: lambda: maps.labels,
            DYNAMIC: lambda: maps.dynamic.astype(np.uint8) * 255,
            MOVING: lambda: maps.moving,
        }
        builders: dict[str, Callable[[], Any]] = {
            DEPTH: lambda: messages.depth_image(depth(), encoding, header),
            RELATIVE: lambda: messages.depth_image(
                maps.depth(0.0, np.inf, p("max_uncertainty")), "32FC1", header
            ),
            UNCERTAINTY: lambda: _uncertainty(maps, header),
            DEPTH_INFO: lambda: messages.camera_info(maps.camera, header, self.baseline),
            COMPRESSED: lambda: compressed_depth(
                depth(), encoding, p("min_depth"), p("max_depth"), header
            ),
            POINTS: lambda: cloud(depth(), maps.image, maps.camera, p("points_step"), header),
            STATIC_POINTS: lambda: cloud(
                _without_movers(depth(), maps), maps.image, maps.camera, p("points_step"), header
            ),
            RECTIFIED: lambda: rgb(maps.image),
            ODOM: lambda: self._odometry_message(step, header),
            **{topic: partial(_mono, mask, header) for topic, mask in masks.items()},
            **{t: partial(_png, masks[mask], header) for t, mask in MASK_PNGS.items()},
            OBJECTS: lambda: self._objects_message(step, header),
            DETECTIONS: lambda: detections.detections(VISION, _gate_result(step), header),
            COLOR: lambda: rgb(depth_colors(self._depth(at_network))),
            OVERLAY: lambda: rgb(_overlay(maps)),
            STATIC_IMAGE: lambda: rgb(static_image(at_network.image, frame.dynamic)),
            DYNAMIC_IMAGE: lambda: rgb(dynamic_image(at_network.image, frame.dynamic)),
        }
        if pair := step.pair:
            builders |= {
                TARGET: lambda: _transform(pair.target, header),
                STATIC: lambda: _transform(pair.static, header),
                PROJECTION: lambda: _projection(pair, header),
                **{t: partial(_matrix, of, pair) for t, of in MATRICES.items()},
            }
        return builders

    def _odometry_message(self, step: Step, header: Header) -> OdometryMessage:
        assert self._odometry is not None
        message = self._odometry.message(step, header, self._parameter("depth_scale"))
        if self._broadcaster is not None:
            self._broadcaster.sendTransform(odometry.transform(message))
        return message

    def _objects_message(self, step: Step, header: Header) -> MarkerArray:
        result = _gate_result(step)
        unit = "m/s" if step.frame.scale.metric else "units/s"
        # After a longer gap there is no pair, hence no decision: RViz then removes the markers.
        return self._objects.message(result, header, unit, self._parameter("longest_gap"))

    def _depth(self, maps: ImageMaps) -> NDArray[np.float32]:
        p = self._parameter
        return maps.depth(p("min_depth"), p("max_depth"), p("max_uncertainty"))


def _mono(mask: Callable[[], NDArray[np.uint8]], header: Header) -> Image:
    return messages.image(mask(), "mono8", header)


def _png(mask: Callable[[], NDArray[np.uint8]], header: Header) -> CompressedImage:
    data = compressed_image.to_png(mask())
    return CompressedImage(header=header, format=compressed_image.MASK_FORMAT, data=data)


def _uncertainty(maps: ImageMaps, header: Header) -> Image | None:
    """The standard deviation of log depth; None for a network that gives none."""
    deviation = maps.deviation
    return None if deviation is None else messages.image(deviation, "32FC1", header)


def _without_movers(depth: NDArray[np.float32], maps: ImageMaps) -> NDArray[np.float32]:
    """The depth, NaN on regions that move; undecided ones stay, for they may be obstacles."""
    return np.where(maps.moving == Motion.MOVING, np.float32(np.nan), depth)


def _gate_result(step: Step) -> GateResult | None:
    return step.pair.gate_result if step.pair else None


def _transform(pose: PoseEstimate, header: Header) -> TransformStamped | None:
    return messages.transform(pose.T_second_from_first, header) if pose.ok else None


def _matrix(of: Callable[[Pair], Matrix], pair: Pair) -> Float64MultiArray:
    return messages.matrix(of(pair))


def _projection(pair: Pair, header: Header) -> Image | None:
    """The target projection image (block 107); None without a target pose."""
    target = pair.projection()
    return None if target is None else messages.image(target.projection, "rgb8", header)


def _overlay(maps: ImageMaps) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, the gate's decisions drawn over the image."""
    pair = maps.step.pair
    result = pair.gate_result if pair else None
    if result is None:
        return outline(maps.image, maps.moving)
    return outlined_regions(maps.image, maps.resized(result.region_ids), result.regions)
