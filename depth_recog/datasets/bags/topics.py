# SPDX-License-Identifier: Apache-2.0
"""Selects the topics of one camera: by the user's options, else by ROS naming conventions."""

from __future__ import annotations

from dataclasses import dataclass

from depth_recog.datasets.bags import messages
from depth_recog.datasets.bags.bag import Bag
from depth_recog.datasets.bags.storage import DamagedError
from depth_recog.errors import SourceError
from depth_recog.interfaces.image_codec import DEPTH_ENCODINGS

KEYS = ("image", "camera_info", "camera", "depth", "pose", "bits")
TRUTH = "ground_truth"
TRUTH_TYPES = {
    "depth": messages.IMAGE,
    "pose": messages.POSE,
    "labels": messages.IMAGE,
    "moving": messages.IMAGE,
    "boxes": messages.MARKERS,
}
ROS1_COMPRESSED = "sensor_msgs/CompressedImage"
IMAGES = (messages.IMAGE, messages.COMPRESSED_IMAGE)
POSES = (messages.POSE, messages.ODOMETRY, messages.TRANSFORM)


@dataclass(frozen=True)
class CameraTopics:
    """The topics of one camera.

    Attributes:
        image: raw or compressed images.
        camera_info: their CameraInfo, if the bag has it.
        recorded: ground truth of `depth-recog record`, which has the stamps of the images, by the
            keys of `TRUTH_TYPES`.
        chosen: depth and pose of other topics, by option.
    """

    image: str
    camera_info: str | None
    recorded: dict[str, str]
    chosen: dict[str, str]


def choose_topics(bag: Bag, options: dict[str, str]) -> CameraTopics:
    """Selects the topics to read.

    Raises:
        SourceError: the bag has no camera or several, or a topic does not exist or has another
            type.
    """
    image = options.get("image") or _find_image(bag)
    _check(bag, image, IMAGES, "image")
    info = options.get("camera_info")
    if info is None:
        beside = beside_image(bag, image, "camera_info")
        info = beside if _is(bag, beside, (messages.CAMERA_INFO,)) else None
    else:
        _check(bag, info, (messages.CAMERA_INFO,), "camera_info")
    chosen = {key: topic for key, topic in options.items() if key in ("depth", "pose")}
    for key, topic in chosen.items():
        _check(bag, topic, POSES if key == "pose" else (messages.IMAGE,), key)
    recorded = {
        name: topic
        for name, msgtype in TRUTH_TYPES.items()
        if _is(bag, topic := beside_image(bag, image, f"{TRUTH}/{name}"), (msgtype,))
        and name not in chosen
    }
    return CameraTopics(image, info, recorded, chosen)


def base_name(bag: Bag, image: str) -> str:
    """The image topic without its transport: image_raw for image_raw/compressed."""
    if bag.topics[image].msgtype == messages.COMPRESSED_IMAGE:
        return image.removesuffix("/compressed")
    return image


def beside_image(bag: Bag, image: str, name: str) -> str:
    """The topic `name` in the namespace of an image topic."""
    return base_name(bag, image).rpartition("/")[0] + "/" + name


def is_rectified(bag: Bag, image: str) -> bool:
    """Whether the topic is named image_rect*, as image_proc names rectified images."""
    return base_name(bag, image).rpartition("/")[2].startswith("image_rect")


def _is(bag: Bag, topic: str, types: tuple[str, ...]) -> bool:
    return topic in bag.topics and bag.topics[topic].msgtype in types


def _check(bag: Bag, topic: str, types: tuple[str, ...], key: str) -> None:
    if topic not in bag.topics:
        raise SourceError(f"{bag.path} has no topic {topic}: it has {_listed(bag, types)}")
    if not _is(bag, topic, types):
        raise SourceError(
            f"{bag.path}: {topic} is {bag.topics[topic].msgtype}, {key} takes "
            f"{' or '.join(types)}: the bag has {_listed(bag, types)}"
        )


def _listed(bag: Bag, types: tuple[str, ...]) -> str:
    names = sorted(name for name, topic in bag.topics.items() if topic.msgtype in types)
    return ", ".join(names) or f"none of type {' or '.join(types)}"


def _find_image(bag: Bag) -> str:
    """Finds the only camera, preferring images with a camera_info. Raises SourceError."""
    found = [t for t in sorted(bag.topics) if _is(bag, t, IMAGES) and _shows_colours(bag, t)]
    calibrated = [
        t for t in found if _is(bag, beside_image(bag, t, "camera_info"), (messages.CAMERA_INFO,))
    ]
    candidates = calibrated or found
    # If a camera has both transports, the raw one is without compression loss.
    raw = [t for t in candidates if bag.topics[t].msgtype == messages.IMAGE]
    names = [t for t in candidates if t in raw or base_name(bag, t) not in raw]
    if len(names) == 1:
        return names[0]
    if not names:
        listed = ", ".join(f"{t} ({bag.topics[t].msgtype})" for t in sorted(bag.topics))
        raise SourceError(
            f"{bag.path} has no images of a camera, only {listed or 'no topics at all'}: "
            f"{_why_none(bag)}"
        )
    raise SourceError(
        f"{bag.path} has several image topics, {', '.join(names)}: choose one, as in "
        f"rosbag:{bag.path}?image={names[0]}"
    )


_OTHER_IMAGES = ("Packet", "CompressedVideo", "CompressedImage", "RawImage", "Image", "RGBD")


def _why_none(bag: Bag) -> str:
    """What to do with a bag without sensor_msgs/msg/Image and CompressedImage."""
    types = {topic: bag.topics[topic].msgtype for topic in sorted(bag.topics)}
    ros1 = [t for t, kind in types.items() if kind in ("sensor_msgs/Image", ROS1_COMPRESSED)]
    if ros1:
        return (
            f"{ros1[0]} holds messages of ROS 1: convert the bag with rosbags-convert "
            "(pip install rosbags)"
        )
    other = [t for t, kind in types.items() if kind.endswith(_OTHER_IMAGES) and kind not in IMAGES]
    if other:
        return (
            f"{other[0]} is {types[other[0]]}, which is not read: republish it as sensor_msgs/msg/"
            "Image or CompressedImage (ros2 run image_transport republish) and record that"
        )
    return "record an image topic too"


def _shows_colours(bag: Bag, topic: str) -> bool:
    """Whether a topic has colour or grey images, not depth or ground truth."""
    if f"/{TRUTH}/" in topic or topic.endswith("/compressedDepth"):
        return False
    if bag.topics[topic].msgtype != messages.IMAGE:
        return True
    for entry in bag.index(topic):
        try:
            head = messages.image_head(bag.peek(entry, messages.HEAD_BYTES).head, False)
        except DamagedError:
            continue
        if head is not None and head.label:
            return head.label == "mono16" or head.label not in DEPTH_ENCODINGS
    return False
