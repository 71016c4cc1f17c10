# SPDX-License-Identifier: Apache-2.0
"""What is evaluated: frames of a recording, and a method with its weights."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

from depth_recog import __version__
from depth_recog.datasets.assumed import AssumedLens
from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.errors import SourceError
from depth_recog.evaluation import splits
from depth_recog.evaluation.answer import Answers
from depth_recog.networks.backends.choice import runtimes
from depth_recog.networks.weights import Header


@dataclass(frozen=True)
class Subject:
    """Frames of a recording, and the method that is evaluated on them.

    Attributes:
        source: the recording, as typed.
        recording: opened.
        frames: which of its frames.
        answers: the method.
        headers: of all weights that the method uses.
        missing: names of weights that it used but whose files are gone or changed.
    """

    source: str
    recording: Recording
    frames: range
    answers: Answers
    headers: list[Header]
    missing: tuple[str, ...] = ()

    def examined(self) -> dict[str, Any]:
        """Compare the frames with the splits and the weights' training files.

        Raises:
            ConfigurationError, WeightsError: as `splits.examine`.
        """
        examined = splits.examine([self.recording.file(i) for i in self.frames], self.headers)
        examined["trained_on"] |= dict.fromkeys(self.missing)
        return {"first": self.frames.start, "last": self.frames.stop - 1, "splits": examined}


def open_recording(text: str, assumed: AssumedLens | None = None) -> Recording:
    """Open a source that can be read more than once; `assumed` as for `open_source`.

    Raises:
        SourceError: it cannot be opened, or is live.
    """
    sequence = open_source(text, assumed)
    if not isinstance(sequence, Recording):
        raise SourceError(
            f"{text}: a live source cannot be evaluated: record it first (depth-recog record)"
        )
    return sequence


def has_truth(recording: Recording, frames: range) -> bool:
    """Return whether any of the frames has truth of depth, poses or boxes."""
    return any(
        any(x is not None for x in (truth.depth, truth.world_from_camera, truth.boxes))
        for truth in map(recording.truth, frames)
    )


def check_truth(recording: Recording, frames: range, source: str) -> None:
    """Fail before the networks run.

    Raises:
        SourceError: the recording has no truth for any of the frames.
    """
    if not has_truth(recording, frames):
        raise SourceError(
            f"{source}: no truth to compare with (neither depth nor poses nor boxes); give the "
            "recording itself in place of the run to judge its depth without truth"
        )


def about_recording(recording: Recording, source: str) -> dict[str, Any]:
    """Return versions and the recording's name, for the report."""
    return {
        "depth_recog": __version__,
        "python": platform.python_version(),
        "runtimes": runtimes(),
        "source": source,
        "kind": recording.kind,
    }


def check_figures(figures: dict[str, Any], source: str) -> None:
    """Check that anything could be compared.

    Raises:
        SourceError: no frame was answered, or none has truth within crop and cap.
    """
    if not figures["frames"]["answered"]:
        raise SourceError(f"{source}: the run has none of these frames")
    if not {"pose", "depth", "gate"} & figures.keys():
        raise SourceError(
            f"{source}: nothing could be compared in these frames: no true depth within crop and "
            "cap, no pair with true poses, no box with a decision"
        )
