# SPDX-License-Identifier: Apache-2.0
"""The arguments that say where metres come from."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from depth_recog.cli.options import positive, real
from depth_recog.datasets.robot_motion import FORMATS, read_motion
from depth_recog.datasets.sequence import Sequence
from depth_recog.errors import ConfigurationError
from depth_recog.method.scale.estimator import SCALE_MODES, ScaleSettings, chosen_scale
from depth_recog.method.scale.measurement import Scale
from depth_recog.method.scale.motion import ConstantSpeed, OdometryBuffer


def scale_mode(text: str) -> str:
    """Parse a mode, or a number: the factor of the mode `constant`."""
    if text in SCALE_MODES and text != "constant":
        return text
    try:
        positive(text)
    except argparse.ArgumentTypeError:
        modes = ", ".join(mode for mode in SCALE_MODES if mode != "constant")
        raise argparse.ArgumentTypeError(f"{text!r}: one of {modes}, or a factor") from None
    return text


def add_scale_arguments(parser: argparse.ArgumentParser, height: str = "") -> None:
    """Add the arguments that verbs with a pipeline share.

    Args:
        parser: of the verb.
        height: what the camera's height is used for besides.
    """
    group = parser.add_argument_group("metres")
    group.add_argument(
        "--scale",
        type=scale_mode,
        default="none",
        metavar="MODE",
        help="where metres come from: none (the network's unit), camera_height, odometry, auto "
        "(both, which must agree), or a number: metres per unit of the network",
    )
    group.add_argument(
        "--camera-height",
        type=positive,
        metavar="METRES",
        help=f"of the camera above the ground{height}",
    )
    group.add_argument(
        "--camera-pitch",
        type=real(-60, 60),
        metavar="DEGREES",
        help="of the optical axis below the horizon, where it is known within 2 degrees",
    )
    group.add_argument("--odometry", default="", metavar="TOPIC|FILE", help=FORMATS)
    group.add_argument("--speed", type=positive, metavar="M/S", help="the robot's constant speed")


def scale_of(options: argparse.Namespace) -> ScaleSettings:
    """Return the settings of these arguments.

    Raises:
        ConfigurationError: the mode lacks what it needs.
    """
    mode = options.scale
    factor = 0.0 if mode in SCALE_MODES else float(mode)
    scale = chosen_scale(mode if not factor else "constant", factor, height_of(options))
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


def height_of(options: argparse.Namespace) -> tuple[float, float | None]:
    """Return the camera's height, 0 if it was not given, and its pitch."""
    return options.camera_height or 0.0, options.camera_pitch


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
