# SPDX-License-Identifier: Apache-2.0
"""Compares the gate's decisions with the boxes of the truth, by track.

An object's track counts once, however long it is visible. Where an object starts or stops, the part
in which it moves and the part in which it is parked are two tracks; frames in which its speed is
between the two (see `motion`) are left out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.boxes import Box
from depth_recog.evaluation.motion import MOVING, PARKED, motion_of
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.geometry.camera import Camera

PROMPT_S = 0.3
"""Seconds from its first visible frame within which a moving object should be detected."""

_LEAST_PIXELS = 200
_DRAWS = 1000
_LEAST_FRAMES = 3
_UNSEEN = -1e9


@dataclass
class _Track:
    """Frames in which one object moves, or in which it is parked.

    Attributes:
        stamps_ns: of the frames, nanoseconds.
        scores: median score of the object's pixels, 0 where unknown; without scores the share of
            pixels that are called moving, undecided ones counted half.
        moving: whether most pixels are called moving.
        undecided: whether most pixels are called undecided.
        seen: whether the masks show a dynamic class there.
    """

    stamps_ns: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    moving: list[bool] = field(default_factory=list)
    undecided: list[bool] = field(default_factory=list)
    seen: list[bool] = field(default_factory=list)


class GateTally:
    """Collects the gate's decisions inside the boxes of the truth."""

    def __init__(self) -> None:
        self._tracks: dict[tuple[str, str], _Track] = defaultdict(_Track)

    def add(
        self,
        stamp_ns: int,
        moving: NDArray[np.uint8],
        dynamic: NDArray[np.bool_],
        boxes: tuple[Box, ...],
        camera: Camera,
        scores: NDArray[np.float32] | None = None,
    ) -> None:
        """Add one frame.

        Args:
            stamp_ns: of the frame, nanoseconds.
            moving: (H, W) uint8, 0 still, 1 undecided, 2 moving.
            dynamic: (H, W) bool, pixels of dynamic classes.
            boxes: of the frame.
            camera: intrinsics of these rectified images.
            scores: (H, W) float32, higher where motion is more likely; NaN where unknown.
        """
        for box, region in visible_regions(boxes, camera):
            state = motion_of(box)
            if state not in (MOVING, PARKED) or box.truncated:
                continue
            rows, columns = region
            here = dynamic[rows, columns]
            codes = moving[rows, columns][here]
            counts = np.bincount(codes, minlength=3)[:3]
            seen = codes.size >= 0.1 * here.size
            track = self._tracks[box.track, state]
            track.stamps_ns.append(stamp_ns)
            track.seen.append(seen)
            if scores is None:
                known = (codes == Motion.MOVING) + 0.5 * (codes == Motion.UNDECIDED)
                score = float(known.mean()) if seen else 0.0
            else:
                # An unknown score counts as 0; an object outside the masks as certainly still.
                known = np.nan_to_num(scores[rows, columns][here])
                score = float(np.median(known)) if seen else _UNSEEN
            track.scores.append(score)
            winner = int(counts.argmax()) if seen else int(Motion.STILL)
            track.moving.append(winner == Motion.MOVING)
            track.undecided.append(winner == Motion.UNDECIDED)

    def result(self) -> dict[str, Any]:
        """Return the figures with 95 % intervals over tracks, see docs/concepts/evaluation.md."""
        judged = {k: t for k, t in sorted(self._tracks.items()) if len(t.scores) >= _LEAST_FRAMES}
        movers, parked = (
            [track for (_, state), track in judged.items() if state == wanted]
            for wanted in (MOVING, PARKED)
        )
        answer: dict[str, Any] = {"moving_tracks": len(movers), "parked_tracks": len(parked)}
        point = _figures(movers, parked)
        rng = np.random.default_rng(0)
        draws: dict[str, list[float]] = defaultdict(list)
        for _ in range(_DRAWS if movers or parked else 0):
            again = _figures(_resampled(rng, movers), _resampled(rng, parked))
            for name, value in again.items():
                draws[name].append(value)
        for name, value in point.items():
            low, high = np.percentile(draws[name], (2.5, 97.5))
            answer[name] = {"value": value, "low": float(low), "high": float(high)}
        answer["tracks"] = {
            f"{name} ({state})": {
                "frames": len(track.scores),
                "called_moving": float(np.mean(track.moving)),
                "undecided": float(np.mean(track.undecided)),
                "in_the_masks": float(np.mean(track.seen)),
                "seconds_to_detect": _seconds_to_detect(track) if state == MOVING else None,
            }
            for (name, state), track in judged.items()
        }
        return answer


def visible_regions(
    boxes: tuple[Box, ...], camera: Camera
) -> list[tuple[Box, tuple[NDArray[np.intp], NDArray[np.intp]]]]:
    """Return each box with the pixels (rows, columns) of its outline that no nearer box covers.

    Boxes with fewer than 200 visible pixels, or less than half of their outline, are left out.
    """
    taken = np.zeros((camera.height, camera.width), np.bool_)
    answer = []
    for box in sorted(boxes, key=lambda b: float(b.T_camera_from_box[2, 3])):
        outline = box.outline(camera)
        if outline is None:
            continue
        left, top, right, bottom = (round(v) for v in outline)
        window = np.zeros_like(taken)
        window[max(top, 0) : bottom + 1, max(left, 0) : right + 1] = True
        free = window & ~taken
        taken |= window
        if free.sum() >= max(_LEAST_PIXELS, window.sum() / 2):
            rows, columns = np.nonzero(free)
            answer.append((box, (rows, columns)))
    return answer


def _figures(movers: list[_Track], parked: list[_Track]) -> dict[str, float]:
    """Compute the figures; every track has the same weight, however long it is."""
    answer: dict[str, float] = {}
    if movers and parked:
        wins = [_beats(np.array(m.scores), np.array(p.scores)) for m in movers for p in parked]
        answer["auc"] = float(np.mean(wins))
    if movers:
        answer["recall"] = float(np.mean([np.mean(m.moving) for m in movers]))
        delays = [_seconds_to_detect(m) for m in movers]
        prompt = [d is not None and d <= PROMPT_S for d in delays]
        answer["recall_prompt"] = float(np.mean(prompt))
        found = [d for d in delays if d is not None]
        if found:
            answer["seconds_to_detect"] = float(np.median(found))
    if parked:
        answer["false_positive_rate"] = float(np.mean([np.mean(p.moving) for p in parked]))
    if movers or parked:
        answer["undecided"] = float(np.mean([np.mean(t.undecided) for t in movers + parked]))
    return answer


def _beats(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the share of pairs in which the first score is higher, ties counted half."""
    difference = first[:, None] - second[None]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def _seconds_to_detect(track: _Track) -> float | None:
    """Return the time until the first frame that is called moving; None without one."""
    if not any(track.moving):
        return None
    # Subtracted as integers: as floats, seconds since 1970 resolve 0.2 microseconds.
    return (track.stamps_ns[track.moving.index(True)] - track.stamps_ns[0]) / 1e9


def _resampled(rng: np.random.Generator, tracks: list[_Track]) -> list[_Track]:
    return [tracks[i] for i in rng.integers(len(tracks), size=len(tracks))] if tracks else []
