# SPDX-License-Identifier: Apache-2.0
"""Convert the gate's regions to vision_msgs, where that package is installed.

A Detection3D has no field for a velocity. Each detection therefore has two results: the class with
the position, and the decision (still, undecided, moving) with the velocity in place of a position.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from depth_recog.method.gate.by_image import Motion
from depth_recog.method.gate.ground import NETWORK_STD
from depth_recog.method.gate.result import GateResult, Region
from depth_recog.nodes.io.objects import box_sides, has_geometry


def detections(kinds: Any, result: GateResult | None, header: Header) -> Any:
    """A vision_msgs/Detection3DArray of one frame; empty where nothing is known of objects.

    Args:
        kinds: the module vision_msgs.msg.
        result: None with another gate, or without a pair of frames.
        header: of the frame's image.
    """
    regions = [region for region in result.regions if has_geometry(region)] if result else []
    found = [_detection(kinds, region, header) for region in regions]
    return kinds.Detection3DArray(header=header, detections=found)


def label_info(kinds: Any, classes: Sequence[str], header: Header) -> Any:
    """A vision_msgs/LabelInfo: the names of the ids in `mask/labels`.

    Args:
        kinds: the module vision_msgs.msg.
        classes: names; the index is the id.
        header: with the time since when they are valid.
    """
    names = [kinds.VisionClass(class_id=i, class_name=name) for i, name in enumerate(classes)]
    return kinds.LabelInfo(header=header, class_map=names)


def _detection(kinds: Any, region: Region, header: Header) -> Any:
    detection = kinds.Detection3D(header=header, id=str(region.region_id))
    sides = box_sides(region)
    box = detection.bbox
    _set(box.center.position, region.centre)
    _set(box.size, sides)
    object_class = _hypothesis(kinds, region.name, 1.0)
    _set(object_class.pose.pose.position, region.centre)
    object_class.pose.covariance = _covariance(position_covariance(region.centre, sides))
    motion = _hypothesis(kinds, region.motion.name.lower(), confidence(region))
    _set(motion.pose.pose.position, region.velocity)
    motion.pose.covariance = _covariance(np.diag(np.square(region.velocity_std)))
    detection.results = [object_class, motion]
    return detection


def _hypothesis(kinds: Any, class_id: str, score: float) -> Any:
    result = kinds.ObjectHypothesisWithPose()
    result.hypothesis.class_id, result.hypothesis.score = class_id, score
    return result


def confidence(region: Region) -> float:
    """The probability of the decision at even prior odds; 0.5 for undecided."""
    if region.motion is Motion.UNDECIDED or not math.isfinite(region.score):
        return 0.5
    moving = 1 / (1 + math.exp(-max(-60.0, min(60.0, region.score / 2))))
    return moving if region.motion is Motion.MOVING else 1 - moving


def position_covariance(
    centre: NDArray[np.float64], sides: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(3, 3) covariance of an object's centre.

    The depth's standard deviation (`NETWORK_STD`, relative) moves it along the viewing ray; it lies
    anywhere in the box, of whose uniform distribution the standard deviation is side / sqrt(12).
    """
    along = NETWORK_STD * centre
    return np.asarray(np.outer(along, along) + np.diag(np.square(sides) / 12), np.float64)


def _covariance(linear: NDArray[np.float64]) -> list[float]:
    """(3, 3) to ROS's (6, 6) by rows; nothing is known of rotations, whose variances are 0."""
    full = np.zeros((6, 6))
    full[:3, :3] = linear
    values: list[float] = full.reshape(-1).tolist()
    return values


def _set(target: Any, values: NDArray[np.float64]) -> None:
    target.x, target.y, target.z = (float(value) for value in values)
