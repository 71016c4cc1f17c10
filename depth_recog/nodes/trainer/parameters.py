# SPDX-License-Identifier: Apache-2.0
"""The parameters of the trainer node."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from depth_recog.files import user_path
from depth_recog.nodes.runtime.depth_parameters import SPECS as DEPTH_SPECS
from depth_recog.nodes.runtime.parameters import Spec

_SHARED = ("autostart", "device", "image_transport", "input_rectified", "image_reliability")
_live = partial(Spec, live=True)
SPECS = (
    *(spec for spec in DEPTH_SPECS if spec.name in _SHARED),
    _live(
        "image_timeout",
        2.0,
        "Learning pauses after this time without an image, seconds.",
        0.1,
        3600.0,
    ),
    Spec(
        "folder",
        "",
        "Folder of the learnt weights; empty: depth_recog/NAMESPACE in $ROS_HOME or ~/.ros.",
    ),
    Spec(
        "weights",
        "",
        "Depth weights with which the folder begins: a shipped name or a file; empty: those that "
        "the folder began with, or the default.",
    ),
    Spec("mask_weights", "", "Mask weights, as of the depth node; empty: the default."),
    Spec("depth_node", "depth_node", "Name of the depth node that gets the learnt weights."),
    _live(
        "gate_frozen",
        True,
        "Set gate_weights of the depth node to the weights of the start, so that its gate does not "
        "learn; its depth network then runs twice.",
    ),
    _live("budget", 0.3, "Largest share of the time in which the trainer works.", 0.01, 1.0),
    Spec("nice", 10, "How far the trainer's priority is lowered: its nice level.", 0, 19),
    Spec("threads", 1, "CPU threads of the training; 0: as many as torch chooses.", 0, 256),
    Spec("memory", 64.0, "Images in the replay memory, MB (10^6 bytes).", 4.0, 1e5),
    _live("judge_every", 50, "Steps between two comparisons with the active weights.", 1, 10**6),
    _live(
        "latency_tolerance",
        0.25,
        "Learning pauses while the depth node's p99 latency is by more than this share above that "
        "without learning.",
        0.01,
        100.0,
    ),
    Spec("keep", 8, "Weights files on the disk, the start among them.", 3, 1000),
)


def folder_of(value: str, namespace: str) -> Path:
    """The folder of the learnt weights.

    Args:
        value: the parameter.
        namespace: of the node.
    """
    if value:
        return user_path(value)
    home = os.environ.get("ROS_HOME") or "~/.ros"
    return user_path(home) / "depth_recog" / namespace.strip("/")
