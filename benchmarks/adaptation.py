# SPDX-License-Identifier: Apache-2.0
"""Adaptation to drives that the weights have not seen, and to streams that should teach nothing.

python benchmarks/adaptation.py --start WEIGHTS --data DATA --json FILE [--only CASE ...]

WEIGHTS must not have seen drive 0005. DATA holds kitti_raw, kitti_odometry, folder_clip and wild.
Cases that FILE has already are not computed again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from torch import nn

from benchmarks.adaptation_exams import Exact, Exam, Figures, Lidar, Points, Poses
from benchmarks.common import parser_of
from depth_recog.adaptation.adapter import Adapter, NothingToLearn
from depth_recog.adaptation.frame import LiveFrame
from depth_recog.adaptation.settings import AdaptationSettings
from depth_recog.adaptation.sources import live_frames
from depth_recog.cli.train import chosen_frames

DRIVE = "kitti_raw/2011_09_26/2011_09_26_drive_0005_sync"
ODOMETRY, CLIP = "kitti_odometry/sequences/00", "folder_clip"
MOTORWAY = "wild/udacity_project/clip_a"
STREETS = tuple(
    f"synthetic:{scene}?seed={seed}&frames=120"
    for scene, seed in (("street", 60001), ("lead_car", 60002), ("crossing", 60003))
)
SEEDS = (0, 1, 2)
OTHERS = ("odometry 00", "clip", "poses", "streets")
QUICK = ("odometry 00", "streets")

Stream = Callable[[], Iterator[LiveFrame]]
Change = Callable[[LiveFrame, int], LiveFrame]


@dataclass(frozen=True)
class Case:
    """A stream to adapt to.

    Attributes:
        streams: one after the other; the weights are judged after each.
        exams: their names.
        gate: whether the gate excludes what moves.
        steps: after each stream.
    """

    streams: tuple[Stream, ...]
    exams: tuple[str, ...] = OTHERS
    gate: bool = True
    steps: int = 100


class Bench:
    """Runs cases, and keeps their results in a file."""

    def __init__(self, start: str, data: Path, results: Path, seeds: tuple[int, ...]) -> None:
        self.start, self.data, self.results, self.seeds = start, data, results, seeds
        self.done: dict[str, Any] = {}
        if results.is_file():
            self.done = json.loads(results.read_text(encoding="utf-8"))
        self._exams: dict[str, Exam] = {}
        torch.set_num_threads(1)

    def exam(self, name: str) -> Exam:
        at = lambda path: str(self.data / path)  # noqa: E731
        make: dict[str, Callable[[], Exam]] = {
            "first half": lambda: Lidar(f"{at(DRIVE)}@0:77"),
            "second half": lambda: Lidar(f"{at(DRIVE)}@77:154"),
            "odometry 00": lambda: Points(at(ODOMETRY), 34),
            "clip": lambda: Points(at(CLIP), 6),
            "poses": lambda: Poses(at(ODOMETRY), 8),
            "streets": lambda: Exact(STREETS, 30),
            "motorway": lambda: Points(f"{at(MOTORWAY)}@40:", 4),
            "campus": lambda: Points(f"{at('wild/campus_walk_han')}@60:", 6),
        }
        if name not in self._exams:
            self._exams[name] = make[name]()
        return self._exams[name]

    def examined(self, network: nn.Module, names: tuple[str, ...]) -> dict[str, Figures]:
        return {name: self.exam(name)(network) for name in names}

    def live(
        self, source: str, change: Callable[[LiveFrame, int], LiveFrame] | None = None
    ) -> Stream:
        text = source if source.startswith("synthetic") else str(self.data / source)

        def stream() -> Iterator[LiveFrame]:
            for number, frame in enumerate(live_frames(chosen_frames(text), (416, 128))):
                yield change(frame, number) if change else frame

        return stream

    def run(self, name: str, case: Case) -> None:
        exams = case.exams
        if "start" not in self.done or any(e not in self.done["start"] for e in exams):
            start = Adapter(self.start).active
            known = self.done.setdefault("start", {})
            known |= self.examined(start, tuple(e for e in exams if e not in known))
            self.save()
        missing = [seed for seed in self.seeds if str(seed) not in self.done.get(name, {})]
        if not missing:
            return
        seen = self.observed(case)
        for seed in missing:
            began = time.process_time()
            result = self.learnt(seen, seed, case)
            result["cpu_seconds"] = time.process_time() - began
            self.done.setdefault(name, {})[str(seed)] = result
            self.save()
            print(name, seed, json.dumps(result), flush=True)
            if result["steps"] == 0:
                break

    def observed(self, case: Case) -> list[Adapter]:
        """An adapter for each stream, that has seen it and has learnt nothing yet."""
        adapters = []
        for stream in case.streams:
            adapter = Adapter(self.start)
            if not case.gate:
                recognizer = adapter._stream._recognizer
                off = replace(recognizer.settings, gate="off")
                adapter._stream._recognizer = recognizer.changed(off)
            for frame in stream():
                adapter.observe(frame)
            adapter.end_stream()
            adapters.append(adapter)
        return adapters

    def learnt(self, seen: list[Adapter], seed: int, case: Case) -> dict[str, Any]:
        """Learn from the streams in their order, with one memory and one judge."""
        adapter = Adapter(self.start, AdaptationSettings(seed=seed))
        stages = []
        for number, one in enumerate(seen):
            for block in one._learnt.blocks:
                adapter._learnt.add(replace(block, number=100 * number + block.number))
            for block in one._held_back.blocks:
                adapter._held_back.add(replace(block, number=100 * number + block.number))
            for _ in range(case.steps):
                if isinstance(adapter.step(), NothingToLearn):
                    break
            unjudged = adapter._learner.network
            verdict = adapter.judge() if adapter.steps else None
            stage: dict[str, Any] = {"counts": dict(one.counts)}
            if verdict is not None:
                stage["verdict"] = verdict.as_dict()
                stage["unjudged"] = self.examined(unjudged, case.exams[:2])
                if verdict.accepted:
                    adapter.adopt()
                    stage["judged"] = self.examined(adapter.active, case.exams)
                else:
                    adapter.discard()
            stages.append(stage)
        return {"steps": adapter.steps, "stages": stages}

    def save(self) -> None:
        self.results.parent.mkdir(parents=True, exist_ok=True)
        self.results.write_text(json.dumps(self.done, indent=1, default=float) + "\n", "utf-8")


def hostile(bench: Bench) -> dict[str, Case]:
    """Six streams from which nothing good can be learnt."""
    rng = np.random.default_rng(0)
    second = f"{DRIVE}@77:154"
    shuffled = rng.permutation(77)

    def covered(frame: LiveFrame, number: int) -> LiveFrame:
        noise = rng.integers(0, 6, frame.image.shape, dtype=np.uint8)
        return replace(frame, image=noise)

    def night(frame: LiveFrame, number: int) -> LiveFrame:
        dark = frame.image * 0.12 + rng.normal(0, 6, frame.image.shape)
        return replace(frame, image=np.clip(dark, 0, 255).astype(np.uint8))

    def other_k(frame: LiveFrame, number: int) -> LiveFrame:
        wrong = frame.intrinsics.copy()
        wrong[:2, :2] *= 1.4
        return replace(frame, intrinsics=wrong)

    def shuffle() -> Iterator[LiveFrame]:
        frames = list(bench.live(second)())
        for number, index in enumerate(shuffled):
            yield replace(frames[index], stamp=frames[number].stamp)

    def traffic() -> Iterator[LiveFrame]:
        frames = list(bench.live("synthetic:oncoming?seed=3&frames=40")())
        still = frames[0].image
        for frame in frames:  # the camera stands, a strip of the image moves
            image = still.copy()
            image[60:100, 150:260] = frame.image[60:100, 150:260]
            yield replace(frame, image=image)

    return {
        name: Case((stream,), QUICK, steps=25)
        for name, stream in (
            ("lens covered", bench.live(second, covered)),
            ("standing in traffic", traffic),
            ("frames shuffled", shuffle),
            ("night and noise", bench.live(second, night)),
            ("another camera's K", bench.live(second, other_k)),
            ("lead car for minutes", bench.live("synthetic:lead_car?seed=91&frames=120")),
        )
    }


def cases(bench: Bench) -> dict[str, Case]:
    """All cases by name."""
    first, second = bench.live(f"{DRIVE}@0:77"), bench.live(f"{DRIVE}@77:154")
    return {
        "first half": Case((first,), ("second half", *OTHERS)),
        "second half": Case((second,), ("first half", *OTHERS)),
        "first half, without the gate": Case((first,), ("second half", *QUICK), gate=False),
        "second half, without the gate": Case((second,), ("first half", *QUICK), gate=False),
        "A, B, A": Case((first, bench.live(CLIP), first), ("second half", "clip", "streets")),
        "motorway": Case((bench.live(f"{MOTORWAY}@0:40"),), ("motorway", *OTHERS)),
        "campus": Case((bench.live("wild/campus_walk_han@0:60"),), ("campus", *QUICK)),
    } | hostile(bench)


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--start", required=True, help="depth weights")
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), metavar="N", help="at most 3")
    parser.add_argument("--only", nargs="*", metavar="CASE", help="names of cases")
    options = parser.parse_args()
    bench = Bench(options.start, options.data, options.json, SEEDS[: options.seeds])
    for name, case in cases(bench).items():
        if not options.only or name in options.only:
            bench.run(name, case)


if __name__ == "__main__":
    main()
