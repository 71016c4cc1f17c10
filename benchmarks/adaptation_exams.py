# SPDX-License-Identifier: Apache-2.0
"""Exams for adapted networks: LiDAR, triangulated points, poses and exact depth of other drives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.common import recording
from depth_recog.evaluation.depth_errors import Protocol
from depth_recog.evaluation.depth_tally import motions
from depth_recog.evaluation.without_truth.collected import Collected
from depth_recog.evaluation.without_truth.measures import measure
from depth_recog.evaluation.without_truth.points import Evidence, evidence_of
from depth_recog.evaluation.without_truth.views import View, depth_at
from depth_recog.method.geometry.se3 import relative, rotation_angle
from depth_recog.method.geometry.viewport import Viewport, network_size
from depth_recog.method.masking import PresetRules
from depth_recog.method.pose.estimator import PosePair
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.tracking.features import find_features
from depth_recog.method.tracking.tracks import optical_flow
from depth_recog.networks.models_in_torch import load_model
from depth_recog.networks.own.tensors import image_tensor

Figures = dict[str, float]
SIZE = (416, 128)
RULES = PresetRules()
PROTOCOL = Protocol("garg", 80.0)


@torch.inference_mode()
def depth_of(network: nn.Module, image: NDArray[np.uint8], focal: float) -> NDArray[np.float32]:
    depth = network(image_tensor(image), torch.tensor([focal]).float())
    return depth[0, 0].float().numpy()


@cache
def _scores() -> Any:
    return load_model("masks-street", "masks")[0]


@torch.inference_mode()
def labels_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _scores()(image_tensor(image)).argmax(1)[0].to(torch.uint8).numpy()


def shrunk(frame: Any) -> tuple[Viewport, NDArray[np.uint8], NDArray[np.uint8]]:
    view = Viewport.of(frame.camera, network_size(frame.camera.rectified(), SIZE))
    rectified = view.rectify(frame.image)
    return view, rectified, np.ascontiguousarray(view.shrink(rectified))


@dataclass
class Lidar:
    """abs_rel against LiDAR on every second frame, scaled to its median; objects apart."""

    source: str
    frames: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        sequence, indices = recording(self.source)
        for index in indices[::2]:
            truth = sequence.truth(index)
            view, _, small = shrunk(sequence[index])
            judged = PROTOCOL.judged(truth.depth)
            pixels = np.stack(np.nonzero(judged)[::-1], 1).astype(np.float32)
            kinds = motions(truth.depth, judged, truth.boxes or (), view.rectified)
            z = truth.depth[judged].astype(np.float64)
            self.frames.append((small, view.network.fy, view.rectified.size, pixels, z, kinds))

    def __call__(self, network: nn.Module) -> Figures:
        means, scales = [], []
        groups: dict[int, list[NDArray[np.float64]]] = {0: [], 1: []}
        for image, focal, size, pixels, z, kinds in self.frames:
            found = depth_at(depth_of(network, image, focal), pixels, size)
            scale = float(np.median(z) / np.median(found))
            error = np.abs(found * scale - z) / z
            means.append(float(error.mean()))
            scales.append(scale)
            for kind, values in groups.items():
                values.append(error[kinds == kind])
        moving, parked = (float(np.concatenate(groups[kind]).mean()) for kind in (0, 1))
        spread = {"moving": moving, "parked": parked, "scale": float(np.median(scales))}
        return {"abs_rel": float(np.mean(means))} | spread


@dataclass
class Points:
    """Agreement with triangulated points, flicker, and the height of the road."""

    source: str
    step: int
    pairs: list[tuple[Evidence, Any, Any, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        sequence, indices = recording(self.source)
        for start in indices[:: self.step]:
            views, images, focal = [], [], 1.0
            for index in range(start, min(start + 6, indices.stop)):
                frame = sequence[index]
                view, rectified, small = shrunk(frame)
                labels = labels_of(small)
                facts = frame.name, frame.stamp_ns, rectified, view.rectified, labels, RULES
                views.append(View.of(*facts))
                images.append(small)
                focal = view.network.fy
            if len(views) > 1:
                evidence = evidence_of(views)
                second = [v.name for v in views].index(evidence.second.name)
                self.pairs.append((evidence, images[0], images[second], focal))

    def __call__(self, network: nn.Module) -> Figures:
        collected = Collected()
        for number, (evidence, first, second, focal) in enumerate(self.pairs):
            depths = (depth_of(network, image, focal) for image in (first, second))
            collected.add(number, measure(evidence, *depths))
        found = collected.figures()
        values = {
            "triangulation": found["triangulation"].get("value"),
            "flicker": found["flicker"].get("value"),
            "road_height": found["road"].get("height"),
        }
        return {name: value for name, value in values.items() if value is not None}


@dataclass
class Poses:
    """Errors of the static pose: medians, and the mean of the translation, which varies less.

    Translation is in percent of its length.
    """

    source: str
    step: int
    pairs: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        sequence, indices = recording(self.source)
        for index in indices[: -2 : self.step]:
            true = relative(*(sequence.truth(i).world_from_camera for i in (index, index + 2)))
            if np.linalg.norm(true[:3, 3]) < 0.3:
                continue
            small = [shrunk(sequence[i]) for i in (index, index + 2)]
            static = [~RULES.dynamic_pixels(labels_of(one[2])) for one in small]
            greys = [cv2.cvtColor(one[2], cv2.COLOR_RGB2GRAY) for one in small]
            found = optical_flow(*greys, find_features(greys[0], ~static[0])).within(*static)
            self.pairs.append((small[0][2], small[1][2], found, small[0][0].network, true))

    def __call__(self, network: nn.Module) -> Figures:
        translations, rotations = [], []
        for first, second, found, camera, true in self.pairs:
            depth = depth_of(network, first, camera.fy)
            pair = PosePair(first, second, found, depth, camera)
            estimated = PnpEstimator().estimate(pair).T_second_from_first
            length = np.linalg.norm(true[:3, 3])
            error = np.linalg.norm(estimated[:3, 3] - true[:3, 3])
            translations.append(100 * error / length)
            turned = estimated[:3, :3] @ true[:3, :3].T
            rotations.append(np.degrees(rotation_angle(turned)))
        return {
            "translation_percent": float(np.median(translations)),
            "mean_translation_percent": float(np.mean(translations)),
            "rotation_degrees": float(np.median(rotations)),
        }


@dataclass
class Exact:
    """abs_rel, unscaled, against the exact depth of synthetic streets; of movers apart."""

    sources: tuple[str, ...]
    step: int
    frames: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        for source in self.sources:
            sequence, indices = recording(source)
            for index in indices[5 :: self.step]:
                frame, truth = sequence[index], sequence.truth(index)
                self.frames.append((frame.image, frame.camera.fy, truth.depth, truth.moving))

    def __call__(self, network: nn.Module) -> Figures:
        everything, movers = [], []
        for image, focal, truth, moving in self.frames:
            known = np.isfinite(truth) & (truth < PROTOCOL.cap)
            depth = depth_of(network, image, focal)
            error = np.abs(depth[known] - truth[known]) / truth[known]
            everything.append(error.mean())
            movers.append(error[moving[known]])
        moving_error = np.concatenate(movers)
        return {"abs_rel": float(np.mean(everything)), "moving": float(moving_error.mean())}


Exam = Callable[[nn.Module], Figures]
