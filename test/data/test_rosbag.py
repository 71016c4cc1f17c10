# SPDX-License-Identifier: Apache-2.0
"""Bags that are whole: topics, stamps, encodings."""

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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionMode
from street_files import assert_recording, assert_same_truth

from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.bags.writer import BagWriter
from depth_recog.datasets.sequence import Frame
from depth_recog.datasets.sources import open_source
from depth_recog.errors import OutputError, SourceError
from depth_recog.interfaces.image_codec import ENCODINGS, to_rgb

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
