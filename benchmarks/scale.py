# SPDX-License-Identifier: Apache-2.0
"""How far from metres is depth with a measured scale?

python benchmarks/scale.py [--weights NAME] [--zoom Z...] [--json FILE] [--streets] CASE...

CASE is MODE:HEIGHT=SOURCE[@A:B], MODE one of camera_height, odometry, auto. Odometry is made from
the true poses: each step is wrong by 2 %, and every tenth second the wheels slip by half. For
MODE:HEIGHT:SPEEDS=SOURCE it is integrated from the CSV file SPEEDS, a line a frame.

The true factor of a frame is the median of true over predicted depth; without true depth, of true
over estimated distance of a pair. Errors are of the factor, against the clip's median and frame by
frame, from 5 s on, in locked frames. False locks: locked frames that are wrong by more than 15 %.
`ms` is the processor's time per frame, without that of the networks. Without truth the SPEEDS are
it: the way of the last second over that of the images.
With --zoom the middle 1/Z of the first case's images is used, with its intrinsics; the median of
true over scaled depth, `truth / metres`, compares zooms. --streets adds synthetic streets that no
constant was chosen on: slow robots, cars, and two low cameras that are too fast.
"""

from __future__ import annotations

import csv
import time
from typing import Any

import cv2
import numpy as np
from common import label_of, parser_of, recording, report

from depth_recog.datasets.sequence import Frame, Recording
from depth_recog.method.geometry.se3 import inverse_matrix, relative
from depth_recog.method.pair import Step
from depth_recog.method.scale.estimator import ScaleSettings
from depth_recog.method.scale.height import CameraMount
from depth_recog.method.scale.measurement import ScaleState
from depth_recog.method.scale.motion import OdometryBuffer
from depth_recog.method.settings import Settings
from depth_recog.method.stream_scale import StreamScale
from depth_recog.networks.factory import NetworkOptions, assemble
from depth_recog.pipeline import Pipeline
from depth_recog.processed import ProcessedFrame

BEGIN_S, FALSE = 5.0, 0.15
STREETS = (
    (0.4, 5, 80, 1.5), (0.5, 15, 110, 2), (0.7, -5, 90, 2), (1.0, -10, 60, 4), (1.3, 0, 50, 8),
    (1.65, 10, 100, 8), (2.5, 3, 70, 8), (0.4, 0, 90, 8), (0.8, 5, 90, 8),
)  # fmt: skip
"""Height (metres), pitch and field of view (degrees), speed (metres per second)."""
NOISE, SLIP, EVERY_S = 0.02, 1.5, 10.0
LEAST_STEP_M = 0.2
CAP_M = 80.0


