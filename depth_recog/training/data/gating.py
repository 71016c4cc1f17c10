# SPDX-License-Identifier: Apache-2.0
"""Block 107 for training: which dynamic pixels are excluded from the photometric comparison.

The decisions are made once, before the training, with the depth of the initial weights. A network
that is being trained learns to explain the motion of a lead car by a wrong depth; with that depth a
gate would decide that nothing moves.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from depth_recog.errors import ConfigurationError
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import PresetRules
from depth_recog.method.networks import Networks
from depth_recog.method.observation import Observation
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.settings import Settings
from depth_recog.networks.own.tensors import image_tensor
from depth_recog.training.data.cache import PseudoLabelNetworks
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.data.triplets import Triplet
from depth_recog.training.initial import InitialNetwork

_LEAST_INVERSE = 1e-4

Exclusions = NDArray[np.bool_]
"""(triplets, 2): whether dynamic pixels are excluded from the comparison of the frame with its
earlier and with its later neighbour."""


def exclusions_of(
    gate: str,
    frames: PreparedFrames,
    triplets: list[Triplet],
    rules: PresetRules,
    networks: PseudoLabelNetworks,
) -> Exclusions:
    """Decide for which pairs of frames dynamic pixels are excluded.

    Args:
        gate: "off": none; "image": those that the gate by image does not decide to be still; "all"
            and "object": all. With "object", the `still_pixels` are compared nevertheless.
        frames: the frames of a recording.
        triplets: indices of the frames.
        rules: tell which classes are dynamic.
        networks: give the depth for the gate by image.
    """
    if gate != "image":
        return np.full((len(triplets), 2), gate != "off")
    recognizer = _recognizer(Settings(rules, "image"), networks)
    device = networks.device

    @lru_cache(maxsize=64)
    def observed(index: int) -> Observation:
        image = image_tensor(np.array(frames.images[index]), device)
        with torch.inference_mode():
            focal = torch.tensor([frames.intrinsics[index][1, 1]], device=device).float()
            depth = networks.anchor(image, focal)[0, 0].float().cpu().numpy()
        return _observation(frames, index, rules, depth)

    def moving(first: int, second: int) -> bool:
        decision = recognizer.compare(observed(first), observed(second)).decision
        return decision.motion is not Motion.STILL

    rows = [[moving(t.before, t.index), moving(t.index, t.after)] for t in triplets]
    return np.array(rows, np.bool_).reshape(-1, 2)


def still_pixels(
    frames: PreparedFrames, rules: PresetRules, networks: PseudoLabelNetworks
) -> NDArray[np.bool_]:
    """Find the dynamic pixels that the gate by object decides to be still.

    The gate gets the frames in their order, with the depth of the initial weights.

    Returns:
        (N, H, W) bool.
    """
    gate = _recognizer(Settings(rules, "object"), networks)
    still = np.zeros(frames.labels.shape, np.bool_)
    for index in range(len(frames)):
        inverse = np.maximum(frames.anchor(index), _LEAST_INVERSE)
        depth = np.reciprocal(inverse, dtype=np.float32)
        frame = _observation(frames, index, rules, depth)
        still[index] = frame.dynamic & (gate.advance(frame).moving == Motion.STILL)
    return still


def _observation(
    frames: PreparedFrames, index: int, rules: PresetRules, depth: NDArray[np.float32]
) -> Observation:
    return Observation(
        frames.names[index],
        int(frames.stamps[index]),
        np.array(frames.images[index]),
        Camera.from_matrix(frames.intrinsics[index], *frames.size),
        depth,
        np.array(frames.labels[index]),
        rules,
    )


def _recognizer(settings: Settings, networks: PseudoLabelNetworks) -> Recognizer:
    def unused(*_: object) -> NoReturn:
        raise AssertionError("depth and labels are known already")

    return Recognizer(Networks(unused, unused), PnpEstimator(), settings)


def gate_for(wanted: str, initial: InitialNetwork) -> str:
    """The gate of a run: "off", "all", "image" or "object".

    `auto` means `object` where the initial weights give metres, else `all`: the gate by object
    compares velocities and distances in metres.

    Raises:
        ConfigurationError: the gate needs depth, and the initial network gives none.
    """
    if wanted == "auto":
        return "object" if initial.metric else "all"
    if initial.blank and wanted in ("image", "object"):
        raise ConfigurationError(
            f"gate {wanted!r} needs the depth of the initial weights, and {initial.name} gives no "
            "depth yet: use gate all, or the result of such a run as start.depth"
        )
    return wanted
