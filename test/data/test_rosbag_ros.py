# SPDX-License-Identifier: Apache-2.0
"""Bags and ROS: what ROS serialised is read, and what we write others read."""

import json
import sqlite3
from dataclasses import fields
from pathlib import Path
from typing import Any

import bags
import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from mcap.writer import CompressionType
from street_files import assert_same_truth

from depth_recog.datasets.bags import messages
from depth_recog.datasets.bags.recording import Rosbag
from depth_recog.datasets.bags.writer import BagWriter
from depth_recog.datasets.sequence import Truth

DRIVE = bags.Drive()

# As rosbag2_storage_sqlite3 of Jazzy creates its tables (schema 4).
SQLITE_SCHEMA = """
CREATE TABLE schema(schema_version INTEGER PRIMARY KEY,ros_distro TEXT NOT NULL);
CREATE TABLE metadata(id INTEGER PRIMARY KEY,metadata_version INTEGER NOT NULL,
    metadata TEXT NOT NULL);
CREATE TABLE topics(id INTEGER PRIMARY KEY,name TEXT NOT NULL,type TEXT NOT NULL,
    serialization_format TEXT NOT NULL,offered_qos_profiles TEXT NOT NULL,
    type_description_hash TEXT NOT NULL);
CREATE TABLE message_definitions(id INTEGER PRIMARY KEY,topic_type TEXT NOT NULL,
    encoding TEXT NOT NULL,encoded_message_definition TEXT NOT NULL,
    type_description_hash TEXT NOT NULL);
CREATE TABLE messages(id INTEGER PRIMARY KEY,topic_id INTEGER NOT NULL,timestamp INTEGER NOT NULL,
    data BLOB NOT NULL);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);
INSERT INTO schema(schema_version, ros_distro) VALUES (4, 'jazzy');
"""


@pytest.fixture
def serialised() -> bags.Rows:
    """A drive by rclpy's own classes and serialiser."""
    pytest.importorskip("rclpy", reason="serialises as ROS does")
    from rclpy.serialization import serialize_message
    from std_msgs.msg import Header

    from depth_recog.nodes.io import messages as ros

    found = []
    for frame in DRIVE:
        header = Header(frame_id="camera_optical_frame")
        header.stamp.sec, header.stamp.nanosec = divmod(frame.stamp_ns, 10**9)
        info = ros.camera_info(frame.camera, header)
        image = ros.image(frame.image, "rgb8", header)
        for topic, kind, message in (
            ("/cam/camera_info", messages.CAMERA_INFO, info),
            ("/cam/image_raw", messages.IMAGE, image),
        ):
            time, data = frame.stamp_ns + 5_000_000, serialize_message(message)
            found.append((topic, kind, time, data, bags.definition(kind)))
    return found


def fill(database: sqlite3.Connection, rows: bags.Rows, columns: int = 6) -> None:
    """Inserts rows; the table `topics` has `columns` columns."""
    rest = ", ''" * (columns - 4)
    topics: dict[str, int] = {}
    for topic, kind, time, data, _ in rows:
        if topic not in topics:
            topics[topic] = len(topics) + 1
            row = (topics[topic], topic, kind)
            database.execute(f"INSERT INTO topics VALUES (?, ?, ?, 'cdr'{rest})", row)
        database.execute(
            "INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)",
            (topics[topic], time, data),
        )
    database.commit()


def check(bag: Rosbag) -> None:
    for frame, found in zip(DRIVE, bag, strict=True):
        np.testing.assert_array_equal(found.image, frame.image)
        assert (found.stamp_ns, found.camera) == (frame.stamp_ns, frame.camera)


@pytest.mark.parametrize("schema", [1, 2, 3, 4])
def test_sqlite_from_ros(serialised: bags.Rows, tmp_path: Path, schema: int) -> None:
    """All versions of rosbag2's tables."""
    file = tmp_path / "bag_0.db3"
    database = sqlite3.connect(file)
    database.executescript(SQLITE_SCHEMA)
    drop = () if schema == 4 else ("type_description_hash",)
    if schema == 1:
        drop += ("offered_qos_profiles",)
    for column in drop:
        database.execute(f"ALTER TABLE topics DROP COLUMN {column}")
    if schema < 4:
        database.execute("DROP TABLE message_definitions")
        database.execute("UPDATE schema SET schema_version = 3")
    if schema < 3:
        database.execute("DROP TABLE schema")
        database.execute("DROP TABLE metadata")
    if schema == 4:
        for kind, text in sorted({(row[1], row[4]) for row in serialised}):
            database.execute(
                "INSERT INTO message_definitions (topic_type, encoding, "
                "encoded_message_definition, type_description_hash) VALUES (?, 'ros2msg', ?, '')",
                (kind, text),
            )
    fill(database, serialised, 6 - len(drop))
    database.close()
    check(Rosbag(file))


