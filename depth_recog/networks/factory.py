# SPDX-License-Identifier: Apache-2.0
"""Builds a recognizer: loads the networks, and makes the pose estimator."""

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
from depth_recog.method.recognizer import DepthModel, Recognizer, ScoreModel
from depth_recog.method.settings import Settings
from depth_recog.networks.device import choose_device
from depth_recog.networks.models import Model, header_of, load_model
from depth_recog.networks.precision import choose_precision, in_precision
from depth_recog.networks.sized import SizedDepth
from depth_recog.networks.weights import Header

ESTIMATORS = ("pnp", "epipolar", "network")


@dataclass(frozen=True)
class NetworkOptions:
    """Which networks to load, and where they run.

    Weights are a shipped name or a path; "" means the default.

    Attributes:
        depth: depth weights, or a directory of Hugging Face's transformers.
        masks: segmentation weights, or an ONNX model.
        pose: pose weights; loaded for the estimator `network` only.
        gate: depth weights that the object gate uses while `depth` is trained; "" for `depth`.
        estimator: one of `ESTIMATORS`.
        device: auto, cpu, cuda or cuda:N.
        precision: one of `PRECISIONS`, for depth and segmentation; a pose network keeps float32.
    """

    depth: str = ""
    masks: str = ""
    pose: str = ""
    gate: str = ""
    estimator: str = "pnp"
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class Assembly:
    """A recognizer with its networks and the headers of their files.

    Attributes:
        recognizer: ready to run.
        depth_network, depth: network and header of the depth weights.
        mask_network, masks: network and header of the segmentation weights.
        precision: float32 or bfloat16.
        gate_network, gate: of the gate's own depth weights; None without such weights.
    """

    recognizer: Recognizer
    depth_network: Model
    depth: Header
    mask_network: Model
    masks: Header
    estimator: PoseEstimator
    device: torch.device
    precision: str
    gate_network: Model | None = None
    gate: Header | None = None

    @property
    def depth_model(self) -> DepthModel:
        """The depth network, run at its own size and in `precision`."""
        return _sized(self.depth_network, self.depth, self.precision, self.device)

    @property
    def mask_model(self) -> Model:
        """The segmentation network, run in `precision`."""
        return in_precision(self.mask_network, self.precision, self.device)

    def with_mask_model(self, scores: ScoreModel) -> Assembly:
        """The same networks and settings in a new recognizer, with scores from another model."""
        networks = self.depth_network, self.gate_network, self.gate
        gate = _gate_model(*networks, self.precision, self.device)
        settings, estimator = self.recognizer.settings, self.estimator
        made = Recognizer(self.depth_model, scores, estimator, settings, self.device, gate)
        return replace(self, recognizer=made)

    def with_settings(self, settings: Settings) -> Assembly:
        """The same networks with other settings, see `Recognizer.changed`.

        Rules for other classes than the segmentation network's are ignored: they belong to weights
        that are still loading or failed to load.
        """
        if settings.rules.classes != self.masks.classes:
            settings = replace(settings, rules=self.recognizer.settings.rules)
        return replace(self, recognizer=self.recognizer.changed(settings))

    def network_size(self, camera: Camera) -> tuple[int, int]:
        """(width, height) in pixels at which this camera's images are processed."""
        width, height = self.depth.size
        wanted = self.recognizer.settings.width or width
        return network_size(camera, (wanted, round(wanted * height / width)))

    def warm_up(self) -> None:
        """Run the networks on a blank image, so that the first frame is not delayed."""
        width, height = self.depth.size
        camera = Camera(width, height, width, width, width / 2, height / 2)
        view = Viewport.of(camera, self.network_size(camera))
        blank = torch.full((view.network.height, view.network.width, 3), 127, dtype=torch.uint8)
        for _ in range(2):
            self.recognizer.observe("warm-up", 0, blank.numpy(), view.network)


def assemble(
    options: NetworkOptions | None = None,
    settings: Settings | None = None,
    previous: Assembly | None = None,
) -> Assembly:
    """Load the networks and build a recognizer.

    Args:
        options: which networks; None for the defaults.
        settings: of the method; None for the defaults.
        previous: an assembly on the same device. Its networks are kept where the file is unchanged;
            where all are, its recognizer continues with its buffered frames.

    Raises:
        ConfigurationError: the estimator or the precision is unknown.
        DeviceError: the device, or the provider that an ONNX model asks for, is missing.
        WeightsError: a file is missing, damaged or of another network, or the preset rules are for
            other classes than the segmentation weights.
    """
    options, settings = options or NetworkOptions(), settings or Settings()
    device = choose_device(options.device)
    precision = choose_precision(options.precision, device)
    kept = _networks_of(previous)
    depth, depth_header = _network(options.depth, "depth", device, kept)
    gate, gate_header = None, None
    if options.gate:
        kept.append((depth, depth_header))
        gate, gate_header = _network(options.gate, "depth", device, kept)
        _check_units(depth_header, gate_header)
    masks, mask_header = _network(options.masks, "masks", device, kept)
    _check_classes(mask_header, settings)
    estimator = _make_estimator(options.estimator, options.pose, device)
    if previous is not None and (depth, masks, gate, precision) == (
        previous.depth_network,
        previous.mask_network,
        previous.gate_network,
        previous.precision,
    ):
        recognizer = previous.recognizer.changed(settings, estimator)
    else:
        recognizer = Recognizer(
            _sized(depth, depth_header, precision, device),
            in_precision(masks, precision, device),
            estimator,
            settings,
            device,
            _gate_model(depth, gate, gate_header, precision, device),
        )
    return Assembly(
        recognizer,
        depth,
        depth_header,
        masks,
        mask_header,
        estimator,
        device,
        precision,
        gate,
        gate_header,
    )


def check_weights(options: NetworkOptions) -> None:
    """Check headers and hashes of the files that `assemble` would load.

    Raises:
        WeightsError: as `assemble`.
    """
    depth = header_of(options.depth, "depth")
    if options.gate:
        _check_units(depth, header_of(options.gate, "depth"))
    header_of(options.masks, "masks")
    if options.estimator == "network" or options.pose:
        header_of(options.pose, "pose")


def _check_units(depth: Header, gate: Header) -> None:
    if gate.unit != depth.unit:
        raise WeightsError(
            f"{gate.path}: the gate weights give depth in {gate.unit}, the depth weights "
            f"{depth.path.stem} in {depth.unit}; both must have the same unit"
        )


def _check_classes(masks: Header, settings: Settings) -> None:
    known, named = masks.classes, settings.rules.classes
    if known != named:
        raise WeightsError(
            f"{masks.path}: has {len(known)} classes ({', '.join(known)}), but the preset rules "
            f"are for {len(named)} ({', '.join(named)})"
        )


def _sized(network: Model, header: Header, precision: str, device: torch.device) -> DepthModel:
    return SizedDepth(in_precision(network, precision, device), header.size)


def _gate_model(
    depth: Model,
    gate: Model | None,
    header: Header | None,
    precision: str,
    device: torch.device,
) -> DepthModel | None:
    """The gate's own depth network; None where it is the depth network, which then runs once."""
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


def _make_estimator(name: str, weights: str, device: torch.device) -> PoseEstimator:
    if name == "pnp":
        return PnpEstimator()
    if name == "epipolar":
        return EpipolarEstimator()
    if name == "network":
        return NetworkEstimator(load_model(weights, "pose", device)[0], device)
    raise ConfigurationError(f"unknown pose estimator {name!r}; known: {', '.join(ESTIMATORS)}")
