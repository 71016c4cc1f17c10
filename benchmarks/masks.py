# SPDX-License-Identifier: Apache-2.0
"""How good masks are, and how fast: against a teacher that looks once, one that votes, and LiDAR.

python benchmarks/masks.py DRIVE --teacher MODEL.tflite [--frames 77:116] [--weights NAME...]

A row for each weights file, size and precision, and for the teacher itself. Intersections over
unions are with the teacher's labels at the masks' size; `points` are the shares of the LiDAR's
points within annotated boxes on which the masks say the box's group (of points in all frames, not
of things).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Frame, Recording
from depth_recog.datasets.sources import open_source
from depth_recog.errors import SourceError
from depth_recog.evaluation.masks import CLASSES, GROUPS, Agreement, Points, confusion
from depth_recog.method.observation import image_tensor
from depth_recog.networks.precision import PRECISIONS, choose_precision, in_precision
from depth_recog.networks.weights import load_network
from recipes.teacher import Teacher
from recipes.temperature import CalibrationTally

Labels = NDArray[np.uint8]
WARM_UP = 5


@dataclass
class Row:
    """What is counted of one way to make masks."""

    name: str
    tables: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    points: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(GROUPS), 2), np.int64))
    seconds: list[float] = field(default_factory=list)
    calibration: CalibrationTally | None = None

    def add(self, answer: Labels, teachers: dict[str, Labels], points: Points | None) -> None:
        """Count a frame."""
        for name, labels in teachers.items():
            size = (answer.shape[1], answer.shape[0])
            wanted = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
            table = self.tables.setdefault(name, np.zeros((CLASSES, CLASSES), np.int64))
            table += confusion(np.asarray(wanted, np.uint8), answer)
        if points is not None:
            self.points += points.found(answer)

    def __str__(self) -> str:
        cells = [f"{self.name:<28}"]
        for table in self.tables.values():
            found = Agreement.of(table)
            car = found.by_class.get("car", float("nan"))
            figures = (found.mean, car, *found.by_group.values(), found.accuracy)
            cells.append(" ".join(f"{value:5.3f}" for value in figures))
        shares = [f"{hit / count:5.3f}" if count else "    -" for hit, count in self.points]
        cells.append(" ".join(shares))
        cells.append(f"{self.calibration.error:5.3f}" if self.calibration else "    -")
        if self.seconds:
            spread = np.percentile(np.array(self.seconds) * 1e3, (10, 50, 90))
            cells.append(" ".join(f"{value:5.1f}" for value in spread))
        return " | ".join(cells)


class Masks:
    """Weights at a size, as the pipeline runs them."""

    def __init__(self, weights: str, size: tuple[int, int], precision: str) -> None:
        network, header = load_network(weights, "masks")
        cpu = torch.device("cpu")
        chosen = choose_precision(precision, cpu)
        self.network = in_precision(network, chosen, cpu)
        self.size = size
        name = f"{header.path.stem} {size[0]}x{size[1]} {chosen}"
        self.row = Row(name, calibration=CalibrationTally())

    def look(self, frame: Frame) -> tuple[Labels, torch.Tensor]:
        """Labels, and the scores that they come from."""
        image = cv2.resize(frame.image, self.size, interpolation=cv2.INTER_AREA)
        with torch.inference_mode():
            start = time.perf_counter()
            scores = self.network(image_tensor(np.asarray(image, np.uint8)))
            labels = scores.argmax(1)[0].to(torch.uint8).numpy()
            self.row.seconds.append(time.perf_counter() - start)
        return labels, scores[0]

    def judge(self, frame: Frame, teachers: dict[str, Labels], points: Points | None) -> None:
        """Look at a frame and count."""
        labels, scores = self.look(frame)
        self.row.add(labels, teachers, points)
        wanted = cv2.resize(teachers["vote"], self.size, interpolation=cv2.INTER_NEAREST_EXACT)
        best = scores.softmax(0).amax(0).numpy()
        assert self.row.calibration is not None
        self.row.calibration.add(best.ravel(), (labels == wanted).ravel())


def frames_of(sequence: Recording, text: str, every: int) -> Iterator[int]:
    """Numbers of the frames A:B."""
    first, last = (int(part) if part else None for part in text.split(":"))
    return iter(range(len(sequence))[first:last:every])


def reading(size: str) -> tuple[int, int]:
    """WxH."""
    width, height = size.split("x")
    return int(width), int(height)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a recording; with LiDAR and boxes their points are judged")
    parser.add_argument("--teacher", type=Path, required=True, help="TFLite segmentation model")
    parser.add_argument("--frames", default=":", metavar="A:B")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--weights", nargs="*", default=["masks-street"])
    parser.add_argument("--sizes", nargs="*", default=[(640, 192), (416, 128)], type=reading)
    parser.add_argument("--precisions", nargs="*", default=["auto"], choices=PRECISIONS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--classes", action="store_true", help="every class of every row as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sequence = open_source(options.source)
    if not isinstance(sequence, Recording):
        raise SourceError(f"{options.source}: a recording is needed")
    teacher = Teacher(options.teacher, options.threads)
    looks: dict[str, Callable[[NDArray[np.uint8]], Labels]] = {
        "once": lambda image: teacher.label(image, image.shape[1], image.shape[0]),
        "vote": lambda image: teacher.vote(image).labels,
    }
    masks = [
        Masks(name, size, precision)
        for name in options.weights
        for size in options.sizes
        for precision in options.precisions
    ]
    own = {name: Row(f"teacher, {name}") for name in looks}
    count = 0
    for index in frames_of(sequence, options.frames, options.every):
        frame, count = sequence[index], count + 1
        points = Points.of(sequence.truth(index), frame.camera)
        teachers: dict[str, Labels] = {}
        for name, look in looks.items():
            start = time.perf_counter()
            teachers[name] = look(frame.image)
            own[name].seconds.append(time.perf_counter() - start)
        for name, row in own.items():
            row.add(teachers[name], teachers, points)
        for mask in masks:
            if count == 1:
                for _ in range(WARM_UP):
                    mask.look(frame)
                mask.row.seconds.clear()
            mask.judge(frame, teachers, points)
    rows = [*own.values(), *(mask.row for mask in masks)]
    totals = ", ".join(
        f"{name} {total}" for name, (_, total) in zip(GROUPS, rows[0].points, strict=True)
    )
    print(f"{options.source}, {count} frames, {options.threads} threads; points: {totals}")
    print("masks | once: mean car vehicles people accuracy | vote: the same | points:", end=" ")
    print(f"{' '.join(GROUPS)} | calibration error against the vote | ms: p10 p50 p90")
    for row in rows:
        print(row)
        if options.classes:
            for name, table in row.tables.items():
                values = Agreement.of(table).by_class.items()
                print(f"  {name}:", ", ".join(f"{label} {iou:.2f}" for label, iou in values))


if __name__ == "__main__":
    main()
