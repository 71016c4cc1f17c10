# SPDX-License-Identifier: Apache-2.0
"""`calibrate-camera` on clips whose focal length is known: error, deviation, refusals.

python benchmarks/self_calibration.py [--json FILE] KIND=SOURCE[@A:B]...

KIND is known (judged), or straight (must be refused). Each known clip is judged whole, and in
`--crops` parts: half of its time or more, and the points in a random rectangle whose middle is off
by 2 % of its width. `--curved N` adds N synthetic streets with radii from 40 m on, of cameras that
are pitched by 12 degrees, 50 to 110 degrees wide.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import cv2
import numpy as np
from common import label_of

from depth_recog.cli.calibrate_camera import collect, moving_or_sky
from depth_recog.cli.train import chosen_frames
from depth_recog.datasets.reader import RecordingReader
from depth_recog.datasets.sequence import Frame
from depth_recog.datasets.street import path
from depth_recog.method.self_calibration.focal import FocalEstimate, estimate_focal
from depth_recog.method.self_calibration.pairs import PointPair

SMALLEST = 0.65
CURVED = (
    "synthetic:street?seed={seed}&frames=240&width=416&height=256&mount=1.5&pitch=12&fov={fov:.0f}"
)
BENT = 4.0
"""Times the amplitudes of the synthetic street's bends."""
OFF_CENTRE = 0.02
LEAST = 40
"""Points of a pair in a rectangle."""


class Part(RecordingReader):
    """Some frames of a recording."""

    kind = "part"

    def __init__(self, recording: RecordingReader, frames: range) -> None:
        self._inner, self._range = recording, frames
        self.name, self.rate_hz = recording.name, recording.rate_hz

    def __len__(self) -> int:
        return len(self._range)

    def _frame(self, index: int) -> Frame:
        return self._inner[self._range[index]]

    def _file(self, index: int) -> None:
        return None


def cropped(
    pairs: list[PointPair], size: tuple[int, int], rng: np.random.Generator
) -> tuple[list[PointPair], tuple[int, int]]:
    """What another lens would have seen, in half of the recording or more.

    The middle of a random share of the image, off by `OFF_CENTRE` of its width; the points outside
    are left out.
    """
    count = len(pairs)
    length = round(count * rng.uniform(0.5, 1))
    begin = int(rng.integers(count - length + 1))
    inner = np.array([round(side * rng.uniform(SMALLEST, 1)) for side in size])
    corner = (np.array(size) - inner) / 2 + rng.normal(0, OFF_CENTRE, 2) * inner[0]
    found = []
    for pair in pairs[begin : begin + length]:
        one, two = pair.first - corner, pair.second - corner
        inside = ((one >= 0) & (two >= 0) & (one < inner) & (two < inner)).all(1)
        if inside.sum() >= LEAST:
            found.append(PointPair(one[inside].astype(np.float32), two[inside].astype(np.float32)))
    return found, (int(inner[0]), int(inner[1]))


def measured(kind: str, text: str, crops: int, seed: int) -> list[dict[str, object]]:
    """Results of a clip and of its crops."""
    chosen = chosen_frames(text)
    rng = np.random.default_rng(seed)
    avoid, rows = moving_or_sky(argparse.Namespace(mask_weights="", device="auto")), []
    clip = Part(chosen.recording, chosen.frames)
    collector, size, shrunk = collect(clip, len(clip), avoid)
    true = clip[0].camera.fx * shrunk
    for number in range(1 + (crops if kind == "known" else 0)):
        pairs, inner = collector.pairs, size
        if number:
            pairs, inner = cropped(pairs, size, rng)
        found = estimate_focal(pairs, inner)
        told = isinstance(found, FocalEstimate)
        row: dict[str, object] = {
            "clip": label_of(text),
            "kind": kind,
            "width": inner[0],
            "pairs": len(pairs),
            "told": told,
            "why": "" if told else found.why,
        }
        if math.isfinite(found.focal):
            row |= {
                "error": round(math.log(found.focal / true), 4),
                "std": round(found.std, 4),
            }
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="*", metavar="KIND=SOURCE")
    parser.add_argument("--crops", type=int, default=9)
    parser.add_argument("--curved", type=int, default=0, metavar="N")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = []
    for seed, clip in enumerate(options.clips):
        kind, _, text = clip.partition("=")
        rows += measured(kind, text, options.crops, seed)
    path._AMPLITUDES = tuple(BENT * amplitude for amplitude in path._AMPLITUDES)  # type: ignore[assignment]
    for number, fov in enumerate(np.linspace(50, 110, options.curved)):
        rows += measured("known", CURVED.format(seed=61 + number, fov=fov), options.crops, number)
    told = [r for r in rows if r["kind"] == "known" and r["told"]]
    errors = np.abs([r["error"] for r in told])
    found = [r for r in rows if r["kind"] == "known" and "error" in r]
    ratios = np.abs([r["error"] / r["std"] for r in found])
    summary = {
        "cases": sum(r["kind"] == "known" for r in rows),
        "told": len(told),
        "told, within 3 %": int((errors < 0.03).sum()),
        "largest error told": float(errors.max()) if len(errors) else None,
        "within one deviation (0.68), told or not": float((ratios < 1).mean()),
        "within two deviations (0.95), told or not": float((ratios < 2).mean()),
        "straight clips told": sum(r["kind"] == "straight" and bool(r["told"]) for r in rows),
    }
    print(json.dumps(summary, indent=1))
    if options.json:
        text = json.dumps({"summary": summary, "cases": rows}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
