# SPDX-License-Identifier: Apache-2.0
"""What tells the depth node where metres come from: the robot's motion, and the camera's height."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import NavSatFix

from depth_recog.interfaces import pose
from depth_recog.interfaces.robot_motion import RobotMotion
from depth_recog.limits import FRAME_CHARACTERS, TRANSFORM_FRAMES
from depth_recog.method.geometry.se3 import Matrix, inverse_matrix
from depth_recog.method.scale.estimator import KNOWN_TILT_STD, ScaleSettings
from depth_recog.method.scale.height import CameraMount
from depth_recog.nodes.io import messages
from depth_recog.nodes.io.seam import transform_messages
from depth_recog.nodes.runtime.qos import QosWatch

TOPICS = {"odometry": Odometry, "speed": TwistStamped, "gps": NavSatFix}
"""Topics that tell the robot's motion, before remapping."""
_SMALLEST_M, _LARGEST_M = 0.05, 50.0
_SAME_M, _SAME = 0.01, 0.002
_DEPTH = 10
"""Messages that DDS keeps for the node, with room for the longest that it has seen."""


class ScaleInputs:
    """Subscribes to the robot's motion and to tf, as far as the scale needs them.

    Args:
        watch: creates the subscriptions.
        scale: the settings.
        motion: takes messages of motion.
        base_frame: the frame on the ground below the robot, z up.
        mounted: called with the mount that tf tells, when it changes.
    """

    def __init__(
        self,
        watch: QosWatch,
        scale: ScaleSettings,
        motion: RobotMotion,
        base_frame: str,
        mounted: Callable[[CameraMount], None],
    ) -> None:
        self._watch, self._motion = watch, motion
        self._base, self._mounted = base_frame, mounted
        self._tree = TransformTree()
        self._mount: CameraMount | None = None
        self.frame = ""
        """Frame of the images; set by the caller."""
        lossy = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscriptions = []
        if scale.by_odometry:
            for topic, kind in TOPICS.items():
                self._subscriptions.append(watch.subscription(kind, topic, self._moved, lossy))
        if scale.mode in ("camera_height", "auto") and scale.mount is None:
            self._listen_to_tf()

    def _listen_to_tf(self) -> None:
        kind = transform_messages()
        if kind is None:
            self._watch.node.get_logger().warning(
                "no camera_height is set, and tf2_msgs is not installed: set camera_height"
            )
            return
        often = QoSProfile(depth=100)
        once = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for topic, qos in (("/tf", often), ("/tf_static", once)):
            self._subscriptions.append(
                self._watch.subscription(kind.TFMessage, topic, self._transforms, qos)
            )

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._watch.destroy(subscription)
        self._subscriptions = []

    def _moved(self, message: Any) -> None:
        self._motion.add(messages.stamp_ns(message.header), message)

    def _transforms(self, message: Any) -> None:
        for one in message.transforms:
            self._tree.add(one.header.frame_id, one.child_frame_id, one.transform)
        if not self.frame:
            return
        matrix = self._tree.between(self._base, self.frame)
        mount = None if matrix is None else mount_of(matrix)
        if mount is not None and not _alike(mount, self._mount):
            self._mount = mount
            self._mounted(mount)


class TransformTree:
    """The newest transforms of tf, without tf2_ros."""

    def __init__(self) -> None:
        self._parents: dict[str, tuple[str, Matrix]] = {}

    def add(self, parent: str, child: str, transform: Any) -> None:
        """Take a geometry_msgs/Transform; one that is not valid, or of too many, is left out."""
        matrix = pose.from_message(transform.translation, transform.rotation)
        child, parent = child.lstrip("/"), parent.lstrip("/")
        full = child not in self._parents and len(self._parents) >= TRANSFORM_FRAMES
        if matrix is not None and not full and len(child) + len(parent) <= FRAME_CHARACTERS:
            self._parents[child] = parent, matrix

    def between(self, target: str, source: str) -> Matrix | None:
        """(4, 4) T_target_from_source; None while the frames are not connected."""
        roots = [self._to_root(frame.lstrip("/")) for frame in (target, source)]
        if roots[0][0] != roots[1][0]:
            return None
        return np.asarray(inverse_matrix(roots[0][1]) @ roots[1][1])

    def _to_root(self, frame: str) -> tuple[str, Matrix]:
        matrix: NDArray[np.float64] = np.eye(4)
        for _ in range(len(self._parents) + 1):  # a loop would never end
            if frame not in self._parents:
                break
            frame, step = self._parents[frame]
            matrix = step @ matrix
        return frame, matrix


def mount_of(T_base_from_optical: Matrix) -> CameraMount | None:
    """The mount of a camera; None where its height cannot be that of a camera.

    Args:
        T_base_from_optical: (4, 4), from optical axes to those of a frame on the ground, z up.
    """
    height = float(T_base_from_optical[2, 3])
    if not _SMALLEST_M <= height <= _LARGEST_M:
        return None
    x, y, z = (-T_base_from_optical[2, :3]).tolist()
    return CameraMount(height, (x, y, z), KNOWN_TILT_STD)


def _alike(mount: CameraMount, other: CameraMount | None) -> bool:
    """Whether a mount has not changed but for the noise of a suspension."""
    if other is None or abs(mount.height - other.height) > _SAME_M:
        return False
    return float(np.dot(mount.down, other.down)) > 1 - _SAME
