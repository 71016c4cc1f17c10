# SPDX-License-Identifier: Apache-2.0
"""Prepares the frames of a recording once: rectify, resize, annotate.

The frames are kept in a folder whose name is a hash of everything that determines them: the source,
its files, the size and the networks.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from depth_recog.datasets.reader import readable
from depth_recog.datasets.sequence import Frame, Recording
from depth_recog.errors import OutputError
from depth_recog.evaluation.evaluate import rectified
from depth_recog.evaluation.splits import sha256_of
from depth_recog.evaluation.without_truth.views import View
from depth_recog.method.geometry.viewport import Viewport
from depth_recog.method.masking import UNLABELLED, PresetRules
from depth_recog.networks.models_in_torch import ScoreModel
from depth_recog.networks.own.tensors import image_tensor
from depth_recog.networks.sized import DepthOfTensors
from depth_recog.training.data.points import PointFinder
from depth_recog.training.data.prepared import META, FrameWriter, PreparedFrames, open_prepared

LAYOUT = 1


@dataclass(frozen=True)
class SourceFrames:
    """The frames of a recording that the user chose.

    Attributes:
        text: what the user typed, as SOURCE or SOURCE@A:B.
        source: SOURCE alone.
        frames: indices of the chosen frames.
    """

    text: str
    source: str
    recording: Recording
    frames: range


def first_frame(chosen: SourceFrames) -> Frame:
    """The first of the chosen frames that can be read. Raises SourceError or CalibrationError."""
    return next(frame for _, frame in readable(chosen.recording, chosen.frames))


class Annotator(Protocol):
    """Computes what is stored beside each frame."""

    @property
    def identity(self) -> tuple[str, ...]:
        """Identifies the networks: frames are prepared again when it changes."""
        ...

    def annotate(
        self, image: NDArray[np.uint8], view: Viewport, labels: NDArray[np.uint8] | None
    ) -> dict[str, NDArray[Any]]:
        """Annotate a frame.

        Args:
            image: (H, W, 3) uint8 RGB, rectified, at the camera's size.
            view: gives the image and the camera at the size of the training.
            labels: (H, W) uint8 train ids that were recorded; None where there are none.

        Returns:
            Arrays by their names in `PreparedFrames`; "labels" at least.
        """
        ...


@dataclass(frozen=True)
class PseudoLabelNetworks:
    """The networks that annotate frames for depth training: labels, and inverse depth.

    Attributes:
        scores: the segmentation network, for sources without recorded labels.
        anchor: the depth network of the initial weights.
        identity: identifies both networks.
        rules: maps the classes of the segmentation network to train ids.
        teacher: a depth network whose answers are stored too; None for none.
    """

    scores: ScoreModel
    anchor: nn.Module
    device: torch.device
    identity: tuple[str, ...]
    rules: PresetRules = field(default_factory=PresetRules)
    teacher: DepthOfTensors | None = None

    @torch.inference_mode()
    def annotate(
        self, image: NDArray[np.uint8], view: Viewport, labels: NDArray[np.uint8] | None
    ) -> dict[str, NDArray[Any]]:
        """See `Annotator`."""
        tensor = image_tensor(view.shrink(image), self.device)
        size = view.network.size
        if labels is not None:
            found = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT))
        else:
            ids = self.scores(tensor).argmax(1)[0].to(torch.uint8).cpu().numpy()
            found = self.rules.train_ids(ids)
        focal = torch.tensor([view.network.fy], device=self.device).float()
        inverse = (1 / self.anchor(tensor, focal).float())[0, 0].cpu().numpy()
        made: dict[str, NDArray[Any]] = {
            "labels": np.asarray(found, np.uint8),
            "anchors": np.asarray(inverse, np.float16),
        }
        if self.teacher is not None:
            taught = (1 / self.teacher(tensor, focal).float())[0, 0].cpu().numpy()
            made["teachers"] = np.asarray(taught, np.float32)
        return made


def prepare(
    chosen: SourceFrames,
    size: tuple[int, int],
    annotator: Annotator,
    cache: Path,
    stop: Callable[[], bool] = lambda: False,
    points: PresetRules | None = None,
) -> PreparedFrames:
    """Read frames at a size, from the cache where they are already there.

    Args:
        chosen: the frames.
        size: (width, height) in pixels.
        annotator: computes labels and what else is stored.
        cache: a folder; each recording gets a folder in it.
        stop: called after every frame; True ends the preparation.
        points: says what could move, where static points are to be triangulated; None: no points.
            Frames with depth at every pixel get none.

    Raises:
        KeyboardInterrupt: `stop` returned True.
        OutputError: the cache cannot be written.
        SourceError, CalibrationError: no frame can be read.
    """
    files = [chosen.recording.file(i) for i in chosen.frames]
    digests = {path: sha256_of(path) for path in dict.fromkeys(f for f in files if f is not None)}
    frames = chosen.frames
    facts = [LAYOUT, chosen.source, [frames.start, frames.stop, frames.step], list(size)]
    # The calibration is in another file, or assumed.
    facts.append(repr(first_frame(chosen).camera))
    if points is not None:
        facts.append(sorted(points.dynamic))
    identity = json.dumps([facts, annotator.identity, [digests[f] if f else None for f in files]])
    folder = cache / hashlib.sha256(identity.encode()).hexdigest()[:20]
    if not (folder / META).is_file():
        partial = cache / f"{folder.name}.{os.getpid()}.partial"
        try:
            partial.mkdir(parents=True)
            writer = FrameWriter(partial)
            names, dense = _write(chosen, size, annotator, writer, stop, points)
            shown = [[digest, _shown(path, chosen.source)] for path, digest in digests.items()]
            writer.close({"names": names, "files": shown, "dense": dense})
            shutil.rmtree(folder, ignore_errors=True)
            partial.replace(folder)
        except OSError as error:
            raise OutputError(
                f"{cache}: cannot be written ({error.strerror}): is the disk full?"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return open_prepared(folder, chosen.text)


def _shown(path: Path, source: str) -> str:
    """The path of a file below the source's folder, without the user's own folders."""
    root = Path(source.partition(":")[2] or source).absolute()
    absolute = path.absolute()
    if absolute.is_relative_to(root):
        return absolute.relative_to(root.parent).as_posix()
    return "/".join(absolute.parts[-4:]).lstrip("/")


def _write(
    chosen: SourceFrames,
    size: tuple[int, int],
    annotator: Annotator,
    writer: FrameWriter,
    stop: Callable[[], bool],
    points: PresetRules | None,
) -> tuple[list[str], bool]:
    """Write all frames; their names, and whether the depth is known at every pixel."""
    names: list[str] = []
    view: Viewport | None = None
    has_depth, dense = False, True
    finder: PointFinder | None = None
    bar = tqdm(chosen.frames, unit="frame", disable=None, desc=chosen.text)
    for index, frame in readable(chosen.recording, bar):
        if view is None or view.camera != frame.camera:
            view = Viewport.of(frame.camera, size)
        image = view.rectify(frame.image)
        truth = rectified(chosen.recording.truth(index), frame)
        has_depth = has_depth or (not names and truth.depth is not None)
        pose = truth.world_from_camera
        arrays: dict[str, NDArray[Any]] = {
            "images": np.asarray(view.shrink(image), np.uint8),
            **annotator.annotate(image, view, truth.labels),
            "intrinsics": np.asarray(view.network.matrix, np.float64),
            "stamps": np.asarray(frame.stamp_ns, np.int64),
            "poses": np.asarray(np.full((4, 4), np.nan) if pose is None else pose, np.float64),
        }
        if view.network_seen is not None:
            arrays["labels"][~view.network_seen] = UNLABELLED
        if has_depth:
            arrays["depths"] = _depth_at(truth.depth, size)
            dense = dense and not bool(np.isnan(arrays["depths"]).any())
        for name, values in arrays.items():
            writer.add(name, values)
        if points is not None and not names and not (has_depth and dense):
            finder = PointFinder(size)
        if points is not None and finder is not None:
            stamp, labels = frame.stamp_ns, arrays["labels"]
            seen = View.of(frame.name, stamp, image, view.rectified, labels, points)
            for table in finder.add(seen.with_pose(pose)):
                writer.add("points", table)
        names.append(frame.name)
        if stop():
            raise KeyboardInterrupt
    for table in finder.rest() if finder is not None else ():
        writer.add("points", table)
    return names, has_depth and dense


def _depth_at(depth: NDArray[np.float32] | None, size: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W) metres at the size of the training, NaN where unknown."""
    if depth is None:
        return np.full(size[::-1], np.nan, np.float32)
    nearest = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.where(nearest > 0, nearest, np.nan).astype(np.float32)
