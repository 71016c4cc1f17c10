# SPDX-License-Identifier: Apache-2.0
"""Puts a recognizer together: networks from weights files, an estimator by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from depth_recog.errors import ConfigurationError, WeightsError
from depth_recog.method.camera import Camera
from depth_recog.method.epipolar import EpipolarEstimator
from depth_recog.method.network_pose import NetworkEstimator
from depth_recog.method.pnp import PnpEstimator
from depth_recog.method.pose import PoseEstimator
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.settings import Settings
from depth_recog.method.viewport import Viewport, network_size
from depth_recog.networks.device import choose_device
from depth_recog.networks.models import Model, header_of, load_model
from depth_recog.networks.weights import Header

ESTIMATORS = ("pnp", "epipolar", "network")


@dataclass(frozen=True)
class Assembly:
    """A recognizer and the files that it was made of.

    Attributes:
        recognizer: ready to run.
        depth_network: what the depth weights hold.
        depth: header of the depth weights.
        mask_network: what the segmentation weights hold.
        masks: header of the segmentation weights.
        device: where the networks live.
    """

    recognizer: Recognizer
    depth_network: Model
    depth: Header
    mask_network: Model
    masks: Header
    device: torch.device

    def with_settings(self, settings: Settings) -> Assembly:
        """The same networks with other settings; see `Recognizer.changed`.

        Rules for other classes than these networks' belong to networks that are still being loaded,
        or could not be: they wait for them.
        """
        if settings.rules.classes != self.masks.classes:
            settings = replace(settings, rules=self.recognizer.settings.rules)
        return replace(self, recognizer=self.recognizer.changed(settings))

    def network_size(self, camera: Camera) -> tuple[int, int]:
        """(width, height) at which this camera's images enter the networks."""
        return network_size(camera, self.depth.size)

    def warm_up(self, camera: Camera | None = None) -> None:
        """Run the networks once, so that the first frame is not late for reasons of its own."""
        width, height = self.depth.size
        camera = camera or Camera(width, height, width, width, width / 2, height / 2)
        view = Viewport.of(camera, self.network_size(camera))
        blank = torch.full((view.network.height, view.network.width, 3), 127, dtype=torch.uint8)
        for _ in range(2):
            self.recognizer.observe("warm-up", 0, blank.numpy(), view.network)


def assemble(
    device: str = "auto",
    depth_weights: str = "",
    mask_weights: str = "",
    pose_weights: str = "",
    estimator: str = "pnp",
    settings: Settings | None = None,
    previous: Assembly | None = None,
) -> Assembly:
    """Load everything that a recognizer needs.

    Args:
        device: auto, cpu, cuda or cuda:N.
        depth_weights: shipped name or path; "" for the default.
        mask_weights: shipped name or path, or of an ONNX model; "" for the default.
        pose_weights: shipped name or path; "" for the default; used by the estimator `network`.
        estimator: one of `ESTIMATORS`.
        settings: what a user may decide.
        previous: an assembly on that device, whose networks are kept where the file is the same.

    Raises:
        ConfigurationError: an unknown estimator.
        DeviceError: the device, or what the ONNX model asks for, is not there.
        WeightsError: a file that cannot be used, or rules for other classes than its own.
    """
    settings = settings or Settings()
    place = choose_device(device)
    kept = (previous.depth_network, previous.depth) if previous else None
    depth, depth_header = _network(depth_weights, "depth", place, kept)
    kept = (previous.mask_network, previous.masks) if previous else None
    masks, mask_header = _network(mask_weights, "masks", place, kept)
    if mask_header.classes != settings.rules.classes:
        known, named = mask_header.classes, settings.rules.classes
        raise WeightsError(
            f"{mask_header.path}: knows {len(known)} classes ({', '.join(known)}), the preset "
            f"rules name {len(named)} ({', '.join(named)})"
        )
    poses = make_estimator(estimator, pose_weights, place)
    if previous and (depth, masks) == (previous.depth_network, previous.mask_network):
        recognizer = previous.recognizer.changed(settings, poses)
    else:
        recognizer = Recognizer(depth, masks, poses, settings, place)
    return Assembly(recognizer, depth, depth_header, masks, mask_header, place)


def check_weights(depth_weights: str, mask_weights: str, pose_weights: str, estimator: str) -> None:
    """Look at the headers and hashes of the files that `assemble` would load. Raises as it does."""
    header_of(depth_weights, "depth")
    header_of(mask_weights, "masks")
    if estimator == "network" or pose_weights:
        header_of(pose_weights, "pose")


def _network(
    name: str, kind: str, device: torch.device, kept: tuple[Model, Header] | None
) -> tuple[Model, Header]:
    if kept is not None and header_of(name, kind) == kept[1]:
        return kept
    return load_model(name, kind, device)


def make_estimator(name: str, pose_weights: str, device: torch.device) -> PoseEstimator:
    """A pose estimator by name. Raises as `assemble` does."""
    if name == "pnp":
        return PnpEstimator()
    if name == "epipolar":
        return EpipolarEstimator()
    if name == "network":
        return NetworkEstimator(load_model(pose_weights, "pose", device)[0], device)
    raise ConfigurationError(f"pose estimator {name!r} is unknown: {', '.join(ESTIMATORS)}")
