# SPDX-License-Identifier: Apache-2.0
"""The initial scale of a network that gives disparity without a unit.

Its depth may be too small for the recorded motion by a factor of a hundred. There the gradient of
the photometric error is useless, so the scale with the least photometric error is searched first.
"""

from __future__ import annotations

import numpy as np
import torch

from depth_recog.method.loss.photometric import masked_mean
from depth_recog.networks.hf.depth import HfDepth
from depth_recog.training.config import LossWeights
from depth_recog.training.data.batches import TripletDataset
from depth_recog.training.depth.model import Prediction
from depth_recog.training.depth.objective import compare_batch

MEDIANS = np.geomspace(0.5, 60.0, 40)
"""Median depths that are tried, metres: from a table to a street."""

FRAMES = 8


@torch.no_grad()
def find_scale(
    depth: HfDepth, dataset: TripletDataset, weights: LossWeights, device: torch.device
) -> float:
    """Set the scale at which the recorded motion explains the images best.

    Args:
        depth: network of disparities; changed in place, and moved to the device.
        dataset: triplets with recorded motion.
        weights: of the loss.
        device: of the computation.

    Returns:
        The median depth at that scale, metres.
    """
    depth.to(device)
    chosen = sorted({int(i) for i in np.linspace(0, len(dataset) - 1, FRAMES)})
    batches = [dataset.unchanged(index).to(device) for index in chosen]
    inverses = []
    for batch in batches:
        image = batch.frames[:, 0].float() / 255
        inverses.append(depth.inverse_depths(image, batch.intrinsics[:, 1, 1])[0])
    median = float(torch.cat([one.flatten() for one in inverses]).median())
    errors = []
    for wanted in MEDIANS:
        factor = 1 / (median * wanted)
        error = 0.0
        for batch, inverse in zip(batches, inverses, strict=True):
            compared = compare_batch(batch, Prediction([inverse * factor], None), weights)
            error += float(masked_mean(compared.error[0], compared.seen[0])[0].sum())
        errors.append(error)
    best = float(MEDIANS[int(np.argmin(errors))])
    depth.rescale(1 / (median * best))
    return best
