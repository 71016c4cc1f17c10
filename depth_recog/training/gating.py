# SPDX-License-Identifier: Apache-2.0
"""Block 107 for training: of which pairs the dynamic positions are left out of the loss.

Decided once, before the training, with the start's depth: a network that trains learns to explain a
lead car's motion by a wrong depth, and a gate that saw its depth would say that nothing moves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.errors import ConfigurationError
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import PresetRules
from depth_recog.method.observation import Observation, image_tensor
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.settings import Settings
from depth_recog.training.cache import Eyes
from depth_recog.training.learner import Start
from depth_recog.training.pairs import Sample
from depth_recog.training.prepared import Prepared

_LEAST_INVERSE = 1e-4

Decisions = NDArray[np.bool_]
"""(samples, 2): whether dynamic positions are left out, with the earlier and later neighbour."""


def nothing(frames: Prepared, samples: list[Sample], rules: PresetRules, eyes: Eyes) -> Decisions:
    """Nothing is left out."""
    return np.zeros((len(samples), 2), np.bool_)


def everything(
    frames: Prepared, samples: list[Sample], rules: PresetRules, eyes: Eyes
) -> Decisions:
    """Whatever can move is left out."""
    return np.ones((len(samples), 2), np.bool_)


def literal(frames: Prepared, samples: list[Sample], rules: PresetRules, eyes: Eyes) -> Decisions:
    """The literal gate decides, pair by pair; what it leaves undecided is left out."""
    settings = Settings(rules, "image")

    gate = _recognizer(settings, eyes)

    @lru_cache(maxsize=64)
    def observed(index: int) -> Observation:
        image, labels = np.array(frames.images[index]), np.array(frames.labels[index])
        camera = Camera.from_matrix(frames.intrinsics[index], *frames.size)
        with torch.inference_mode():
            focal = torch.tensor([camera.fy], device=eyes.device).float()
            depth = eyes.anchor(image_tensor(image, eyes.device), focal)[0, 0].float().cpu().numpy()
        groups = rules.category_ids(labels)
        stamp = int(frames.stamps[index])
        return Observation(frames.names[index], stamp, image, camera, depth, labels, groups)

    def moving(first: int, second: int) -> bool:
        decision = gate.compare(observed(first), observed(second)).decision
        return decision.motion is not Motion.STILL

    rows = [[moving(s.before, s.index), moving(s.index, s.after)] for s in samples]
    return np.array(rows, np.bool_).reshape(-1, 2)


def still_pixels(frames: Prepared, rules: PresetRules, eyes: Eyes) -> NDArray[np.bool_]:
    """(N, H, W): pixels of what can move of which the gate by object says that they do not.

    It sees the frames in their order, with the depth that the start's weights gave them.
    """
    gate = _recognizer(Settings(rules, "object"), eyes)
    still = np.zeros(frames.labels.shape, np.bool_)
    for index in range(len(frames)):
        labels = np.array(frames.labels[index])
        inverse = np.array(frames.anchors[index], np.float32)
        frame = Observation(
            frames.names[index],
            int(frames.stamps[index]),
            np.array(frames.images[index]),
            Camera.from_matrix(frames.intrinsics[index], *frames.size),
            np.reciprocal(np.maximum(inverse, _LEAST_INVERSE), dtype=np.float32),
            labels,
            rules.category_ids(labels),
            rules,
        )
        still[index] = frame.dynamic & (gate.advance(frame).moving == Motion.STILL)
    return still


def _recognizer(settings: Settings, eyes: Eyes) -> Recognizer:
    def no_scores(image: Tensor) -> Tensor:
        raise AssertionError("labels are known already")

    return Recognizer(eyes.anchor, no_scores, PnpEstimator(), settings, eyes.device)


GATES: dict[str, Callable[[Prepared, list[Sample], PresetRules, Eyes], Decisions]] = {
    "off": nothing,
    "all": everything,
    "image": literal,
    "object": everything,
}
"""Pair by pair. With `object` everything that is not among the `still_pixels` is left out."""

_BY_DEPTH = ("image", "object")


def gate_for(wanted: str, start: Start) -> str:
    """The gate of a run, one of `GATES`; auto: `object` where the start knows metres, or `all`.

    The gate by object measures in metres: velocities, neighbourhoods, the road's range.

    Raises:
        ConfigurationError: the gate looks at the start's depth, and that knows none.
    """
    if wanted == "auto":
        return "object" if start.metric else "all"
    if start.blank and wanted in _BY_DEPTH:
        raise ConfigurationError(
            f"gate {wanted!r} decides with the start's depth, and {start.name} knows none: "
            "use gate all, or the result of such a run as start.depth"
        )
    return wanted
