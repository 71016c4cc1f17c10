# SPDX-License-Identifier: Apache-2.0
"""The camera node as a process: it publishes every frame once, with the configured stamps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_messages
import ros_peer
import ros_processes as rp
from camera_files import write_camera_yaml
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_recog.method.geometry.camera import Camera
from depth_recog.nodes.runtime.children import node_command

pytestmark = pytest.mark.ros

NODE = "camera_node"
CAMERA = Camera(64, 48, 60.0, 61.0, 31.5, 23.5, (-0.1, 0.02, 0.001, 0.0, 0.0))
STREET = "synthetic:street?frames=6&width=96&height=32&rate=20"
TOPICS: dict[str, type] = {"image": Image, "camera_info": CameraInfo}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Five PNGs of one colour each, 0.1 s apart, and the camera's YAML."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for i in range(5):
        pixels = np.full((48, 64, 3), (10 * i, 100, 200), np.uint8)  # B, G, R
        cv2.imwrite(str(folder / f"frame{i}.png"), pixels)
    write_camera_yaml(folder / "camera.yaml", CAMERA)
    return folder


@pytest.fixture
def camera() -> Iterator[Any]:
    """Start camera nodes, each with a peer that subscribes to its topics."""
    with ExitStack() as ends:

        def start(
            namespace: str,
            parameters: dict[str, Any],
            ros_args: tuple[str, ...] = (),
            listen: bool = True,
        ) -> tuple[rp.Process, ros_peer.Peer]:
            peer = ros_peer.Peer(namespace)
            ends.callback(peer.close)
            if listen:
                peer.listen(TOPICS)
            process = rp.start_node(NODE, namespace, parameters, ros_args, forked=True)
            ends.callback(process.kill)
            peer.process = process
            return process, peer

        yield start


def play(source: str | Path, **changes: Any) -> dict[str, Any]:
    """Parameters of a fast play that begins with the first subscriber."""
    return {"source": source, "rate": 50.0, "wait_for_subscribers": 1} | changes


def hear_all(
    process: rp.Process, peer: ros_peer.Peer, count: int, topics: Iterable[str] = TOPICS
) -> None:
    """Collect messages until the node has ended: `count` of each topic, and no more."""
    peer.process = None
    peer.wait(lambda: process.popen.poll() is not None, f"the end of: {process.story()}")
    assert process.wait() == 0, process.story()
    assert "Traceback" not in process.stderr, process.story()
    for topic in topics:
        heard = peer.heard[topic]
        peer.wait(lambda h=heard: len(h) >= count, f"{count} of {topic}; {process.story()}")
    peer.drain()
    assert {topic: len(peer.heard[topic]) for topic in topics} == dict.fromkeys(topics, count)


def test_a_source_without_calibration_has_an_uncalibrated_camera_info(
    camera: Any, clip: Path
) -> None:
    """K of a guess would be taken for a calibration; zeros are what drivers send without one."""
    (clip / "camera.yaml").unlink()
    process, peer = camera("guessed", play(clip, fallback_fov=70.0))
    hear_all(process, peer, 5)
    for info in peer.heard["camera_info"]:
        assert (info.width, info.height) == (64, 48)
        assert not any(info.k)
    assert "metres are a guess" in process.stderr


def stamps(peer: ros_peer.Peer, topic: str = "image") -> list[int]:
    return [ros_messages.stamp_ns(m) for m in peer.heard[topic]]


def test_a_folder_is_played_once(camera: Any, clip: Path) -> None:
    process, peer = camera("folder", play(clip, frame_id="left_optical"))
    hear_all(process, peer, 5)
    images, infos = peer.heard["image"], peer.heard["camera_info"]
    for i, (image, info) in enumerate(zip(images, infos, strict=True)):
        assert image.header == info.header
        assert image.header.frame_id == "left_optical"
        assert image.encoding == "rgb8"
        assert np.array_equal(ros_messages.array_of(image)[0, 0], (200, 100, 10 * i))
        assert (info.width, info.height) == (image.width, image.height) == (64, 48)
        assert (info.k[0], info.k[4], info.k[2], info.k[5]) == (60.0, 61.0, 31.5, 23.5)
        assert list(info.d) == list(CAMERA.distortion)
        assert info.distortion_model == "plumb_bob"
    assert stamps(peer) == sorted(set(stamps(peer)))
    assert "played 5 frames" in process.stderr


def test_compressed_images_where_somebody_listens(camera: Any, clip: Path) -> None:
    """Only the compressed topic has a subscriber; its name, and camera_info's, follow `image`."""
    remapping = ("-r", "image:=left/image_raw")
    process, peer = camera("packed", play(clip), remapping, listen=False)
    topics = {"left/image_raw/compressed": CompressedImage, "left/camera_info": CameraInfo}
    peer.listen(topics)
    hear_all(process, peer, 5, topics)
    assert "played 5 frames" in process.stderr
    messages, infos = (peer.heard[topic] for topic in topics)
    assert [m.header for m in messages] == [m.header for m in infos]
    for i, message in enumerate(messages):
        assert message.format == "rgb8; jpeg compressed bgr8"
        bgr = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
        assert bgr.shape == (48, 64, 3)
        assert np.abs(bgr.astype(int) - (10 * i, 100, 200)).max() <= 3


