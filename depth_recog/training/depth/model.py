# SPDX-License-Identifier: Apache-2.0
"""The depth network and the pose network as one model: one forward pass for all the loss needs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from depth_recog.method.geometry.se3_tensors import from_vector, inverse
from depth_recog.networks.hf.depth import HfDepth
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.pose import PoseNetwork

SCALES = (0, 2)
"""Which of the network's three outputs are compared: strides 1 and 4. The coarse one helps where
the depth is off by many pixels of displacement; the middle one costs time without a measured gain.
"""


_FAINT = 1e-5


def _fainter(gradient: Tensor) -> Tensor:
    return gradient * _FAINT


class Prediction(NamedTuple):
    """What the networks predict for a batch.

    Attributes:
        inverses: inverse depths at `SCALES`, each (B, 1, h, w).
        motions: (B, 2, 4, 4) T_neighbour_from_frame by the pose network; None without one.
        doubt: inverse depth of the covered images, and the log of its standard deviation; None
            where no deviation is trained.
    """

    inverses: list[Tensor]
    motions: Tensor | None
    doubt: tuple[Tensor, Tensor] | None = None


class DepthModel(nn.Module):
    """The depth network (block 102), and the pose network (105) where motion is not recorded.

    Args:
        depth: the depth network.
        pose: the pose network, if it is needed.
        trains: "depth", "deviation" (the head for the standard deviation alone), or "both".
    """

    def __init__(
        self, depth: DepthNetwork | HfDepth, pose: PoseNetwork | None, trains: str = "depth"
    ) -> None:
        super().__init__()
        self.depth = depth
        self.pose = pose
        self.teaches_deviation = trains != "depth"
        self._depth_stays = trains == "deviation"
        if self._depth_stays:
            self.requires_grad_(False)
        deviation = depth.deviation if isinstance(depth, DepthNetwork) else None
        if deviation is not None:
            deviation.requires_grad_(trains != "depth")
        if self._depth_stays:
            return
        if deviation is not None and trains == "both":
            # The norm of all gradients limits a step, and must not depend on the deviation. The
            # optimiser (AdamW) is blind to the size of gradients.
            for parameter in deviation.parameters():
                parameter.register_hook(_fainter)  # type: ignore[no-untyped-call]
        for scale, head in enumerate(depth.heads):
            head.requires_grad_(scale in SCALES)  # the loss does not use the other outputs

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Parameters of the pretrained encoders."""
        encoders = [n.encoder for n in (self.depth, self.pose) if n is not None]
        return [p for e in encoders for p in e.parameters() if p.requires_grad]

    def forward(
        self, image: Tensor, focal: Tensor, frames: Tensor | None, covered: Tensor | None = None
    ) -> Prediction:
        """Predict inverse depths and motions.

        Args:
            image: (B, 3, H, W) float, 0..1.
            focal: (B,) float, pixels.
            frames: (B, 3, 3, H, W) float, 0..1: the frame, the earlier and the later neighbour;
                None where motion is recorded.
            covered: (B, 3, H, W) float, 0..1: what the deviation is trained on; None for none.
        """
        doubt = None
        if covered is not None and isinstance(self.depth, DepthNetwork):
            doubt = self.depth.with_log_deviation(covered, focal)
            if self._depth_stays:
                return Prediction([], None, doubt)
        inverses = self.depth.inverse_depths(image, focal)
        chosen = [inverses[scale] for scale in SCALES]
        if self.pose is None or frames is None:
            return Prediction(chosen, None, doubt)
        this, before, after = frames.unbind(1)
        # Pairs are given in the order of time, as at inference; the earlier motion is inverted.
        vectors = self.pose(torch.cat((before, this)), torch.cat((this, after)))
        from_before, to_after = from_vector(vectors.float()).chunk(2)
        return Prediction(chosen, torch.stack((inverse(from_before), to_after), 1), doubt)
