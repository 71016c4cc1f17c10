# SPDX-License-Identifier: Apache-2.0
"""The pipeline's results, frame by frame, in the form that `evaluate` compares with the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from depth_recog.datasets.sequence import Frame
from depth_recog.evaluation.answer import Answer, PairMotion
from depth_recog.method.trajectory import Trajectory
from depth_recog.networks.factory import Assembly
from depth_recog.pipeline import Pipeline
from depth_recog.processed import ProcessedFrame


class PipelineAnswers:
    """The pipeline's results as `Answers`.

    Args:
        assembly: networks, pose estimator and gate.
        about: names of the weights and options, for the report.
        beginning: returns the frames from the first one on, to find the scale before they are
            judged; None where it is not measured.
    """

    def __init__(
        self,
        assembly: Assembly,
        about: dict[str, str],
        beginning: Callable[[], Iterator[Frame]] | None = None,
    ) -> None:
        self.about = about
        self._assembly = assembly
        self._beginning = beginning

    def of(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Answer]]:
        """Answers in order. Raises DepthRecogError."""
        pipeline, trajectory = Pipeline(self._assembly), Trajectory()
        if self._beginning is not None:
            pipeline.find_scale(self._beginning())
        states: Counter[str] = Counter()
        for frame in frames:
            processed = pipeline.process(frame)
            states[processed.step.frame.scale.state.value] += 1
            yield frame, _answer(processed, trajectory)
        if self._assembly.recognizer.settings.scale.measured:
            last = pipeline.scale
            counted = ", ".join(f"{state} {number}" for state, number in states.items())
            self.about |= {
                "scale factor": f"{last.factor:.3f}, standard deviation {last.std:.1%}, {last.why}",
                "frames by state of the scale": counted,
            }


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
        maps.deviation,
    )
