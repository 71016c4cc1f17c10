# SPDX-License-Identifier: Apache-2.0
"""How good and how fast are the masks, compared with their teacher and with LiDAR in boxes?

python benchmarks/masks.py SOURCE[@A:B] --teacher MODEL.tflite [--weights NAME...] [--every N]
                           [--sizes 640x192 416x128] [--precisions bfloat16] [--json FILE]

A row for each weights file, size and precision, and two for the teacher: a single pass (`once`) and
several views that vote (`vote`). `once` and `vote` columns are intersection over union with those
labels at the size of the masks. `points` columns are the share of LiDAR points in annotated boxes
to which the masks give the box's kind, over all frames. `vehicles a frame` counts connected areas
of vehicles, of at least a thousandth of the frame: on a clip without vehicles all are false. The
calibration error compares the confidence with the agreement with `vote`. Milliseconds are
wall-clock time. A size is KITTI's; a camera of another aspect gets as many pixels, as in a run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from common import parser_of, recording, report
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Frame
from depth_recog.method.geometry.viewport import network_size
from depth_recog.networks.backends.choice import PRECISIONS, choose
from depth_recog.networks.own.files import load_network
from depth_recog.networks.own.tensors import image_tensor
from depth_recog.networks.precision import in_precision
from recipes.mask_metrics import CLASSES, GROUPS, Agreement, Points, confusion, ids
from recipes.teacher import Teacher
from recipes.temperature import CalibrationTally

Labels = NDArray[np.uint8]
WARM_UP = 5
LEAST = 1e-3
"""Share of the pixels that an area must have to count."""


@dataclass
class Result:
    """What is counted of one way to make masks."""

    name: str
    tables: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    points: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(GROUPS), 2), np.int64))
    seconds: list[float] = field(default_factory=list)
    vehicles: list[int] = field(default_factory=list)
    calibration: CalibrationTally | None = None

    def add(self, found: Labels, teachers: dict[str, Labels], points: Points | None) -> None:
        """Count a frame."""
        self.vehicles.append(areas(np.isin(found, ids("vehicles"))))
        for name, labels in teachers.items():
            table = self.tables.setdefault(name, np.zeros((CLASSES, CLASSES), np.int64))
            table += confusion(resized(labels, found.shape), found)
        if points is not None:
            self.points += points.found(found)

    def row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"masks": self.name}
        for name, table in self.tables.items():
            found = Agreement.of(table)
            row |= {f"{name}: mean": found.mean, f"{name}: car": found.by_class.get("car")}
            row |= {f"{name}: {group}": value for group, value in found.by_group.items()}
        for group, (hit, count) in zip(GROUPS, self.points, strict=True):
            row |= {f"points: {group}": hit / count if count else None, f"{group} points": count}
        row["vehicles a frame"] = float(np.mean(self.vehicles))
        row["calibration error"] = self.calibration.error if self.calibration else None
        for percentile in (10, 50, 90):
            row[f"p{percentile}, ms"] = 1e3 * float(np.percentile(self.seconds, percentile))
        return row


class Masks:
    """Weights at a size and in a precision, as the pipeline runs them."""

    def __init__(self, weights: str, size: tuple[int, int], precision: str) -> None:
        network, header = load_network(weights, "masks")
        cpu = torch.device("cpu")
        chosen = choose("torch", "cpu", precision).precision
        self.network = in_precision(network, chosen, cpu)
        self.size = size
        name = f"{header.path.stem} {size[0]}x{size[1]} {chosen}"
        self.result = Result(name, calibration=CalibrationTally())

    def infer(self, frame: Frame) -> tuple[Labels, torch.Tensor]:
        """(h, w) labels, and the (k, h, w) scores that they come from."""
        size = network_size(frame.camera, self.size)
        image = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
        with torch.inference_mode():
            start = time.perf_counter()
            scores = self.network(image_tensor(np.asarray(image, np.uint8)))
            labels = scores.argmax(1)[0].to(torch.uint8).numpy()
            self.result.seconds.append(time.perf_counter() - start)
        return labels, scores[0]

    def add(self, frame: Frame, teachers: dict[str, Labels], points: Points | None) -> None:
        """Infer a frame and count."""
        labels, scores = self.infer(frame)
        self.result.add(labels, teachers, points)
        confidence = scores.softmax(0).amax(0).numpy()
        agrees = labels == resized(teachers["vote"], labels.shape)
        assert self.result.calibration is not None
        self.result.calibration.add(confidence.ravel(), agrees.ravel())


def areas(mask: NDArray[np.bool_]) -> int:
    """Number of connected areas of at least `LEAST` of the (H, W) pixels."""
    found = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[2]
    return int((found[1:, cv2.CC_STAT_AREA] >= LEAST * mask.size).sum())


def resized(labels: Labels, shape: tuple[int, ...]) -> Labels:
    """Labels at a shape (h, w), nearest neighbour."""
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def size_of(text: str) -> tuple[int, int]:
    """WxH."""
    width, height = text.split("x")
    return int(width), int(height)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("source", metavar="SOURCE[@A:B]")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every Nth frame")
    parser.add_argument("--teacher", type=Path, required=True, help="TFLite segmentation model")
    parser.add_argument("--weights", nargs="*", default=["masks-street"])
    parser.add_argument("--sizes", nargs="*", default=[(640, 192), (416, 128)], type=size_of)
    parser.add_argument("--precisions", nargs="*", default=["auto"], choices=PRECISIONS)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sequence, indices = recording(options.source)
    teacher = Teacher(options.teacher, options.threads)
    ways = {
        "once": lambda image: teacher.label(image, image.shape[1], image.shape[0]),
        "vote": lambda image: teacher.vote(image).labels,
    }
    own = {name: Result(f"teacher, {name}") for name in ways}
    candidates = [
        Masks(name, size, precision)
        for name in options.weights
        for size in options.sizes
        for precision in options.precisions
    ]
    for index in indices[:: options.every]:
        frame = sequence[index]
        points = Points.of(sequence.truth(index), frame.camera)
        teachers: dict[str, Labels] = {}
        for name, label in ways.items():
            start = time.perf_counter()
            teachers[name] = label(frame.image)
            own[name].seconds.append(time.perf_counter() - start)
        for name, result in own.items():
            result.add(teachers[name], teachers, points)
        for masks in candidates:
            if index == indices[0]:
                for _ in range(WARM_UP):
                    masks.infer(frame)
                masks.result.seconds.clear()
            masks.add(frame, teachers, points)
    results = [*own.values(), *(masks.result for masks in candidates)]
    report(options, [result.row() for result in results])


if __name__ == "__main__":
    main()