def test_sqlite_with_a_log_that_was_left_behind(serialised: bags.Rows, tmp_path: Path) -> None:
    """A recorder that was killed leaves rows in FILE-wal."""
    database = sqlite3.connect(tmp_path / "live.db3")
    database.execute("PRAGMA journal_mode=WAL")
    database.executescript(SQLITE_SCHEMA)
    fill(database, serialised)
    # Copied while the recorder still has them open.
    for suffix in ("", "-wal"):
        content = (tmp_path / f"live.db3{suffix}").read_bytes()
        (tmp_path / f"bag.db3{suffix}").write_bytes(content)
    assert (tmp_path / "bag.db3-wal").stat().st_size > 0
    database.close()
    check(Rosbag(tmp_path / "bag.db3"))


@pytest.mark.parametrize("compression", CompressionType)
def test_mcap_from_ros(serialised: bags.Rows, tmp_path: Path, compression: CompressionType) -> None:
    """Written by the package mcap, with schemas as rosbag2 writes them."""
    options = {"chunk_size": 8192, "compression": compression}
    check(Rosbag(bags.write_mcap(tmp_path / "bag_0.mcap", serialised, **options)))


def test_a_message_type_of_an_older_ros(tmp_path: Path) -> None:
    """The bag's definition is used: a Foxy Marker has fewer fields than Jazzy's."""
    foxy = bags.get_typestore(bags.Stores.ROS2_FOXY)
    frame = DRIVE[0]
    stamp = frame.stamp_ns
    known: bags.Messages = [
        ("/cam/camera_info", stamp, bags.info(stamp)),
        ("/cam/image_raw", stamp, bags.image(stamp, frame.image)),
    ]
    markers = [("/cam/ground_truth/boxes", stamp, foxy_boxes(tmp_path, foxy, stamp))]
    rows = [*bags.serialised(known), *bags.serialised(markers, foxy)]
    bags.write_mcap(tmp_path / "bag.mcap", rows)
    boxes = Rosbag(tmp_path / "bag.mcap").truth(0).boxes
    assert_same_truth(Truth(boxes=boxes), Truth(boxes=DRIVE.truth(0).boxes))


def foxy_boxes(folder: Path, foxy: Any, stamp_ns: int) -> Any:
    """The boxes of a frame as a MarkerArray of Foxy, without the fields that Jazzy added."""
    header = bags.header(stamp_ns)
    with BagWriter(folder / "unused") as writer:
        boxes = writer._truth(DRIVE.truth(0), header, header)["boxes"]
    marker = foxy.types["visualization_msgs/msg/Marker"]
    names = [field.name for field in fields(marker)]
    assert "mesh_file" not in names
    markers = [marker(**{name: getattr(m, name) for name in names}) for m in boxes.markers]
    return foxy.types[messages.MARKERS](markers=markers)


# What we write


def test_rclpy_reads_what_we_write(tmp_path: Path) -> None:
    """With ROS's own deserialiser and message classes."""
    pytest.importorskip("rclpy", reason="reads as ROS does")
    from geometry_msgs.msg import PoseStamped
    from rclpy.serialization import deserialize_message
    from sensor_msgs.msg import CameraInfo, Image

    from depth_recog.nodes.io.seam import image_to_rgb

    path = bags.record(tmp_path / "bag", "sqlite3") / "bag.db3"
    rows = sqlite3.connect(path).execute(
        "SELECT name, data FROM messages JOIN topics ON topics.id = topic_id ORDER BY messages.id"
    )
    found: dict[str, list[bytes]] = {}
    for name, data in rows:
        found.setdefault(name, []).append(data)
    pictures = [deserialize_message(d, Image) for d in found["/camera/image_raw"]]
    for frame, picture in zip(DRIVE, pictures, strict=True):
        np.testing.assert_array_equal(image_to_rgb(picture), frame.image)
        assert picture.header.frame_id == "camera_optical_frame"
    info = deserialize_message(found["/camera/camera_info"][0], CameraInfo)
    assert info.k[0] == bags.CAMERA.fx
    depth = deserialize_message(found["/camera/ground_truth/depth"][1], Image)
    assert depth.encoding == "32FC1"
    truth = DRIVE.truth(2)
    assert bytes(depth.data) == truth.depth.tobytes()
    pose = deserialize_message(found["/camera/ground_truth/pose"][0], PoseStamped)
    assert pose.header.frame_id == "world"
    assert pose.pose.position.x == bags.turned(0)[0, 3]


