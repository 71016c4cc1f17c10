# SPDX-License-Identifier: Apache-2.0
"""Opens sources by path, or by `kind:path`."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

from depth_recog.datasets.assumed import AssumedLens
from depth_recog.datasets.bags.files import is_bag, is_ros1_bag, ros1_text
from depth_recog.datasets.image_files import IMAGE_SUFFIXES
from depth_recog.datasets.kitti.odometry import KittiOdometry
from depth_recog.datasets.kitti.raw import KittiRaw
from depth_recog.datasets.media.folder import Folder
from depth_recog.datasets.media.v4l2 import V4l2
from depth_recog.datasets.media.video import VIDEO_SUFFIXES, Video
from depth_recog.datasets.research.cityscapes.reader import Cityscapes
from depth_recog.datasets.research.seven_scenes import SevenScenes
from depth_recog.datasets.research.tum_rgbd import TumRgbd
from depth_recog.datasets.research.vkitti2.reader import VKitti2
from depth_recog.datasets.sequence import Sequence
from depth_recog.errors import SourceError, UncalibratedError
from depth_recog.files import user_path


def open_synthetic(spec: str) -> Sequence:
    """Opens a synthetic scene: `street?seed=3`. Raises SourceError."""
    # Imported here, as the renderer takes long to import.
    from depth_recog.datasets.street import parse_spec

    return parse_spec(spec)


def open_rosbag(spec: str, assumed: AssumedLens | None = None) -> Sequence:
    """Opens a bag: `BAG?image=/camera/image_raw`. Raises SourceError or CalibrationError."""
    # In a workspace rosbags is one more package to install; other sources do without.
    try:
        from depth_recog.datasets.bags.recording import Rosbag
    except ModuleNotFoundError as error:
        raise SourceError(
            f"{spec}: bags need the package {error.name}: pip install rosbags mcap"
        ) from error
    return Rosbag(spec, assumed)


READERS: dict[str, Callable[[str], Sequence]] = {
    "kitti_raw": KittiRaw,
    "kitti_odometry": KittiOdometry,
    "vkitti2": VKitti2,
    "cityscapes": Cityscapes,
    "seven_scenes": SevenScenes,
    "tum_rgbd": TumRgbd,
    "folder": Folder,
    "video": Video,
    "v4l2": V4l2,
    "rosbag": open_rosbag,
    "synthetic": open_synthetic,
}

ASSUMING: dict[str, Callable[[str, AssumedLens | None], Sequence]] = {
    "tum_rgbd": TumRgbd,
    "folder": Folder,
    "video": Video,
    "v4l2": V4l2,
    "rosbag": open_rosbag,
}
"""The kinds of sources whose camera can be assumed."""

KINDS = (
    "kinds of sources: kitti_raw:DRIVE, kitti_odometry:SEQUENCE, vkitti2:VARIATION?camera=0, "
    "cityscapes:ROOT?city=aachen&snippet=000000, seven_scenes:FOLDER, tum_rgbd:FOLDER, "
    "folder:FOLDER, video:FILE, v4l2:/dev/video0?camera=camera.yaml, "
    "rosbag:BAG?image=/camera/image_raw, synthetic:street?seed=3; "
    "the kind may be left out where the path shows it"
)


def open_source(text: str, assumed: AssumedLens | None = None) -> Sequence:
    """Opens a source by its path, or by `kind:path` if the path does not show the kind.

    Args:
        text: a path, `kind:path`, or `synthetic`. Each reader's class documents its layout.
        assumed: of the camera, if the source has no calibration; otherwise it is not used.

    Returns:
        The sequence; a `Recording` unless it is live.

    Raises:
        SourceError: an unknown kind, a missing or empty path, or files that cannot be read.
        CalibrationError: no camera calibration, or one that does not fit.
    """
    try:
        kind, path = split_kind(text)
        if kind in ASSUMING:
            return ASSUMING[kind](path, assumed)
        if assumed is not None:
            logging.getLogger(__name__).warning(
                "%s: a source of kind %s has its own calibration: %s is not assumed",
                text,
                kind,
                assumed,
            )
        return READERS[kind](path)
    except UncalibratedError as error:
        raise UncalibratedError(
            f"{error}; or assume a field of view, --fov DEGREES (nodes: fallback_fov): then metres "
            "are a guess"
        ) from error
    except SourceError as error:
        raise SourceError(f"{error} ({KINDS})") from error
    except OSError as error:
        raise SourceError(f"{text} cannot be read ({error.strerror}): check the path") from error


def split_kind(text: str) -> tuple[str, str]:
    """Splits a source into the reader's kind and the path.

    Raises:
        SourceError: the kind is unknown, or the path does not show one.
    """
    if text == "synthetic":
        return text, "street"
    kind, colon, path = text.partition(":")
    if colon and kind in READERS:
        return kind, path
    # A single letter is a Windows drive; an existing path may contain a colon.
    if colon and re.fullmatch(r"\w{2,}", kind) and not Path(text).exists():
        raise SourceError(f"unknown kind {kind!r} in {text!r}: write one of {', '.join(READERS)}")
    return recognise(text), text


def recognise(text: str) -> str:
    """Finds the kind of a source from its path.

    Raises:
        SourceError: the path does not exist, or no reader accepts it.
    """
    if not text.strip():
        raise SourceError(f"the source {text!r} is empty: give a path")
    if text.startswith("/dev/video"):
        return "v4l2"
    path = user_path(text)
    if not os.path.exists(path):  # options follow a question mark
        path = user_path(text.partition("?")[0])
    if not os.path.exists(path):  # Path.exists raises where a name is too long
        raise SourceError(f"{text} does not exist: check the spelling")
    if path.is_dir():
        return _recognise_folder(path)
    if is_ros1_bag(path):
        raise SourceError(ros1_text(path))
    if is_bag(path):
        return "rosbag"
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if suffix in IMAGE_SUFFIXES:
        raise SourceError(f"{text} is a single image: give its folder, depth needs a sequence")
    raise SourceError(f"{text} is neither a video, a bag nor a folder: give one of those")


def _recognise_folder(path: Path) -> str:
    """The kind of a folder, by files that only this kind has."""
    if any(path.glob("image_02/data")) or any(path.glob("*/image_02/data")):
        return "kitti_raw"
    if (path / "calib.txt").is_file() and (path / "image_2").is_dir():
        return "kitti_odometry"
    if any(path.glob("frames/rgb/Camera_*")) or path.match("frames/rgb/Camera_*"):
        return "vkitti2"
    if any(path.glob("*_leftImg8bit.*")) or any(path.glob("leftImg8bit*/*/*/*_leftImg8bit.*")):
        return "cityscapes"
    if any(path.glob("frame-*.color.*")):
        return "seven_scenes"
    if (path / "rgb.txt").is_file():
        return "tum_rgbd"
    if is_bag(path):
        return "rosbag"
    if is_ros1_bag(path):
        raise SourceError(ros1_text(path))
    return "folder"
