# SPDX-License-Identifier: Apache-2.0
"""Frames after the networks, beside their truth: what the gate's benchmarks start from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Recording, Truth
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.observation import Observation
from depth_recog.networks.factory import Assembly
from depth_recog.pipeline import Pipeline
from depth_recog.processed import PreparedImage


@dataclass(frozen=True)
class Observed:
    """A frame that the networks have processed, and its truth.

    Attributes:
        frame: depth and masks at the network's size.
        prepared: the image that they were computed from.
        truth: of the frame as it was read.
    """

    frame: Observation
    prepared: PreparedImage
    truth: Truth


def observe(sequence: Recording, indices: Sequence[int], assembly: Assembly) -> Iterator[Observed]:
    """Run the networks once on each frame, in the order of `indices`.

    Frames whose time runs backwards get stamps that rise.
    """
    pipeline = Pipeline(assembly)
    pipeline.set_camera(sequence[indices[0]].camera)
    backwards = indices[-1] < indices[0]
    last = sequence[indices[0]].stamp_ns
    for index in indices:
        frame = sequence[index]
        stamp_ns = last - frame.stamp_ns if backwards else frame.stamp_ns
        prepared = pipeline.prepare(frame.name, stamp_ns, frame.image)
        seen = assembly.recognizer.observe(
            prepared.name, prepared.stamp_ns, prepared.image, prepared.view.network
        )
        yield Observed(seen, prepared, sequence.truth(index))


def with_labels(frame: Observation, labels: NDArray[np.uint8]) -> Observation:
    """The frame with other class ids."""
    return replace(frame, known_labels=labels, known_categories=frame.rules.category_ids(labels))


def sparse_points(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """The nearest LiDAR point in each pixel of a smaller image.

    Args:
        depth: (H, W) float32, metres, NaN where no point is.
        camera: of the smaller image.

    Returns:
        (h, w) float32, metres, +inf where no point is.
    """
    rows, columns = np.nonzero(np.isfinite(depth) & (depth > 0))
    height, width = depth.shape
    v = (rows * camera.height) // height
    u = (columns * camera.width) // width
    sparse = np.full((camera.height, camera.width), np.inf, np.float32)
    np.minimum.at(sparse, (v, u), depth[rows, columns])
    return sparse
