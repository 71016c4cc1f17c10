# SPDX-License-Identifier: Apache-2.0
"""Errors of the estimated ego-motion.

Source: KITTI's odometry benchmark (Geiger et al., 2012) for the error over a distance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.method.geometry.se3 import Matrix, inverse_matrix, relative, rotation_angle

SEGMENT_M = 100.0
_LEAST_MOTION_M = 0.05
_ERRORS = (
    "rotation_degrees",
    "rotation_degrees_per_frame",
    "translation_percent",
    "direction_degrees",
)


class PoseTally:
    """Collects pairs and the trajectory.

    `frame` takes every frame in order, `pair` the estimated motion between the newest frame and an
    earlier one. Translation errors are in percent of the true length; for pairs with less than 5 cm
    of motion only the rotation is compared.
    """

    def __init__(self) -> None:
        self._errors: dict[str, list[float]] = {name: [] for name in _ERRORS}
        self._ratio: list[float] = []
        self._travelled: list[float] = []
        self._unanswered = 0
        self._newest: Matrix | None = None
        self._metres = 0.0
        self._true: list[Matrix] = []
        self._way: list[float] = []
        self._estimated: list[Matrix] = []
        self._gaps: list[int] = []

    def pair(self, estimated: Matrix | None, true: Matrix, frames: int) -> None:
        """Add a pair `frames` apart: T_second_from_first, (4, 4) each."""
        self._gaps.append(frames)
        if estimated is None:
            self._unanswered += 1
            return
        rotation = _degrees(estimated[:3, :3] @ true[:3, :3].T)
        self._errors["rotation_degrees"].append(rotation)
        self._errors["rotation_degrees_per_frame"].append(rotation / frames)
        length = float(np.linalg.norm(true[:3, 3]))
        if length < _LEAST_MOTION_M:
            return
        found = float(np.linalg.norm(estimated[:3, 3]))
        error = float(np.linalg.norm(estimated[:3, 3] - true[:3, 3]))
        self._errors["translation_percent"].append(100 * error / length)
        if found > 0:
            cosine = estimated[:3, 3] @ true[:3, 3] / (found * length)
            direction = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
            self._errors["direction_degrees"].append(direction)
            self._ratio.append(found / length)
            self._travelled.append(self._metres)

    def frame(self, estimated: Matrix | None, true: Matrix) -> None:
        """Add the next frame's world_from_camera, (4, 4) each, in any world frames.

        Args:
            estimated: None where there is no estimate.
            true: in metres.
        """
        if self._newest is not None:
            self._metres += float(np.linalg.norm(true[:3, 3] - self._newest[:3, 3]))
        self._newest = true
        if estimated is not None:
            self._way.append(self._metres)
            self._estimated.append(estimated)
            self._true.append(true)

    def result(self) -> dict[str, Any]:
        """Return the figures as nested dictionaries, see docs/reference/files.md."""
        answer: dict[str, Any] = {"pairs": len(self._gaps), "unanswered": self._unanswered}
        if self._gaps:
            answer["frames_apart"] = float(np.mean(self._gaps))
        for name, values in self._errors.items():
            if values:
                answer[name] = {
                    "median": float(np.median(values)),
                    "mean": float(np.mean(values)),
                    "p90": float(np.percentile(values, 90)),
                }
        if len(self._ratio) > 1:
            ratio = np.array(self._ratio)
            answer["scale"] = {
                "median": float(np.median(ratio)),
                "spread": float(ratio.std() / np.median(ratio)),
                "drift_percent_per_100m": _drift(np.array(self._travelled), ratio),
            }
        if len(self._true) > 1:
            answer["trajectory"] = self._trajectory()
        return answer

    def _trajectory(self) -> dict[str, Any]:
        """Return errors over segments, unscaled and with one factor on all translations."""
        path = np.array(self._way)
        length = min(SEGMENT_M, float(path[-1] - path[0]) / 2)
        answer: dict[str, Any] = {"length_m": float(path[-1] - path[0]), "segment_m": length}
        if length < 1:
            return answer
        factor = float(np.median(self._ratio)) if self._ratio else 1.0
        for name, scale in (("unscaled", 1.0), ("median_scaled", 1 / factor if factor else 1.0)):
            translations, rotations = [], []
            for i in range(len(path)):
                j = int(np.searchsorted(path, path[i] + length))
                if j >= len(path):
                    break
                # T_earlier_from_later, as in the benchmark.
                true = relative(self._true[j], self._true[i])
                estimated = relative(self._estimated[j], self._estimated[i])
                estimated[:3, 3] *= scale
                error = inverse_matrix(true) @ estimated
                distance = path[j] - path[i]
                translations.append(100 * float(np.linalg.norm(error[:3, 3])) / distance)
                rotations.append(_degrees(error) / distance * 100)
            if translations:
                answer[name] = {
                    "segments": len(translations),
                    "translation_percent": float(np.mean(translations)),
                    "rotation_degrees_per_100m": float(np.mean(rotations)),
                }
        return answer


def _degrees(matrix: Matrix) -> float:
    """Return the rotation angle of a (3, 3) or (4, 4) matrix."""
    return float(np.degrees(rotation_angle(matrix)))


def _drift(travelled: NDArray[np.float64], ratio: NDArray[np.float64]) -> float | None:
    """Return the slope of the log ratio over the path, percent per 100 m; None below 10 m."""
    if travelled[-1] - travelled[0] < 10:
        return None
    slope = np.polyfit(travelled, np.log(ratio), 1)[0]
    return float(100 * np.expm1(100 * slope))