def odometry_of(sequence: Recording, frames: range, speeds: str) -> OdometryBuffer:
    """Wheels that measure each step wrong by 2 %, and slip; or the speeds of a file."""
    buffer, rng = OdometryBuffer(kept=None), np.random.default_rng(0)
    if speeds:
        with open(speeds, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        way, before = 0.0, float(rows[frames.start]["t_s"])
        for index in frames:
            now = float(rows[index]["t_s"])
            way += (now - before) * float(rows[index]["gps_speed2d_mps"])
            before = now
            buffer.add(sequence.stamp_ns(index), np.array((way, 0.0, 0.0)))
        return buffer
    place, last = np.zeros(3), None
    for index in frames:
        stamp, pose = sequence.stamp_ns(index), sequence.truth(index).world_from_camera
        if pose is None:
            break
        here = pose[:3, 3]
        if last is not None:
            slipping = (stamp / 1e9) % EVERY_S < 1
            step = (here - last) * (1 + rng.normal(0, NOISE)) * (SLIP if slipping else 1)
            place = place + step
        last = here
        buffer.add(stamp, place)
    return buffer


def by_depth(processed: ProcessedFrame, truth: np.ndarray | None) -> tuple[float, float, float]:
    """Median of true over predicted depth; abs_rel of the depth, and of the scaled depth."""
    if truth is None:
        return (np.nan,) * 3
    depth = processed.at_input_size.depth(0.0, np.inf)
    known = np.isfinite(truth) & (truth > 0) & (truth < CAP_M) & np.isfinite(depth) & (depth > 0)
    t, d = truth[known], depth[known]
    ratio = float(np.median(t / d))
    own = np.median(t) / np.median(d)
    errors = (float(np.mean(np.abs(d * f - t) / t)) for f in (1.0, own))
    return ratio, *errors


def zoomed(frame: Frame, depth: np.ndarray | None, zoom: float) -> tuple[Frame, Any]:
    """The middle of a frame and of its true depth."""
    if zoom == 1:
        return frame, depth
    width, height = frame.camera.size
    w, h = round(width / zoom), round(height / zoom)
    u, v = (width - w) // 2, (height - h) // 2
    part = slice(v, v + h), slice(u, u + w)
    camera = frame.camera.cropped(u, v, w, h)
    image = np.ascontiguousarray(frame.image[part])
    return Frame(frame.name, frame.stamp_ns, image, camera), None if depth is None else depth[part]


def timed(scale: StreamScale) -> list[float]:
    """Milliseconds of the processor for each frame that the scale gets, filled as it gets them."""
    cv2.setNumThreads(1)
    add, cost = scale.add, []

    def measured(step: Step) -> None:
        _ = step.frame.grey, step.frame.near(0)  # computed for other parts
        begin = time.thread_time()
        add(step)
        cost.append((time.thread_time() - begin) * 1e3)

    scale.add = measured  # type: ignore[method-assign]
    return cost


class Ways:
    """The way by odometry over that of the path, in the network's unit, of the last second."""

    def __init__(self, scale: StreamScale) -> None:
        self._scale = scale
        self._places: list[tuple[int, np.ndarray]] = []

    def ratio(self, stamp_ns: int) -> float:
        """At a frame; NaN where the path began anew less than a second before."""
        path, odometry = self._scale._path, self._scale.odometry
        if len(path._poses) <= 1:
            self._places.clear()
        self._places.append((stamp_ns, path.latest[:3, 3].copy()))
        while len(self._places) > 1 and stamp_ns - self._places[1][0] >= 10**9:
            del self._places[0]
        begin, place = self._places[0]
        there, now = odometry.at(begin), odometry.at(stamp_ns)
        if stamp_ns - begin < 10**9 or there is None or now is None:
            return np.nan
        return float(np.linalg.norm(now - there) / np.linalg.norm(path.latest[:3, 3] - place))


def judge(case: str, weights: str, zoom: float) -> dict[str, Any]:
    """One row of the table."""
    head, _, source = case.partition("=")
    mode, height, *speeds = head.split(":")
    sequence, frames = recording(source)
    mount = CameraMount(float(height)) if float(height) else None
    needs = mode != "camera_height"
    odometry = odometry_of(sequence, frames, speeds[0] if speeds else "") if needs else None
    settings = Settings(scale=ScaleSettings(mode, mount=mount))
    pipeline = Pipeline(assemble(NetworkOptions(depth=weights), settings, odometry=odometry))
    rows, poses, begin, cost = [], {}, None, timed(pipeline._assembly.recognizer.scale)
    ways = Ways(pipeline._assembly.recognizer.scale)
    for index in frames:
        truth = sequence.truth(index)
        frame, depth = zoomed(sequence[index], truth.depth, zoom)
        begin = frame.stamp_ns if begin is None else begin
        processed = pipeline.process(frame)
        step = processed.step
        scale = step.frame.scale
        ratio, plain, scaled = by_depth(processed, depth)
        if truth.world_from_camera is not None and truth.depth is None:
            poses[step.frame.name] = truth.world_from_camera
            pair = step.pair
            if pair is not None and pair.static.ok and pair.first.name in poses:
                true = relative(poses[pair.first.name], truth.world_from_camera)
                way = float(np.linalg.norm(true[:3, 3]))
                seen = inverse_matrix(pair.static.T_second_from_first)[:3, 3]
                if way > LEAST_STEP_M:
                    ratio = way / float(np.linalg.norm(seen))
        if truth.world_from_camera is None and odometry is not None:
            ratio = ways.ratio(frame.stamp_ns) / scale.factor
        seconds = (frame.stamp_ns - begin) / 1e9
        height_now = np.nan
        if (ground := pipeline._assembly.recognizer.scale.ground) is not None:
            height_now = ground.distance * scale.factor
        state = scale.state.value
        rows.append((seconds, state, scale.factor, ratio, plain, scaled, height_now))
    about = {"case": label_of(source), "mode": mode, "height": float(height), "zoom": zoom}
    return about | summary(rows, cost)


def summary(rows: list[tuple[Any, ...]], cost: list[float]) -> dict[str, Any]:
    """The figures of a clip."""
    seconds, factor, ratio, plain, scaled, height = (
        np.array([row[i] for row in rows], float) for i in (0, 2, 3, 4, 5, 6)
    )
    states = [row[1] for row in rows]
    locked = np.array([state == ScaleState.LOCKED.value for state in states])
    true = np.nanmedian(factor * ratio)  # of the network's unit
    judged = locked & (seconds >= BEGIN_S)
    against = np.abs(np.log(factor / true))
    by_frame = np.abs(np.log(ratio))
    known = judged & np.isfinite(by_frame)

    def of(values: np.ndarray, chosen: np.ndarray, share: float) -> float:
        return round(float(np.quantile(values[chosen], share)), 3) if chosen.any() else np.nan

    return {
        "frames": len(rows),
        "locked": round(float(locked.mean()), 3),
        "stale": states.count(ScaleState.STALE.value),
        "true factor": round(float(true), 3),
        "factor": of(factor, judged, 0.5),
        "median error": of(against, judged, 0.5),
        "p95 error": of(against, judged, 0.95),
        "truth / metres": of(ratio, known, 0.5),
        "frame by frame, median": of(by_frame, known, 0.5),
        "frame by frame, p95": of(by_frame, known, 0.95),
        "false locks": round(float((against[locked] > FALSE).sum() / len(rows)), 3),
        "abs_rel": of(plain, known, 0.5),
        "median-scaled": of(scaled, known, 0.5),
        "height found": of(height, judged & np.isfinite(height), 0.5),
        "ms": round(float(np.mean(cost)), 2),
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--weights", default="", help="depth weights")
    parser.add_argument("--zoom", type=float, nargs="+", default=[1.0], help="of the first case")
    parser.add_argument("--streets", action="store_true")
    parser.add_argument("cases", nargs="*", metavar="MODE:HEIGHT=SOURCE[@A:B]")
    options = parser.parse_args()
    chosen = [(case, 1.0) for case in options.cases]
    if options.cases:
        chosen[:1] = [(options.cases[0], zoom) for zoom in options.zoom]
    for seed, (height, pitch, fov, speed) in enumerate(STREETS if options.streets else (), 701):
        lens = f"mount={height}&pitch={pitch}&fov={fov}&speed={speed}&width=416&height=256"
        source = f"synthetic:street?seed={seed}&frames=60&{lens}"
        chosen.append((f"camera_height:{height}={source}", 1.0))
    rows = []
    for case, zoom in chosen:
        rows.append(judge(case, options.weights, zoom))
        print(rows[-1], flush=True)
    report(options, rows)


if __name__ == "__main__":
    main()
