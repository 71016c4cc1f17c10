# SPDX-License-Identifier: Apache-2.0
"""Builds a recognizer: loads the networks, and makes the pose estimator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from depth_recog.errors import ConfigurationError, WeightsError
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import network_size, size_alike
from depth_recog.method.networks import DepthModel, LabelModel, Networks
from depth_recog.method.pose.epipolar import EpipolarEstimator
from depth_recog.method.pose.estimator import PoseEstimator
from depth_recog.method.pose.network import NetworkEstimator
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.scale.measurement import Scale, ScaleState
from depth_recog.method.scale.motion import OdometryBuffer
from depth_recog.method.settings import Settings
from depth_recog.networks.backends.choice import Place, choose
from depth_recog.networks.backends.load import backend_of, load
from depth_recog.networks.deviation import deviation_of_weights
from depth_recog.networks.device import Device
from depth_recog.networks.models import header_of
from depth_recog.networks.weights import Header

Size = tuple[int, int]
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
        backend: one of `BACKENDS`.
        threads: of the processor; 0: as many as the backend chooses.
    """

    depth: str = ""
    masks: str = ""
    pose: str = ""
    gate: str = ""
    estimator: str = "pnp"
    device: str = "auto"
    precision: str = "auto"
    backend: str = "auto"
    threads: int = 0


@dataclass(frozen=True)
class Assembly:
    """A recognizer with its networks and the headers of their files.

    Attributes:
        recognizer: ready to run.
        depth_network, depth: network and header of the depth weights.
        mask_network, masks: network and header of the segmentation weights.
        place: where the networks run.
        gate_network, gate: of the gate's own depth weights; None without such weights.
    """

    recognizer: Recognizer
    depth_network: DepthModel
    depth: Header
    mask_network: LabelModel
    masks: Header
    estimator: PoseEstimator
    place: Place
    gate_network: DepthModel | None = None
    gate: Header | None = None

    @property
    def device(self) -> Device:
        """The device that the networks run on."""
        return self.place.device

    @property
    def precision(self) -> str:
        """float32 or bfloat16."""
        return self.place.precision

    @property
    def backend(self) -> str:
        """The runtime of the networks; of each one where they differ."""
        depth, masks = backend_of(self.depth, self.place), backend_of(self.masks, self.place)
        return depth if depth == masks else f"{depth} for depth, {masks} for masks"

    def in_metres(self, scale: Scale) -> bool:
        """Whether depth with this scale is in metres; without any source the weights say."""
        return scale.metric or (scale.state is ScaleState.NONE and self.depth.unit == "metres")

    def with_mask_network(self, labels: LabelModel) -> Assembly:
        """The same networks and settings in a new recognizer, with labels from another model."""
        settings, estimator = self.recognizer.settings, self.estimator
        odometry = self.recognizer.scale.odometry
        networks = self.recognizer.networks._replace(labels=labels)
        made = Recognizer(networks, estimator, settings, odometry)
        return replace(self, recognizer=made, mask_network=labels)

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

    def is_ready_for(self, size: Size) -> bool:
        """Whether images of (width, height) pixels need no preparation."""
        return all(size in network.sizes for network in self._by_size())

    def prepare(self, size: Size) -> None:
        """Get the networks ready for images of (width, height) pixels. Raises WeightsError."""
        for network in self._by_size():
            network.prepare([size])

    def _by_size(self) -> list[Any]:
        """The networks that need a preparation for each size of images."""
        networks = (self.depth_network, self.mask_network, self.gate_network)
        return [network for network in networks if hasattr(network, "prepare")]

    def warm_up(self, times: int = 2) -> None:
        """Run the networks on a blank image, so that the first frame is not delayed.

        The image has each size that the depth network is ready for, else that of the weights.
        """
        own = size_alike(*self.depth.size, self.depth.size)
        for width, height in getattr(self.depth_network, "sizes", None) or [own]:
            camera = Camera(width, height, width, width, width / 2, height / 2)
            blank = np.full((height, width, 3), 127, np.uint8)
            for _ in range(times):
                seen = self.recognizer.observe("warm-up", 0, blank, camera)
                seen.wait_for_labels()
                seen.wait_for_depth()


