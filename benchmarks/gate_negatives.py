# SPDX-License-Identifier: Apache-2.0
"""What the gates say where they should say nothing, and what they miss: negatives and scenes.

python benchmarks/gate_negatives.py [--drive DRIVE] [--still KITCHEN] [--scenes [NAME...]]

- DRIVE with boxes: as it is; in reversed order; and with the movers deleted from the masks.
- KITCHEN, where nothing moves but the camera: what is called moving there.
- Scenes of the synthetic street, by scene and by kind of actor; D1 from the shipped network, and
  exact. `all` calls everything moving that the masks show, `off` nothing: what lies between 0 and
  `all` is the gates' doing.

Recall and false positives by track, as `depth-recog evaluate` has them (docs/evaluation.md).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.sequence import Frame, Recording
from depth_recog.datasets.sources import open_source
from depth_recog.datasets.street import SCENES
from depth_recog.errors import SourceError
from depth_recog.evaluation.gate import GateTally
from depth_recog.evaluation.motion import MOVING, PARKED, motion_of
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import Viewport
from depth_recog.method.masking import CITYSCAPES
from depth_recog.method.observation import moving_map
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.recognizer import DepthModel, Recognizer
from depth_recog.method.settings import Settings
from depth_recog.networks.factory import Assembly, assemble

FARTHEST = 1000.0
SEED = 31
KINDS = (
    "lead",
    "oncoming",
    "crossing",
    "departure",
    "arrival",
    "walker",
    "zebra",
    "stepping",
    "parked",
)


class Shared:
    """The networks, asked once a frame however many gates look; truth where that is wanted."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._answers: dict[str, Tensor] = {}
        self._truth: NDArray[np.float32] | None = None
        self._erased: list[tuple[int, int, int, int]] = []

    def show(
        self, truth: NDArray[np.float32] | None, erased: list[tuple[int, int, int, int]]
    ) -> None:
        """A new frame: its depth, and windows (left, top, right, bottom) of its masks to delete."""
        self._answers, self._truth, self._erased = {}, truth, erased

    def depth(self, image: Tensor, focal: Tensor) -> Tensor:
        """See `DepthModel`."""
        if "depth" not in self._answers:
            self._answers["depth"] = self._assembly.depth_model(image, focal)
        return self._answers["depth"]

    def exact(self, image: Tensor, focal: Tensor) -> Tensor:
        """See `DepthModel`: the truth."""
        assert self._truth is not None
        assert self._truth.shape == image.shape[2:]
        return torch.from_numpy(np.minimum(self._truth, FARTHEST))[None, None]

    def scores(self, image: Tensor) -> Tensor:
        """See `ScoreModel`."""
        if "scores" not in self._answers:
            scores = self._assembly.mask_model(image).clone()
            for left, top, right, bottom in self._erased:
                window = scores[:, :, max(top, 0) : bottom + 1, max(left, 0) : right + 1]
                window[:, CITYSCAPES.index("road")] = window.amax(1) + 1
            self._answers["scores"] = scores
        return self._answers["scores"]


@dataclass
class Tally:
    """What one gate said.

    Attributes:
        boxes: by track.
        frames: how many.
        seen: in how many of them the masks show something.
        called: in how many of them a pixel is called moving.
        shares: share of the masks' pixels that are called moving, by frame that shows some.
    """

    boxes: GateTally = field(default_factory=GateTally)
    frames: int = 0
    seen: int = 0
    called: int = 0
    shares: list[float] = field(default_factory=list)

    def add(
        self,
        frame: Frame,
        moving: NDArray[np.uint8],
        dynamic: NDArray[np.bool_],
        boxes: tuple[Box, ...],
        scores: NDArray[np.float32] | None,
    ) -> None:
        """One frame; arguments as of `GateTally.add`."""
        camera = frame.camera.rectified()
        self.boxes.add(frame.stamp_ns, moving, dynamic, boxes, camera, scores)
        self.frames += 1
        hits = moving == Motion.MOVING
        if dynamic.any():
            self.seen += 1
            self.called += bool(hits.any())
            self.shares.append(float(hits.sum() / dynamic.sum()))


def in_order(sequence: Recording, count: int, reverse: bool) -> Iterator[tuple[int, Frame]]:
    """Frames with their indices; in reverse they get stamps that rise."""
    indices = range(min(count, len(sequence)))
    if not reverse:
        yield from ((index, sequence[index]) for index in indices)
        return
    last = sequence[indices[-1]].stamp_ns
    for index in reversed(indices):
        frame = sequence[index]
        yield index, replace(frame, stamp_ns=last - frame.stamp_ns)


