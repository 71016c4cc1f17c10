# SPDX-License-Identifier: Apache-2.0
"""Ground truth of a bag's other topics, joined with its images by stamp."""

import shutil
from pathlib import Path
from typing import Any

import bags
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.errors import SourceError
from depth_recog.interfaces.pose import quaternion


def pose_message(kind: str, stamp: int, matrix: np.ndarray) -> Any:
    def make(name: str, **fields: Any) -> Any:
        return bags.make(f"geometry_msgs/msg/{name}", **fields)

    place = dict(zip("xyz", matrix[:3, 3].tolist(), strict=True))
    q = make("Quaternion", **dict(zip("xyzw", quaternion(matrix[:3, :3]), strict=True)))
    head = bags.header(stamp, "map")
    if kind == "TransformStamped":
        turn = make("Transform", translation=make("Vector3", **place), rotation=q)
        return make(kind, header=head, child_frame_id="c", transform=turn)
    pose = make("Pose", position=make("Point", **place), orientation=q)
    if kind == "PoseStamped":
        return make(kind, header=head, pose=pose)
    zero, cov = make("Vector3", x=0.0, y=0.0, z=0.0), np.zeros(36)
    twist = make("Twist", linear=zero, angular=zero)
    found = make("PoseWithCovariance", pose=pose, covariance=cov)
    speed = make("TwistWithCovariance", twist=twist, covariance=cov)
    return bags.make(
        "nav_msgs/msg/Odometry", header=head, child_frame_id="c", pose=found, twist=speed
    )


@pytest.mark.parametrize("kind", ["PoseStamped", "TransformStamped", "Odometry"])
def test_poses_of_other_topics(tmp_path: Path, kind: str) -> None:
    """The nearest pose within half a frame; None beyond that and where tracking was lost."""
    messages = bags.calibrated()
    offsets = (0, 49_000_000, -49_000_000, 51_000_000)
    for index, offset in enumerate(offsets):
        stamp = bags.START + index * bags.PERIOD + offset
        messages.append(("/pose", stamp, pose_message(kind, stamp, bags.turned(index))))
    lost = pose_message(kind, bags.START + 5 * bags.PERIOD, np.full((4, 4), np.nan))
    messages.append(("/pose", bags.START + 5 * bags.PERIOD, lost))
    bag = Rosbag(f"{bags.write(tmp_path / 'bag', messages)}?pose=/pose")
    for index in range(3):
        pose = bag.truth(index).world_from_camera
        np.testing.assert_allclose(pose, bags.turned(index), 0, 1e-12)
    # The fourth is nearer to the fifth image.
    np.testing.assert_allclose(bag.truth(4).world_from_camera, bags.turned(3), 0, 1e-12)
    assert bag.truth(3).world_from_camera is None
    assert bag.truth(5).world_from_camera is None


def test_depth_of_other_topics(tmp_path: Path) -> None:
    """16UC1 is in millimetres, 0 unknown; another size than the image's is an error."""
    messages = bags.calibrated()
    raw = np.full((24, 32), 1500, np.uint16)
    raw[0, 0] = 0
    stamp = bags.START + 20_000_000
    messages.append(("/depth/image", stamp, bags.image(stamp, raw, "16UC1")))
    half = np.ones((12, 16), np.float32)
    messages.append(("/half/image", stamp, bags.image(stamp, half, "32FC1")))
    bag = bags.write(tmp_path / "bag", messages)
    depth = Rosbag(f"{bag}?image=/cam/image_raw&depth=/depth/image").truth(0).depth
    assert np.isnan(depth[0, 0])
    assert np.all(depth.reshape(-1)[1:] == np.float32(1.5))
    small = Rosbag(f"{bag}?image=/cam/image_raw&depth=/half/image")
    assert small.truth(1).depth is None
    with pytest.raises(SourceError, match=r"/half/image is 16x12, its image 32x24.*registered"):
        small.truth(0)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(offsets=st.lists(st.integers(-60, 660), max_size=12, unique=True))
def test_poses_are_joined_as_by_a_slow_search(offsets: list[int], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "bag", ignore_errors=True)
    messages = bags.calibrated()
    stamps = {bags.START + o * 1_000_000: bags.turned(k) for k, o in enumerate(offsets)}
    for stamp, matrix in stamps.items():
        messages.append(("/pose", stamp, pose_message("PoseStamped", stamp, matrix)))
    anchor = bags.START + 10**12
    messages.append(("/pose", anchor, pose_message("PoseStamped", anchor, np.eye(4))))
    bag = Rosbag(f"{bags.write(tmp_path / 'bag', messages)}?pose=/pose")
    for index, frame in enumerate(bag):
        near = sorted((abs(s - frame.stamp_ns), s) for s in stamps)
        pose = bag.truth(index).world_from_camera
        if near and near[0][0] <= bags.PERIOD // 2:
            np.testing.assert_allclose(pose, stamps[near[0][1]], 0, 1e-12)
        else:
            assert pose is None
