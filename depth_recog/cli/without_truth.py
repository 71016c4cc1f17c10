# SPDX-License-Identifier: Apache-2.0
"""`depth-recog evaluate` on a recording without truth."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tqdm import tqdm

from depth_recog.cli.pipeline_options import about_pipeline, assembly_of
from depth_recog.datasets.sequence import Recording
from depth_recog.errors import ConfigurationError
from depth_recog.evaluation import splits
from depth_recog.evaluation.subject import about_recording
from depth_recog.evaluation.without_truth.recording import judge


def figures_of(options: argparse.Namespace, recording: Recording, frames: range) -> dict[str, Any]:
    """Return the figures for the JSON file and the table.

    Args:
        options: of the command line.
        recording: opened.
        frames: which of its frames.

    Raises:
        ConfigurationError: options that need truth are given.
        DepthRecogError: a network or a frame cannot be read.
    """
    for name in ("html", "fit"):
        if getattr(options, name):
            raise ConfigurationError(
                f"--{name} needs truth, {options.source} has none or --without-truth is given: "
                "leave one of both out"
            )
    assembly = assembly_of(options, recording)
    examined = splits.examine([recording.file(i) for i in frames], [assembly.depth, assembly.masks])
    with tqdm(total=len(frames), unit="frame", disable=None, file=sys.stderr) as bar:
        measured = judge(assembly, recording, frames, bar.update)
    return {
        "frames": {
            "asked": len(frames),
            "answered": len(frames),
            "first": frames.start,
            "last": frames.stop - 1,
            "splits": examined,
        },
        "without_truth": measured,
        "about": {
            **about_recording(recording, options.source),
            **about_pipeline(options, assembly),
        },
    }
