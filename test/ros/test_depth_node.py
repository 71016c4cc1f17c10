# SPDX-License-Identifier: Apache-2.0
"""The depth node as a process, tested over DDS as a robot uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_messages
import ros_peer
import ros_processes as rp
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import ReliabilityPolicy
from robot import (
    DEPTH,
    HEIGHT,
    INFO,
    MASKS,
    MATRICES,
    NODE,
    TOPICS,
    TRANSFORMS,
    WIDTH,
    Robot,
    fleet,
    street,
    unharmed,
)
from sensor_msgs.msg import CameraInfo, Image

from depth_recog.networks.backends.choice import choose

AUTO = choose("auto", "cpu", "auto").precision
pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def robot() -> Iterator[Robot]:
    """One node that most tests share; each test restores what it changed."""
    with fleet() as start:
        process, peer = start("robot")
        peer.begin(TOPICS, until=(DEPTH, INFO, *MASKS))
        yield peer
        process.end()


alive = pytest.fixture(autouse=True)(unharmed)


# Outputs of one image


def test_depth_has_the_images_stamp_frame_and_size(robot: Robot) -> None:
    stamp = robot.image()
    got = robot.all_of(stamp)
    for topic, message in got.items():
        assert message.header.frame_id == "cam", topic
        assert (message.width, message.height) == (WIDTH, HEIGHT), topic
    info = got[INFO]
    assert info.k[0] == pytest.approx(0.58 * WIDTH)
    assert info.k[2] == pytest.approx(WIDTH / 2)
    assert list(info.p)[:3] == list(info.k)[:3]
    assert not any(info.d)


def test_depth_is_in_metres_as_in_rep_118(robot: Robot) -> None:
    message = robot.depth_of(robot.image())
    assert message.encoding == "32FC1"
    assert message.step == 4 * WIDTH
    depth = ros_messages.array_of(message)
    finite = depth[np.isfinite(depth)]
    assert finite.size > depth.size / 4
    assert (finite >= 0.1).all()
    assert (finite <= 80).all()
    assert not np.isneginf(depth).any()


def test_masks(robot: Robot) -> None:
    robot.image(0)
    got = robot.all_of(robot.image(1))
    labels, dynamic, moving = (ros_messages.array_of(got[topic]) for topic in MASKS)
    assert all(got[topic].encoding == "mono8" for topic in MASKS)
    assert set(np.unique(labels)) <= set(range(19))
    assert set(np.unique(dynamic)) <= {0, 255}
    assert set(np.unique(moving)) <= {0, 1, 2}
    # Cityscapes train ids from 11 (person) on are classes that can move.
    assert np.array_equal(dynamic == 255, labels >= 11)
    assert not (moving[dynamic == 0]).any()


def test_poses_of_a_drive(robot: Robot) -> None:
    """Matrices and transforms agree, and show that the camera drives forward."""
    for index in range(3):
        robot.depth_of(robot.image(index))
    # Matrices have no stamp: wait for those of earlier images, then clear them.
    robot.settled()
    robot.drain()
    for topic in (*TRANSFORMS, *MATRICES):
        robot.heard[topic].clear()
    stamp = robot.image(3)
    robot.wait(lambda: all(robot.heard[t] for t in (*TRANSFORMS, *MATRICES)), "the poses")
    matrices = {}
    for topic in MATRICES:
        message = robot.heard[topic][-1]
        assert [(d.label, d.size, d.stride) for d in message.layout.dim] == [
            ("row", 4, 16),
            ("column", 4, 4),
        ]
        assert message.layout.data_offset == 0
        matrices[topic] = np.array(message.data).reshape(4, 4)
    for topic in TRANSFORMS:
        message = robot.heard[topic][-1]
        assert ros_messages.stamp_ns(message) == stamp
        assert message.header.frame_id == "cam"
        assert message.child_frame_id == "cam/first"
        matrix = matrices[f"{topic}_matrix"]
        assert np.array_equal(matrix[3], (0, 0, 0, 1))
        rotation = ros_messages.rotation_of(message.transform.rotation)
        assert np.allclose(rotation, matrix[:3, :3], atol=1e-6)
        t = message.transform.translation
        assert np.allclose((t.x, t.y, t.z), matrix[:3, 3])
        assert np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-6)
        # A static point ahead comes nearer: its z decreases.
        assert t.z < -0.1
    assert np.array_equal(matrices["pose/dynamic_matrix"][3], (0, 0, 0, 1))
    difference = matrices["pose/static_matrix"] - matrices["pose/dynamic_matrix"]
    assert np.allclose(matrices["pose/absolute_difference"], np.abs(difference))


def test_every_image_is_published_or_counted(robot: Robot) -> None:
    """Of forty images at once the newest are processed; the others are counted as dropped."""
    robot.depth_of(robot.image())
    before = robot.settled()
    stamps = [robot.image(i % 3) for i in range(40)]
    robot.depth_of(stamps[-1])
    after = robot.settled()
    grown = {k: after[k] - before[k] for k in after}
    assert grown["received"] <= 40
    assert grown["published"] + grown["dropped"] + grown["unmatched"] == grown["received"]
    assert grown["rejected"] == grown["idle"] == 0

    def answered(topic: str) -> list[int]:
        return [s for s in map(ros_messages.stamp_ns, robot.heard[topic]) if s >= stamps[0]]

    for topic in (DEPTH, INFO):
        robot.wait(lambda t=topic: len(answered(t)) >= grown["published"], f"all of {topic}")
    assert len(answered(DEPTH)) == grown["published"]
    assert answered(DEPTH) == sorted(set(answered(DEPTH)))
    assert set(answered(DEPTH)) <= set(stamps)
    assert answered(INFO) == answered(DEPTH)


def test_diagnostics_name_weights_device_and_precision(robot: Robot) -> None:
    robot.settled()
    rows = robot.diagnostics
    assert rows["weights"] == "depth-street"
    assert len(rows["weights sha256"]) == 64
    assert rows["device"] == "cpu"
    assert rows["precision"] == AUTO
    assert {"depth/image_rect", "depth/camera_info"} <= set(rows["listened to"].split(", "))
    assert float(rows["latency p50 (ms)"]) > 0
    assert float(rows["depth network (ms)"]) > 0


# Live parameters


def test_16uc1_is_millimetres(robot: Robot) -> None:
    metres = ros_messages.array_of(robot.depth_of(robot.image()))
    with robot.parameters(depth_encoding="16UC1"):
        message = robot.depth_of(robot.image())
    assert message.encoding == "16UC1"
    assert message.step == 2 * WIDTH
    millimetres = ros_messages.array_of(message)
    good = np.isfinite(metres) & (metres < 65.5)
    assert np.abs(millimetres[good] - metres[good] * 1000).max() <= 0.51
    assert not millimetres[~np.isfinite(metres)].any()


def test_range_is_marked(robot: Robot) -> None:
    with robot.parameters(min_depth=8.0, max_depth=20.0):
        depth = ros_messages.array_of(robot.depth_of(robot.image()))
    assert np.isposinf(depth).any()
    assert np.isneginf(depth).any()  # REP 117: nearer than min_depth
    finite = depth[np.isfinite(depth)]
    assert finite.min() >= 8
    assert finite.max() <= 20


def test_output_at_the_networks_size(robot: Robot) -> None:
    big = np.repeat(np.repeat(street(0), 2, axis=0), 2, axis=1)
    with robot.parameters(output_size="network", width=WIDTH):
        got = robot.all_of(robot.send(big))
    assert {(m.width, m.height) for m in got.values()} == {(WIDTH, HEIGHT)}
    # Half the size halves the focal length; pixel coordinates refer to pixel centres.
    assert got[INFO].k[0] == pytest.approx(0.58 * WIDTH)
    assert got[INFO].k[2] == pytest.approx((WIDTH + 0.5) / 2 - 0.5)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("depth_encoding", "64FC1", "is not one of 32FC1, 16UC1"),
        ("max_depth", -5.0, "max_depth"),
        ("min_depth", 90.0, "must be less than max_depth"),
        ("threads", 2, "threads takes effect at configure"),
        ("device", "cpu", "deactivate"),
        ("precision", "float32", "precision takes effect at configure"),
        ("precision", "half", "is not one of auto, float32, bfloat16"),
        ("dynamic_classes", ["unicorn"], "'unicorn'"),
        ("image_bits", 5, "8 to 16, or 0"),
    ],
)
def test_bad_live_parameter(robot: Robot, name: str, value: Any, words: str) -> None:
    assert words in robot.refusal(NODE, **{name: value})


def test_another_encoding_with_padded_rows(robot: Robot) -> None:
    """The same depth as of rgb8; test_seam_contract.py tests all encodings."""
    plain = ros_messages.array_of(robot.depth_of(robot.send(street(0))))
    alpha = np.full((HEIGHT, WIDTH, 1), 9, np.uint8)
    bgra = np.concatenate((street(0)[..., ::-1], alpha), axis=2).reshape(HEIGHT, -1)
    rows = np.pad(bgra, ((0, 0), (0, 32)), constant_values=200)
    stamp = robot.new_stamp()
    robot.infos.publish(ros_messages.info_message((WIDTH, HEIGHT), stamp))
    step = rows.shape[1]
    robot.images.publish(
        ros_messages.image_message(rows.tobytes(), "bgra8", stamp, (WIDTH, HEIGHT), step)
    )
    assert np.array_equal(ros_messages.array_of(robot.depth_of(stamp)), plain, equal_nan=True)


def test_a_camera_of_twelve_bits(robot: Robot) -> None:
    """The same depth as of mono8, with the bits given and found; test_bit_depth.py has the rest."""
    grey = np.ascontiguousarray(street(0)[..., 1])
    plain = ros_messages.array_of(robot.depth_of(robot.send(grey, "mono8")))
    twelve = (grey.astype(np.uint16) * 257) >> 4
    with robot.parameters(image_bits=12):
        given = ros_messages.array_of(robot.depth_of(robot.send(twelve, "mono16")))
    found = ros_messages.array_of(robot.depth_of(robot.send(twelve, "mono16")))
    for depth in (given, found):
        assert np.array_equal(depth, plain, equal_nan=True)


# Bad images are rejected and counted, and the next image is processed


NAN_K = [float("nan"), 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]
EMPTY = {"width": 0, "height": 0, "step": 0, "data": []}
UNCALIBRATED = {"k": [0.0] * 9, "r": [0.0] * 9, "p": [0.0] * 12}
BAD: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "truncated": ({"data": bytes(3 * WIDTH * HEIGHT - 100)}, {}, ("truncated", "159644")),
    "short step": ({"step": 3 * WIDTH - 1}, {}, ("step 1247", "1248")),
    "unknown encoding": ({"encoding": "rgb10"}, {}, ("'rgb10'", "convert")),
    "empty": (EMPTY, {}, ("0x0", "empty")),
    "uncalibrated": ({}, UNCALIBRATED, ("uncalibrated", "calibrate it")),
    "normalised": ({}, {"k": [0.58, 0.0, 0.5, 0.0, 1.92, 0.5, 0.0, 0.0, 1.0]}, ("normalised",)),
    "other size": ({}, {"width": 64, "height": 48}, ("416x128", "64x48")),
    "unknown lens": ({}, {"distortion_model": "banana", "d": [0.1] * 3}, ("banana", "plumb_bob")),
    "not finite": ({}, {"k": NAN_K}, ("not finite",)),
}
"""Changed fields of a good image, those of its camera_info, and words of the rejection."""


def send_bad(robot: Robot, kind: str) -> int:
    """Publish a bad image with its camera_info; return their stamp."""
    stamp = robot.new_stamp()
    image = ros_messages.image_message(street(0), "rgb8", stamp)
    info = ros_messages.info_message((WIDTH, HEIGHT), stamp)
    for message, changes in zip((image, info), BAD[kind][:2], strict=True):
        for name, value in changes.items():
            setattr(message, name, value)
    robot.infos.publish(info)
    robot.images.publish(image)
    return stamp


def test_bad_images_are_rejected_with_the_reason(robot: Robot) -> None:
    robot.depth_of(robot.image())
    before = robot.settled()
    last = before["rejected"]
    for kind, (_, _, words) in BAD.items():
        stamp = send_bad(robot, kind)
        last += 1
        robot.wait(lambda n=last: robot.counts()["rejected"] >= n, f"the rejection of: {kind}")
        assert robot.counts()["rejected"] == last
        for word in words:
            assert word in robot.diagnostics["last rejection"], kind
        robot.process.assert_alive()
        assert robot.of_stamp(DEPTH, stamp) is None
    robot.depth_of(robot.image())
    after = robot.settled(before["received"] + len(BAD) + 1)
    assert after["rejected"] - before["rejected"] == len(BAD)


def test_an_image_with_a_negative_stamp_is_processed(robot: Robot) -> None:
    """A driver with a wrong clock must not crash the node."""
    robot.depth_of(robot.image())
    before = robot.settled()
    robot.image(stamp=-5 * 10**9)
    after = robot.settled(before["received"] + 1)
    assert after["published"] == before["published"] + 1
    robot.process.assert_alive()
    robot.depth_of(robot.image())


def test_one_wrong_stamp_costs_no_other_image(robot: Robot) -> None:
    """Depth for every image; the image after it is compared with those before it."""
    for index in (0, 1):
        robot.depth_of(robot.image(index))
    robot.depth_of(robot.image(2, stamp=robot.new_stamp() + 3600 * 10**9))
    stamp = robot.image(3)
    robot.depth_of(stamp)
    robot.wait(lambda: robot.of_stamp("pose/static", stamp), "the pose after the wrong stamp")
    robot.process.wait_for_line("header stamps jump by")


def test_a_driver_without_stamps(robot: Robot) -> None:
    """The times of arrival are those of the images; the outputs keep the zero."""
    for index in range(3):
        for topic in (DEPTH, "pose/static"):
            robot.heard[topic].clear()
        robot.image(index, stamp=0)
        robot.depth_of(0)
    # Two images that arrive far apart, on a busy machine, are not compared.
    further = iter(range(3, 1000))
    robot.repeat(
        lambda: robot.image(next(further) % 30, stamp=0),
        lambda: robot.of_stamp("pose/static", 0),
        "a pose",
    )
    robot.process.wait_for_line("header stamps are not set")
    robot.depth_of(robot.image())


def test_an_uncalibrated_camera_is_logged(robot: Robot) -> None:
    """A camera_info of zeros is logged once, with the remedy."""

    send_bad(robot, "uncalibrated")
    line = robot.process.wait_for_line(r"ERROR.*K\[0\] == 0")
    assert "camera_calibration" in line
    robot.depth_of(robot.image())


# Streams that change


def test_image_before_camera_info(robot: Robot) -> None:
    """It waits for its own, which has another K than those before."""
    own: list[int] = []

    def send() -> None:
        # Again if the camera_info was late: an image that is the last one waits for 0.5 s only.
        own.append(robot.new_stamp())
        robot.images.publish(ros_messages.image_message(street(0), "rgb8", own[-1]))
        robot.infos.publish(ros_messages.info_message((WIDTH, HEIGHT), own[-1], 300.0))

    robot.depth_of(robot.image())
    robot.repeat(
        send,
        lambda: any(m.k[0] == 300 for s in own if (m := robot.of_stamp(INFO, s))),
        "the depth of an image with its own K",
    )
    robot.depth_of(own[-1])
    robot.depth_of(robot.image())


def test_camera_info_changes_the_size_in_mid_stream(robot: Robot) -> None:
    robot.depth_of(robot.image())
    small = street(0)[:, :200]
    for pixels in (small, street(0), small):
        got = robot.all_of(robot.send(pixels))
        height, width = pixels.shape[:2]
        assert {(m.width, m.height) for m in got.values()} == {(width, height)}
        assert got[INFO].k[0] == pytest.approx(0.58 * width)


def test_camera_info_changes_its_k_in_mid_stream(robot: Robot) -> None:
    """After a zoom the next depth uses the new K, and no pair mixes both."""
    focal = 0.58 * WIDTH
    robot.depth_of(robot.image(0))
    for factor in (1.5, 1.0):
        stamp = robot.new_stamp()
        robot.infos.publish(ros_messages.info_message((WIDTH, HEIGHT), stamp, factor * focal))
        robot.images.publish(ros_messages.image_message(street(1), "rgb8", stamp))
        assert robot.all_of(stamp)[INFO].k[0] == pytest.approx(factor * focal)
        robot.settled()
        robot.drain()
        assert robot.of_stamp("pose/target", stamp) is None


def test_a_recording_in_a_loop_with_its_own_clock(start: Any) -> None:
    """/clock and stamps jump back repeatedly: the node continues, without a pair across a jump."""
    process, peer = start("looped", {"use_sim_time": True})
    peer.listen(TOPICS)
    values = {
        "source": "synthetic:street?frames=6&width=104&height=32&rate=20",
        "rate": 5.0,
        "loop": True,
        "stamps": "recorded",
        "publish_clock": True,
        "use_sim_time": True,
    }
    camera = rp.start_node("camera_node", "looped", values, forked=True)
    try:
        peer.wait(lambda: peer.counts()["published"] > 0, "the first report of depth")
        # An image that was discovered before its camera_info is unmatched.
        early = peer.counts()["unmatched"]
        peer.heard[DEPTH].clear()
        peer.wait(
            lambda: [ros_messages.stamp_ns(m) for m in peer.heard[DEPTH]].count(0) >= 3,
            "three beginnings",
        )
        for topic in TRANSFORMS:
            peer.wait(lambda t=topic: peer.heard[t], topic)
            assert not {ros_messages.stamp_ns(m) for m in peer.heard[topic]} & {0}
        counts = peer.counts()
        assert (counts["rejected"], counts["unmatched"]) == (0, early)
    finally:
        camera.interrupt()
        camera.kill()
    # The camera is gone and /clock stands still; the diagnostics report it nevertheless.
    peer.status("input", DiagnosticStatus.ERROR, "no image for")
    process.end()


def test_a_jump_back_in_time_ends_the_tracks(robot: Robot) -> None:
    """A replayed recording: no pose connects its end with its beginning."""
    start = robot.new_stamp()
    for offset in (0, 1, 2):
        stamp = start + offset * 10**8
        robot.depth_of(robot.image(offset, stamp=stamp))
    robot.of("pose/static", stamp)
    replayed = start - 10**9
    robot.depth_of(robot.image(0, stamp=replayed))
    # Diagnostics are published after the poses of the same image.
    robot.settled()
    robot.drain()
    assert robot.of_stamp("pose/static", replayed) is None
    robot.new_stamp(10**9)


# camera_info with other stamps: a separate node, since the first images matter


def test_camera_info_of_other_stamps(start: Any) -> None:
    """camera_info whose stamps differ from the images': one warning, and depth nevertheless."""
    process, peer = start("loose")
    peer.advertise()
    peer.listen({DEPTH: Image})

    def send() -> None:
        stamp = peer.new_stamp()
        peer.infos.publish(ros_messages.info_message((WIDTH, HEIGHT), stamp - 12_345))
        peer.images.publish(ros_messages.image_message(street(0), "rgb8", stamp))

    peer.repeat(send, lambda: len(peer.heard[DEPTH]) >= 5, "five depth images")
    process.wait_for_line("WARN.*not every image has a camera_info")
    peer.settled()
    assert process.stderr.count("not every image has a camera_info") == 1
    assert process.interrupt() == 0, process.story()
    # At its end the node logs the counts of all outcomes.
    assert "images: received" in process.stderr


