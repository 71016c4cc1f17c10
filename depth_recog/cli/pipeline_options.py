# SPDX-License-Identifier: Apache-2.0
"""The options of the verbs that run the pipeline."""

from __future__ import annotations

import argparse

from depth_recog.method.flow import FLOWS
from depth_recog.method.masking import DYNAMIC
from depth_recog.method.settings import GATES, Settings
from depth_recog.networks.factory import ESTIMATORS, Assembly, assemble
from depth_recog.networks.models import preset_rules


def add_pipeline_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verbs that run the pipeline take."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
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
    parser.add_argument("--flow", default=Settings.flow, choices=FLOWS, help="optical flow")
    parser.add_argument(
        "--width",
        type=int,
        default=Settings.width,
        metavar="W",
        help="of the pictures in which masks, features and the gate look; 0: of the depth weights",
    )
    parser.add_argument(
        "--gate", default=Settings.gate, choices=GATES, help="what is masked as moving"
    )


def assembly_of(options: argparse.Namespace) -> Assembly:
    """The pipeline of these arguments. Raises DepthRecogError."""
    return assemble(
        options.device,
        options.weights,
        options.mask_weights,
        estimator=options.pose,
        settings=Settings(
            rules=preset_rules(list(DYNAMIC), options.mask_weights),
            gate=options.gate,
            flow=options.flow,
            width=options.width,
        ),
        gate_weights=options.gate_weights,
    )


def pipeline_options_given(options: argparse.Namespace) -> bool:
    """Whether any of them was given."""
    parser = argparse.ArgumentParser(add_help=False)
    add_pipeline_arguments(parser)
    defaults = vars(parser.parse_args([]))
    return any(getattr(options, name) != value for name, value in defaults.items())
