# SPDX-License-Identifier: Apache-2.0
"""Which of a bag's topics are meant: by what the user wrote, else by ROS's naming convention."""

from __future__ import annotations

from dataclasses import dataclass

from depth_recog.datasets.bags import messages
from depth_recog.datasets.bags.bag import Bag
from depth_recog.datasets.bags.storage import DamagedError
from depth_recog.errors import SourceError
from depth_recog.interfaces.image_codec import DEPTH_ENCODINGS, ENCODINGS

KEYS = ("image", "camera_info", "camera", "depth", "pose")
TRUTH = "ground_truth"
IMAGES = (messages.IMAGE, messages.COMPRESSED_IMAGE)
POSES = (messages.POSE, messages.ODOMETRY, messages.TRANSFORM)


@dataclass(frozen=True)
class CameraTopics:
    """The topics of one camera; None for what there is not.

    Attributes:
        image: raw or compressed images.
        camera_info: their calibration.
        depth: true depth, registered to the images.
        pose: true pose of the optical frame in the world.
        labels: Cityscapes train ids.
        moving: what moves.
        boxes: things that can move.
        own_depth: whether the depth is our recorder's, stamped exactly as the images are.
        own_pose: whether the pose is.
    """

    image: str
    camera_info: str | None
    depth: str | None
    pose: str | None
    labels: str | None
    moving: str | None
    boxes: str | None
    own_depth: bool
    own_pose: bool


def choose_topics(bag: Bag, options: dict[str, str]) -> CameraTopics:
    """The topics to be read.

    Raises:
        SourceError: no camera in the bag, several, or a topic that is not there or of another
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
    truth = {name: beside_image(bag, image, f"{TRUTH}/{name}") for name in _TRUTH_TYPES}
    own = {n: t if _is(bag, t, _TRUTH_TYPES[n]) else None for n, t in truth.items()}
    for name, types in (("depth", (messages.IMAGE,)), ("pose", POSES)):
        if name in options:
            _check(bag, options[name], types, name)
    return CameraTopics(
        image=image,
        camera_info=info,
        depth=options.get("depth", own["depth"]),
        pose=options.get("pose", own["pose"]),
        labels=own["labels"],
        moving=own["moving"],
        boxes=own["boxes"],
        own_depth="depth" not in options,
        own_pose="pose" not in options,
    )


_TRUTH_TYPES = {
    "depth": (messages.IMAGE,),
    "pose": (messages.POSE,),
    "labels": (messages.IMAGE,),
    "moving": (messages.IMAGE,),
    "boxes": (messages.MARKERS,),
}


def base_name(bag: Bag, image: str) -> str:
    """The image topic without its transport: image_raw/compressed belongs to image_raw."""
    if bag.topics[image].msgtype == messages.COMPRESSED_IMAGE:
        return image.removesuffix("/compressed")
    return image


def beside_image(bag: Bag, image: str, name: str) -> str:
    """The topic of that name in an image's namespace, as image_transport finds camera_info."""
    return base_name(bag, image).rpartition("/")[0] + "/" + name


def is_rectified(bag: Bag, image: str) -> bool:
    """Whether a topic's name says, as image_proc's do, that its images are rectified."""
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
    """The only camera: images with a camera_info, else images alone. Raises SourceError."""
    found = [t for t in sorted(bag.topics) if _is(bag, t, IMAGES) and _shows_colours(bag, t)]
    calibrated = [
        t for t in found if _is(bag, beside_image(bag, t, "camera_info"), (messages.CAMERA_INFO,))
    ]
    candidates = calibrated or found
    # Of one camera's two transports the raw one has lost nothing.
    raw = [t for t in candidates if bag.topics[t].msgtype == messages.IMAGE]
    names = [t for t in candidates if t in raw or base_name(bag, t) not in raw]
    if len(names) == 1:
        return names[0]
    if not names:
        raise SourceError(
            f"{bag.path} has no images of a camera, only "
            f"{', '.join(sorted(bag.topics)) or 'no topics at all'}: record an image topic too"
        )
    raise SourceError(
        f"{bag.path} has several image topics, {', '.join(names)}: choose one, as in "
        f"rosbag:{bag.path}?image={names[0]}"
    )


def _shows_colours(bag: Bag, topic: str) -> bool:
    """Whether a topic is a camera's, not a depth camera's nor a truth's; told by an image."""
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
            return head.label in ENCODINGS or head.label not in DEPTH_ENCODINGS
    return False