def test_a_bag_is_played_with_its_stamps(camera: Any, tmp_path: Path) -> None:
    bags = pytest.importorskip("bags")
    bag = bags.write(tmp_path / "bag", bags.calibrated(4) + bags.calibrated(4, "/other/image"))
    source = f"{bag}?image=/cam/image_raw"
    process, peer = camera("bag", play(source, rate=0.0, stamps="recorded"))
    hear_all(process, peer, 4)
    assert stamps(peer) == [frame.stamp_ns for frame in bags.Drive(4)]
    info = peer.heard["camera_info"][0]
    assert (info.k[0], list(info.d)) == (bags.CAMERA.fx, list(bags.CAMERA.distortion))


def without(package: str, executable: str, **parameters: Any) -> rp.Process:
    """Start a node as if a package were not installed."""
    command = node_command(executable, "without", parameters)
    command[2] = f"import sys; sys.modules[{package!r}] = None; {command[2]}"
    return rp.Process(command)


@pytest.mark.parametrize("kind", ["street", "bag", "folder"])
def test_it_plays_without_torch(kind: str, clip: Path, tmp_path: Path) -> None:
    source = {"street": STREET, "folder": str(clip)}.get(kind)
    if source is None:
        bags = pytest.importorskip("bags")
        source = f"{bags.write(tmp_path / 'bag', bags.calibrated(2))}?image=/cam/image_raw"
    process = without("torch", "camera_node", source=source, limit=2)
    assert process.wait() == 0, process.story()
    assert "played 2 frames" in process.stderr


@pytest.mark.parametrize(
    ("package", "remedy"),
    [("cv2", "pip install opencv-python-headless"), ("sensor_msgs", "-sensor-msgs")],
)
def test_a_missing_package_is_named(package: str, remedy: str) -> None:
    process = without(package, "camera_node")
    process.assert_failed(f"package {package} is missing:", remedy)


def test_limit_ends_a_loop(camera: Any) -> None:
    process, peer = camera("loop", play(STREET, loop=True, limit=15))
    hear_all(process, peer, 15)
    pixels = [ros_messages.array_of(m) for m in peer.heard["image"]]
    assert np.array_equal(pixels[0], pixels[6])
    assert not np.array_equal(pixels[0], pixels[1])


def test_recorded_stamps_and_clock(camera: Any) -> None:
    """Each image has its recorded stamp, and /clock shows that time before the image comes."""
    values = {"stamps": "recorded", "publish_clock": True, "use_sim_time": True}
    process, peer = camera("recorded", play(STREET, **values), listen=False)
    ticks: list[int] = []
    peer.node.create_subscription(
        Clock, "/clock", lambda m: ticks.append(m.clock.sec * 10**9 + m.clock.nanosec), 50
    )
    peer.wait(lambda: peer.node.count_publishers("/clock"), "/clock")
    peer.listen(TOPICS)
    hear_all(process, peer, 6)
    expected = [i * 50_000_000 for i in range(6)]
    assert stamps(peer) == stamps(peer, "camera_info") == expected
    # /clock is discovered separately: its first ticks may be lost before that.
    peer.wait(lambda: ticks and ticks[-1] == expected[-1], "the last tick")
    assert ticks == expected[-len(ticks) :]


def test_stamps_of_now(camera: Any) -> None:
    process, peer = camera("now", play(STREET, rate=4.0))
    start = peer.node.get_clock().now().nanoseconds
    hear_all(process, peer, 6)
    end = peer.node.get_clock().now().nanoseconds
    got = stamps(peer)
    assert start < got[0]
    assert got[-1] < end
    # 4 Hz on average, not the source's 20; the first frame may be late on a busy machine.
    assert (got[-1] - got[0]) / 5 > 0.4 * 250e6


