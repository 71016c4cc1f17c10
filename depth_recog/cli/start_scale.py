# SPDX-License-Identifier: Apache-2.0
"""How many metres is the unit of a start on the recordings that it is to learn from?

Training keeps the scale of its start. So the start is put into metres first, by the factor that the
pipeline measures on the recordings.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from itertools import islice, takewhile

import numpy as np

from depth_recog.cli.scale_options import odometry_of, scale_of
from depth_recog.datasets.reader import readable
from depth_recog.errors import ConfigurationError
from depth_recog.method.masking import DYNAMIC
from depth_recog.method.scale.measurement import ScaleState
from depth_recog.method.settings import Settings, Wanted
from depth_recog.networks.factory import NetworkOptions, assemble
from depth_recog.networks.models import preset_rules
from depth_recog.pipeline import Pipeline
from depth_recog.training.data.cache import SourceFrames

MOST_FRAMES = 1000
"""Of a recording, from its beginning on."""
LARGEST_DIFFERENCE = 0.15
"""Largest difference of the factors of two recordings, in log: one factor serves all."""


def start_scale(
    options: argparse.Namespace,
    networks: NetworkOptions,
    chosen: list[SourceFrames],
    asked: Callable[[], bool],
) -> float | None:
    """Metres per unit of the start's depth; None without `--scale`.

    Args:
        options: of the command line.
        networks: the start, and the masks.
        chosen: the recordings.
        asked: whether the user asked to stop.

    Raises:
        KeyboardInterrupt: the user did.
        ConfigurationError: the arguments lack something, a recording shows no scale, or two show
            different ones.
    """
    scale = scale_of(options)
    if not scale.measured:
        return None if scale.mode == "none" else scale.factor
    settings = Settings(rules=preset_rules(list(DYNAMIC), networks.masks), scale=scale)
    found: dict[str, float] = {}
    for one in chosen:
        odometry = odometry_of(options, one.recording)
        pipeline = Pipeline(assemble(networks, settings, odometry=odometry))
        frames = takewhile(lambda _: not asked(), readable(one.recording, one.frames))
        logs = []
        for _, frame in islice(frames, MOST_FRAMES):
            pipeline.recognize(pipeline.prepare_frame(frame), Wanted.DEPTH)
            if pipeline.scale.state is ScaleState.LOCKED:
                logs.append(math.log(pipeline.scale.factor))
        if asked():
            raise KeyboardInterrupt
        if not logs:
            raise ConfigurationError(
                f"{one.text}: --scale {options.scale} finds no metres: {pipeline.scale.why}"
            )
        found[one.text] = float(np.median(logs))
        print(f"{one.text}: {math.exp(found[one.text]):.3f} metres per unit of the start")
    least, most = (choose(found, key=lambda text: found[text]) for choose in (min, max))
    if found[most] - found[least] > LARGEST_DIFFERENCE:
        raise ConfigurationError(
            f"the unit of the start is {math.exp(found[least]):.3f} m on {least}, and "
            f"{math.exp(found[most]):.3f} m on {most}: no factor makes both metres; train on one "
            "camera at a time"
        )
    return math.exp(float(np.mean(list(found.values()))))
