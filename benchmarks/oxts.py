# SPDX-License-Identifier: Apache-2.0
"""What of the static pose's error on a KITTI raw drive is the error of the drive's own poses.

python benchmarks/oxts.py DRIVE [--first 0] [--last 154]

The recorded poses are compared with the rates (gyroscope) and velocities of the same unit, over
a frame, and the static pose of neighbouring frames with both. What is an error of the poses is not
there against the rates; what is noise of single poses is the same for any gap, and neighbouring
pairs' errors cancel.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.kitti.raw import KittiRaw
from depth_recog.datasets.sources import open_source
from depth_recog.errors import SourceError
from depth_recog.method.geometry.se3 import inverse_matrix, relative
from depth_recog.method.geometry.viewport import Viewport
from depth_recog.networks.factory import assemble

Float = NDArray[np.float64]
AXES = "pitch, yaw, roll (degrees); right, down, forward (cm)"


def integrated(before: Float, after: Float, seconds: float) -> Float:
    """(4, 4) pose of the next frame's unit in this one's, from two rows of rates and velocities."""
    turn, speed = (before[20:23] + after[20:23]) / 2, (before[8:11] + after[8:11]) / 2
    pose = np.eye(4)
    pose[:3, :3] = cv2.Rodrigues(turn * seconds)[0]
    pose[:3, 3] = cv2.Rodrigues(turn * seconds / 2)[0] @ speed * seconds
    return pose


def difference(a: Float, b: Float) -> Float:
    """(6,) rotation in degrees, translation in centimetres."""
    turn = cv2.Rodrigues(a[:3, :3] @ b[:3, :3].T)[0][:, 0]
    return np.concatenate((np.degrees(turn), 100 * (a[:3, 3] - b[:3, 3])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("drive", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=154)
    options = parser.parse_args()
    sequence = open_source(str(options.drive))
    if not isinstance(sequence, KittiRaw):
        raise SourceError(f"{options.drive}: a KITTI raw drive is needed")
    rows = np.array(
        [np.loadtxt(file) for file in sorted((options.drive / "oxts/data").glob("*.txt"))]
    )
    unit_from_camera = sequence.imu_from_camera
    assembly = assemble("cpu")
    view = Viewport.of(sequence[0].camera, assembly.network_size(sequence[0].camera))
    seen, found, poses, rates = None, [], [], []
    for index in range(options.first, options.last):
        frame = sequence[index]
        image = view.shrink(view.rectify(frame.image))
        here = assembly.recognizer.observe(frame.name, frame.stamp_ns, image, view.network)
        if seen is not None:
            found.append(assembly.recognizer.compare(seen, here).static.T_second_from_first)
            ends = (sequence.truth(i).world_from_camera for i in (index - 1, index))
            poses.append(relative(*ends))
            seconds = (here.stamp_ns - seen.stamp_ns) / 1e9
            moved = integrated(rows[index - 1], rows[index], seconds)
            back = inverse_matrix(moved)
            rates.append(inverse_matrix(unit_from_camera) @ back @ unit_from_camera)
        seen = here
    lengths = [[np.linalg.norm(T[:3, 3]) for T in motions] for motions in (found, rates)]
    for T in found:
        T[:3, 3] *= np.median(lengths[1]) / np.median(lengths[0])
    print(f"Standard deviation, frames {options.first} to {options.last - 1}: {AXES}\n")
    print("| | pitch | yaw | roll | right | down | forward |\n|---|---|---|---|---|---|---|")
    for name, ones, others in (
        ("recorded poses beside rates and velocities", poses, rates),
        ("static pose beside the recorded poses", found, poses),
        ("static pose beside rates and velocities", found, rates),
    ):
        off = np.array([difference(a, b) for a, b in zip(ones, others, strict=True)])
        turns, ways = off.std(0)[:3], off.std(0)[3:]
        cells = [*(f"{v:.3f}" for v in turns), *(f"{v:.1f}" for v in ways)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
