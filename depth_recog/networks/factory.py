# SPDX-License-Identifier: Apache-2.0
"""Puts a recognizer together: networks from weights files, an estimator by name."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from depth_recog.errors import ConfigurationError, WeightsError
from depth_recog.method.camera import Camera
from depth_recog.method.epipolar import EpipolarEstimator
from depth_recog.method.masking import PresetRules
from depth_recog.method.network_pose import NetworkEstimator
from depth_recog.method.pnp import PnpEstimator
from depth_recog.method.pose import PoseEstimator
from depth_recog.method.recognizer import Recognizer, Settings
from depth_recog.method.viewport import Viewport, network_size
from depth_recog.networks.device import choose_device
from depth_recog.networks.weights import Header, load_network

ESTIMATORS = ("pnp", "epipolar", "network")


@dataclass(frozen=True)
class Assembly:
    """A recognizer and the files that it was made of.

    Attributes:
        recognizer: ready to run.
        depth: header of the depth weights.
        masks: header of the segmentation weights.
        device: where the networks live.
    """

    recognizer: Recognizer
    depth: Header
    masks: Header
    device: torch.device

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
) -> Assembly:
    """Load everything that a recognizer needs.

    Args:
        device: auto, cpu, cuda or cuda:N.
        depth_weights: shipped name or path; "" for the default.
        mask_weights: shipped name or path; "" for the default.
        pose_weights: shipped name or path; "" for the default; used by the estimator `network`.
        estimator: one of `ESTIMATORS`.
        settings: what a user may decide.

    Raises:
        ConfigurationError: an unknown estimator, or rules that do not fit the weights' classes.
        DeviceError: the device is not there.
        WeightsError: a file that cannot be used.
    """
    settings = settings or Settings()
    place = choose_device(device)
    depth, depth_header = load_network(depth_weights, "depth", place)
    masks, mask_header = load_network(mask_weights, "masks", place)
    classes = int(mask_header.architecture.get("classes", 19))
    if classes != len(settings.rules.classes):
        raise WeightsError(
            f"{mask_header.path}: knows {classes} classes, the preset rules name "
            f"{len(settings.rules.classes)}"
        )
    recognizer = Recognizer(
        depth, masks, make_estimator(estimator, pose_weights, place), settings, place
    )
    return Assembly(recognizer, depth_header, mask_header, place)


def make_estimator(name: str, pose_weights: str, device: torch.device) -> PoseEstimator:
    """A pose estimator by name. Raises as `assemble` does."""
    if name == "pnp":
        return PnpEstimator()
    if name == "epipolar":
        return EpipolarEstimator()
    if name == "network":
        return NetworkEstimator(load_network(pose_weights, "pose", device)[0], device)
    raise ConfigurationError(f"pose estimator {name!r} is unknown: {', '.join(ESTIMATORS)}")


def preset_rules(dynamic_classes: list[str]) -> PresetRules:
    """Preset rules of a parameter's list of names; raises ConfigurationError."""
    return PresetRules(dynamic=tuple(name for name in dynamic_classes if name))
