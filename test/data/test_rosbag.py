# SPDX-License-Identifier: Apache-2.0
"""Bags that are whole: topics, calibration, stamps, encodings, truth."""

import pickle
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import bags
import cv2
import numpy as np
import pytest
from camera_files import write_camera_yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionMode
from street_files import assert_recording, assert_same_truth

from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.bags.writer import BagWriter
from depth_recog.datasets.sequence import Frame
from depth_recog.datasets.sources import open_source
from depth_recog.errors import CalibrationError, OutputError, SourceError
from depth_recog.interfaces.image_codec import ENCODINGS, to_rgb
from depth_recog.interfaces.pose import quaternion
from depth_recog.method.geometry.camera import Camera

DRIVE = bags.Drive()


def only_frame(path: Path, info: Any, image: Any, topic: str = "/c/image") -> Frame:
    """Write a bag of one image and its CameraInfo; return the frame that is read."""
    return Rosbag(bags.write(path / "bag", [("/c/camera_info", 1, info), (topic, 2, image)]))[0]


# Bags of `depth-recog record`


@pytest.mark.parametrize("storage", bags.STORAGES)
@pytest.mark.parametrize("quality", [None, 95])
def test_a_recorded_bag_is_read_back(tmp_path: Path, storage: str, quality: int | None) -> None:
    bag = open_source(str(bags.record(tmp_path / "bag", storage, quality)))
    assert_recording(bag, "rosbag", "bag", 10.0, [frame.stamp_ns for frame in DRIVE])
    for index, (frame, found) in enumerate(zip(DRIVE, bag, strict=True)):
        assert (found.name, found.camera) == (frame.name, frame.camera)
        assert found.image.flags.writeable
        if quality is None:
            np.testing.assert_array_equal(found.image, frame.image)
        else:
            assert np.abs(found.image.astype(int) - frame.image).mean() < 3
        assert_same_truth(DRIVE.truth(index), bag.truth(index))
        assert bag.truth(index).flow is None
        assert bag.file(index).is_file()


def test_frames_in_any_order_and_by_two_at_once(tmp_path: Path) -> None:
    bag = Rosbag(bags.record(tmp_path / "bag"))
    for index in (4, 0, 5, 2, 2):
        np.testing.assert_array_equal(bag[index].image, DRIVE[index].image)
    for one, two in zip(bag, bag, strict=True):
        assert np.array_equal(one.image, two.image)


@pytest.mark.parametrize("storage", bags.STORAGES)
def test_a_bag_can_be_sent_to_a_process(tmp_path: Path, storage: str) -> None:
    """Before and after its first frame was read."""
    bag = Rosbag(bags.record(tmp_path / "bag", storage))
    bag.truth(0), bag[0]
    copy = pickle.loads(pickle.dumps(bag))
    np.testing.assert_array_equal(copy[3].image, DRIVE[3].image)
    assert_same_truth(copy.truth(3), DRIVE.truth(3))


@pytest.mark.parametrize(("storage", "suffix"), [("mcap", "mcap"), ("sqlite3", "db3")])
def test_one_file_alone_is_a_bag(tmp_path: Path, storage: str, suffix: str) -> None:
    bag = bags.record(tmp_path / "bag", storage)
    file = shutil.copy(bag / f"bag.{suffix}", tmp_path / f"other.{suffix}")
    assert open_source(str(file)).kind == "rosbag"
    np.testing.assert_array_equal(Rosbag(file)[5].image, DRIVE[5].image)


@pytest.mark.parametrize(
    ("storage", "mode"),
    [
        *product(bags.STORAGES, [CompressionMode.FILE, CompressionMode.MESSAGE]),
        ("mcap", CompressionMode.STORAGE),  # mcap's own chunks
    ],
)
def test_compressed_bags(tmp_path: Path, storage: str, mode: CompressionMode) -> None:
    """With and without metadata.yaml."""
    bag = bags.write(tmp_path / "bag", bags.calibrated(), storage, mode)
    for _ in range(2):
        frames = list(open_source(str(bag)))
        assert [f.stamp_ns for f in frames] == [f.stamp_ns for f in DRIVE]
        np.testing.assert_array_equal(frames[4].image, DRIVE[4].image)
        (bag / "metadata.yaml").unlink(missing_ok=True)


