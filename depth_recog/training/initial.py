# SPDX-License-Identifier: Apache-2.0
"""The networks with which a training begins: from weights, or with a pretrained encoder."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple, cast

from torch import Tensor, nn

from depth_recog.errors import ConfigurationError, WeightsError
from depth_recog.files import user_path
from depth_recog.networks.hf.depth import HfDepth
from depth_recog.networks.models import is_directory
from depth_recog.networks.models_in_torch import load_model
from depth_recog.networks.own.deeplab import RefinedDeepLab
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.encoders import Encoder
from depth_recog.networks.own.files import load_network
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.networks.weights import Header, read_header, resolve
from depth_recog.training.checkpoint_files import load_tensors

DEFAULT_SIZE = (416, 128)
"""(width, height) of the training where the initial weights name none."""


class InitialNetwork(NamedTuple):
    """A network before its training.

    Attributes:
        network: with gradients.
        size: (width, height) in pixels at which it was trained.
        metric: whether its depth is in metres.
        architecture: arguments of its class.
        name: shown in the card.
        header: of its weights file; None for ImageNet weights.
        blank: whether only the encoder is pretrained, so that it gives no depth yet.
    """

    network: nn.Module
    size: tuple[int, int]
    metric: bool
    architecture: dict[str, Any]
    name: str
    header: Header | None = None
    blank: bool = False


def initial_network(text: str, kind: str) -> InitialNetwork:
    """Load the network with which a training begins.

    The statistics of its batch normalisation stay fixed: they come from many more images than a
    batch holds, training and inference then use the same network, and several processes together
    get the gradients of one. Scales and offsets of the normalisation are trained.

    Args:
        text: shipped name, path, directory of transformers (depth only), mask weights (depth only:
            their encoder), or a .pth file of torchvision's ImageNet weights.
        kind: "depth" or "pose".

    Raises:
        WeightsError: it cannot be used.
    """
    if Path(text).suffix == ".pth":
        blank = DepthNetwork() if kind == "depth" else PoseNetwork()
        _load_imagenet(blank, Path(text))
        name = f"ImageNet's {Path(text).name}"
        initial = InitialNetwork(blank, DEFAULT_SIZE, False, {}, name, blank=True)
    elif (
        kind == "depth"
        and not is_directory(text, kind)
        and read_header(resolve(text, kind)).network == "masks"
    ):
        initial = _with_encoder_of_masks(text)
    else:
        module, header = load_model(text, kind)
        metric = header.unit == "metres"
        network, name = cast(nn.Module, module), header.path.stem
        initial = InitialNetwork(network, header.size, metric, header.architecture, name, header)
    initial.network.eval().requires_grad_(True)
    if isinstance(initial.network, HfDepth):
        initial.network.freeze_unused()
    return initial


def in_metres(initial: InitialNetwork, scale: float) -> InitialNetwork:
    """The network with its depth multiplied by `scale`, which makes it metres.

    Raises:
        ConfigurationError: it is of transformers, or gives no depth yet.
    """
    if not isinstance(initial.network, DepthNetwork) or initial.blank:
        raise ConfigurationError(
            f"{initial.name}: only the depth of depth_recog's own weights can be put into metres; "
            "leave --scale and start.scale out"
        )
    network = copy.copy(initial.network)
    # Depth is proportional to the focal length over the canonical one.
    network.canonical_focal /= scale
    architecture = {**initial.architecture, "canonical_focal": network.canonical_focal}
    return initial._replace(network=network, architecture=architecture, metric=True)


def with_deviation(initial: InitialNetwork) -> InitialNetwork:
    """The network with a head for the standard deviation; a blank one where it has none.

    Raises:
        ConfigurationError: it is of transformers, whose networks have no such head.
    """
    network = initial.network
    if not isinstance(network, DepthNetwork):
        raise ConfigurationError(
            f"{initial.name}: a network of transformers has no head for the standard deviation: "
            "leave loss.deviation and trains out"
        )
    if network.deviation is not None:
        return initial
    architecture = {**initial.architecture, "deviation": True}
    made = DepthNetwork(**architecture)
    made.load_state_dict(network.state_dict(), strict=False)
    assert made.deviation is not None
    made.deviation.blank()
    made.eval().requires_grad_(True)
    return initial._replace(network=made, architecture=architecture)


def _with_encoder_of_masks(text: str) -> InitialNetwork:
    """A blank decoder on the encoder of a segmentation network."""
    masks, header = load_network(text, "masks")
    architecture: dict[str, Any] = {"encoder": "edgetpu", "widths": [96, 64, 48, 24]}
    network = DepthNetwork(**architecture)
    network.encoder.load_state_dict(cast(RefinedDeepLab, masks).encoder.state_dict())
    name = f"the encoder of {header.path.stem}"
    return InitialNetwork(network, DEFAULT_SIZE, False, architecture, name, header, blank=True)


def _load_imagenet(network: DepthNetwork | PoseNetwork, path: Path) -> None:
    try:
        state = load_tensors(user_path(path))
        if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
            raise ValueError("it is no dictionary of tensors")
        _load_state(network, state)
    except Exception as error:  # torch has no error of its own for a damaged file
        raise WeightsError(f"{path}: not readable as torchvision's weights ({error})") from error


def _load_state(network: DepthNetwork | PoseNetwork, state: dict[str, Tensor]) -> None:
    if isinstance(network, PoseNetwork):
        network.load_imagenet(state)
    else:
        cast(Encoder, network.encoder).load_imagenet(state)
