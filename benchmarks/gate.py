# SPDX-License-Identifier: Apache-2.0
"""How well does each gate tell moving objects from parked ones?

python benchmarks/gate.py SOURCE[@A:B]... [--gates object image all] [--variants network boxes]
                          [--scenes 60] [--width 640] [--precision float32] [--json FILE]

The networks run once a frame; every gate sees the same depth and masks. A variant replaces some of
them, or the order of the frames:

- network: depth and masks of the networks;
- boxes: masks of what lies in the truth's boxes, with the box's class;
- lidar: the same masks, and for each pixel the depth of the nearest LiDAR point in the image;
- exact: masks of the network, depth of the truth (synthetic street);
- reversed: the frames in reversed order;
- without-movers: what moves is deleted from the masks.

The gate `all` calls everything moving that the masks show: the upper bound. Recall and false
positives are by track, with 95 % intervals over tracks (docs/concepts/evaluation.md). `called
moving` counts frames with any pixel called moving; `share` is the mean share of the dynamic pixels
called moving.
For the synthetic street a second table gives the share of each actor's frames called moving.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from common import label_of, parser_of, recording, report
from numpy.typing import NDArray
from observing import Observed, observe, sparse_points, with_labels

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.street import SCENES
from depth_recog.errors import SourceError
from depth_recog.evaluation.gate import GateTally
from depth_recog.evaluation.motion import MOVING, PARKED, motion_of
from depth_recog.method.gate.by_image import Motion
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import CITYSCAPES
from depth_recog.method.networks import Networks
from depth_recog.method.observation import Observation
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.settings import GATES, Settings
from depth_recog.networks.backends.choice import PRECISIONS
from depth_recog.networks.factory import Assembly, NetworkOptions, assemble
from depth_recog.processed import ProcessedFrame

VARIANTS = ("network", "boxes", "lidar", "exact", "reversed", "without-movers")
VEHICLES = ("Car", "Van", "Truck", "Tram")
FIGURES = ("auc", "recall", "recall_prompt", "false_positive_rate", "undecided")
FARTHEST = 1000.0
SEED = 31


@dataclass
class GateRun:
    """One gate on the frames of one variant."""

    recognizer: Recognizer
    tally: GateTally = field(default_factory=GateTally)
    frames: int = 0
    with_masks: int = 0
    called_moving: int = 0
    shares: list[float] = field(default_factory=list)

    def add(self, seen: Observed, boxes: tuple[Box, ...]) -> None:
        """Process a frame and compare the decisions with the boxes."""
        maps = ProcessedFrame(self.recognizer.advance(seen.frame), seen.prepared).at_input_size
        stamp_ns = seen.frame.stamp_ns
        self.tally.add(stamp_ns, maps.moving, maps.dynamic, boxes, maps.camera, maps.scores)
        self.frames += 1
        dynamic, moving = int(maps.dynamic.sum()), int((maps.moving == Motion.MOVING).sum())
        if dynamic:
            self.with_masks += 1
            self.called_moving += moving > 0
            self.shares.append(moving / dynamic)

    def row(self) -> dict[str, Any]:
        result = self.tally.result()
        return {
            "moving tracks": result["moving_tracks"],
            "parked tracks": result["parked_tracks"],
            **{name: result.get(name) for name in FIGURES},
            "frames": self.frames,
            "with masks": self.with_masks,
            "called moving": self.called_moving,
            "share": float(np.mean(self.shares)) if self.shares else None,
        }


def labels_in_boxes(frame: Observation, boxes: tuple[Box, ...]) -> NDArray[np.uint8]:
    """(h, w) labels: dynamic pixels get the class of the nearest box there, or wall outside all."""
    labels = np.full(frame.labels.shape, CITYSCAPES.index("wall"), np.uint8)
    for box in sorted(boxes, key=lambda b: -float(b.T_camera_from_box[2, 3])):
        outline = box.outline(frame.camera)
        if outline is not None:
            left, top, right, bottom = (max(round(v), 0) for v in outline)
            name = "car" if box.kind in VEHICLES else "person"
            labels[top : bottom + 1, left : right + 1] = CITYSCAPES.index(name)
    return np.where(frame.dynamic, labels, frame.labels)


def labels_without(frame: Observation, boxes: list[Box]) -> NDArray[np.uint8]:
    """(h, w) labels with road in the boxes' outlines and two pixels around them."""
    labels = frame.labels.copy()
    for box in boxes:
        outline = box.outline(frame.camera)
        if outline is not None:
            left, top, right, bottom = (int(v) for v in outline)
            window = labels[max(top - 2, 0) : bottom + 4, max(left - 2, 0) : right + 4]
            window[:] = CITYSCAPES.index("road")
    return labels


