# SPDX-License-Identifier: Apache-2.0
"""The gates side by side on a drive with boxes and LiDAR, from our own networks to the truth.

python benchmarks/gate.py DRIVE [--width 640] [--precision float32] [--frames A:B]

Four gates see the same depth and the same masks, of three kinds:

- network: depth and masks of the shipped networks;
- boxes: of the masks what lies in the truth's boxes, as what the box says it is; the rest of what
  they call dynamic is none;
- LiDAR and boxes: D1 is the nearest LiDAR point's depth as well.

By track, as `depth-recog evaluate` does (docs/evaluation.md); brackets are 95 % intervals over
tracks. The networks run once a frame, whatever the number of gates.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.sources import open_source
from depth_recog.evaluation.gate import GateTally
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import Viewport
from depth_recog.method.masking import CITYSCAPES
from depth_recog.method.observation import Observation
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.settings import GATES, Settings
from depth_recog.networks.factory import Assembly, assemble
from depth_recog.networks.precision import PRECISIONS

VEHICLES = ("Car", "Van", "Truck", "Tram")
FIGURES = ("auc", "recall", "recall_prompt", "false_positive_rate", "undecided")


def boxed(frame: Observation, boxes: tuple[Box, ...]) -> NDArray[np.uint8]:
    """(h, w) labels: dynamic pixels within boxes are what the (nearer) box is, others are wall."""
    camera = frame.camera
    labels = np.full(frame.labels.shape, CITYSCAPES.index("wall"), np.uint8)
    for box in sorted(boxes, key=lambda b: -float(b.T_camera_from_box[2, 3])):
        outline = box.outline(camera)
        if outline is not None:
            left, top, right, bottom = (max(round(v), 0) for v in outline)
            name = "car" if box.kind in VEHICLES else "person"
            labels[top : bottom + 1, left : right + 1] = CITYSCAPES.index(name)
    return np.where(frame.dynamic, labels, frame.labels)


def sparse_points(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """(h, w) depth of the nearest LiDAR point in a pixel, else inf; `depth` (H, W), NaN unknown."""
    rows, columns = np.nonzero(np.isfinite(depth) & (depth > 0))
    height, width = depth.shape
    v = (rows * camera.height) // height
    u = (columns * camera.width) // width
    sparse = np.full((camera.height, camera.width), np.inf, np.float32)
    np.minimum.at(sparse, (v, u), depth[rows, columns])
    return sparse


def nearest_point(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """(h, w) depth of the LiDAR point that is nearest in the image; `depth` (H, W), NaN unknown."""
    sparse = sparse_points(depth, camera)
    away = np.isinf(sparse).astype(np.uint8)
    _, owner = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros(int(owner.max()) + 1, np.float32)
    known = away == 0
    table[owner[known]] = sparse[known]
    filled: NDArray[np.float32] = table[owner]
    return filled


def kinds(frame: Observation, boxes: tuple[Box, ...], lidar: NDArray[np.float32]) -> dict[str, Any]:
    """The frame as each kind of truth shows it."""
    labels = boxed(frame, boxes)
    known = replace(frame, labels=labels, categories=frame.rules.category_ids(labels))
    return {
        "network": frame,
        "boxes": known,
        "LiDAR and boxes": replace(known, depth=nearest_point(lidar, frame.camera)),
    }


def blind(gate: str) -> Recognizer:
    """One that is shown frames in which the networks have looked already."""

    def nothing(*_: Any) -> Any:
        raise AssertionError("the networks are not asked")

    device = torch.device("cpu")
    return Recognizer(nothing, nothing, PnpEstimator(), Settings(gate=gate), device)


def observed(assembly: Assembly, drive: str, frames: slice) -> Any:
    """Yield (observation, boxes, LiDAR, camera of the image, view)."""
    source = open_source(drive)
    for index in range(*frames.indices(len(source))):
        frame, truth = source[index], source.truth(index)
        if truth.boxes is None or truth.depth is None:
            raise SystemExit(f"{drive}: boxes and depth are needed")
        camera = frame.camera.rectified()
        view = Viewport.of(frame.camera, assembly.network_size(camera))
        image = view.shrink(view.rectify(frame.image))
        seen = assembly.recognizer.observe(frame.name, frame.stamp_ns, image, view.network)
        yield seen, truth.boxes, truth.depth, camera, view


def frames_of(text: str) -> slice:
    """A:B."""
    return slice(*(int(v) if v else None for v in text.split(":")))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drive")
    parser.add_argument("--width", type=int, default=0, help="of the pipeline, pixels; 0: default")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the networks")
    parser.add_argument("--frames", default=":", metavar="A:B", type=frames_of)
    options = parser.parse_args()
    settings = Settings(width=options.width)
    assembly = assemble("cpu", settings=settings, precision=options.precision)
    runs: dict[tuple[str, str], tuple[Recognizer, GateTally]] = {}
    for seen, boxes, lidar, camera, view in observed(assembly, options.drive, options.frames):
        for kind, frame in kinds(seen, boxes, lidar).items():
            for gate in GATES:
                if (kind, gate) not in runs:
                    runs[kind, gate] = blind(gate), GateTally()
                subject, tally = runs[kind, gate]
                step = subject.advance(frame)
                dynamic = view.enlarge_labels(frame.dynamic.astype(np.uint8)) > 0
                moving, scores = view.enlarge_labels(step.moving), view.enlarge_labels(step.scores)
                tally.add(frame.stamp_ns, moving, dynamic, boxes, camera, scores)
    print("| depth and masks | gate | " + " | ".join(name.replace("_", " ") for name in FIGURES))
    for (kind, gate), (_, tally) in runs.items():
        result = tally.result()
        cells = [
            f"{result[name]['value']:.2f} ({result[name]['low']:.2f} to {result[name]['high']:.2f})"
            if name in result
            else "-"
            for name in FIGURES
        ]
        print(f"| {kind} | `{gate}` | " + " | ".join(cells) + " |", flush=True)
    print(f"{result['moving_tracks']} moving tracks, {result['parked_tracks']} parked")


if __name__ == "__main__":
    main()
