# SPDX-License-Identifier: Apache-2.0
"""Puts a recognizer together: networks from weights files, an estimator by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from depth_recog.errors import ConfigurationError, WeightsError
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import Viewport, network_size
from depth_recog.method.pose.epipolar import EpipolarEstimator
from depth_recog.method.pose.estimator import PoseEstimator
from depth_recog.method.pose.network import NetworkEstimator
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.recognizer import DepthModel, Recognizer
from depth_recog.method.settings import Settings
from depth_recog.networks.device import choose_device
from depth_recog.networks.models import Model, header_of, load_model
from depth_recog.networks.precision import choose_precision, in_precision
from depth_recog.networks.sized import SizedDepth
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
        precision: float32 or bfloat16, what networks of ours compute in.
        gate_network: what the gate's own depth weights hold; None where it has none.
        gate: header of the gate's own depth weights; likewise.
    """

    recognizer: Recognizer
    depth_network: Model
    depth: Header
    mask_network: Model
    masks: Header
    device: torch.device
    precision: str
    gate_network: Model | None = None
    gate: Header | None = None

    @property
    def depth_model(self) -> DepthModel:
        """The depth network as the recognizer asks it: at its own size, in this precision."""
        return _sized(self.depth_network, self.depth, self.precision, self.device)

    @property
    def gate_model(self) -> DepthModel | None:
        """The gate's own, likewise; None where it has none."""
        return _frozen(
            self.depth_network, self.gate_network, self.gate, self.precision, self.device
        )

    @property
    def mask_model(self) -> Model:
        """The mask network as the recognizer asks it: in this precision."""
        return in_precision(self.mask_network, self.precision, self.device)

    def with_settings(self, settings: Settings) -> Assembly:
        """The same networks with other settings; see `Recognizer.changed`.

        Rules for other classes than these networks' belong to networks that are still being loaded,
        or could not be: they wait for them.
        """
        if settings.rules.classes != self.masks.classes:
            settings = replace(settings, rules=self.recognizer.settings.rules)
        return replace(self, recognizer=self.recognizer.changed(settings))

    def network_size(self, camera: Camera) -> tuple[int, int]:
        """(width, height) at which this camera's images go through the pipeline."""
        width, height = self.depth.size
        wanted = self.recognizer.settings.width or width
        return network_size(camera, (wanted, round(wanted * height / width)))

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
    gate_weights: str = "",
    precision: str = "auto",
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
        gate_weights: depth weights that the gate by object sees, however `depth_weights` change:
            shipped name or path; "" for the latter.
        precision: one of `PRECISIONS`, for depth and masks of ours; a pose network keeps float32.

    Raises:
        ConfigurationError: an unknown estimator or precision.
        DeviceError: the device, or what the ONNX model asks for, is not there.
        WeightsError: a file that cannot be used, or rules for other classes than its own.
    """
    settings = settings or Settings()
    place = choose_device(device)
    numbers = choose_precision(precision, place)
    kept = _networks_of(previous)
    depth, depth_header = _network(depth_weights, "depth", place, kept)
    gate, gate_header = None, None
    if gate_weights:
        kept.append((depth, depth_header))
        gate, gate_header = _network(gate_weights, "depth", place, kept)
        _check_units(depth_header, gate_header)
    masks, mask_header = _network(mask_weights, "masks", place, kept)
    if mask_header.classes != settings.rules.classes:
        known, named = mask_header.classes, settings.rules.classes
        raise WeightsError(
            f"{mask_header.path}: knows {len(known)} classes ({', '.join(known)}), the preset "
            f"rules name {len(named)} ({', '.join(named)})"
        )
    poses = make_estimator(estimator, pose_weights, place)
    networks = (depth, masks, gate, numbers)
    before = previous and (
        previous.depth_network,
        previous.mask_network,
        previous.gate_network,
        previous.precision,
    )
    if previous and networks == before:
        recognizer = previous.recognizer.changed(settings, poses)
    else:
        frozen = _frozen(depth, gate, gate_header, numbers, place)
        sized = _sized(depth, depth_header, numbers, place)
        scores = in_precision(masks, numbers, place)
        recognizer = Recognizer(sized, scores, poses, settings, place, frozen)
    return Assembly(
        recognizer, depth, depth_header, masks, mask_header, place, numbers, gate, gate_header
    )


def check_weights(
    depth_weights: str, mask_weights: str, pose_weights: str, estimator: str, gate_weights: str = ""
) -> None:
    """Look at the headers and hashes of the files that `assemble` would load. Raises as it does."""
    depth = header_of(depth_weights, "depth")
    if gate_weights:
        _check_units(depth, header_of(gate_weights, "depth"))
    header_of(mask_weights, "masks")
    if estimator == "network" or pose_weights:
        header_of(pose_weights, "pose")


def _check_units(depth: Header, gate: Header) -> None:
    if gate.unit != depth.unit:
        raise WeightsError(
            f"{gate.path}: its depth is {gate.unit}, that of the depth weights {depth.path.stem} "
            f"{depth.unit}: poses and velocities are in one unit"
        )


def _sized(depth: Model, header: Header, precision: str, device: torch.device) -> DepthModel:
    return SizedDepth(in_precision(depth, precision, device), header.size)


def _frozen(
    depth: Model,
    gate: Model | None,
    header: Header | None,
    precision: str,
    device: torch.device,
) -> DepthModel | None:
    """The gate's own depth network; as long as it is the other one it need not run twice."""
    if gate is None or header is None or gate is depth:
        return None
    return _sized(gate, header, precision, device)


def _networks_of(assembly: Assembly | None) -> list[tuple[Model, Header]]:
    if assembly is None:
        return []
    found = [(assembly.depth_network, assembly.depth), (assembly.mask_network, assembly.masks)]
    if assembly.gate_network is not None and assembly.gate is not None:
        found.append((assembly.gate_network, assembly.gate))
    return found


def _network(
    name: str, kind: str, device: torch.device, kept: list[tuple[Model, Header]]
) -> tuple[Model, Header]:
    header = header_of(name, kind) if kept else None
    for loaded in kept:
        if loaded[1] == header:
            return loaded
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