# Names, QoS, programs of others


def test_namespace_remapping_and_reliability(start: Any) -> None:
    remap = {
        "__node": "eyes",
        "image": "camera/image_raw",
        "camera_info": "camera/info",
        DEPTH: "/shared/depth",
    }
    arguments = tuple(x for k, v in remap.items() for x in ("-r", f"{k}:={v}"))
    process, peer = start("fleet/seven", {"image_reliability": "reliable"}, arguments)
    peer.advertise("camera/image_raw", "camera/info")
    peer.listen({"/shared/depth": Image, "/shared/camera_info": CameraInfo})
    peer.send_until_heard(street(0), ["/shared/depth", "/shared/camera_info"])
    peer.settled()
    assert process.popen.poll() is None
    (publisher,) = peer.node.get_publishers_info_by_topic("/shared/depth")
    assert publisher.node_name == "eyes"
    assert publisher.node_namespace == "/fleet/seven"
    assert publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    # A best-effort publisher does not match a reliable subscription: the node must warn.
    peer.advertise("camera/image_raw", "camera/info", reliable=False)
    process.wait_for_line("WARN.*(?i:incompatible QoS).*RELIABILITY")
    process.assert_alive()


def test_best_effort_publisher(robot: Robot) -> None:
    robot.advertise(reliable=False)
    try:
        robot.send_until_heard(street(0), [DEPTH])
    finally:
        robot.advertise()
        robot.send_until_heard(street(0), [DEPTH])


