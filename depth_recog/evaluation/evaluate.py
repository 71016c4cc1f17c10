# SPDX-License-Identifier: Apache-2.0
"""Compares a method and baselines with the truth, in one pass over a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.reader import readable
from depth_recog.datasets.sequence import Frame, Recording, Truth
from depth_recog.evaluation.answer import Answer, Answers
from depth_recog.evaluation.baselines import Baseline
from depth_recog.evaluation.depth_errors import Protocol
from depth_recog.evaluation.depth_tally import DepthTally, Groups, motions
from depth_recog.evaluation.flicker import Flicker, without_movers
from depth_recog.evaluation.gate import GateTally
from depth_recog.evaluation.odometry import PoseTally
from depth_recog.evaluation.uncertainty import UncertaintyTally
from depth_recog.method.geometry.se3 import inverse_matrix, relative
from depth_recog.method.geometry.viewport import Viewport, rectify_nearest

ANSWER = "answer"
"""Name of the evaluated method beside those of the baselines."""

LEAST_GAIN = 1 / 3
"""A depth network's abs_rel should be at least this share below the row mean's."""


@dataclass(frozen=True)
class Example:
    """A frame for the report.

    Attributes:
        name: of the frame.
        abs_rel: median-scaled.
        scale: median of the truth over median of the depth.
        image: (H, W, 3) uint8 RGB, rectified.
        depth: (H, W) float32, the method's, unscaled.
        truth: (H, W) float32 metres.
    """

    name: str
    abs_rel: float
    scale: float
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    truth: NDArray[np.float32]


@dataclass(frozen=True)
class Evaluation:
    """The results.

    Attributes:
        figures: nested dictionaries for JSON, see docs/reference/files.md.
        depth: errors of the method's depth, frame by frame.
        best: the frame with the smallest abs_rel; None without true depth.
        worst: the frame with the largest abs_rel.
        paths: estimated and true camera positions, (N, 3) metres; None without poses.
    """

    figures: dict[str, Any]
    depth: DepthTally
    best: Example | None
    worst: Example | None
    paths: tuple[NDArray[np.float64], NDArray[np.float64]] | None


@dataclass(frozen=True)
class _Previous:
    """A frame with known scale and pose, for the comparison with the next one."""

    index: int
    depth: NDArray[np.float32]
    scale: float
    world_from_camera: NDArray[np.float64]


class _Collector:
    """Collects errors over the frames."""

    def __init__(self, protocol: Protocol, baselines: dict[str, Baseline]) -> None:
        self.protocol = protocol
        self.baselines = baselines
        self.depths = {name: DepthTally(protocol) for name in (ANSWER, *baselines)}
        self.uncertainty = UncertaintyTally(protocol)
        self.flicker = Flicker(protocol.cap)
        self.poses = PoseTally()
        self.gate = GateTally()
        self.has_gate = False
        self.best: Example | None = None
        self.worst: Example | None = None
        self.paths: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = ([], [])
        self.labels = "none"
        self._before: _Previous | None = None
        self._known: dict[str, tuple[int, NDArray[np.float64]]] = {}
        self._flat: dict[str, NDArray[np.float32]] = {}
        self._flat_camera: object = None

    def add(self, index: int, frame: Frame, truth: Truth, answer: Answer) -> None:
        """Add one frame with its rectified truth."""
        scale = None
        if truth.depth is not None:
            scale = self._depth(frame, truth, truth.depth, answer)
        if truth.world_from_camera is not None:
            self._motion(index, frame.name, truth.world_from_camera, answer)
        self._compare_with_last(index, frame, truth, answer, scale)
        if truth.boxes is not None and answer.moving is not None and answer.dynamic is not None:
            self.has_gate = True
            camera = frame.camera.rectified()
            self.gate.add(
                frame.stamp_ns, answer.moving, answer.dynamic, truth.boxes, camera, answer.scores
            )

    def _depth(
        self, frame: Frame, truth: Truth, depth: NDArray[np.float32], answer: Answer
    ) -> float | None:
        """Return the frame's scale, truth over depth; None where no pixel is compared."""
        judged = self.protocol.judged(depth)
        if not judged.any():
            return None
        camera = frame.camera.rectified()
        labels = truth.labels if truth.labels is not None else answer.labels
        if labels is not None:
            self.labels = "truth" if truth.labels is not None else "the method's own"
        values = depth[judged].astype(np.float64)
        groups = Groups(
            values,
            None if labels is None else labels[judged],
            None if truth.boxes is None else motions(depth, judged, truth.boxes, camera),
        )
        if self._flat_camera != camera:
            self._flat = {name: b.depth(camera) for name, b in self.baselines.items()}
            self._flat_camera = camera
        for name, image in {ANSWER: answer.depth, **self._flat}.items():
            self.depths[name].add(frame.name, image[judged].astype(np.float64), values, groups)
        self._keep_example(frame, depth, answer)
        if answer.deviation is not None:
            own = answer.depth[judged].astype(np.float64)
            scale = self.depths[ANSWER].scales[-1]
            self.uncertainty.add(own, values, answer.deviation[judged], scale)
        return self.depths[ANSWER].scales[-1]

    def _keep_example(self, frame: Frame, truth: NDArray[np.float32], answer: Answer) -> None:
        tally = self.depths[ANSWER]
        abs_rel = tally.abs_rel[-1]
        best = self.best is None or abs_rel < self.best.abs_rel
        worst = self.worst is None or abs_rel > self.worst.abs_rel
        if not (best or worst):
            return
        image = Viewport.of(frame.camera, frame.camera.size).rectify(frame.image)
        example = Example(frame.name, abs_rel, tally.scales[-1], image, answer.depth, truth)
        self.best = example if best else self.best
        self.worst = example if worst else self.worst

    def _motion(
        self, index: int, name: str, world_from_camera: NDArray[np.float64], answer: Answer
    ) -> None:
        self.poses.frame(answer.world_from_camera, world_from_camera)
        if answer.world_from_camera is not None:
            self.paths[0].append(answer.world_from_camera)
            self.paths[1].append(world_from_camera)
        pair = answer.motion
        if pair is not None and pair.first in self._known:
            before, first = self._known[pair.first]
            self.poses.pair(
                pair.T_second_from_first, relative(first, world_from_camera), index - before
            )
        self._known[name] = index, world_from_camera
        while len(self._known) > 64:
            del self._known[next(iter(self._known))]

    def _compare_with_last(
        self, index: int, frame: Frame, truth: Truth, answer: Answer, scale: float | None
    ) -> None:
        if scale is None or truth.world_from_camera is None:
            self._before = None
            return
        camera = frame.camera.rectified()
        depth = without_movers(answer.depth, truth, camera)
        before = self._before
        self._before = _Previous(index, depth, scale, truth.world_from_camera)
        if before is None or before.index != index - 1 or before.depth.shape != depth.shape:
            return
        common = float(np.sqrt(scale * before.scale))
        motion = relative(before.world_from_camera, truth.world_from_camera)
        self.flicker.add(before.depth, depth, common, motion, camera)


