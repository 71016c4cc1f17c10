# SPDX-License-Identifier: Apache-2.0
"""Judges the networks of a pipeline on a recording without truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from depth_recog.datasets.reader import readable
from depth_recog.datasets.sequence import Recording
from depth_recog.evaluation.without_truth.collected import Collected
from depth_recog.evaluation.without_truth.measures import Depth, measure
from depth_recog.evaluation.without_truth.stream import pairs_of, step_for
from depth_recog.evaluation.without_truth.views import View
from depth_recog.method.settings import Wanted
from depth_recog.networks.factory import Assembly
from depth_recog.pipeline import Pipeline


def judge(
    assembly: Assembly,
    recording: Recording,
    frames: range,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Return the figures of a recording, see `Collected.figures`.

    Recorded poses, where there are any, give the unit of the depth in metres and nothing else.

    Args:
        assembly: its depth network is judged, its segmentation network finds what could move.
        recording: any.
        frames: which of its frames, in order.
        progress: called after every frame.

    Raises:
        DepthRecogError: no frame can be read.
    """
    collected = Collected()
    step = step_for(len(frames))
    for pair in pairs_of(_frames(assembly, recording, frames, progress), step):
        collected.add(pair.number, measure(*pair[1:]), pair.evidence.why)
    unit = assembly.depth.unit
    return {"step": step, "unit": unit, **collected.figures()}


def _frames(
    assembly: Assembly, recording: Recording, frames: range, progress: Callable[[], object]
) -> Iterator[tuple[View, Depth]]:
    pipeline = Pipeline(assembly)
    for index, frame in readable(recording, frames):
        processed = pipeline.recognize(pipeline.prepare_frame(frame), Wanted.MASKS)
        seen, maps = processed.step.frame, processed.at_input_size
        view = View.of(frame.name, frame.stamp_ns, maps.image, maps.camera, maps.labels, seen.rules)
        # The network's own depth: nothing is cut off, and no sky is set to infinity.
        yield view.with_pose(recording.truth(index).world_from_camera), seen.depth
        progress()
