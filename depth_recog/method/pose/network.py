# SPDX-License-Identifier: Apache-2.0
"""`network`: the patent's pose network, on masked images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from depth_recog.method.geometry import se3
from depth_recog.method.pose.estimator import PoseEstimate, PosePair

PoseModel = Callable[[Tensor, Tensor], Tensor]


class NetworkEstimator:
    """A network that computes the motion from both images.

    Args:
        model: takes (1, 3, H, W) float 0..1 twice, returns (1, 6): rotation vector in radians,
            translation.
        device: where the model lives.
    """

    name = "network"

    def __init__(self, model: PoseModel, device: torch.device) -> None:
        self._model = model
        self._device = device

    def estimate(self, pair: PosePair) -> PoseEstimate:
        """See `PoseEstimator.estimate`."""
        images = pair.masked_images()
        seen = int(images[0].any(2).sum())
        if not seen:
            return PoseEstimate(why="every pixel of the first image is masked")
        frames = [
            torch.from_numpy(image).to(self._device).permute(2, 0, 1)[None].float() / 255
            for image in images
        ]
        with torch.inference_mode():
            vector = self._model(*frames)[0].double().cpu()
        matrix = se3.from_vector(vector).numpy()
        # It was trained in the unit of the depth network's output.
        matrix[:3, 3] *= pair.scale
        if not np.isfinite(matrix).all():
            return PoseEstimate(why="the pose network's output is not finite", points=seen)
        return PoseEstimate(matrix, True, "", seen, seen)
