# SPDX-License-Identifier: Apache-2.0
"""The diagnostics of a depth node when its inputs or its subscribers have problems, over DDS."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

import ros_messages
import ros_peer
import ros_processes as rp
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robot import DEPTH, HEIGHT, INFO, NODE, WIDTH, Robot, street
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float64MultiArray

pytestmark = pytest.mark.ros
OK, WARN = DiagnosticStatus.OK, DiagnosticStatus.WARN
ERROR = DiagnosticStatus.ERROR


def test_the_names_and_levels_of_the_statuses(start: Any) -> None:
    _, peer = start("fleet/one", {"autostart": False})
    peer.wait(lambda: peer.statuses, "diagnostics")
    assert set(peer.statuses) == {"input", "depth", "gate", "callbacks", "scale", "weights"}
    for part, status in peer.statuses.items():
        assert status.name == f"fleet/one/depth_node: {part}"
        assert status.hardware_id
        assert status.level == OK
        keys = [v.key for v in status.values]
        assert len(set(keys)) == len(keys)
    assert float(peer.diagnostics["resident memory (MB)"]) > 10


def test_a_camera_starts_stops_and_starts_again(start: Any) -> None:
    _, peer = start("watch", {"image_timeout": 1.5})
    peer.status("input", OK, "no output has a subscriber")
    peer.listen({DEPTH: Image})
    peer.status("input", ERROR, "/watch/image has no publisher")
    for _ in range(2):
        camera = rp.foreign("camera.py", "watch", "104x32", "4", "reliable")
        try:
            peer.status("input", OK, "images per second")
            peer.heard[DEPTH].clear()
            peer.wait(lambda: peer.heard[DEPTH], "depth")
        finally:
            camera.kill()  # after SIGKILL DDS reports no end
        peer.status("input", ERROR, "no image for")
    assert peer.set_parameters(NODE, image_timeout=3600.0) == (True, "")
    peer.status("input", OK)


def test_rejected_images_are_an_error_or_a_warning(start: Any) -> None:
    _, peer = start("reject")
    peer.begin()
    peer.status("input", OK)

    def bad() -> None:
        peer.send(street(0)[:, :200], info_size=(WIDTH, HEIGHT))

    def good() -> None:
        peer.send(street(0))

    def until(level: bytes, words: str, *sends: Any) -> None:
        def there() -> bool:
            status = peer.statuses["input"]
            return status.level == level and words in status.message

        peer.repeat(lambda: [send() for send in sends], there, words)

    until(ERROR, "every image is rejected: ", bad)
    assert "416x128" in peer.statuses["input"].message
    until(WARN, "images were rejected", bad, good)
    # Later the warning ends.
    until(OK, "images per second", good)


def test_images_without_camera_info(start: Any) -> None:
    _, peer = start("blind")
    peer.advertise()
    peer.listen({DEPTH: Image})

    peer.repeat(
        lambda: peer.images.publish(
            ros_messages.image_message(street(0), "rgb8", peer.new_stamp())
        ),
        lambda: "no camera_info" in getattr(peer.statuses.get("input"), "message", ""),
        "a warning about camera_info",
    )
    assert peer.statuses["input"].level == WARN
    assert "/blind/camera_info" in peer.statuses["input"].message


def test_a_camera_that_is_too_fast(start: Any) -> None:
    # Small images for a large network: the camera is the faster one on any machine.
    process, peer = start("fast", {"width": 640})
    peer.listen({DEPTH: Image, "pose/target_matrix": Float64MultiArray})
    camera = rp.foreign("camera.py", "fast", "208x64", "60", "reliable")
    try:
        peer.status("depth", WARN, "were dropped for newer ones")
        # At the start the camera may be slower than the node.
        peer.wait(
            lambda: peer.counts()["dropped"] > peer.counts()["published"], "more dropped than done"
        )
    finally:
        camera.interrupt()
    counts = peer.settled()
    assert counts["received"] == sum(counts[k] for k in ros_peer.OUTCOMES)
    process.assert_alive()


BROKEN = """
import sys
from pathlib import Path
import depth_recog.nodes.io.messages as messages
from depth_recog.nodes.process import depth_node