def run(
    sequence: Recording,
    assembly: Assembly,
    gates: tuple[str, ...],
    count: int,
    exact: bool = False,
    reverse: bool = False,
    without_movers: bool = False,
) -> dict[str, Tally]:
    """Every gate on the same frames."""
    shared = Shared(assembly)
    depth: DepthModel = shared.exact if exact else shared.depth
    recognizers = {
        gate: Recognizer(depth, shared.scores, PnpEstimator(), Settings(gate=gate), assembly.device)
        for gate in gates
    }
    tallies = {gate: Tally() for gate in (*gates, "all")}
    view: Viewport | None = None
    for index, frame in in_order(sequence, count, reverse):
        if view is None:
            view = Viewport.of(frame.camera, assembly.network_size(frame.camera.rectified()))
        truth = sequence.truth(index)
        boxes = truth.boxes or ()
        erased = []
        if without_movers:
            erased = outlines([b for b in boxes if motion_of(b) != PARKED], view.network)
            boxes = tuple(box for box in boxes if motion_of(box) == PARKED)
        shared.show(truth.depth if exact else None, erased)
        image = view.shrink(view.rectify(frame.image))
        for gate, recognizer in recognizers.items():
            step = recognizer.step(frame.name, frame.stamp_ns, image, view.network)
            dynamic = view.enlarge_labels(step.frame.dynamic.astype(np.uint8)) > 0
            moving = view.enlarge_labels(step.moving)
            scores = view.enlarge_labels(step.scores)
            tallies[gate].add(frame, moving, dynamic, boxes, scores)
            if gate == gates[0]:
                everything = moving_map(dynamic, Motion.MOVING)
                tallies["all"].add(frame, everything, dynamic, boxes, None)
    return tallies


def outlines(boxes: list[Box], camera: Camera) -> list[tuple[int, int, int, int]]:
    found = (box.outline(camera) for box in boxes)
    return [
        (int(left) - 2, int(top) - 2, int(right) + 3, int(bottom) + 3)
        for left, top, right, bottom in (o for o in found if o is not None)
    ]


def cell(figures: dict[str, object], name: str) -> str:
    value = figures.get(name)
    if not isinstance(value, dict):
        return "-"
    return f"{value['value']:.2f} ({value['low']:.2f} to {value['high']:.2f})"


def row(name: str, gate: str, tally: Tally) -> str:
    figures = tally.boxes.result()
    cells = [cell(figures, key) for key in ("recall", "recall_prompt", "false_positive_rate")]
    tracks = f"{figures['moving_tracks']}, {figures['parked_tracks']}"
    return f"| {name} | {gate} | {tracks} | {' | '.join(cells)} | {cell(figures, 'undecided')} |"


HEAD = (
    "| recording | gate | tracks: moving, parked | recall | within 0.3 s | false positives "
    "| undecided |\n|---|---|---|---|---|---|---|"
)


def drive(source: str, assembly: Assembly, count: int) -> None:
    sequence = recording(source)
    print(f"\n{source}\n\n{HEAD}")
    for name, options in {
        "as it is": {},
        "reversed": {"reverse": True},
        "movers deleted from the masks": {"without_movers": True},
    }.items():
        for gate, tally in run(sequence, assembly, ("object", "image"), count, **options).items():
            print(row(name, gate, tally), flush=True)


def still(source: str, assembly: Assembly, count: int) -> None:
    print(f"\n{source}\n")
    print("| gate | frames | with something in the masks | with a pixel called moving | share |")
    print("|---|---|---|---|---|")
    for gate, tally in run(recording(source), assembly, ("object", "image"), count).items():
        share = np.mean(tally.shares) if tally.shares else 0.0
        print(f"| {gate} | {tally.frames} | {tally.seen} | {tally.called} | {share:.3f} |")


def scenes(names: list[str], assembly: Assembly, count: int) -> None:
    kinds: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    print(f"\n{HEAD}")
    for name in names:
        sequence = recording(f"synthetic:{name}?seed={SEED}&frames={count}")
        for exact in (False, True):
            depth = "exact" if exact else "network"
            for gate, tally in run(sequence, assembly, ("object", "image"), count, exact).items():
                print(row(f"`{name}`, depth {depth}", gate, tally), flush=True)
                for track, figures in tally.boxes.result()["tracks"].items():
                    kind = next((kind for kind in KINDS if track.startswith(kind)), "other")
                    state = MOVING if f"({MOVING})" in track else PARKED
                    kinds[kind, state, depth, gate].append(figures["called_moving"])
    print("\n| actor | tracks | depth | object | image | all |\n|---|---|---|---|---|---|")
    for kind, state, depth, gate in sorted(kinds):
        if gate != "object":
            continue
        rates = [kinds[kind, state, depth, g] for g in ("object", "image", "all")]
        means = " | ".join(f"{np.mean(rate):.2f}" for rate in rates)
        print(f"| {kind}, {state} | {len(rates[0])} | {depth} | {means} |")


def recording(source: str) -> Recording:
    sequence = open_source(source)
    if not isinstance(sequence, Recording):
        raise SourceError(f"{source}: a recording is needed")
    return sequence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drive")
    parser.add_argument("--still")
    parser.add_argument("--scenes", nargs="*", choices=list(SCENES))
    parser.add_argument("--frames", type=int, default=100)
    options = parser.parse_args()
    assembly = assemble("cpu")
    if options.drive:
        drive(options.drive, assembly, options.frames)
    if options.still:
        still(options.still, assembly, options.frames)
    if options.scenes is not None:
        scenes(options.scenes or list(SCENES), assembly, options.frames)


if __name__ == "__main__":
    main()
