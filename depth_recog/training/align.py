# SPDX-License-Identifier: Apache-2.0
"""The scale of a start that has none: of a model that gives disparity, before it is trained.

Its depth may be a hundred times too short for the recorded motion. From there the photometric error
has no slope that leads anywhere, so the scale is looked for first, by that same error.
"""

from __future__ import annotations

import numpy as np
import torch

from depth_recog.method.loss.photometric import masked_mean
from depth_recog.networks.hf.depth import HfDepth
from depth_recog.training.batches import Samples
from depth_recog.training.config import Loss
from depth_recog.training.learner import Prediction
from depth_recog.training.objective import compare_batch

MEDIANS = np.geomspace(0.5, 60.0, 40)
"""Median depths that are tried, metres: from a table to a street."""

FRAMES = 8


@torch.no_grad()
def align(depth: HfDepth, samples: Samples, weights: Loss, device: torch.device) -> float:
    """Set a network's scale to that at which recorded motion explains the images best.

    Args:
        depth: of disparities; changed in place, and moved to the device.
        samples: whose motion was recorded.
        weights: of the loss.
        device: where to compute.

    Returns:
        The median depth that it has now, metres.
    """
    depth.to(device)
    chosen = sorted({int(i) for i in np.linspace(0, len(samples) - 1, FRAMES)})
    batches = [samples.still(index).to(device) for index in chosen]
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
