# SPDX-License-Identifier: Apache-2.0
"""How far off is the depth of objects: the network's, and that of their ground contact?

python benchmarks/contact_depth.py DRIVE[@A:B] [--width 640] [--json FILE]

`NETWORK_STD` and `CONTACT_STD` of depth_recog/method/gate/ground.py come from these
figures. The drive needs boxes and LiDAR. The error of an object in a frame is the median of
log(depth / LiDAR) over the points in its box, minus the same over all static points of the frame:
the scale that they share cancels in the gate's pose. Standard deviations are 1.4826 times the
median absolute deviation over objects and frames. Rows are thirds of the drive, since an object's
error stays similar over many frames; `correlation` is between the two errors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from common import parser_of, recording, report
from numpy.typing import NDArray
from observing import Observed, observe, sparse_points

from depth_recog.errors import SourceError
from depth_recog.method.gate.ground import NETWORK_STD, contact_depth, fit_plane
from depth_recog.method.masking import GROUND, ROAD
from depth_recog.method.pose.refinement import robust_std
from depth_recog.method.settings import Settings
from depth_recog.networks.factory import NetworkOptions, assemble

LEAST_POINTS, LEAST_CONTACTS = 8, 5


class Errors(NamedTuple):
    """Errors of log depth of one object in one frame; NaN where no contact is seen."""

    network: float
    contact: float


def errors_in(seen: Observed) -> list[Errors]:
    """The errors of all boxes of a frame."""
    frame, truth = seen.frame, seen.truth
    if truth.boxes is None or truth.depth is None:
        raise SourceError(f"frame {frame.name} has no boxes or no LiDAR depth: both are needed")
    nearest = sparse_points(truth.depth, frame.camera)
    v, u = np.nonzero(np.isfinite(nearest))
    lidar, dynamic = nearest[v, u], frame.dynamic[v, u]
    plane = fit_plane(frame.depth, frame.rules.pixels_of(frame.labels, ROAD), frame.camera)
    ground = frame.rules.pixels_of(frame.labels, GROUND)
    pixels = np.stack((u, v), 1).astype(np.float32)
    depth, deviations = contact_depth(
        pixels, frame.depth, frame.dynamic, ground, plane, frame.camera
    )
    has_contact = deviations != NETWORK_STD
    network, contact = np.log(frame.depth[v, u] / lidar), np.log(depth / lidar)
    scene = float(np.median(network[~dynamic]))
    points = np.stack((*(ray * lidar for ray in frame.camera.rays(u, v)), lidar), 1)
    found = []
    for box in truth.boxes:
        inside = box.contains(points) & dynamic
        if inside.sum() >= LEAST_POINTS:
            found.append(
                Errors(
                    float(np.median(network[inside])) - scene,
                    median_of(contact[inside & has_contact]) - scene,
                )
            )
    return found


def median_of(values: NDArray[np.float32]) -> float:
    return float(np.median(values)) if len(values) >= LEAST_CONTACTS else float("nan")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("drive", metavar="DRIVE[@A:B]")
    parser.add_argument("--width", type=int, default=0, help="of the pipeline, pixels; 0: default")
    options = parser.parse_args()
    sequence, indices = recording(options.drive)
    assembly = assemble(NetworkOptions(device="cpu"), Settings(width=options.width))
    by_frame = [errors_in(seen) for seen in observe(sequence, indices, assembly)]
    rows = []
    for part, frames in enumerate(np.array_split(np.arange(len(by_frame)), 3)):
        errors = np.array([e for index in frames for e in by_frame[index]]).reshape(-1, 2)
        both = errors[np.isfinite(errors[:, 1])]
        rows.append(
            {
                "third": part + 1,
                "objects": len(errors),
                "network median": np.median(errors[:, 0]),
                "network deviation": robust_std(errors[:, 0]),
                "with contact": len(both),
                "contact median": np.median(both[:, 1]),
                "contact deviation": robust_std(both[:, 1]),
                "correlation": np.corrcoef(both.T)[0, 1],
            }
        )
    report(options, rows)


if __name__ == "__main__":
    main()