def assemble(
    options: NetworkOptions | None = None,
    settings: Settings | None = None,
    previous: Assembly | None = None,
    odometry: OdometryBuffer | None = None,
) -> Assembly:
    """Load the networks and build a recognizer.

    Args:
        options: which networks; None for the defaults.
        settings: of the method; None for the defaults.
        previous: an assembly on the same device. Its networks are kept where the file is unchanged;
            where all are, its recognizer continues with its buffered frames. The scale is kept
            with the depth network.
        odometry: of the robot, for the scale; filled by the caller.

    Raises:
        ConfigurationError: estimator, precision or backend is unknown, or does not fit; or a
            constant factor is given for a network whose scale and shift are unknown.
        DeviceError: the device, or the provider that an ONNX model asks for, is missing.
        WeightsError: a file is missing, damaged or of another network, or the preset rules are for
            other classes than the segmentation weights.
    """
    options, settings = options or NetworkOptions(), settings or Settings()
    place = choose(options.backend, options.device, options.precision, options.threads)
    kept = _networks_of(previous) if previous is not None and previous.place == place else []
    width = settings.width
    depth, depth_header = _network(options.depth, "depth", place, kept, width)
    trained = depth_header.size
    gate, gate_header = None, None
    if options.gate:
        kept.append((depth, depth_header))
        gate, gate_header = _network(options.gate, "depth", place, kept, width)
        _check_units(depth_header, gate_header)
    check_scale(depth_header, settings)
    masks, mask_header = _network(options.masks, "masks", place, kept, width, trained)
    _check_classes(mask_header, settings)
    estimator = _make_estimator(options, place, width, trained)
    if previous is not None and (depth, masks, gate) == (
        previous.depth_network,
        previous.mask_network,
        previous.gate_network,
    ):
        recognizer = previous.recognizer.changed(settings, estimator)
    else:
        # Where the gate's network is the depth network it runs once.
        frozen = None if gate is depth else gate
        deviation = deviation_of_weights(depth_header)
        networks = Networks(depth, masks, frozen, depth_header.affine, deviation)
        recognizer = Recognizer(networks, estimator, settings, odometry)
        if previous is not None and previous.depth_network is depth:
            recognizer.keep_scale_of(previous.recognizer)
    loaded = depth, depth_header, masks, mask_header
    return Assembly(recognizer, *loaded, estimator, place, gate, gate_header)


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
    if gate != depth and (gate.affine or depth.affine):
        one = gate if gate.affine else depth
        raise WeightsError(
            f"{one.path}: scale and shift of its depth are its own, and differ from image to "
            "image: use the same weights for depth and gate"
        )
    if gate.unit != depth.unit:
        raise WeightsError(
            f"{gate.path}: the gate weights give depth in {gate.unit}, the depth weights "
            f"{depth.path.stem} in {depth.unit}; both must have the same unit"
        )


def check_scale(depth: Header, settings: Settings) -> None:
    """Check that the settings can make metres of the depth of weights.

    Raises:
        ConfigurationError: they cannot.
    """
    if depth.affine and settings.scale.mode == "constant":
        raise ConfigurationError(
            f"{depth.path}: the scale and the shift of its depth differ from image to image, so "
            "that no constant factor gives metres: use scale camera_height, odometry or auto"
        )


def _check_classes(masks: Header, settings: Settings) -> None:
    known, named = masks.classes, settings.rules.classes
    if known != named:
        raise WeightsError(
            f"{masks.path}: has {len(known)} classes ({', '.join(known)}), but the preset rules "
            f"are for {len(named)} ({', '.join(named)})"
        )


def _networks_of(assembly: Assembly) -> list[tuple[Any, Header]]:
    found: list[tuple[Any, Header]] = [
        (assembly.depth_network, assembly.depth),
        (assembly.mask_network, assembly.masks),
    ]
    if assembly.gate_network is not None and assembly.gate is not None:
        found.append((assembly.gate_network, assembly.gate))
    return found


def _network(
    name: str,
    kind: str,
    place: Place,
    kept: list[tuple[Any, Header]],
    width: int = 0,
    trained: Size | None = None,
) -> tuple[Any, Header]:
    """Return a network that is kept, or load it and make it ready for images.

    Where one of its kind is kept it is made ready for the sizes of that one; else for images of
    the shape of the size `trained` (default: its own) that are processed in this `width`.
    """
    header = header_of(name, kind)
    for loaded in kept:
        if loaded[1] == header:
            return loaded
    in_use = [one.sizes for one, of in kept if of.network == kind and hasattr(one, "sizes")]
    own = trained or header.size
    wanted = width or own[0]
    usual = size_alike(*own, (wanted, round(wanted * own[1] / own[0])))
    sizes = in_use[0] if in_use else [usual]
    return load(header, place, sizes), header


def _make_estimator(
    options: NetworkOptions, place: Place, width: int, trained: Size
) -> PoseEstimator:
    name = options.estimator
    if name == "pnp":
        return PnpEstimator()
    if name == "epipolar":
        return EpipolarEstimator()
    if name == "network":
        return NetworkEstimator(_network(options.pose, "pose", place, [], width, trained)[0])
    raise ConfigurationError(f"unknown pose estimator {name!r}; known: {', '.join(ESTIMATORS)}")