@pytest.mark.parametrize("reliability", ["reliable", "best_effort"])
def test_plain_rclpy_programs_work_with_the_node(robot: Robot, reliability: str) -> None:
    """A driver and a planner in plain rclpy, connected only through the node."""
    robot.withdraw()
    listener = rp.foreign("listener.py", "robot")
    driver = None
    try:
        listener.wait_for_line("ready")
        # The node must have discovered the planner before the driver begins.
        robot.wait(
            lambda: len(robot.node.get_subscriptions_info_by_topic("/robot/depth/image_rect")) == 2,
            "the planner's subscription",
        )
        driver = rp.foreign("camera.py", "robot", "104x32", "8", reliability)

        def records(topic: str) -> dict[int, Any]:
            """What the planner has received, by stamp."""
            lines = [json.loads(x) for x in listener.stdout.splitlines() if x.startswith("{")]
            return {line["stamp"]: line for line in lines if line["topic"] == topic}

        rp.wait_until(
            lambda: len(records("depth").keys() & records("info").keys()) >= 2,
            "two depth images with their camera_info",
        )
        for record in (*records("depth").values(), *records("info").values()):
            assert record["frame"] == "fast_camera_optical"
            assert record["size"] == [104, 32]
        for record in records("depth").values():
            assert record["encoding"] == "32FC1"
            assert record["least"] >= 0.1
    finally:
        for process in (listener, driver):
            if process is not None:
                # Not killed: DDS would keep a killed participant for 20 s.
                process.interrupt()
        robot.advertise()
        robot.send_until_heard(street(0), [DEPTH])


