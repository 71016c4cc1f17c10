# SPDX-License-Identifier: Apache-2.0
"""The depth node's parameters, and the method's settings that they make."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from depth_recog.errors import ConfigurationError, WeightsError
from depth_recog.method.gate.by_image import Thresholds
from depth_recog.method.settings import GATES, Settings
from depth_recog.networks.factory import ESTIMATORS
from depth_recog.networks.models import preset_rules
from depth_recog.networks.precision import PRECISIONS
from depth_recog.nodes.runtime.parameters import Spec

_DEFAULTS = Settings()
SPECS = (
    Spec("autostart", True, "Configure and activate at the start."),
    Spec("device", "auto", "Where the networks run: auto, cpu, cuda or cuda:N."),
    Spec(
        "precision",
        "auto",
        "What the networks compute in; auto: bfloat16 where the device is fast at it.",
        choices=PRECISIONS,
    ),
    Spec(
        "weights",
        "",
        "Depth weights: a shipped name, a path, a directory of transformers; empty: the default.",
        live=True,
    ),
    Spec(
        "mask_weights",
        "",
        "Segmentation weights: a shipped name, a path, or an ONNX model with its YAML beside it.",
        live=True,
    ),
    Spec(
        "gate_weights",
        "",
        "Depth weights that the gate by object sees, however `weights` change; empty for those.",
        live=True,
    ),
    Spec("pose_weights", "", "Pose weights, for the pose estimator `network`.", live=True),
    Spec("pose_estimator", "pnp", "Estimator of the three poses.", choices=ESTIMATORS, live=True),
    Spec(
        "width",
        0,
        "Width of the pictures in which masks, features and the gate look, pixels: 640 finds small "
        "movers better; 0: that of the depth weights, the fastest.",
        0,
        4096,
        live=True,
    ),
    Spec("threads", 0, "CPU threads of the networks; 0 for torch's own choice.", 0, 256),
    Spec(
        "dynamic_classes",
        list(_DEFAULTS.rules.dynamic),
        "Names of the classes that can move; of the default, those that the mask weights know.",
        live=True,
    ),
    Spec(
        "gate",
        _DEFAULTS.gate,
        "How it is decided whether dynamic objects move: object (each by itself), image (the "
        "literal gate), off (nothing does), all (everything does).",
        choices=GATES,
        live=True,
    ),
    Spec(
        "gate_rotation",
        _DEFAULTS.thresholds.rotation,
        "Gate threshold for the elements of R, per second.",
        1e-6,
        1e6,
        live=True,
    ),
    Spec(
        "gate_translation",
        _DEFAULTS.thresholds.translation,
        "Gate threshold for the elements of t, metres per second.",
        1e-6,
        1e6,
        live=True,
    ),
    Spec(
        "gate_threshold",
        _DEFAULTS.score_threshold,
        "Gate by object: a score above it means moving, one below its negative still.",
        0.01,
        1000.0,
        live=True,
    ),
    Spec(
        "mask_margin",
        _DEFAULTS.mask_margin,
        "How far masks are grown before features are chosen, pixels at the network's size.",
        0,
        50,
        live=True,
    ),
    Spec("longest_gap", 0.5, "Frames further apart make no pair, seconds.", 0.01, 10.0, live=True),
    Spec("min_depth", 0.1, "Nearer than this is NaN, metres.", 0.0, 1000.0, live=True),
    Spec("max_depth", 80.0, "Farther than this is +inf, metres.", 0.1, 1e6, live=True),
    Spec(
        "depth_encoding",
        "32FC1",
        "32FC1 is metres, 16UC1 millimetres with 0 for invalid.",
        choices=("32FC1", "16UC1"),
        live=True,
    ),
    Spec(
        "output_size",
        "input",
        "Size of depth and masks: the input image's, or the network's (faster).",
        choices=("input", "network"),
        live=True,
    ),
    Spec(
        "depth_scale",
        0.0,
        "Factor from the networks' depth to metres; 0: none is known, the depth goes out as it is.",
        0.0,
        1000.0,
        live=True,
    ),
    Spec("points_step", 4, "Every n-th pixel and row becomes a point.", 1, 64, live=True),
    Spec("publish_odom", False, "Publish odometry; needs depth_scale and the estimator pnp."),
    Spec("publish_tf", False, "Send the odometry to tf as well; needs publish_odom and tf2_ros."),
    Spec("odom_frame", "odom", "Frame of the odometry: the camera's first pose, x forward."),
    Spec(
        "odom_child_frame",
        "camera_link",
        "Frame that the odometry moves: at the camera, x forward, y left, z up.",
    ),
    Spec(
        "image_transport",
        "raw",
        "What is subscribed to: image, or image/compressed.",
        choices=("raw", "compressed"),
    ),
    Spec(
        "input_rectified",
        False,
        "The images are rectified already: use P and ignore D.",
        live=True,
    ),
    Spec(
        "image_reliability",
        "best_effort",
        "Reliability asked of the camera; best_effort takes both kinds.",
        choices=("best_effort", "reliable"),
    ),
    Spec(
        "image_timeout",
        2.0,
        "Without an image for so long the camera counts as gone (diagnostics), seconds.",
        0.1,
        3600.0,
        live=True,
    ),
)


def settings_of(values: Mapping[str, Any]) -> Settings:
    """The method's settings.

    Raises:
        ConfigurationError: a value that cannot be used.
        WeightsError: the mask weights' classes cannot be read.
    """
    return Settings(
        rules=preset_rules(list(values["dynamic_classes"]), values["mask_weights"]),
        gate=values["gate"],
        thresholds=Thresholds(values["gate_rotation"], values["gate_translation"]),
        score_threshold=values["gate_threshold"],
        mask_margin=values["mask_margin"],
        longest_gap_s=values["longest_gap"],
        depth_scale=values["depth_scale"] or 1.0,
        width=values["width"],
    )


def check(values: Mapping[str, Any]) -> None:
    """Raise a ConfigurationError where the values do not go together."""
    # Files are looked at when they are loaded: before configure they may not be there yet.
    with suppress(WeightsError):
        settings_of(values)
    if not values["min_depth"] < values["max_depth"]:
        raise ConfigurationError(
            f"min_depth {values['min_depth']} must be less than max_depth {values['max_depth']}"
        )
    _check_odometry(values)


def _check_odometry(values: Mapping[str, Any]) -> None:
    if values["publish_tf"] and not values["publish_odom"]:
        raise ConfigurationError("publish_tf sends the odometry: set publish_odom to true as well")
    if not values["publish_odom"]:
        return
    if not values["depth_scale"]:
        raise ConfigurationError(
            "publish_odom needs metres: declare depth_scale, the true distance of something "
            "divided by its depth here (1.0 where the weights' metres are right for your camera)"
        )
    if values["pose_estimator"] != "pnp":
        raise ConfigurationError(
            f"publish_odom needs pose_estimator pnp: {values['pose_estimator']} knows no covariance"
        )
    frames = values["odom_frame"], values["odom_child_frame"]
    if not all(frames) or frames[0] == frames[1]:
        raise ConfigurationError(
            f"odom_frame {frames[0]!r} and odom_child_frame {frames[1]!r}: name two frames"
        )