def test_mcap_reads_what_we_write(tmp_path: Path) -> None:
    """With the packages mcap and mcap-ros2-support."""
    decoder = pytest.importorskip("mcap_ros2.decoder")
    path = bags.record(tmp_path / "bag", "mcap") / "bag.mcap"
    counts: dict[str, int] = {}
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[decoder.DecoderFactory()])
        assert reader.get_header().profile == "ros2"
        for _, channel, message, decoded in reader.iter_decoded_messages():
            counts[channel.topic] = counts.get(channel.topic, 0) + 1
            assert message.log_time in {f.stamp_ns for f in DRIVE}
            if channel.topic == "/camera/image_raw":
                frame = DRIVE[(message.log_time - bags.START) // bags.PERIOD]
                assert bytes(decoded.data) == frame.image.tobytes()
            if channel.topic == "/camera/ground_truth/boxes" and decoded.markers:
                assert json.loads(decoded.markers[0].text)["track"] == "a"
                assert decoded.markers[0].type == 1
        metadata = {record.name: record.metadata for record in reader.iter_metadata()}
    assert counts == {
        "/camera/image_raw": 6,
        "/camera/camera_info": 6,
        **{f"/camera/ground_truth/{n}": 5 for n in ("depth", "pose", "labels", "moving")},
        "/camera/ground_truth/boxes": 6,
    }
    inside = yaml.safe_load(metadata["rosbag2"]["serialized_metadata"])
    assert inside["message_count"] == sum(counts.values())


def test_metadata_is_what_rosbag2_expects(tmp_path: Path) -> None:
    """Version 9, QoS by name, files and topics with their counts."""
    path = bags.record(tmp_path / "bag", "sqlite3")
    content = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert content["version"] == 9
    assert content["storage_identifier"] == "sqlite3"
    assert content["relative_file_paths"] == ["bag.db3"]
    assert content["starting_time"]["nanoseconds_since_epoch"] == bags.START
    assert content["duration"]["nanoseconds"] == 5 * bags.PERIOD
    for topic in content["topics_with_message_count"]:
        (qos,) = topic["topic_metadata"]["offered_qos_profiles"]
        assert (qos["reliability"], qos["durability"]) == ("reliable", "volatile")
        assert (qos["history"], qos["depth"]) == ("keep_last", 10)
    database = sqlite3.connect(path / "bag.db3")
    ours = {
        table: [row[1:3] for row in database.execute(f"PRAGMA table_info({table})")]
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    reference = sqlite3.connect(":memory:")
    reference.executescript(SQLITE_SCHEMA)
    for (table,) in reference.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
        expected = [row[1:3] for row in reference.execute(f"PRAGMA table_info({table})")]
        assert ours[table] == expected


@pytest.mark.parametrize("type_", ["IMAGE", "COMPRESSED_IMAGE", "CAMERA_INFO", "POSE", "MARKERS"])
def test_type_hashes_are_those_that_ros_installs(type_: str) -> None:
    kind = getattr(messages, type_)
    package, _, name = kind.split("/")
    module = pytest.importorskip(package, reason="ROS's messages are not here")
    places = [Path(module.__file__ or "/").parents[n] / "share" for n in range(1, 6)]
    files = [p / package / "msg" / f"{name}.json" for p in places]
    file = next((f for f in files if f.is_file()), None)
    if file is None:
        pytest.skip(f"this ROS has no {name}.json")
    hashes = {h["type_name"]: h["hash_string"] for h in json.loads(file.read_text())["type_hashes"]}
    assert bags.TYPES.hash_rihs01(kind) == hashes[kind]
