# SPDX-License-Identifier: Apache-2.0
"""How far the depth of things is off: the network's, and that of where they touch the ground.

python benchmarks/witnesses.py DRIVE [--frames A:B] [--width 640]

Where `NETWORK_DEVIATION` and `CONTACT_DEVIATION` of `depth_recog.method.ground` come from. A drive
with boxes and LiDAR is needed. An error is the median of log(depth / LiDAR) over the points within
a box, less that of all that cannot move in the frame: the gate's pose shares the scene's scale.
Deviations are 1.4826 median absolute deviations over boxes and frames, tables by thirds of the
drive, since a thing's errors go on for many frames.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
from gate import observed
from numpy.typing import NDArray

from depth_recog.datasets.boxes import Box
from depth_recog.method.correspondences import at
from depth_recog.method.ground import NETWORK_DEVIATION, Plane, fit_plane, witnessed_depth
from depth_recog.method.masking import GROUND, ROAD
from depth_recog.method.observation import Observation
from depth_recog.method.settings import Settings
from depth_recog.networks.factory import assemble

LEAST_POINTS = 8


class Errors(NamedTuple):
    """Of one thing in one frame, of log depth; NaN where no contact is seen."""

    network: float
    contact: float


def points_of(lidar: NDArray[np.float32], frame: Observation) -> tuple[NDArray[np.float32], ...]:
    """Pixels (N, 2) of the frame with a point, the nearest one's depth (N,); `lidar` (H, W)."""
    rows, columns = np.nonzero(np.isfinite(lidar) & (lidar > 0))
    camera = frame.camera
    v = rows * camera.height // len(lidar)
    u = columns * camera.width // lidar.shape[1]
    nearest = np.full((camera.height, camera.width), np.inf, np.float32)
    np.minimum.at(nearest, (v, u), lidar[rows, columns])
    v, u = np.nonzero(np.isfinite(nearest))
    return np.stack((u, v), 1).astype(np.float32), nearest[v, u]


def errors_in(
    frame: Observation, boxes: tuple[Box, ...], lidar: NDArray[np.float32]
) -> list[Errors]:
    """Errors of all boxes of a frame."""
    pixels, truth = points_of(lidar, frame)
    movable = at(frame.dynamic, pixels)
    off = np.log(at(frame.depth, pixels) / truth)
    scene = float(np.median(off[~movable]))
    plane = fit_plane(frame.depth, frame.rules.pixels_of(frame.labels, ROAD), frame.camera)
    x, y = (ray * truth for ray in frame.camera.rays(*pixels.T))
    points = np.stack((x, y, truth), 1)
    found = []
    for box in boxes:
        inside = box.contains(points) & movable
        if inside.sum() >= LEAST_POINTS:
            contact = contact_error(frame, plane, pixels[inside], truth[inside])
            found.append(Errors(float(np.median(off[inside])) - scene, contact - scene))
    return found


def contact_error(
    frame: Observation,
    plane: Plane | None,
    pixels: NDArray[np.float32],
    truth: NDArray[np.float32],
) -> float:
    """Median error of the contacts below these pixels, NaN where there are too few."""
    ground = frame.rules.pixels_of(frame.labels, GROUND)
    depth, deviation = witnessed_depth(
        pixels, frame.depth, frame.dynamic, ground, plane, frame.camera
    )
    seen = deviation != NETWORK_DEVIATION
    return float(np.median(np.log(depth / truth)[seen])) if seen.sum() > 4 else float("nan")


def spread(values: NDArray[np.float64]) -> float:
    """1.4826 median absolute deviations."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drive")
    parser.add_argument("--width", type=int, default=0, help="of the pipeline, pixels; 0: default")
    parser.add_argument("--frames", default=":", metavar="A:B")
    options = parser.parse_args()
    bounds = slice(*(int(v) if v else None for v in options.frames.split(":")))
    assembly = assemble("cpu", settings=Settings(width=options.width))
    by_frame = [
        errors_in(frame, boxes, lidar)
        for frame, boxes, lidar, _, _ in observed(assembly, options.drive, bounds)
    ]
    print("| third | things | network: median, deviation | contact: seen, median, deviation | r |")
    for part, frames in enumerate(np.array_split(np.arange(len(by_frame)), 3)):
        errors = np.array([e for index in frames for e in by_frame[index]]).reshape(-1, 2)
        network, both = errors[:, 0], errors[np.isfinite(errors[:, 1])]
        contact = both[:, 1]
        print(
            f"| {part + 1} | {len(network)} | {np.median(network):.2f}, {spread(network):.2f} "
            f"| {len(contact)}, {np.median(contact):.2f}, {spread(contact):.2f} "
            f"| {np.corrcoef(both.T)[0, 1]:.2f} |"
        )


if __name__ == "__main__":
    main()