def test_without_subscribers_no_image_is_received(robot: Robot) -> None:
    """The node unsubscribes from images with its last subscriber, and subscribes with the first."""
    images = "/robot/image"
    robot.stop_listening()
    try:
        robot.wait(lambda: not robot.node.count_subscribers(images), "the node to rest")
        before = robot.settled()
        assert "no output has a subscriber" in robot.statuses["input"].message
        for _ in range(5):
            robot.image()
        assert robot.settled() == before
    finally:
        robot.listen(TOPICS)
        robot.send_until_heard(street(0), [DEPTH])
    assert robot.node.count_subscribers(images) == 1
    assert robot.settled()["published"] > before["published"]


# Starts that must fail

BAD_STARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "choice": (("-p", "gate:=sometimes"), ("gate", "'sometimes'", "image")),
    "range": (("-p", "max_depth:=-1.0"), ("max_depth", "-1.0", "0.1")),
    "type": (("-p", "threads:=two"), ("threads", "two", "INTEGER")),
    "together": (("-p", "min_depth:=90.0"), ("min_depth 90.0", "max_depth 80.0")),
    "class": (("-p", "dynamic_classes:=[unicorn]"), ("'unicorn'", "car")),
    "device": (("-p", "device:=banana"), ("'banana'", "auto, cpu, cuda")),
    "precision": (("-p", "precision:=half"), ("'half'", "auto, float32, bfloat16")),
    "no such device": (("-p", "device:=cuda:7"), ("'cuda:7'", "not here")),
    "weights": (("-p", "weights:=/nope.safetensors"), ("/nope.safetensors", "depth-street")),
    "kind of weights": (("-p", "weights:=pose-street"), ("pose network", "depth network")),
    "no weights file": (("-p", f"weights:={__file__}"), ("test_depth_node.py", "safetensors")),
    "syntax": (("-p", "gate"), ("'-p gate'",)),
    "no such file": (("--params-file", "/nope.yaml"), ("/nope.yaml",)),
}


