# SPDX-License-Identifier: Apache-2.0
"""Recordings and methods with known values, for the tests of the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.sequence import Frame, Recording, Truth
from depth_recog.datasets.street import SyntheticStreet
from depth_recog.evaluation.answer import Answer
from depth_recog.evaluation.baselines import Baseline
from depth_recog.evaluation.depth_errors import Protocol
from depth_recog.evaluation.evaluate import evaluate
from depth_recog.method.geometry.camera import Camera

Depth = NDArray[np.float32]
CAMERA = Camera(64, 40, 50.0, 50.0, 31.5, 15.0)
STEP_NS = 100_000_000
WHOLE_IMAGE = Protocol("none")
# Realistic: seconds since 1970 as a float have a resolution of 0.2 microseconds.
FIRST_NS = 1_700_000_000_123_456_789


class Given:
    """A recording of black images with given truth."""

    kind, name, rate_hz, live = "given", "given", 10.0, False

    def __init__(self, truths: list[Truth], camera: Camera = CAMERA) -> None:
        self._truths, self.camera = truths, camera

    def __len__(self) -> int:
        return len(self._truths)

    def __iter__(self) -> Iterator[Frame]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Frame:
        width, height = self.camera.size
        image = np.zeros((height, width, 3), np.uint8)
        return Frame(f"{index:06d}", FIRST_NS + index * STEP_NS, image, self.camera)

    def truth(self, index: int) -> Truth:
        return self._truths[index]

    def file(self, index: int) -> Path | None:
        self._truths[index]
        return None


class Says:
    """A method that returns `answer(i)` for the frame named `i`; None means no prediction."""

    def __init__(self, answer: Callable[[int], Answer | None]) -> None:
        self.about = {"weights": "none"}
        self._answer = answer

    def of(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Answer]]:
        for frame in frames:
            answer = self._answer(int(frame.name))
            if answer is not None:
                yield frame, answer


def says_depth(
    sequence: Recording, change: Callable[[int, Depth], Depth] = lambda i, depth: depth
) -> Says:
    """The true depth, changed."""

    def answer(index: int) -> Answer:
        depth = sequence.truth(index).depth
        assert depth is not None
        return Answer(change(index, depth))

    return Says(answer)


def figures_of(
    sequence: Recording, answers: Says, protocol: Protocol = WHOLE_IMAGE, **baselines: Baseline
) -> dict[str, Any]:
    """All figures of a method, and of baselines by name, on a whole recording."""
    return evaluate(sequence, range(len(sequence)), answers, protocol, baselines).figures


def textured(index: int, camera: Camera = CAMERA, lowest: float = 2.0) -> Depth:
    """Return (H, W) depth from `lowest` to 78 m, different in each frame; a fifth unknown."""
    rng = np.random.default_rng(index)
    shape = camera.height, camera.width
    depth = np.exp(rng.uniform(np.log(lowest), np.log(78.0), shape)).astype(np.float32)
    depth[rng.random(shape) < 0.2] = np.nan
    return depth


def thing(
    track: str,
    speed: float,
    place: tuple[float, float, float] = (0.0, 0.0, 10.0),
    size: tuple[float, float, float] = (4.0, 2.0, 2.0),
    truncated: bool = False,
) -> Box:
    """Return a box whose length is across the view; size is (right, ahead, up)."""
    T = np.eye(4)
    # x of the box to the right, y ahead, z up.
    T[:3, :3] = np.array(((1, 0, 0), (0, 0, -1), (0, 1, 0)), float)
    T[:3, 3] = place
    return Box(track, "car", T, size, speed, truncated)


def at(box: Box, **changes: object) -> Box:
    """The box with some attributes changed."""
    return replace(box, **changes)  # type: ignore[arg-type]


def ahead(metres: float) -> NDArray[np.float64]:
    """Return the pose of a camera that has moved along z."""
    pose = np.eye(4)
    pose[2, 3] = metres
    return pose


def write_recording(folder: Path, frames: int = 4, width: int = 208, height: int = 64) -> Path:
    """Write the synthetic street in the layout of 7-Scenes; depth in millimetres.

    The default size has the shape for which the networks are made ready when they are loaded.
    """
    street = SyntheticStreet(frames=frames, width=width, height=height)
    folder.mkdir(parents=True)
    for i in range(frames):
        truth = street.truth(i)
        assert truth.depth is not None
        stem = f"{folder}/frame-{i:06d}"
        cv2.imwrite(f"{stem}.color.png", street[i].image[..., ::-1])
        known = np.isfinite(truth.depth) & (truth.depth < 65)
        millimetres = np.rint(np.where(known, truth.depth, 0) * 1000)
        cv2.imwrite(f"{stem}.depth.png", millimetres.astype(np.uint16))
        np.savetxt(f"{stem}.pose.txt", np.asarray(truth.world_from_camera))
    np.savetxt(folder / "camera-intrinsics.txt", street.camera.matrix)
    return folder
