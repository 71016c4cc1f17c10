# SPDX-License-Identifier: Apache-2.0
"""The arguments of the verbs that run the pipeline."""

from __future__ import annotations

import argparse

from depth_recog.cli.options import integer, positive
from depth_recog.cli.scale_options import add_scale_arguments, odometry_of, scale_of
from depth_recog.datasets.sequence import Sequence
from depth_recog.method.gate.by_image import Thresholds
from depth_recog.method.masking import DYNAMIC
from depth_recog.method.settings import GATES, Settings
from depth_recog.networks.backends.choice import BACKENDS, PRECISIONS
from depth_recog.networks.factory import ESTIMATORS, Assembly, NetworkOptions, assemble
from depth_recog.networks.models import preset_rules

_LITERAL = Settings().thresholds
MAX_WIDTH = 4096
"""Pixels, as of the node's parameter; the memory of a frame grows with its square."""


def add_pipeline_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that every verb with a pipeline has."""
    group = parser.add_argument_group("pipeline")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    group.add_argument(
        "--backend",
        default="auto",
        choices=BACKENDS,
        help="runtime of the networks; auto: torch on a GPU, else openvino if installed",
    )
    group.add_argument(
        "--precision",
        default="auto",
        choices=PRECISIONS,
        help="of the networks; auto: bfloat16 where the device is fast at it",
    )
    group.add_argument(
        "--weights",
        default="",
        help="depth weights: a shipped name, a path, a directory of transformers, or a folder that "
        "adapt wrote",
    )
    group.add_argument("--gate-weights", default="", help="other depth weights for the object gate")
    group.add_argument(
        "--mask-weights",
        default="",
        help="segmentation weights: a shipped name, a path, or NAME.onnx with NAME.yaml beside it",
    )
    group.add_argument("--pose", default="pnp", choices=ESTIMATORS, help="pose estimator")
    group.add_argument(
        "--width",
        type=integer(0, MAX_WIDTH),
        default=Settings.width,
        metavar="W",
        help="image width for masks, features and the gate, pixels; 0: as the depth weights",
    )
    group.add_argument(
        "--gate", default=Settings.gate, choices=GATES, help="which objects are masked as moving"
    )
    group.add_argument(
        "--gate-threshold",
        type=positive,
        default=Settings.score_threshold,
        metavar="S",
        help=f"score threshold of the object gate, default: {Settings.score_threshold:g}",
    )
    group.add_argument(
        "--gate-rotation",
        type=positive,
        default=_LITERAL.rotation,
        metavar="R",
        help=f"rotation threshold of the image gate, per second, default: {_LITERAL.rotation:g}",
    )
    group.add_argument(
        "--gate-translation",
        type=positive,
        default=_LITERAL.translation,
        metavar="T",
        help=f"translation threshold of the image gate, m/s, default: {_LITERAL.translation:g}",
    )
    add_scale_arguments(parser)


def assembly_of(options: argparse.Namespace, sequence: Sequence) -> Assembly:
    """Load the networks of these arguments.

    Args:
        options: of the command line.
        sequence: that is processed; the robot's motion may be read from it.

    Raises:
        DepthRecogError: as `assemble`; or the arguments for the scale cannot be used.
    """
    scale = scale_of(options)
    networks = NetworkOptions(
        depth=options.weights,
        masks=options.mask_weights,
        gate=options.gate_weights,
        estimator=options.pose,
        device=options.device,
        precision=options.precision,
        backend=options.backend,
    )
    settings = Settings(
        rules=preset_rules(list(DYNAMIC), options.mask_weights),
        gate=options.gate,
        thresholds=Thresholds(options.gate_rotation, options.gate_translation),
        score_threshold=options.gate_threshold,
        scale=scale,
        width=options.width,
    )
    return assemble(networks, settings, odometry=odometry_of(options, sequence))


def about_pipeline(options: argparse.Namespace, assembly: Assembly) -> dict[str, str]:
    """Return weights and options by name, for reports."""
    return {
        "weights": assembly.depth.path.stem,
        "weights sha256": assembly.depth.sha256,
        **({"gate weights": assembly.gate.path.stem} if assembly.gate else {}),
        "mask weights": assembly.masks.path.stem,
        "backend": assembly.backend,
        "precision": assembly.precision,
        "pose": options.pose,
        "gate": _gate(options),
        **({} if options.scale == "none" else {"scale": options.scale}),
    }


def _gate(options: argparse.Namespace) -> str:
    if options.gate == "object":
        return f"object, threshold {options.gate_threshold:g}"
    if options.gate == "image":
        return f"image, thresholds {options.gate_rotation:g} and {options.gate_translation:g}"
    return str(options.gate)


def pipeline_options_given(options: argparse.Namespace) -> bool:
    """Whether any of these arguments differs from its default."""
    parser = argparse.ArgumentParser(add_help=False)
    add_pipeline_arguments(parser)
    defaults = vars(parser.parse_args([]))
    del defaults["camera_height"]  # of the ground plane too, which every depth is compared with
    return any(getattr(options, name) != value for name, value in defaults.items())