def test_bad_parameters_end_the_node_with_status_1_and_the_reason() -> None:
    starts = (({}, arguments, words) for arguments, words in BAD_STARTS.values())
    rp.assert_all_fail("depth_node", starts)


# Life cycle


def test_life_cycle(start: Any, tmp_path: Path) -> None:
    process, peer = start("managed", {"autostart": False})
    assert peer.state(NODE) == "unconfigured"
    # With a bad file configure fails, the reason is logged, and configure can be tried again.
    assert peer.set_parameters(NODE, weights=str(tmp_path / "no.safetensors")) == (True, "")
    assert not peer.change_state(NODE, "configure")
    process.wait_for_line("no.safetensors: no such weights file")
    assert peer.state(NODE) == "unconfigured"
    assert peer.set_parameters(NODE, weights="") == (True, "")
    peer.change_states(NODE, "configure")
    assert peer.state(NODE) == "inactive"
    peer.advertise()
    peer.listen({DEPTH: Image})
    for _ in range(2):
        peer.change_states(NODE, "activate")
        assert peer.state(NODE) == "active"
        peer.send_until_heard(street(0), [DEPTH])
        # Parameters that take effect at configure are refused while active, and accepted below.
        peer.refusal(NODE, threads=2)
        peer.change_states(NODE, "deactivate")
        assert peer.state(NODE) == "inactive"
    depth = "/managed/depth/image_rect"
    peer.wait(lambda: not peer.node.count_publishers(depth), "the end of the depth topic")
    peer.change_states(NODE, "cleanup")
    assert peer.state(NODE) == "unconfigured"
    precision = "float32" if AUTO == "bfloat16" else "bfloat16"
    changes = {"threads": 2, "depth_encoding": "16UC1", "precision": precision}
    assert peer.set_parameters(NODE, **changes) == (True, "")
    peer.change_states(NODE, "configure", "activate")
    peer.send_until_heard(street(0), [DEPTH])
    assert peer.heard[DEPTH][-1].encoding == "16UC1"
    peer.row("precision", precision)
    counts = peer.settled()
    assert counts["received"] == sum(counts[k] for k in ros_peer.OUTCOMES)
    process.end()


def test_a_wrong_transition_does_not_end_the_node(start: Any) -> None:
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    process, peer = start("wrong", {"autostart": False})
    assert peer.state(NODE) == "unconfigured"
    client = peer.node.create_client(ChangeState, "depth_node/change_state")
    peer.wait(client.service_is_ready, "change_state")
    # rclpy does not answer invalid transitions; the node must survive them.
    for number in (Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE, 77):
        client.call_async(ChangeState.Request(transition=Transition(id=number)))
    process.wait_for_line("(?i)transition", times=3)
    assert peer.state(NODE) == "unconfigured"
    peer.change_states(NODE, "configure")
    assert peer.state(NODE) == "inactive"
    process.end()
