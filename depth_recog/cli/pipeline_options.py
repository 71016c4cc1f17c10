# SPDX-License-Identifier: Apache-2.0
"""The options of the verbs that run the pipeline."""

from __future__ import annotations

import argparse

from depth_recog.cli.options import threshold
from depth_recog.method.gate.by_image import Thresholds
from depth_recog.method.masking import DYNAMIC
from depth_recog.method.settings import GATES, Settings
from depth_recog.networks.factory import ESTIMATORS, Assembly, NetworkOptions, assemble
from depth_recog.networks.models import preset_rules
from depth_recog.networks.precision import PRECISIONS

_LITERAL = Settings().thresholds


def add_pipeline_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verbs that run the pipeline take."""
    add_network_arguments(parser)
    parser.add_argument(
        "--gate", default=Settings.gate, choices=GATES, help="what is masked as moving"
    )
    add_threshold_arguments(parser)


def add_threshold_arguments(parser: argparse.ArgumentParser) -> None:
    """The gates' thresholds."""
    parser.add_argument(
        "--gate-threshold",
        type=threshold,
        default=Settings.score_threshold,
        metavar="S",
        help=f"of the gate by object, default: {Settings.score_threshold:g}; calibrate finds it",
    )
    parser.add_argument(
        "--gate-rotation",
        type=threshold,
        default=_LITERAL.rotation,
        metavar="R",
        help=f"of the literal gate, per second, default: {_LITERAL.rotation:g}",
    )
    parser.add_argument(
        "--gate-translation",
        type=threshold,
        default=_LITERAL.translation,
        metavar="T",
        help=f"of the literal gate, metres per second, default: {_LITERAL.translation:g}",
    )


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of them that do not concern the gate."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=PRECISIONS,
        help="what the networks compute in; auto: bfloat16 where the device is fast at it",
    )
    parser.add_argument(
        "--weights",
        default="",
        help="depth weights: a shipped name, a path, or a directory of transformers",
    )
    parser.add_argument(
        "--gate-weights", default="", help="depth weights for the gate by object alone, likewise"
    )
    parser.add_argument(
        "--mask-weights",
        default="",
        help="segmentation weights, likewise; or NAME.onnx, with NAME.yaml beside it",
    )
    parser.add_argument("--pose", default="pnp", choices=ESTIMATORS, help="pose estimator")
    parser.add_argument(
        "--width",
        type=int,
        default=Settings.width,
        metavar="W",
        help="of the pictures in which masks, features and the gate look; 0: of the depth weights",
    )


def assembly_of(options: argparse.Namespace) -> Assembly:
    """The pipeline of these arguments. Raises DepthRecogError."""
    return assemble(network_options_of(options), settings_of(options, options.gate))


def network_options_of(options: argparse.Namespace) -> NetworkOptions:
    """The networks of these arguments."""
    return NetworkOptions(
        depth=options.weights,
        masks=options.mask_weights,
        gate=options.gate_weights,
        estimator=options.pose,
        device=options.device,
        precision=options.precision,
    )


def settings_of(options: argparse.Namespace, gate: str) -> Settings:
    """The method's settings of these arguments."""
    return Settings(
        rules=preset_rules(list(DYNAMIC), options.mask_weights),
        gate=gate,
        thresholds=Thresholds(options.gate_rotation, options.gate_translation),
        score_threshold=options.gate_threshold,
        width=options.width,
    )


def gate_of(options: argparse.Namespace) -> str:
    """The gate and its thresholds, for people."""
    if options.gate == "object":
        return f"object, threshold {options.gate_threshold:g}"
    if options.gate == "image":
        return f"image, thresholds {options.gate_rotation:g} and {options.gate_translation:g}"
    return str(options.gate)


def pipeline_options_given(options: argparse.Namespace) -> bool:
    """Whether any of them was given."""
    parser = argparse.ArgumentParser(add_help=False)
    add_pipeline_arguments(parser)
    defaults = vars(parser.parse_args([]))
    return any(getattr(options, name) != value for name, value in defaults.items())
