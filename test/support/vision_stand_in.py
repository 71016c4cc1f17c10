# SPDX-License-Identifier: Apache-2.0
"""Classes with the fields of vision_msgs 4 (Jazzy), which the pip wheels lack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from geometry_msgs.msg import Pose, PoseWithCovariance, Vector3
from std_msgs.msg import Header


@dataclass
class VisionClass:
    class_id: int = 0
    class_name: str = ""


@dataclass
class LabelInfo:
    header: Header = field(default_factory=Header)
    class_map: list[VisionClass] = field(default_factory=list)
    threshold: float = 0.0


@dataclass
class ObjectHypothesis:
    class_id: str = ""
    score: float = 0.0


@dataclass
class ObjectHypothesisWithPose:
    hypothesis: ObjectHypothesis = field(default_factory=ObjectHypothesis)
    pose: PoseWithCovariance = field(default_factory=PoseWithCovariance)


@dataclass
class BoundingBox3D:
    center: Pose = field(default_factory=Pose)
    size: Vector3 = field(default_factory=Vector3)


@dataclass
class Detection3D:
    header: Header = field(default_factory=Header)
    results: list[Any] = field(default_factory=list)
    bbox: BoundingBox3D = field(default_factory=BoundingBox3D)
    id: str = ""


@dataclass
class Detection3DArray:
    header: Header = field(default_factory=Header)
    detections: list[Any] = field(default_factory=list)