# Writing


def test_nothing_is_overwritten_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    with pytest.raises(OutputError, match=r"bag exists already: name another folder"):
        BagWriter(tmp_path / "bag")
    with BagWriter(tmp_path / "empty"):
        pass

    def fail_after_one(writer: BagWriter) -> None:
        with writer:
            writer.add(DRIVE[0], DRIVE.truth(0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_one(BagWriter(tmp_path / "half"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag", "half"]
    assert len(Rosbag(tmp_path / "half")) == 1


def test_a_stamp_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="1970 to 2038"), BagWriter(tmp_path / "bag") as writer:
        writer.add(replace(DRIVE[0], stamp_ns=-1), DRIVE.truth(0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("given", "topic"), [("/", "/image_raw"), ("a/b/", "/a/b/image_raw")])
def test_namespaces(tmp_path: Path, given: str, topic: str) -> None:
    bag = Rosbag(bags.record(tmp_path / "bag", namespace=given))
    assert topic in bag._bag.topics
    assert_same_truth(bag.truth(0), DRIVE.truth(0))


# Encodings


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding(tmp_path: Path, encoding: str, big: bool) -> None:
    """With padded rows and both byte orders."""
    layout = ENCODINGS[encoding]
    row = 32 * layout.channels * np.dtype(layout.dtype).itemsize
    rows = 12 * layout.half_rows
    data = np.random.default_rng(0).integers(0, 256, (rows, row + 8), dtype=np.uint8)
    message = bags.image(
        5, data, encoding, width=32, height=24, step=row + 8, is_bigendian=int(big)
    )
    expected = to_rgb(encoding, 24, 32, row + 8, data, big)
    messages = [("/c/camera_info", 1, bags.info(5)), ("/c/image", 2, message)]
    # 16UC1 is depth more often than not, so it must be chosen.
    bag = Rosbag(f"{bags.write(tmp_path / 'bag', messages)}?image=/c/image")
    np.testing.assert_array_equal(bag[0].image, expected)


@pytest.mark.parametrize("text", ["jpeg", "png", "rgb8; jpeg compressed rgb8"])
def test_compressed_images(tmp_path: Path, text: str) -> None:
    """`format` gives the channel order; test_compressed_image.py has all of its forms."""
    rgb = np.full((24, 32, 3), (250, 120, 10), np.uint8)
    stored = rgb if text.endswith("rgb8") else rgb[..., ::-1]
    data = cv2.imencode(".png" if text == "png" else ".jpg", stored)[1].tobytes()
    message = bags.compressed(5, data + b"\0" * 200, text)
    found = only_frame(tmp_path, bags.info(5), message, "/c/image/compressed").image
    np.testing.assert_allclose(found.astype(int), rgb, atol=4)


def test_an_unknown_encoding_is_named(tmp_path: Path) -> None:
    image = bags.image(5, DRIVE[0].image, "banana8")
    with pytest.raises(SourceError, match=r"image 0 of /c/image.*banana8.*one of"):
        only_frame(tmp_path, bags.info(5), image)


# Choice of topics


def test_several_cameras_are_listed_and_one_is_chosen(tmp_path: Path) -> None:
    left, right = bags.calibrated(3, "/left/image_raw"), bags.calibrated(5, "/right/image_raw")
    bag = bags.write(tmp_path / "bag", left + right)
    with pytest.raises(SourceError, match=r"/left/image_raw, /right/image_raw: choose one, as in"):
        open_source(str(bag))
    assert len(open_source(f"rosbag:{bag}?image=/right/image_raw")) == 5
    assert len(open_source(f"{bag}?image=/left/image_raw")) == 3
    crossed = Rosbag(f"{bag}?image=/left/image_raw&camera_info=/right/camera_info")
    assert crossed[0].camera == bags.CAMERA


def test_the_only_calibrated_camera_is_found(tmp_path: Path) -> None:
    """Among its other transport, a depth camera and a debug image."""
    jpeg = cv2.imencode(".jpg", DRIVE[0].image)[1].tobytes()
    depth = np.ones((24, 32), np.uint16)
    messages = [
        *bags.calibrated(),
        ("/cam/image_raw/compressed", 3, bags.compressed(3, jpeg)),
        ("/cam/image_raw/compressedDepth", 3, bags.compressed(3, jpeg)),
        ("/depth/image_raw", 3, bags.image(3, depth, "16UC1")),
        ("/depth/camera_info", 3, bags.info(3)),
        ("/debug/image", 3, bags.image(3, DRIVE[0].image)),
    ]
    bag = Rosbag(bags.write(tmp_path / "bag", messages))
    np.testing.assert_array_equal(bag[2].image, DRIVE[2].image)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("image=/nowhere", r"no topic /nowhere: it has /cam/image_raw"),
        ("image=/cam/camera_info", r"camera_info is sensor_msgs/msg/CameraInfo, image takes"),
        ("camera_info=/cam/image_raw", r"camera_info takes sensor_msgs/msg/CameraInfo"),
        ("depth=/cam/camera_info", "depth takes"),
        ("pose=/cam/camera_info", "pose takes"),
        ("colour=red", "unknown option .colour."),
        ("image=", "no value"),
    ],
)
def test_invalid_options(tmp_path: Path, query: str, expected: str) -> None:
    bag = bags.write(tmp_path / "bag", bags.calibrated(1))
    with pytest.raises(SourceError, match=expected):
        open_source(f"rosbag:{bag}?{query}")


def test_a_bag_without_a_camera(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "bag", [("/cam/camera_info", 1, bags.info(1))])
    with pytest.raises(SourceError, match=r"no images of a camera, only /cam/camera_info"):
        open_source(str(bag))


# Calibration


def test_a_camera_info_is_valid_from_its_stamp_on(tmp_path: Path) -> None:
    """Two frames before the first CameraInfo, and one change; received out of order."""
    second = replace(bags.CAMERA, fx=40.0, distortion=())
    stamps = [frame.stamp_ns for frame in DRIVE]
    messages = [("/cam/image_raw", f.stamp_ns, bags.image(f.stamp_ns, f.image)) for f in DRIVE]
    messages.append(("/cam/camera_info", stamps[5] + 1, bags.info(stamps[4] - 1, second)))
    messages.append(("/cam/camera_info", stamps[5] + 2, bags.info(stamps[2])))
    cameras = [frame.camera for frame in Rosbag(bags.write(tmp_path / "bag", messages))]
    assert cameras == [bags.CAMERA] * 4 + [second] * 2


def test_a_camera_info_without_a_stamp_is_valid_from_its_receipt_on(tmp_path: Path) -> None:
    second = replace(bags.CAMERA, fx=40.0)
    messages = [m for m in bags.calibrated() if m[0] == "/cam/image_raw"]
    messages.append(("/cam/camera_info", messages[0][1], bags.info(0)))
    messages.append(("/cam/camera_info", messages[3][1], bags.info(0, second)))
    cameras = [frame.camera for frame in Rosbag(bags.write(tmp_path / "bag", messages))]
    assert cameras == [bags.CAMERA] * 3 + [second] * 3


def test_region_and_binning(tmp_path: Path) -> None:
    """The image is the region of interest after binning."""
    full = Camera(128, 96, 100.0, 100.0, 64.0, 48.0)
    roi = {"x_offset": 20, "y_offset": 10, "width": 64, "height": 48}
    info = bags.info(5, full, roi, binning_x=2, binning_y=2)
    camera = only_frame(tmp_path, info, bags.image(5, DRIVE[0].image)).camera
    assert camera == full.cropped(20, 10, 64, 48).resized(32, 24)


def test_an_image_rect_takes_p(tmp_path: Path) -> None:
    info = bags.info(5)
    info.p[0], info.p[5] = 25.0, 26.0
    image = bags.image(5, DRIVE[0].image)
    camera = only_frame(tmp_path, info, image, "/c/image_rect_color").camera
    assert (camera.fx, camera.fy, camera.distorted) == (25.0, 26.0, False)


def test_no_camera_info(tmp_path: Path) -> None:
    """A YAML by option, in the bag's folder or beside it; else an error with the remedy."""
    messages = [m for m in bags.calibrated() if m[0] == "/cam/image_raw"]
    bag = bags.write(tmp_path / "bag", messages)
    with pytest.raises(CalibrationError, match=r"no /cam/camera_info.*\?camera=camera\.yaml"):
        Rosbag(bag)
    for place in (tmp_path / "camera.yaml", bag / "camera.yaml"):
        write_camera_yaml(place, bags.CAMERA)
        assert Rosbag(bag)[0].camera == bags.CAMERA
    other = replace(bags.CAMERA, fx=77.0)
    write_camera_yaml(tmp_path / "o.yaml", other)
    assert Rosbag(f"{bag}?camera={tmp_path}/o.yaml")[0].camera == other
    with pytest.raises(CalibrationError, match=r"gone\.yaml cannot be read"):
        Rosbag(f"{bag}?camera={tmp_path}/gone.yaml")


def test_an_uncalibrated_camera(tmp_path: Path) -> None:
    messages = bags.calibrated(2)
    for topic, _, message in messages:
        if topic == "/cam/camera_info":
            message.k[:] = 0
            message.p[:] = 0
    bag = bags.write(tmp_path / "bag", messages)
    with pytest.raises(CalibrationError, match=r"/cam/camera_info.*uncalibrated.*\?camera="):
        Rosbag(bag)
    write_camera_yaml(tmp_path / "camera.yaml", bags.CAMERA)
    assert Rosbag(f"{bag}?camera={tmp_path}/camera.yaml")[1].camera == bags.CAMERA


def test_a_camera_info_of_another_shape(tmp_path: Path) -> None:
    info = bags.info(5, Camera(32, 32, 30.0, 30.0, 16.0, 16.0))
    with pytest.raises(CalibrationError, match=r"image 0 of /c/image is 32x24"):
        only_frame(tmp_path, info, bags.image(5, DRIVE[0].image))


# Stamps


def stamped(path: Path, stamps: list[int], step: int = 10) -> Rosbag:
    """A bag of images with these stamps, received `step` apart."""
    messages: bags.Messages = [("/c/camera_info", 0, bags.info(0))]
    for number, stamp in enumerate(stamps):
        messages.append(("/c/i", (number + 1) * step, bags.image(stamp, DRIVE[0].image)))
    return Rosbag(bags.write(path, messages))


def test_a_few_images_out_of_order_are_left_out(tmp_path: Path, caplog) -> None:
    stamps = [100 + i for i in range(30)]
    stamps[10], stamps[20] = stamps[9], stamps[3]
    bag = stamped(tmp_path / "bag", stamps)
    assert [f.stamp_ns for f in bag] == [s for i, s in enumerate(stamps) if i not in (10, 20)]
    assert bag.left_out == 2
    assert len(caplog.messages) == 1
    assert "2 images are not later than an earlier one" in caplog.messages[0]


@pytest.mark.parametrize("stamps", [[0] * 9, [5, 6, 7, 8, 9, 5, 6, 7, 8]])
def test_header_stamps_that_do_not_increase(tmp_path: Path, stamps: list[int], caplog) -> None:
    bag = stamped(tmp_path / "bag", stamps)
    assert [f.stamp_ns for f in bag] == [10 * (i + 1) for i in range(9)]
    assert "times of receipt are used" in caplog.messages[0]


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(stamps=st.lists(st.integers(0, 40), min_size=1, max_size=30))
def test_stamps_always_rise(stamps: list[int], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "bag", ignore_errors=True)
    bag = stamped(tmp_path / "bag", stamps)
    found = [frame.stamp_ns for frame in bag]
    assert found == sorted(set(found))
    assert len(found) + bag.left_out == len(stamps)


# Ground truth of other topics


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
