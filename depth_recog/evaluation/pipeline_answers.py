# SPDX-License-Identifier: Apache-2.0
"""The pipeline's results, frame by frame, in the form that `evaluate` compares with the truth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from depth_recog.datasets.sequence import Frame
from depth_recog.evaluation.answer import Answer, PairMotion
from depth_recog.method.trajectory import Trajectory
from depth_recog.networks.factory import Assembly
from depth_recog.pipeline import Pipeline, ProcessedFrame


class PipelineAnswers:
    """The pipeline's results as `Answers`.

    Args:
        assembly: networks, pose estimator and gate.
        about: names of the weights and options, for the report.
    """

    def __init__(self, assembly: Assembly, about: dict[str, str]) -> None:
        self.about = about
        self._assembly = assembly

    def of(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Answer]]:
        """Answers in order. Raises DepthRecogError."""
        pipeline, trajectory = Pipeline(self._assembly), Trajectory()
        for frame in frames:
            yield frame, _answer(pipeline.process(frame), trajectory)


def _answer(processed: ProcessedFrame, trajectory: Trajectory) -> Answer:
    step, maps = processed.step, processed.at_input_size
    motion = None
    if step.pair is not None:
        static = step.pair.static
        known = np.asarray(static.T_second_from_first) if static.ok else None
        motion = PairMotion(step.pair.first.name, known)
    return Answer(
        maps.depth(),
        step.frame.rules.train_ids(maps.labels),
        maps.dynamic,
        maps.moving,
        maps.scores,
        motion,
        trajectory.add(step).T_first_from_frame,
    )
