# SPDX-License-Identifier: Apache-2.0
"""Views of the synthetic street with their true depth, for the evaluation without truth."""

from __future__ import annotations

from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.street import SyntheticStreet
from depth_recog.evaluation.without_truth.collected import Collected
from depth_recog.evaluation.without_truth.measures import measure
from depth_recog.evaluation.without_truth.points import (
    Evidence,
    Points,
    evidence_of,
)
from depth_recog.evaluation.without_truth.views import View
from depth_recog.method.masking import PresetRules

Depth = NDArray[np.float32]
HEIGHT = 1.65
RULES = PresetRules()


class Street:
    """Frames of the street with their true depth, sky 200 m away, and the evidence of each pair."""

    def __init__(self, scene: str = "street", frames: int = 8) -> None:
        street = SyntheticStreet(scene, seed=3, frames=frames, width=640, height=192)
        self.views, self.depths, self.poses = [], [], []
        for i in range(frames):
            frame, truth = street[i], street.truth(i)
            assert truth.depth is not None
            assert truth.labels is not None
            assert truth.world_from_camera is not None
            view = View.of(
                frame.name, frame.stamp_ns, frame.image, frame.camera, truth.labels, RULES
            )
            self.views.append(view.with_pose(truth.world_from_camera))
            self.depths.append(np.minimum(truth.depth, np.float32(200)))
            self.poses.append(truth.world_from_camera)
        self.starts = range(frames - 3)
        self.evidence = [evidence_of(self.views[i : i + 5]) for i in self.starts]

    def second(self, start: int) -> int:
        """The number of the partner's frame."""
        return next(i for i, v in enumerate(self.views) if v is self.evidence[start].second)

    @cached_property
    def true(self) -> Collected:
        """The measures of the true depth."""
        return self.measured(*self.depths)

    def measured(self, *depths: Depth) -> Collected:
        """The measures of depth maps, one for each frame."""
        collected = Collected()
        for start, evidence in enumerate(self.evidence):
            pair = depths[start], depths[self.second(start)]
            collected.add(start, measure(evidence, *pair), evidence.why)
        return collected


@cache
def street_views() -> Street:
    """The street, made once for all files of a process."""
    return Street()


def points_of(evidence: Evidence) -> Points:
    assert evidence.points is not None, evidence.why
    return evidence.points


def mean(collected: Collected, name: str, key: str = "value") -> float:
    value = collected.figures()[name][key]
    assert isinstance(value, float)
    return value
