# SPDX-License-Identifier: Apache-2.0
"""`depth-recog calibrate-camera`: the focal length of a camera from the motion in a recording."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from tqdm import tqdm

from depth_recog.cli.interrupt import all_or_nothing
from depth_recog.cli.options import integer
from depth_recog.datasets.assumed import AssumedLens
from depth_recog.datasets.reader import numbered
from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import KINDS, open_source
from depth_recog.errors import CalibrationError, SourceError, UncalibratedError
from depth_recog.files import write_whole
from depth_recog.method.geometry.viewport import size_alike
from depth_recog.method.masking import PresetRules, dilated
from depth_recog.method.self_calibration.focal import FocalEstimate, NotShown, estimate_focal
from depth_recog.method.self_calibration.pairs import PairCollector
from depth_recog.networks.backends.choice import choose
from depth_recog.networks.backends.load import load
from depth_recog.networks.models import header_of

_WIDTH = 640
_MASK_MARGIN = 4
_ANY = AssumedLens(70.0, None)

Avoid = Callable[[NDArray[np.uint8]], NDArray[np.bool_]]
"""Pixels of an image that may move, or are sky."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.epilog = KINDS
    parser.add_argument(
        "source", metavar="SOURCE", help="a recording with curves, of a lens that is not zoomed"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="camera_info YAML to write"
    )
    parser.add_argument(
        "--limit", type=integer(1), default=3000, metavar="N", help="stop after N frames"
    )
    parser.add_argument("--mask-weights", default="", help="segmentation weights, as of run")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def main(options: argparse.Namespace) -> int:
    """Estimate, and write the YAML file; status 1 after an interrupt."""
    return all_or_nothing(lambda: _calibrate(options), "no calibration was written")


def _calibrate(options: argparse.Namespace) -> int:
    try:
        recording = open_source(options.source)
    except UncalibratedError:
        recording = open_source(options.source, _ANY)
    if not isinstance(recording, Recording):
        raise SourceError(f"{options.source}: a live source cannot be calibrated; record it first")
    collector, size, shrunk = collect(recording, options.limit, moving_or_sky(options))
    if collector.textureless > collector.frames / 2:
        raise CalibrationError(f"{options.source}: most images have too little texture")
    found = estimate_focal(collector.pairs, size)
    if isinstance(found, NotShown):
        about = ""
        if math.isfinite(found.focal):
            about = f" (about {found.focal / shrunk:.0f} pixels, uncertain by {found.std:.0%})"
        raise CalibrationError(
            f"{options.source} does not show the focal length: {found.why}{about}; no file is "
            "written"
        )
    width, height = recording[0].camera.size
    text = camera_yaml(found, shrunk, (width, height), recording.name)
    write_whole(options.out, lambda path: path.write_text(text, encoding="utf-8"))
    focal = found.focal / shrunk
    fov = math.degrees(2 * math.atan(width / 2 / focal))
    print(
        f"{options.out}: focal length {focal:.1f} pixels, standard deviation {found.std:.1%} "
        f"(horizontal field of view {fov:.1f} degrees), k1 {found.k1:.3f}, from {found.pairs} "
        "pairs of frames; the principal point is assumed in the middle"
    )
    return 0


def moving_or_sky(options: argparse.Namespace) -> Avoid:
    """Load the segmentation network as a function."""
    header = header_of(options.mask_weights, "masks")
    model = load(header, choose("auto", options.device, "auto"))
    rules = PresetRules(
        header.classes, tuple(c for c in PresetRules().dynamic if c in header.classes)
    )

    def avoid(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        height, width = image.shape[:2]
        size = size_alike(width, height, header.size)
        labels = model(
            np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        )()
        mask = dilated(rules.dynamic_pixels(labels) | rules.sky_pixels(labels), _MASK_MARGIN)
        resized = cv2.resize(mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        return np.asarray(resized > 0)

    return avoid


def collect(
    recording: Recording, limit: int, avoid: Avoid
) -> tuple[PairCollector, tuple[int, int], float]:
    """Follow points over a recording.

    Returns:
        The pairs; (width, height) of the images in which the points were followed; and their width
        over that of the recording's images.
    """
    collector, size, shrunk = PairCollector(), (0, 0), 1.0
    with tqdm(total=min(limit, len(recording)), unit="frame", disable=None, file=sys.stderr) as bar:
        for index, frame in numbered(recording):
            if index >= limit:
                break
            image = frame.image
            shrunk = min(1.0, _WIDTH / image.shape[1])
            if shrunk < 1:
                height = round(image.shape[0] * shrunk)
                image = np.asarray(
                    cv2.resize(image, (_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8
                )
            grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
            size = grey.shape[1], grey.shape[0]
            if collector.wants_mask or not collector.add(grey):
                collector.add(grey, avoid(image))
            bar.update()
    return collector, size, shrunk


def camera_yaml(found: FocalEstimate, shrunk: float, size: tuple[int, int], name: str) -> str:
    """The text of a camera_info YAML.

    Args:
        found: the lens.
        shrunk: the width of the images that it is for over that of the camera's images.
        size: (width, height) of the camera's images, pixels.
        name: of the recording.
    """
    width, height = size
    focal, cx, cy = found.focal / shrunk, (width - 1) / 2, (height - 1) / 2
    content = {
        "image_width": width,
        "image_height": height,
        "camera_name": name,
        "camera_matrix": _matrix(3, 3, focal, 0, cx, 0, focal, cy, 0, 0, 1),
        "distortion_model": "plumb_bob",
        "distortion_coefficients": _matrix(1, 5, found.k1, 0, 0, 0, 0),
        "rectification_matrix": _matrix(3, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1),
        "projection_matrix": _matrix(3, 4, focal, 0, cx, 0, 0, focal, cy, 0, 0, 0, 1, 0),
    }
    note = (
        f"# An estimate by depth-recog calibrate-camera from the motion in {name}: standard\n"
        f"# deviation of the focal length {found.std:.1%}; the principal point is assumed.\n"
    )
    return note + yaml.safe_dump(content, sort_keys=False, default_flow_style=None)


def _matrix(rows: int, cols: int, *data: float) -> dict[str, object]:
    return {"rows": rows, "cols": cols, "data": [float(value) for value in data]}
