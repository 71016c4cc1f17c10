# SPDX-License-Identifier: Apache-2.0
"""The networks that learn, as one module: one forward pass for all that the loss needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from depth_recog.errors import WeightsError
from depth_recog.method.geometry.se3 import from_vector, inverse
from depth_recog.networks.hf.depth import HfDepth
from depth_recog.networks.models import is_directory, load_model
from depth_recog.networks.own.deeplab import RefinedDeepLab
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.encoders import Encoder
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.networks.weights import Header, load_network, read_header, resolve

SCALES = (0, 2)
"""Which of the network's three outputs are compared: strides 1 and 4. The coarse one sees structure
that is many pixels away; the one between adds time and nothing that was measured."""

TRAINED_SIZE = (416, 128)
"""(width, height) where the start's weights name none."""


class Start(NamedTuple):
    """A network before its training.

    Attributes:
        network: with gradients.
        size: (width, height) in pixels that it was trained at.
        metric: its depth is in metres.
        architecture: arguments of its class.
        name: for the card.
        header: of its weights file; None of ImageNet's.
        blank: it knows no depth yet.
    """

    network: nn.Module
    size: tuple[int, int]
    metric: bool
    architecture: dict[str, Any]
    name: str
    header: Header | None = None
    blank: bool = False


def start_network(text: str, kind: str) -> Start:
    """A network from weights, or with an encoder from ImageNet.

    The statistics of its batch normalisation stay as they are: they belong to many more images than
    a batch holds, the network that trains is the one that will run, and a batch of several
    processes gives the gradients of one. Its scales and offsets learn.

    Args:
        text: shipped name, path, directory of transformers (depth only), or ImageNet's .pth.
        kind: "depth" or "pose".

    Raises:
        WeightsError: it cannot be used.
    """
    if Path(text).suffix == ".pth":
        blank = DepthNetwork() if kind == "depth" else PoseNetwork()
        _load_imagenet(blank, Path(text))
        start = Start(blank, TRAINED_SIZE, False, {}, f"ImageNet's {Path(text).name}", blank=True)
    elif kind == "depth" and _holds_masks(text):
        start = _encoder_of_masks(text)
    else:
        module, header = load_model(text, kind)
        metric = header.unit == "metres"
        network = cast(nn.Module, module)
        start = Start(network, header.size, metric, header.architecture, header.path.stem, header)
    start.network.eval().requires_grad_(True)
    if isinstance(start.network, HfDepth):
        start.network.freeze_unused()
    return start


def _holds_masks(text: str) -> bool:
    return (
        not is_directory(text, "depth") and read_header(resolve(text, "depth")).network == "masks"
    )


def _encoder_of_masks(text: str) -> Start:
    """A blank decoder on what a segmentation network knows of streets."""
    masks, header = load_network(text, "masks")
    architecture: dict[str, Any] = {"encoder": "edgetpu", "widths": [96, 64, 48, 24]}
    network = DepthNetwork(**architecture)
    network.encoder.load_state_dict(cast(RefinedDeepLab, masks).encoder.state_dict())
    name = f"the encoder of {header.path.stem}"
    return Start(network, TRAINED_SIZE, False, architecture, name, header, blank=True)


def _load_imagenet(network: DepthNetwork | PoseNetwork, path: Path) -> None:
    try:
        state = torch.load(path.expanduser(), map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"{path}: not readable as torchvision's weights ({error})") from error
    if isinstance(network, PoseNetwork):
        network.load_imagenet(state)
    else:
        cast(Encoder, network.encoder).load_imagenet(state)


class Prediction(NamedTuple):
    """What the networks say of a batch.

    Attributes:
        inverses: inverse depths at `SCALES`, each (B, 1, h, w).
        motions: (B, 2, 4, 4) T_neighbour_from_frame by the pose network; None without one.
    """

    inverses: list[Tensor]
    motions: Tensor | None


class Learner(nn.Module):
    """Depth network, and pose network where motion is not recorded.

    Args:
        depth: of block 102.
        pose: of block 105, or None.
    """

    def __init__(self, depth: DepthNetwork | HfDepth, pose: PoseNetwork | None) -> None:
        super().__init__()
        self.depth = depth
        self.pose = pose
        for scale, head in enumerate(depth.heads):
            head.requires_grad_(scale in SCALES)  # no loss reaches the others

    def encoders(self) -> list[nn.Parameter]:
        """Parameters that know much already."""
        networks = [n for n in (self.depth, self.pose) if n is not None]
        encoders = [n.encoder for n in networks]
        return [p for e in encoders for p in e.parameters() if p.requires_grad]

    def others(self) -> list[nn.Parameter]:
        """The rest of what learns."""
        known = {id(p) for p in self.encoders()}
        return [p for p in self.parameters() if p.requires_grad and id(p) not in known]

    def forward(self, image: Tensor, focal: Tensor, frames: Tensor | None) -> Prediction:
        """Inverse depths, and motions.

        Args:
            image: (B, 3, H, W) float, 0..1.
            focal: (B,) float, pixels.
            frames: (B, 3, 3, H, W) float, 0..1: the frame, an earlier and a later one; or None.
        """
        inverses = self.depth.inverse_depths(image, focal)
        chosen = [inverses[scale] for scale in SCALES]
        if self.pose is None or frames is None:
            return Prediction(chosen, None)
        this, before, after = frames.unbind(1)
        # Always forward in time, as the network is used; the way to the earlier frame is turned.
        vectors = self.pose(torch.cat((before, this)), torch.cat((this, after)))
        from_before, to_after = from_vector(vectors.float()).chunk(2)
        return Prediction(chosen, torch.stack((inverse(from_before), to_after), 1))
