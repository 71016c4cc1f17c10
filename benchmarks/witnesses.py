# SPDX-License-Identifier: Apache-2.0
"""How far the depth of things is off: the network's, and that of where they touch the ground.

python benchmarks/witnesses.py DRIVE [--frames A:B] [--width 640]

Where `NETWORK_DEVIATION` and `CONTACT_DEVIATION` of `method.gate.ground` come from. A drive
with boxes and LiDAR is needed. An error is the median of log(depth / LiDAR) over the points within
a box, less that of all that cannot move in the frame: the gate's pose shares the scene's scale.
Deviations are 1.4826 median absolute deviations over boxes and frames, tables by thirds of the
drive, since a thing's errors go on for many frames.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
from gate import frames_of, observed, sparse_points
from numpy.typing import NDArray

from depth_recog.datasets.boxes import Box
from depth_recog.method.gate.ground import NETWORK_DEVIATION, contact_depth, fit_plane
from depth_recog.method.masking import GROUND, ROAD
from depth_recog.method.median import deviation
from depth_recog.method.observation import Observation
from depth_recog.method.settings import Settings
from depth_recog.networks.factory import assemble

LEAST_POINTS, LEAST_CONTACTS = 8, 5


class Errors(NamedTuple):
    """Of one thing in one frame, of log depth; NaN where no contact is seen."""

    network: float
    contact: float


def errors_in(
    frame: Observation, boxes: tuple[Box, ...], lidar: NDArray[np.float32]
) -> list[Errors]:
    """Errors of all boxes of a frame."""
    nearest = sparse_points(lidar, frame.camera)
    v, u = np.nonzero(np.isfinite(nearest))
    truth, movable = nearest[v, u], frame.dynamic[v, u]
    plane = fit_plane(frame.depth, frame.rules.pixels_of(frame.labels, ROAD), frame.camera)
    ground = frame.rules.pixels_of(frame.labels, GROUND)
    pixels = np.stack((u, v), 1).astype(np.float32)
    witnessed, deviations = contact_depth(
        pixels, frame.depth, frame.dynamic, ground, plane, frame.camera
    )
    seen = deviations != NETWORK_DEVIATION
    network, contact = np.log(frame.depth[v, u] / truth), np.log(witnessed / truth)
    scene = float(np.median(network[~movable]))
    x, y = (ray * truth for ray in frame.camera.rays(u, v))
    points = np.stack((x, y, truth), 1)
    found = []
    for box in boxes:
        inside = box.contains(points) & movable
        stands = inside & seen
        if inside.sum() >= LEAST_POINTS:
            enough = stands.sum() >= LEAST_CONTACTS
            by_contact = float(np.median(contact[stands])) if enough else float("nan")
            found.append(Errors(float(np.median(network[inside])) - scene, by_contact - scene))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drive")
    parser.add_argument("--width", type=int, default=0, help="of the pipeline, pixels; 0: default")
    parser.add_argument("--frames", default=":", metavar="A:B", type=frames_of)
    options = parser.parse_args()
    assembly = assemble("cpu", settings=Settings(width=options.width))
    by_frame = [
        errors_in(frame, boxes, lidar)
        for frame, boxes, lidar, _, _ in observed(assembly, options.drive, options.frames)
    ]
    print("| third | things | network: median, deviation | contact: seen, median, deviation | r |")
    for part, frames in enumerate(np.array_split(np.arange(len(by_frame)), 3)):
        errors = np.array([e for index in frames for e in by_frame[index]]).reshape(-1, 2)
        network, both = errors[:, 0], errors[np.isfinite(errors[:, 1])]
        contact = both[:, 1]
        print(
            f"| {part + 1} | {len(network)} | {np.median(network):.2f}, {deviation(network):.2f} "
            f"| {len(contact)}, {np.median(contact):.2f}, {deviation(contact):.2f} "
            f"| {np.corrcoef(both.T)[0, 1]:.2f} |"
        )


if __name__ == "__main__":
    main()
