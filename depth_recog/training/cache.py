# SPDX-License-Identifier: Apache-2.0
"""Prepares a recording once: rectifies, resizes, labels; the folder is named by what went in."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from depth_recog.datasets.sequence import Frame, Recording
from depth_recog.errors import OutputError, SourceError
from depth_recog.evaluation.evaluate import rectified
from depth_recog.evaluation.splits import sha256_of
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import Viewport, network_size
from depth_recog.method.masking import PresetRules
from depth_recog.method.observation import image_tensor
from depth_recog.method.recognizer import ScoreModel
from depth_recog.training.prepared import Prepared, Writer, open_prepared

LAYOUT = 1


@dataclass(frozen=True)
class Part:
    """Frames of a recording, as the user chose them.

    Attributes:
        text: what the user typed.
        source: without the choice of frames.
        recording: opened.
        frames: which of its frames.
    """

    text: str
    source: str
    recording: Recording
    frames: range


@dataclass(frozen=True)
class Eyes:
    """The networks that look at every frame while it is prepared.

    Attributes:
        scores: the segmentation network, for sources without labels.
        anchor: the depth network of the start's weights, or of the shipped ones.
        device: where they live.
        identity: of them, by which the folder is named.
        rules: what the ids of the segmentation network's classes mean.
    """

    scores: ScoreModel
    anchor: nn.Module
    device: torch.device
    identity: tuple[str, str]
    rules: PresetRules = field(default_factory=PresetRules)


def prepare(
    part: Part,
    size: tuple[int, int],
    eyes: Eyes,
    cache: Path,
    progress: Callable[[], object] = lambda: None,
) -> Prepared:
    """The frames at a size, from the cache where they are there already.

    Args:
        part: which frames.
        size: (width, height) in pixels.
        eyes: networks that look at them.
        cache: folder that holds a folder for each part.
        progress: called after every frame.

    Raises:
        OutputError: the cache cannot be written.
        SourceError, CalibrationError: a frame cannot be read.
    """
    files = _files(part)
    digests = {path: sha256_of(path) for path in dict.fromkeys(f for f in files if f is not None)}
    facts = [LAYOUT, part.source, [part.frames.start, part.frames.stop], list(size)]
    identity = json.dumps([facts, eyes.identity, [digests[f] if f else None for f in files]])
    folder = cache / hashlib.sha256(identity.encode()).hexdigest()[:20]
    if not (folder / "meta.json").is_file():
        partial = cache / f"{folder.name}.{os.getpid()}.partial"
        try:
            partial.mkdir(parents=True)
            listed = [[digest, _shown(path, part.source)] for path, digest in digests.items()]
            _write(part, size, eyes, partial, listed, progress)
            shutil.rmtree(folder, ignore_errors=True)
            partial.replace(folder)
        except OSError as error:
            raise OutputError(f"{cache}: cannot be written ({error.strerror})") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return open_prepared(folder, part.text)


def training_size(
    camera: Camera, trained: tuple[int, int], wanted: tuple[int, int] | None
) -> tuple[int, int]:
    """(width, height) for a source: the one that its images will have when depth is asked for."""
    return wanted or network_size(camera.rectified(), trained)


def _files(part: Part) -> list[Path | None]:
    return [part.recording.file(i) for i in part.frames]


def _shown(path: Path, source: str) -> str:
    """A file's path from the source's folder on: where the data lies is nobody's business."""
    root = Path(source.partition(":")[2] or source).absolute()
    absolute = path.absolute()
    if absolute.is_relative_to(root):
        return absolute.relative_to(root.parent).as_posix()
    return "/".join(absolute.parts[-4:]).lstrip("/")


def _write(
    part: Part,
    size: tuple[int, int],
    eyes: Eyes,
    folder: Path,
    listed: list[list[str]],
    progress: Callable[[], object],
) -> None:
    writer = Writer(folder, len(part.frames))
    names = []
    view: Viewport | None = None
    dense = True
    deep = False
    for number, index in enumerate(part.frames):
        frame = part.recording[index]
        if view is None or view.camera != frame.camera:
            view = Viewport.of(frame.camera, size)
        image = view.shrink(view.rectify(frame.image))
        truth = rectified(part.recording.truth(index), frame)
        deep = deep or (number == 0 and truth.depth is not None)
        labels, anchor = _look(image, view, truth.labels, eyes)
        writer.add("images", image, np.uint8)
        writer.add("labels", labels, np.uint8)
        writer.add("anchors", anchor, np.float16)
        writer.add("intrinsics", view.network.matrix, np.float64)
        writer.add("stamps", np.asarray(frame.stamp_ns), np.int64)
        known = truth.world_from_camera
        writer.add("poses", np.full((4, 4), np.nan) if known is None else known, np.float64)
        if deep:
            depth = _depth(truth.depth, frame, size)
            dense = dense and not bool(np.isnan(depth).any())
            writer.add("depths", depth, np.float32)
        names.append(frame.name)
        progress()
    writer.close({"names": names, "files": listed, "dense": deep and dense})


@torch.inference_mode()
def _look(
    image: NDArray[np.uint8], view: Viewport, labels: NDArray[np.uint8] | None, eyes: Eyes
) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Labels, and inverse depth as the anchor sees it."""
    tensor = image_tensor(image, eyes.device)
    size = view.network.size
    if labels is not None:
        found = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT))
    else:
        ids = eyes.scores(tensor).argmax(1)[0].to(torch.uint8).cpu().numpy()
        found = eyes.rules.train_ids(ids)
    depth = eyes.anchor(tensor, torch.tensor([view.network.fy], device=eyes.device).float())
    inverse = (1 / depth.float())[0, 0].cpu().numpy()
    return np.asarray(found, np.uint8), np.asarray(inverse, np.float16)


def _depth(
    depth: NDArray[np.float32] | None, frame: Frame, size: tuple[int, int]
) -> NDArray[np.float32]:
    """(H, W) at the network's size, NaN where unknown."""
    if depth is None:
        return np.full(size[::-1], np.nan, np.float32)
    nearest = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.where(nearest > 0, nearest, np.nan).astype(np.float32)


def open_part(text: str, source: str, recording: object, frames: range | None) -> Part:
    """Check a source and its choice of frames.

    Args:
        text: what the user typed.
        source: without the choice of frames.
        recording: what `open_source` gave.
        frames: as typed; None for all.

    Raises:
        SourceError: a live source, or frames beyond the end.
    """
    if not isinstance(recording, Recording):
        raise SourceError(f"{text}: a live source cannot be trained on; record it first")
    count = len(recording)
    chosen = range(count) if frames is None else range(frames.start, min(frames.stop, count))
    if not chosen:
        raise SourceError(f"{text}: it has frames 0 to {count - 1} only")
    return Part(text, source, recording, chosen)