def nearest_point(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """(h, w) depth of the LiDAR point that is nearest in the image; `depth` (H, W), NaN unknown."""
    sparse = sparse_points(depth, camera)
    away = np.isinf(sparse).astype(np.uint8)
    _, ids = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros(int(ids.max()) + 1, np.float32)
    table[ids[away == 0]] = sparse[away == 0]
    return np.asarray(table[ids])


def changed(seen: Observed, variant: str) -> tuple[Observed, tuple[Box, ...]]:
    """The frame as a variant shows it, and the boxes that are judged in it."""
    frame, truth, boxes = seen.frame, seen.truth, seen.truth.boxes or ()
    if variant in ("boxes", "lidar"):
        frame = with_labels(frame, labels_in_boxes(frame, boxes))
    if variant in ("lidar", "exact"):
        if truth.depth is None:
            raise SourceError(f"frame {frame.name} has no true depth, which `{variant}` needs")
        points = variant == "lidar"
        depth = nearest_point(truth.depth, frame.camera) if points else truth.depth
        frame = replace(frame, known_depth=np.minimum(depth, np.float32(FARTHEST)))
    if variant == "without-movers":
        movers = [box for box in boxes if motion_of(box) != PARKED]
        frame = with_labels(frame, labels_without(frame, movers))
        boxes = tuple(box for box in boxes if motion_of(box) == PARKED)
    return replace(seen, frame=frame), boxes


def gate_only(gate: str, assembly: Assembly) -> Recognizer:
    """A recognizer for frames that the networks have processed before."""

    def unused(*_: Any) -> Any:
        raise AssertionError("the networks have run before")

    return Recognizer(Networks(unused, unused), PnpEstimator(), Settings(gate=gate))


def judge(
    source: str, variants: list[str], gates: list[str], assembly: Assembly
) -> dict[tuple[str, str], GateRun]:
    """Every gate on every variant of a source."""
    sequence, indices = recording(source)
    runs = {(v, g): GateRun(gate_only(g, assembly)) for v in variants for g in gates}
    forwards = [variant for variant in variants if variant != "reversed"]
    orders = [(indices, forwards), (indices[::-1], [v for v in variants if v == "reversed"])]
    for order, chosen in orders:
        for seen in observe(sequence, order, assembly) if chosen else ():
            for variant in chosen:
                frame, boxes = changed(seen, variant)
                for gate in gates:
                    runs[variant, gate].add(frame, boxes)
    return runs


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("sources", nargs="*", metavar="SOURCE[@A:B]")
    parser.add_argument("--scenes", type=int, metavar="N", help="N frames of every street scene")
    parser.add_argument("--gates", nargs="+", choices=GATES, default=["object", "image", "all"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["network"])
    parser.add_argument("--width", type=int, default=0, help="of the pipeline, pixels; 0: default")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the networks")
    options = parser.parse_args()
    sources = options.sources
    if options.scenes:
        sources += [f"synthetic:{s}?seed={SEED}&frames={options.scenes}" for s in SCENES]
    settings = Settings(width=options.width)
    assembly = assemble(NetworkOptions(device="cpu", precision=options.precision), settings)
    rows, rates = [], defaultdict(list)
    for source in sources:
        for (variant, gate), run in judge(
            source, options.variants, options.gates, assembly
        ).items():
            rows.append({"source": label_of(source), "variant": variant, "gate": gate, **run.row()})
            if source.startswith("synthetic:"):
                for track, figures in run.tally.result()["tracks"].items():
                    state = MOVING if f"({MOVING})" in track else PARKED
                    rates[track.partition("-")[0], state, variant, gate].append(
                        figures["called_moving"]
                    )
    actors = [
        {"actor": a, "truth": s, "variant": v, "gate": g, "tracks": len(r), "called": np.mean(r)}
        for (a, s, v, g), r in sorted(rates.items())
    ]
    report(options, {"gates": rows, "actors": actors})


if __name__ == "__main__":
    main()
