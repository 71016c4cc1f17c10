# SPDX-License-Identifier: Apache-2.0
"""How far the odometry is off, and how far it says it may be, on recordings with true poses.

python benchmarks/odometry.py SOURCE[@FIRST:LAST]...

Of every pair: the root mean square of the error, and of the deviation claimed for it (in brackets
without the depth's scale). At the path's middle and end: the same. Deviations are over all
three axes.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.errors import SourceError
from depth_recog.method.geometry.se3 import inverse_matrix, relative, rotation_angle
from depth_recog.method.geometry.viewport import Viewport
from depth_recog.method.observation import Pair
from depth_recog.method.trajectory import Place, Trajectory
from depth_recog.networks.factory import assemble

LEAST_STEP = 0.1


def deviations(covariance: NDArray[np.float64]) -> tuple[float, float]:
    """Of the rotation in degrees and of the translation, over the three axes."""
    turn, way = np.trace(covariance[:3, :3]), np.trace(covariance[3:, 3:])
    return float(np.degrees(np.sqrt(turn))), float(np.sqrt(way))


def errors(found: NDArray[np.float64], truth: NDArray[np.float64]) -> tuple[float, float]:
    """Of the rotation in degrees and of the translation."""
    turn = np.degrees(rotation_angle(found @ inverse_matrix(truth)))
    return float(turn), float(np.linalg.norm(found[:3, 3] - truth[:3, 3]))


def of_pair(pair: Pair, place: Place, truth: NDArray[np.float64]) -> list[float]:
    """Error, claim, and the claim without the depth's scale; then the length's ratio."""
    T = pair.static.T_second_from_first
    assert pair.static.covariance is not None
    claim = deviations(place.twist_covariance * pair.seconds**2)
    length = np.linalg.norm(truth[:3, 3])
    ratio = np.linalg.norm(T[:3, 3]) / length if length > LEAST_STEP else np.nan
    return [*errors(T, truth), *claim, *deviations(pair.static.covariance), float(ratio)]


def judge(source: str, first: int, last: int) -> str:
    """One row of the table."""
    sequence = open_source(source)
    if not isinstance(sequence, Recording):
        raise SourceError(f"{source}: a recording with poses is needed")
    assembly, trajectory = assemble("cpu"), Trajectory()
    camera = sequence[first].camera
    view = Viewport.of(camera, assembly.network_size(camera))
    true, pairs, ends = {}, [], []
    begin, path = None, 0.0
    for index in range(first, min(last, len(sequence))):
        frame, pose = sequence[index], sequence.truth(index).world_from_camera
        begin = pose if begin is None else begin
        if true:
            path += float(np.linalg.norm(pose[:3, 3] - next(reversed(true.values()))[:3, 3]))
        true[frame.name] = pose
        image = view.shrink(view.rectify(frame.image))
        step = assembly.recognizer.step(frame.name, frame.stamp_ns, image, view.network)
        place, pair = trajectory.add(step), step.pair
        here = inverse_matrix(begin) @ pose
        ends.append((*errors(place.T_first_from_frame, here), *deviations(place.covariance), path))
        if pair is not None and pair.static.ok:
            truth = relative(true[pair.first.name], true[pair.second.name])
            pairs.append(of_pair(pair, place, truth))
    turn, way, turn_claim, way_claim, turn_raw, way_raw, _ = np.sqrt(
        np.mean(np.square(pairs), axis=0)
    )
    ratio = np.array(pairs)[:, -1]
    cells = [
        f"{turn:.2f}, {turn_claim:.2f} ({turn_raw:.2f})",
        f"{way:.2f}, {way_claim:.2f} ({way_raw:.2f})",
        f"{np.nanmean(ratio):.2f}, {np.nanstd(ratio):.2f}",
    ]
    for turn, way, turn_claim, way_claim, path in (ends[len(ends) // 2], ends[-1]):
        cells.append(f"{path:.0f}: {turn:.1f}, {turn_claim:.1f}; {way:.2f}, {way_claim:.2f}")
    return f"| {source.split('/')[-1]}, {first} to {index} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    options = parser.parse_args()
    print(
        "| recording | pair: degrees | pair: metres | length: mean, deviation "
        "| half the path, m: degrees; metres | whole path |"
    )
    print("|---|---|---|---|---|---|")
    for entry in options.sources:
        source, _, span = entry.partition("@")
        first, last = (int(n) for n in (span or "0:200").split(":"))
        print(judge(source, first, last), flush=True)


if __name__ == "__main__":
    main()