def test_waits_for_subscribers(camera: Any, clip: Path) -> None:
    process, peer = camera("patient", play(clip, wait_for_subscribers=2), listen=False)
    peer.listen(TOPICS)
    process.wait_for_line("folder: clip")
    peer.wait(lambda: peer.node.count_publishers("image"), "the publisher")
    peer.drain()
    assert not peer.heard["image"]
    assert process.popen.poll() is None
    second: list[Any] = []
    peer.node.create_subscription(Image, "image", second.append, 50)
    hear_all(process, peer, 5)
    peer.wait(lambda: len(second) >= 5, "all of the second subscription")
    assert len(second) == 5


def test_waits_for_a_node(camera: Any, clip: Path) -> None:
    """Other subscribers, such as a recorder or RViz, do not start the play."""
    second = ros_peer.Peer("particular")
    try:
        name = second.node.get_name()
        parameters = {"source": clip, "rate": 100.0, "wait_for_node": name}
        process, peer = camera("particular", parameters)
        process.wait_for_line("folder: clip")
        peer.wait(lambda: peer.node.count_publishers("image"), "the publisher")
        peer.drain()
        assert not peer.heard["image"]
        second.listen(TOPICS)
        hear_all(process, peer, 5)
        hear_all(process, second, 5)
    finally:
        second.close()


def test_a_damaged_frame_is_left_out_with_the_reason(camera: Any, clip: Path) -> None:
    bad = clip / "frame3.png"
    bad.write_bytes(bad.read_bytes()[:40])
    process, peer = camera("damaged", play(clip))
    hear_all(process, peer, 4)
    assert "frame3.png (40 bytes) is no image" in process.stderr
    assert "played 4 frames" in process.stderr


def test_life_cycle(camera: Any) -> None:
    values = play(STREET, autostart=False, loop=True, wait_for_subscribers=0)
    process, peer = camera("managed", values, listen=False)
    assert peer.set_parameters(NODE, source="/nowhere") == (True, "")
    assert not peer.change_state(NODE, "configure")
    process.wait_for_line("/nowhere does not exist")
    assert peer.set_parameters(NODE, source=STREET) == (True, "")
    peer.change_states(NODE, "configure")
    peer.listen(TOPICS)
    for _ in range(2):
        peer.change_states(NODE, "activate")
        assert peer.state(NODE) == "active"
        peer.heard["image"].clear()
        peer.wait(lambda: len(peer.heard["image"]) >= 3, "images")
        assert "deactivate" in peer.refusal(NODE, source="synthetic")
        peer.change_states(NODE, "deactivate")
    peer.change_states(NODE, "cleanup")
    assert peer.state(NODE) == "unconfigured"
    process.end()


def bad_sources(folder: Path) -> dict[str, tuple[dict[str, Any], tuple[str, ...]]]:
    (folder / "empty").mkdir()
    (folder / "film.mp4").write_bytes(b"no film at all" * 100)
    write_camera_yaml(folder / "film.yaml", CAMERA)
    (folder / "uncalibrated").mkdir()
    cv2.imwrite(str(folder / "uncalibrated/a.png"), np.zeros((48, 64, 3), np.uint8))
    return {
        "missing": ({"source": folder / "nothing"}, ("nothing does not exist",)),
        "empty folder": ({"source": folder / "empty"}, ("empty", "image")),
        "no video": ({"source": folder / "film.mp4"}, ("film.mp4",)),
        "no calibration": ({"source": folder / "uncalibrated"}, ("uncalibrated", "yaml")),
        "unknown kind": ({"source": "piano:/tmp"}, ("'piano'", "folder")),
        "no device": ({"source": "/dev/video77"}, ("/dev/video77",)),
        "empty": ({"source": ""}, ("source is empty",)),
        "rate": ({"rate": -1.0}, ("rate", "-1.0")),
        "stamps": ({"stamps": "yesterday"}, ("stamps", "'yesterday'", "now, recorded")),
    }


def test_bad_parameters_end_the_node_with_status_1_and_the_reason(tmp_path: Path) -> None:
    starts = ((parameters, (), words) for parameters, words in bad_sources(tmp_path).values())
    rp.assert_all_fail(NODE, starts)
