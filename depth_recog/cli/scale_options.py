# SPDX-License-Identifier: Apache-2.0
"""The arguments that say where metres come from."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from typing import Any

from depth_recog.cli.options import positive, real
from depth_recog.datasets.robot_motion import read_motion
from depth_recog.datasets.sequence import Sequence
from depth_recog.errors import ConfigurationError
from depth_recog.method.scale.estimator import SCALE_MODES, ScaleSettings, chosen_scale
from depth_recog.method.scale.measurement import Scale
from depth_recog.method.scale.motion import ConstantSpeed, OdometryBuffer


def _mode(*modes: str) -> Callable[[str], str]:
    """A parser of one of these modes, or of a number: the factor of the mode `constant`."""

    def parse(text: str) -> str:
        if text in modes:
            return text
        try:
            positive(text)
        except argparse.ArgumentTypeError:
            known = ", ".join(modes)
            raise argparse.ArgumentTypeError(f"{text!r}: one of {known}, or a factor") from None
        return text

    return parse


def add_height_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for a verb without the robot's motion."""
    _add(parser, "none", "camera_height")


def add_scale_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that verbs with a pipeline share."""
    group = _add(parser, "none", "camera_height", "odometry", "auto")
    group.add_argument(
        "--odometry", default="", metavar="TOPIC|FILE", help="of the bag, or TUM, KITTI or CSV"
    )
    group.add_argument("--speed", type=positive, metavar="M/S", help="the robot's constant speed")


def _add(parser: argparse.ArgumentParser, *modes: str) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("metres")
    told = ", ".join(modes).replace("auto", "auto (both, which must agree)")
    group.add_argument(
        "--scale",
        type=_mode(*modes),
        default="none",
        metavar="MODE",
        help=f"source of metres: {told}, or a number: metres per unit of the network",
    )
    group.add_argument(
        "--camera-height",
        type=positive,
        metavar="METRES",
        help="of the camera; evaluate's ground plane has 1.65 by default",
    )
    group.add_argument(
        "--camera-pitch",
        type=real(-60, 60),
        metavar="DEGREES",
        help="below the horizon, if known within 2 degrees",
    )
    return group


def scale_parameters(options: argparse.Namespace) -> dict[str, Any]:
    """The depth node's parameters for these arguments. Raises ConfigurationError."""
    if options.scale == "camera_height" and options.camera_height is None:
        raise ConfigurationError("--scale camera_height needs --camera-height METRES")
    if options.scale not in SCALE_MODES:
        return {"depth_scale": float(options.scale)}
    parameters: dict[str, Any] = {"scale": options.scale}
    if options.camera_height is not None:
        parameters["camera_height"] = options.camera_height
    if options.camera_pitch is not None:
        parameters["camera_pitch"] = options.camera_pitch
    return parameters


def scale_of(options: argparse.Namespace) -> ScaleSettings:
    """Return the settings of these arguments.

    Raises:
        ConfigurationError: the mode lacks what it needs.
    """
    mode = options.scale
    factor = 0.0 if mode in SCALE_MODES else float(mode)
    mount = options.camera_height or 0.0, options.camera_pitch
    scale = chosen_scale(mode if not factor else "constant", factor, mount)
    told = bool(options.odometry) or options.speed is not None
    if options.odometry and options.speed is not None:
        raise ConfigurationError("--odometry and --speed: give one of them")
    if told and not scale.by_odometry:
        raise ConfigurationError("--odometry and --speed need --scale odometry or auto")
    if mode == "odometry" and not told:
        raise ConfigurationError("--scale odometry needs --odometry TOPIC|FILE or --speed M/S")
    if mode == "auto" and not told and scale.mount is None:
        raise ConfigurationError("--scale auto needs --camera-height, --odometry or --speed")
    if mode == "camera_height" and scale.mount is None:
        raise ConfigurationError("--scale camera_height needs --camera-height METRES")
    return scale


def odometry_of(options: argparse.Namespace, sequence: Sequence) -> OdometryBuffer | None:
    """Read the robot's motion; None if no argument asks for it. Raises SourceError."""
    if options.speed is not None:
        return ConstantSpeed(options.speed)
    return read_motion(options.odometry, sequence) if options.odometry else None


def about_scale(options: argparse.Namespace, last: Scale, states: Counter[str]) -> dict[str, Any]:
    """Return what reports say of the scale.

    Args:
        options: of the command line.
        last: the scale after the last frame.
        states: number of frames by state.
    """
    return {
        "mode": options.scale,
        "camera_height": options.camera_height,
        "odometry": options.odometry or None,
        "speed": options.speed,
        "state": last.state.value,
        "factor": last.factor,
        "std": last.std if last.metric else None,
        "why": last.why,
        "frames": dict(states),
    }