def end(*arguments):
    raise SystemExit

messages.image_to_rgb = end
sys.exit(depth_node())
"""


def test_an_inference_thread_that_ended_is_an_error() -> None:
    """An inference thread that ends unexpectedly is reported as an error."""
    process = rp.Process(
        [sys.executable, "-c", BROKEN, "--ros-args", "-r", "__ns:=/dead", "-p", "threads:=1"]
    )
    peer = Robot("dead", process)
    try:
        peer.advertise()
        peer.listen({DEPTH: Image})

        peer.repeat(
            lambda: peer.send(street(0)),
            lambda: "depth" in peer.statuses and peer.statuses["depth"].level == ERROR,
            "an error",
        )
        assert "inference thread has ended" in peer.statuses["depth"].message
        # The remedy in the message works.
        peer.change_states(NODE, "deactivate", "activate")
        peer.status("depth", OK)
        assert process.interrupt() == 0, process.story()
    finally:
        peer.close()
        process.kill()


# Quality of service


def test_a_camera_whose_qos_does_not_fit(start: Any) -> None:
    process, peer = start("shy", {"image_reliability": "reliable"})
    peer.listen({DEPTH: Image})
    peer.status("input", WARN, "has no publisher")
    peer.advertise(reliable=False)
    status = peer.status("input", WARN, "incompatible QoS RELIABILITY")
    # Both publishers are best-effort; DDS decides which event comes first.
    topic = status.message.split(":")[0]
    assert topic in ("/shy/image", "/shy/camera_info")
    assert f"qos_overrides.{topic}.subscription.reliability to best_effort" in status.message
    assert int(peer.diagnostics["QoS mismatches"]) >= 1
    # A second best-effort publisher is counted, but not logged again.
    extra = peer.node.create_publisher(
        Image, "image", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    before = int(peer.diagnostics["QoS mismatches"])
    peer.wait(lambda: int(peer.diagnostics["QoS mismatches"]) > before, "the second one's event")
    process.wait_for_line("/shy/image: a publisher has an incompatible QoS")
    assert process.stderr.count("/shy/image: a publisher has an incompatible QoS") == 1
    peer.node.destroy_publisher(extra)
    peer.advertise()
    peer.send_until_heard(street(0), [DEPTH])
    peer.status("input", OK)


def test_a_subscriber_whose_qos_does_not_fit(start: Any) -> None:
    process, peer = start("latched")
    peer.wait(lambda: peer.statuses, "diagnostics")
    late = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    subscription = peer.node.create_subscription(CameraInfo, "depth/camera_info", print, late)
    status = peer.status("depth", WARN, "incompatible QoS DURABILITY")
    remedy = "qos_overrides./latched/depth/camera_info.publisher.durability to transient_local"
    assert remedy in status.message
    process.wait_for_line("WARN.*incompatible QoS DURABILITY")
    peer.node.destroy_subscription(subscription)
    peer.status("depth", OK)


OVERRIDES = {
    "image.subscription.reliability": "reliable",
    "image.subscription.depth": 9,
    "camera_info.subscription.durability": "transient_local",
    "depth/image_rect.publisher.reliability": "best_effort",
    "depth/camera_info.publisher.durability": "transient_local",
    "mask/labels.publisher.depth": 2,
}


def test_qos_overrides_are_taken(start: Any) -> None:
    _, peer = start("mine", {f"qos_overrides./mine/{k}": v for k, v in OVERRIDES.items()})
    peer.listen({DEPTH: Image}, reliable=False)
    peer.wait(lambda: peer.node.count_subscribers("/mine/image"), "the subscription")

    def only(at: Any, topic: str) -> Any:
        def ours() -> list[Any]:
            return [e.qos_profile for e in at(topic) if e.node_name == NODE]

        # DDS knows an endpoint before the name of its node.
        (one,) = peer.wait(ours, f"depth_node's endpoint on {topic}")
        return one

    at = peer.node.get_subscriptions_info_by_topic
    assert only(at, "/mine/image").reliability == ReliabilityPolicy.RELIABLE
    # An override applies to its own topic only.
    assert only(at, "/mine/image").durability == DurabilityPolicy.VOLATILE
    assert only(at, "/mine/camera_info").durability == DurabilityPolicy.TRANSIENT_LOCAL
    at = peer.node.get_publishers_info_by_topic
    assert only(at, "/mine/depth/image_rect").reliability == ReliabilityPolicy.BEST_EFFORT
    assert only(at, "/mine/depth/camera_info").durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert only(at, "/mine/mask/labels").reliability == ReliabilityPolicy.RELIABLE


@pytest.mark.parametrize(
    ("executable", "side"), [("depth_node", "subscription"), ("camera_node", "publisher")]
)
def test_qos_overrides_that_cannot_be_used(executable: str, side: str) -> None:
    overrides = (("reliability", "relible"), ("depth", "many"))
    starts = [
        ({f"qos_overrides./bad/image.{side}.{policy}": value}, (), ("QoS of /bad/image", value))
        for policy, value in overrides
    ]
    rp.assert_all_fail(executable, starts)


@pytest.mark.parametrize("reliability", ["reliable", "best_effort"])
def test_large_images_are_not_lost(start: Any, reliability: str) -> None:
    """1280x720 images from another process, with the shipped Fast DDS profile: 20 in a row.

    Its segment holds 11, so no rate matters on a loaded machine; the default one loses most.
    """
    _, peer = start("large", {"image_reliability": reliability})
    peer.listen({INFO: CameraInfo})
    command = [sys.executable, str(rp.FOREIGN / "camera.py"), "large", "1280x720", "15"]
    camera = rp.Process([*command, reliability])
    begin = {"messages lost": 0, "received": 0}

    def whole() -> bool:
        now = {key: int(peer.diagnostics.get(key, 0)) for key in begin}
        if now["messages lost"] > begin["messages lost"]:
            begin.update(now)
        return now["received"] - begin["received"] >= 20

    try:
        peer.wait(whole, "20 images without a loss")
    finally:
        camera.interrupt()
    counts = peer.settled()
    assert counts["rejected"] == 0


def test_messages_that_get_lost_are_counted(start: Any) -> None:
    """Fast DDS's default segment loses large best-effort images."""
    process, peer = start("leaky")
    peer.listen({DEPTH: Image})
    camera = rp.foreign("camera.py", "leaky", "1280x720", "30", "best_effort")
    try:
        peer.wait(lambda: int(peer.diagnostics.get("messages lost", 0)) > 1, "losses")
    finally:
        camera.interrupt()
    line = process.wait_for_line("WARN.*messages get lost")
    assert "fastdds.xml" in line
    assert process.stderr.count("messages get lost") == 1


