# SPDX-License-Identifier: Apache-2.0
"""The parameters of the depth node, and the method's settings made from them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from depth_recog.errors import ConfigurationError
from depth_recog.method.gate.by_image import Thresholds
from depth_recog.method.scale.estimator import SCALE_MODES, ScaleSettings, chosen_scale
from depth_recog.method.scale.height import CameraMount
from depth_recog.method.settings import GATES, Settings
from depth_recog.networks.backends.choice import BACKENDS, PRECISIONS
from depth_recog.networks.factory import ESTIMATORS
from depth_recog.networks.models import header_of, preset_rules
from depth_recog.networks.weights import DEFAULT
from depth_recog.nodes.runtime.parameters import Spec, Values
from depth_recog.texts import shown

UNKNOWN_PITCH = -90.0
_DEFAULTS = Settings()
_live = partial(Spec, live=True)
SPECS = (
    Spec("autostart", True, "Configure and activate when the node starts."),
    Spec("device", "auto", "Where the networks run: auto (a GPU if present), cpu, cuda or cuda:N."),
    Spec(
        "backend",
        "auto",
        "Runtime of the networks; auto: torch on a GPU, else openvino if installed.",
        choices=BACKENDS,
    ),
    Spec(
        "precision",
        "auto",
        "Number format of the networks; auto: bfloat16 if the device is fast at it.",
        choices=PRECISIONS,
    ),
    _live(
        "weights",
        "",
        "Depth weights: a shipped name, a file, or a transformers directory; empty: the default.",
    ),
    _live(
        "mask_weights",
        "",
        "Mask weights: a shipped name, a file, or an ONNX model with its YAML; empty: the default.",
    ),
    _live(
        "gate_weights", "", "Depth weights of the gate by object alone; empty: those in `weights`."
    ),
    _live(
        "pose_weights", "", "Pose weights, for the pose estimator `network`; empty: the default."
    ),
    _live("pose_estimator", "pnp", "How the camera's poses are estimated.", choices=ESTIMATORS),
    _live(
        "width",
        0,
        "Image width for masks, features and gate, pixels; 640 finds small objects better; 0: the "
        "width of the depth network, the fastest.",
        0,
        4096,
    ),
    Spec("threads", 0, "CPU threads of the networks; 0: as many as the backend chooses.", 0, 256),
    _live(
        "dynamic_classes",
        list(_DEFAULTS.rules.dynamic),
        "Classes that can move; of the default, those that the mask weights know.",
    ),
    _live(
        "gate",
        _DEFAULTS.gate,
        "Which objects count as moving: object (decides for each object), image (decides once for "
        "the whole image), off (none), all (all of them).",
        choices=GATES,
    ),
    _live(
        "gate_rotation",
        _DEFAULTS.thresholds.rotation,
        "Gate by image: threshold for the elements of the rotation matrix, per second.",
        1e-6,
        1e6,
    ),
    _live(
        "gate_translation",
        _DEFAULTS.thresholds.translation,
        "Gate by image: threshold for the elements of the translation, metres per second.",
        1e-6,
        1e6,
    ),
    _live(
        "gate_threshold",
        _DEFAULTS.score_threshold,
        "Gate by object: a score above it means moving, a score below its negative still.",
        0.01,
        1000.0,
    ),
    _live(
        "mask_margin",
        _DEFAULTS.mask_margin,
        "How far masks are dilated before features are chosen, pixels at the network's size.",
        0,
        50,
    ),
    _live(
        "longest_gap", 0.5, "Frames further apart in time are not compared, seconds.", 0.01, 10.0
    ),
    _live("min_depth", 0.1, "Smaller depths become -inf (REP 117), metres.", 0.0, 1000.0),
    _live("max_depth", 80.0, "Larger depths become +inf (REP 117), metres.", 0.1, 1e6),
    _live(
        "max_uncertainty",
        0.0,
        "Depth with a larger standard deviation of its logarithm (depth/uncertainty) becomes NaN, "
        "sky too; 0: never. Needs weights that give it.",
        0.0,
        10.0,
    ),
    _live(
        "depth_encoding",
        "32FC1",
        "32FC1: metres; 16UC1: millimetres, 0 if invalid.",
        choices=("32FC1", "16UC1"),
    ),
    _live(
        "output_size",
        "input",
        "Size of depth and masks: that of the input image, or of the network (faster).",
        choices=("input", "network"),
    ),
    _live(
        "depth_scale",
        0.0,
        "Factor from the network's depth to metres, for scale none or constant; 0: unknown.",
        0.0,
        1000.0,
    ),
    Spec(
        "scale",
        "none",
        "Source of metres: none (the weights), constant (depth_scale), camera_height, odometry "
        "(topic odometry, speed or gps), auto (both).",
        choices=SCALE_MODES,
    ),
    _live(
        "camera_height",
        0.0,
        "Height of the camera above the ground, metres; 0: from tf.",
        0.0,
        50.0,
    ),
    _live(
        "camera_pitch",
        UNKNOWN_PITCH,
        "Pitch below the horizon, degrees, if known within 2; -90: unknown.",
        UNKNOWN_PITCH,
        60.0,
    ),
    Spec("base_frame", "base_footprint", "Frame on the ground below the robot, z up."),
    _live(
        "unscaled_depth",
        "relative",
        "Depth that is not in metres: on depth/relative (relative), or nowhere (hold).",
        choices=("relative", "hold"),
    ),
    _live("points_step", 4, "Every n-th pixel of every n-th row becomes a point.", 1, 64),
    Spec("publish_odom", False, "Publish odometry; needs metres (scale), and pose_estimator pnp."),
    Spec("publish_tf", False, "Broadcast the odometry on tf too; needs publish_odom and tf2_ros."),
    Spec(
        "odom_frame", "odom", "Fixed frame of the odometry: at the camera's first pose, x forward."
    ),
    Spec(
        "odom_child_frame",
        "camera_link",
        "Moving frame of the odometry: at the camera, x forward, y left, z up.",
    ),
    Spec(
        "frame_prefix",
        "",
        "Put before odom_frame and odom_child_frame, such as left/: one for each camera.",
    ),
    Spec(
        "image_transport",
        "raw",
        "Subscribe to image (raw) or to image/compressed (compressed).",
        choices=("raw", "compressed"),
    ),
    _live(
        "input_rectified", False, "Whether the images are rectified: then P is used and D ignored."
    ),
    _live(
        "image_bits",
        0,
        "Significant bits of 16-bit images (mono16 of a 12-bit camera: 12); 0: found from the "
        "images, of 8, 10, 12, 14 and 16.",
        0,
        16,
    ),
    _live(
        "fallback_fov",
        0.0,
        "Horizontal field of view that is assumed if camera_info is missing or uncalibrated, "
        "degrees; metres are a guess then, and the diagnostics warn; 0: such images are rejected.",
        0.0,
        170.0,
    ),
    Spec(
        "image_reliability",
        "auto",
        "QoS reliability of the subscriptions to image and camera_info; auto: as the publisher.",
        choices=("auto", "best_effort", "reliable"),
    ),
    _live(
        "image_timeout",
        2.0,
        "The diagnostics report an ERROR after this time without an image, seconds.",
        0.1,
        3600.0,
    ),
)


def scale_of(values: Values, mount: CameraMount | None = None) -> ScaleSettings:
    """Where metres come from; `mount` is the one that tf tells. Raises ConfigurationError."""
    pitch = values["camera_pitch"]
    given = values["camera_height"], None if pitch == UNKNOWN_PITCH else pitch
    scale = chosen_scale(values["scale"], values["depth_scale"], given)
    return replace(scale, mount=scale.mount or mount)


def settings_of(values: Values, mount: CameraMount | None = None) -> Settings:
    """The method's settings.

    Args:
        values: all parameters.
        mount: of the camera, as tf tells it; the parameter `camera_height` counts before it.

    Raises:
        ConfigurationError: a value that cannot be used.
        WeightsError: the classes of the mask weights cannot be read.
    """
    return Settings(
        rules=preset_rules(list(values["dynamic_classes"]), values["mask_weights"]),
        gate=values["gate"],
        thresholds=Thresholds(values["gate_rotation"], values["gate_translation"]),
        score_threshold=values["gate_threshold"],
        mask_margin=values["mask_margin"],
        longest_gap_s=values["longest_gap"],
        scale=scale_of(values, mount),
        width=values["width"],
    )


def check_uncertainty(values: Values) -> None:
    """Check that the depth weights give what `max_uncertainty` compares.

    Raises:
        ConfigurationError: they do not.
        WeightsError: they cannot be read.
    """
    if values["max_uncertainty"] and not header_of(values["weights"], "depth").deviation:
        raise ConfigurationError(
            f"max_uncertainty {values['max_uncertainty']:g}: the depth weights "
            f"{shown(values['weights'] or DEFAULT['depth'])} give no standard deviation; set it to "
            "0, or train the head for it (depth-recog train --set trains=deviation)"
        )


def check(values: Values) -> None:
    """Raise a ConfigurationError if the values contradict each other."""
    if not values["min_depth"] < values["max_depth"]:
        raise ConfigurationError(
            f"min_depth {values['min_depth']} must be less than max_depth {values['max_depth']}"
        )
    if 0 < values["image_bits"] < 8:
        raise ConfigurationError(
            f"image_bits {values['image_bits']}: 8 to 16, or 0 to find it from the images"
        )
    if values["publish_tf"] and not values["publish_odom"]:
        raise ConfigurationError("publish_tf needs the odometry: set publish_odom to true as well")
    if not values["publish_odom"]:
        return
    if scale_of(values).mode == "none":
        raise ConfigurationError(
            "publish_odom needs metres: set scale; or depth_scale to the true distance of an "
            "object divided by its published depth (1.0 if the weights are metric for your camera)"
        )
    if values["pose_estimator"] != "pnp":
        raise ConfigurationError(
            "publish_odom needs pose_estimator pnp: "
            f"{values['pose_estimator']} estimates no covariance"
        )
    frames = values["odom_frame"], values["odom_child_frame"]
    if not all(frames) or frames[0] == frames[1]:
        raise ConfigurationError(
            f"odom_frame {frames[0]!r} and odom_child_frame {frames[1]!r} must be two different "
            "names"
        )
