# SPDX-License-Identifier: Apache-2.0
"""Answers of the pipeline itself, frame after frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from depth_recog.datasets.sequence import Frame
from depth_recog.evaluation.answer import Answer, PairMotion
from depth_recog.method.geometry.viewport import FARTHEST, NEAREST, Viewport, limit_depth
from depth_recog.method.observation import Step
from depth_recog.method.trajectory import Trajectory
from depth_recog.networks.factory import Assembly


class Pipeline:
    """The recognizer, asked as the depth node asks it.

    Args:
        assembly: networks, estimator and gate.
        about: what people need to know of them.
    """

    def __init__(self, assembly: Assembly, about: dict[str, str]) -> None:
        self.about = about
        self._assembly = assembly

    def of(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Answer]]:
        """Answers in order. Raises DepthRecogError."""
        view: Viewport | None = None
        trajectory = Trajectory()
        for frame in frames:
            if view is None or view.camera != frame.camera:
                size = self._assembly.network_size(frame.camera.rectified())
                view = Viewport.of(frame.camera, size)
            image = view.shrink(view.rectify(frame.image))
            step = self._assembly.recognizer.step(frame.name, frame.stamp_ns, image, view.network)
            yield frame, self._answer(step, view, trajectory)

    def _answer(self, step: Step, view: Viewport, trajectory: Trajectory) -> Answer:
        labels = view.enlarge_labels(step.frame.labels)
        depth = view.enlarge_depth(step.frame.depth)
        motion = None
        if step.pair is not None:
            static = step.pair.static
            known = np.asarray(static.T_second_from_first) if static.ok else None
            motion = PairMotion(step.pair.first.name, known)
        rules = step.frame.rules
        return Answer(
            limit_depth(depth, NEAREST, FARTHEST, rules.sky_pixels(labels)),
            rules.train_ids(labels),
            rules.dynamic_pixels(labels),
            view.enlarge_labels(step.moving),
            view.enlarge_labels(step.scores),
            motion,
            trajectory.add(step).T_first_from_frame,
        )