def test_parameters_without_effect_are_named(start: Any, tmp_path: Path) -> None:
    own, other = tmp_path / "own.yaml", tmp_path / "other.yaml"
    own.write_text(
        "/**:\n  ros__parameters:\n    max_dept: 30.0\n    paint: red\n    image_timeout: 3\n"
        "    qos_overrides./named/depth/image_rect.publisher.reliabilty: best_effort\n"
        "    qos_overrides./named/depth/points.publisher.depth: 2\n"
    )
    other.write_text("depth_node:\n  ros__parameters:\n    max_depth: 30.0\n")
    files = ("--params-file", str(own), "--params-file", str(other))
    process, peer = start("named", {}, files)
    peer.wait(lambda: peer.statuses and peer.statuses["input"].message != "inactive", "active")
    process.wait_for_line("no effect", 4)
    unknown = "is unknown and has no effect: "
    assert f"parameter max_dept {unknown}did you mean max_depth?" in process.stderr
    assert f"parameter paint {unknown}ros2 param list shows the names" in process.stderr
    topic = "qos_overrides./named/depth/image_rect.publisher"
    near = f"{topic}.reliabilty {unknown}did you mean {topic}.reliability?"
    assert near in process.stderr
    process.wait_for_line(f"{other}: no section is for /named/depth_node")
    assert process.stderr.count("no effect") == 4, process.story()