def evaluate(
    sequence: Recording,
    frames: range,
    answers: Answers,
    protocol: Protocol,
    baselines: dict[str, Baseline],
    progress: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Compare a method and baselines with the truth of a recording.

    Args:
        sequence: the recording.
        frames: which of its frames, in order.
        answers: the method.
        protocol: which pixels are compared.
        baselines: by name.
        progress: called after every frame.

    Raises:
        DepthRecogError: a frame, its truth or its result cannot be read.
    """
    collector = _Collector(protocol, baselines)
    numbers: dict[str, int] = {}

    def read() -> Iterator[Frame]:
        for index, frame in readable(sequence, frames):
            numbers[frame.name] = index
            yield frame

    answered = 0
    for frame, answer in answers.of(read()):
        index = numbers.pop(frame.name)
        collector.add(index, frame, rectified(sequence.truth(index), frame), answer)
        answered += 1
        progress()
    return _evaluation(collector, len(frames), answered)


def rectified(truth: Truth, frame: Frame) -> Truth:
    """Return the truth for the rectified image; without flow where the image is distorted."""
    camera = frame.camera
    if not camera.distorted:
        return truth
    depth, labels, moving = truth.depth, truth.labels, truth.moving
    if depth is not None:
        depth = rectify_nearest(depth, camera, np.nan)
    if labels is not None:
        labels = rectify_nearest(labels, camera, 255)
    if moving is not None:
        moving = rectify_nearest(moving.astype(np.uint8), camera, 0).astype(np.bool_)
    return Truth(depth, truth.world_from_camera, labels, moving, None, truth.boxes)


def _evaluation(collector: _Collector, asked: int, answered: int) -> Evaluation:
    tally = collector.depths[ANSWER]
    figures: dict[str, Any] = {"frames": {"asked": asked, "answered": answered}}
    if tally.images:
        figures["depth"] = tally.result() | {"labels": collector.labels}
        if uncertainty := collector.uncertainty.result():
            figures["depth"]["uncertainty"] = uncertainty
        figures["baselines"] = {
            name: {"about": baseline.about} | collector.depths[name].result()
            for name, baseline in collector.baselines.items()
        }
        figures["verdict"] = verdict(figures)
        figures["flicker"] = collector.flicker.result()
    poses = collector.poses.result()
    if poses["pairs"] or "trajectory" in poses:
        figures["pose"] = poses
    if collector.has_gate:
        figures["gate"] = collector.gate.result()
    return Evaluation(
        figures,
        tally,
        collector.best,
        collector.worst,
        paths=_aligned(*collector.paths) if len(collector.paths[0]) > 1 else None,
    )


def _aligned(
    estimated: list[NDArray[np.float64]], true: list[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions of both, the estimated path moved to the true start; not scaled."""
    start = true[0] @ inverse_matrix(estimated[0])
    moved = np.array([(start @ pose)[:3, 3] for pose in estimated])
    return moved, np.array([pose[:3, 3] for pose in true])


def verdict(figures: dict[str, Any]) -> dict[str, Any]:
    """Check whether the method's median-scaled abs_rel is a third below the row mean's."""
    rows = figures["baselines"].get("row_mean")
    if rows is None or not rows.get("images"):
        return {"beats_row_mean": None, "gain": None}
    own = figures["depth"]["median_scaled"]["abs_rel"]
    gain = 1 - own / rows["median_scaled"]["abs_rel"]
    return {"beats_row_mean": bool(gain >= LEAST_GAIN), "gain": float(gain)}
