# SPDX-License-Identifier: Apache-2.0
"""Depth without a network: baselines that a network has to beat."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.reader import readable
from depth_recog.datasets.sequence import Recording
from depth_recog.errors import SourceError
from depth_recog.evaluation.depth_errors import NEAREST
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import rectify_nearest

CONSTANT_M = 15.0
_DECIMALS = 9

Depth = NDArray[np.float32]


class Baseline(Protocol):
    """The same depth for every image of a camera.

    Attributes:
        about: one line for the report.
    """

    about: str

    def depth(self, camera: Camera) -> Depth:
        """Return (H, W) float32 metres for a rectified camera."""
        ...


class Constant:
    """The same depth everywhere."""

    about = f"{CONSTANT_M:.0f} m everywhere"

    def depth(self, camera: Camera) -> Depth:
        """Return (H, W) float32 metres."""
        return np.full((camera.height, camera.width), CONSTANT_M, np.float32)


class GroundPlane:
    """A level road under a level camera, and the cap from the horizon up.

    Args:
        height: of the camera above the road, metres.
        cap: largest depth, metres.
    """

    def __init__(self, height: float, cap: float) -> None:
        self.about = f"level road {height:g} m below a level camera"
        self._height, self._cap = height, cap

    def depth(self, camera: Camera) -> Depth:
        """Return (H, W) float32 metres."""
        below = (np.arange(camera.height) - camera.cy) / camera.fy
        depth = np.full(camera.height, self._cap)
        road = below > self._height / self._cap
        depth[road] = self._height / below[road]
        return np.repeat(depth[:, None], camera.width, 1).astype(np.float32)


class RowMean:
    """The mean log depth of each image row, fitted on a recording.

    Rows are identified by their angle below the horizon, so that it can be fitted with one camera
    and evaluated with another.

    Args:
        slopes: (N,) ascending, y / z of the rows.
        logs: (N,) mean log depth of these rows, depth in metres.
        about: the frames that it was fitted on.
    """

    def __init__(self, slopes: NDArray[np.float64], logs: NDArray[np.float64], about: str) -> None:
        self.about = f"mean of each row, fitted on {about}"
        self._slopes, self._logs = slopes, logs

    def depth(self, camera: Camera) -> Depth:
        """Return (H, W) float32 metres; rows beyond the fitted ones get the nearest row's depth."""
        slopes = (np.arange(camera.height) - camera.cy) / camera.fy
        rows = np.exp(np.interp(slopes, self._slopes, self._logs))
        return np.repeat(rows[:, None], camera.width, 1).astype(np.float32)


def fit_row_mean(sequence: Recording, frames: range, about: str, cap: float) -> RowMean | None:
    """Fit the row mean on frames with true depth; None without any.

    Raises:
        SourceError: there are no such frames.
    """
    if len(frames) == 0 or frames[-1] >= len(sequence):
        raise SourceError(f"{about}: frames {frames.start}:{frames.stop} of {len(sequence)}")
    sums: dict[float, float] = {}
    counts: dict[float, int] = {}
    for index, frame in readable(sequence, frames):
        camera, truth = frame.camera, sequence.truth(index).depth
        if truth is None:
            continue
        truth = rectify_nearest(truth, camera, np.nan)
        known = (truth > NEAREST) & (truth < cap)
        logs = np.log(np.where(known, truth, 1)).sum(1)
        for row in np.flatnonzero(known.any(1)):
            key = round((row - camera.cy) / camera.fy, _DECIMALS)
            sums[key] = sums.get(key, 0.0) + float(logs[row])
            counts[key] = counts.get(key, 0) + int(known[row].sum())
    if not sums:
        return None
    keys = sorted(sums)
    return RowMean(np.array(keys), np.array([sums[k] / counts[k] for k in keys]), about)
