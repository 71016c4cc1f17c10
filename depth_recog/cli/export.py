# SPDX-License-Identifier: Apache-2.0
"""`depth-recog export`: write weights as an ONNX graph, and compare it with torch."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.street import SyntheticStreet
from depth_recog.errors import ConfigurationError
from depth_recog.networks.models import is_directory
from depth_recog.networks.onnx.description import description_path
from depth_recog.networks.onnx.export import check_size, export_onnx, licence_of
from depth_recog.networks.weights import read_header, resolve

_SIZES = ((640, 192), (320, 96), (192, 256))
"""Sizes of the comparison beside the weights' own: larger, smaller, and upright."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "weights",
        metavar="WEIGHTS",
        help="depth or segmentation weights: a shipped name, a path, or a folder that adapt wrote",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="NAME.onnx")
    parser.add_argument(
        "--size",
        type=_size,
        metavar="WxH",
        help="fixed image size, as 416x128; default: any multiples of 32",
    )


def main(options: argparse.Namespace) -> int:
    """Export, and print the differences from torch."""
    check_size(options.size)
    if is_directory(options.weights, "depth"):
        raise ConfigurationError(
            f"{options.weights}: is a directory; use an exporter of transformers for its model"
        )
    header = read_header(resolve(options.weights, "depth"))
    sizes = [options.size] if options.size else list(dict.fromkeys((header.size, *_SIZES)))
    found = export_onnx(header, options.out, options.size, _pictures(sizes))
    for one in found:
        width, height = one.size
        print(f"{width}x{height}: {one.relative:.1e} from torch at most, {one.answers} outputs")
    beside = f", {description_path(options.out).name}" if header.network == "masks" else ""
    shape = f"{options.size[0]}x{options.size[1]}" if options.size else "any size"
    print(f"{options.out}{beside}: {header.network} network {header.path.stem}, {shape}")
    print(f"licence: {licence_of(header)}")
    return 0


def _pictures(sizes: list[tuple[int, int]]) -> list[NDArray[np.uint8]]:
    """Return a street scene, the same in the dark, and noise, at each size."""
    street = SyntheticStreet(frames=1, width=640, height=192)[0].image
    noise = np.random.default_rng(0).integers(0, 256, street.shape, np.uint8)
    every = [street, street // 8, noise]
    return [np.asarray(cv2.resize(one, size), np.uint8) for size in sizes for one in every]


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: a size such as 416x128 is needed")
    return int(match[1]), int(match[2])
