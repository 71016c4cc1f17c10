# SPDX-License-Identifier: Apache-2.0
"""`calibrate-camera` on clips whose focal length is known: error, deviation, refusals.

python benchmarks/self_calibration.py [--json FILE] KIND=SOURCE[@A:B]...

KIND is known (judged), or straight (must be refused). Each known clip is judged whole, and in
`--crops` random crops with a random zoom, whose principal point is off by 2 % of the width.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from depth_recog.cli.calibrate_camera import collect, moving_or_sky
from depth_recog.cli.train import chosen_frames
from depth_recog.datasets.reader import RecordingReader
from depth_recog.datasets.sequence import Frame
from depth_recog.method.self_calibration.focal import FocalEstimate, estimate_focal

SMALLEST, LARGEST = 0.65, 1.0
OFF_CENTRE = 0.02


@dataclass(frozen=True)
class Crop:
    """The rectangle of an image, as shares of its size, that another lens would have seen."""

    share: float = 1.0
    off: tuple[float, float] = (0.0, 0.0)

    def of(self, image: np.ndarray) -> np.ndarray:
        """The cropped image."""
        height, width = image.shape[:2]
        w, h = round(width * self.share), round(height * self.share)
        u = round((width - w) / 2 + self.off[0] * w)
        v = round((height - h) / 2 + self.off[1] * w)
        u, v = (min(max(0, at), most) for at, most in ((u, width - w), (v, height - h)))
        return np.ascontiguousarray(image[v : v + h, u : u + w])


class Cropped(RecordingReader):
    """Frames of a recording, cropped."""

    kind = "cropped"

    def __init__(self, recording: RecordingReader, frames: range, crop: Crop) -> None:
        self._inner, self._range, self._crop = recording, frames, crop
        self.name, self.rate_hz = recording.name, recording.rate_hz

    def __len__(self) -> int:
        return len(self._range)

    def _frame(self, index: int) -> Frame:
        frame = self._inner[self._range[index]]
        image = self._crop.of(frame.image)
        return Frame(frame.name, frame.stamp_ns, image, frame.camera)

    def _file(self, index: int) -> None:
        return None


def measured(kind: str, text: str, crops: int, seed: int) -> list[dict[str, object]]:
    """Results of a clip and of its crops."""
    chosen = chosen_frames(text)
    recording = chosen.recording
    rng = np.random.default_rng(seed)
    wanted = [Crop()]
    for _ in range(crops if kind == "known" else 0):
        off = rng.normal(0, OFF_CENTRE, 2)
        wanted.append(Crop(float(rng.uniform(SMALLEST, LARGEST)), (float(off[0]), float(off[1]))))
    options = argparse.Namespace(mask_weights="", device="auto")
    avoid, rows = moving_or_sky(options), []
    for crop in wanted:
        clip = Cropped(recording, chosen.frames, crop)
        collector, size, shrunk = collect(clip, len(clip), avoid)
        found = estimate_focal(collector.pairs, size)
        true = recording[0].camera.fx * shrunk
        told = isinstance(found, FocalEstimate)
        row: dict[str, object] = {
            "clip": Path(text).name,
            "kind": kind,
            "crop": round(crop.share, 3),
            "pairs": len(collector.pairs),
            "told": told,
            "why": "" if told else found.why,
        }
        if math.isfinite(found.focal):
            error = math.log(found.focal / true)
            row |= {"error": round(error, 4), "std": round(found.std, 4)}
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", metavar="KIND=SOURCE")
    parser.add_argument("--crops", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = []
    for seed, clip in enumerate(options.clips):
        kind, _, text = clip.partition("=")
        rows += measured(kind, text, options.crops, seed)
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
