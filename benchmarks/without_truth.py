# SPDX-License-Identifier: Apache-2.0
"""Does the evaluation without truth rank depth networks as the truth does?

Good and bad networks are judged twice on the same frames: the shipped one, others given by name or
path (weights, or a checkpoint of `depth-recog train`), worse copies of the shipped one: blurred,
flattened, stretched, with noise in the weights, with a random encoder, its mean rows, a constant.

- A source with true depth: the truth is the median-scaled abs_rel of `depth-recog evaluate`.
- A source with poses only: points triangulated with the recorded poses, on other pairs of frames.

    python benchmarks/without_truth.py DRIVE ODOMETRY@500:800 --weights PATH...

`points` compares the triangulated points with the true depth: the median and mean |log ratio| after
scaling each pair, and the ratio of their errors to the standard deviations that they claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from common import label_of, parser_of, recording, report
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Recording
from depth_recog.evaluation.depth_errors import Protocol, figures, terms
from depth_recog.evaluation.evaluate import rectified
from depth_recog.evaluation.without_truth.agreement import compared
from depth_recog.evaluation.without_truth.collected import Collected
from depth_recog.evaluation.without_truth.matching import matches
from depth_recog.evaluation.without_truth.measures import measure
from depth_recog.evaluation.without_truth.motion import Motion
from depth_recog.evaluation.without_truth.points import Evidence, triangulate
from depth_recog.evaluation.without_truth.stream import pairs_of
from depth_recog.evaluation.without_truth.views import View, depth_at
from depth_recog.method.geometry.se3 import relative
from depth_recog.method.pose.epipolar import camera_coordinates
from depth_recog.method.pose.refinement import NORMAL
from depth_recog.method.settings import Wanted
from depth_recog.networks.factory import NetworkOptions, assemble
from depth_recog.networks.models_in_torch import load_model
from depth_recog.networks.own.tensors import image_tensor
from depth_recog.networks.sized import SizedDepth
from depth_recog.pipeline import Pipeline

Depth = NDArray[np.float32]
Depths = dict[int, Depth]
Network = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

PAIRS = 50
POSE_STD = np.diag((3e-4,) * 3 + (5e-3,) * 3) ** 2
"""Covariance of a recorded motion: radians, and shares of its length."""


@dataclass
class Scene:
    """The frames of a source, what is known of them with and without truth.

    Attributes:
        views: frames.
        inputs: images for the depth networks with their focal lengths.
        pairs: numbers of both frames, and the evidence without truth.
        reference: the same from recorded poses, on other pairs; empty with true depth.
        truths: (H, W) true depth by frame; empty without.
    """

    views: list[View] = field(default_factory=list)
    inputs: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)
    pairs: list[tuple[int, int, Evidence]] = field(default_factory=list)
    reference: list[tuple[int, Any]] = field(default_factory=list)
    truths: dict[int, Depth] = field(default_factory=dict)


def scene_of(sequence: Recording, frames: range) -> Scene:
    """Read the frames and find all evidence."""
    pipeline = Pipeline(assemble(NetworkOptions(device="cpu")))
    scene = Scene()
    for index in frames:
        frame = sequence[index]
        processed = pipeline.recognize(pipeline.prepare_frame(frame), Wanted.MASKS)
        maps, seen = processed.at_input_size, processed.step.frame
        view = View.of(frame.name, frame.stamp_ns, maps.image, maps.camera, maps.labels, seen.rules)
        truth = rectified(sequence.truth(index), frame)
        scene.views.append(view.with_pose(truth.world_from_camera))
        scene.inputs.append((image_tensor(seen.image), torch.tensor([seen.camera.fy])))
        if truth.depth is not None:
            scene.truths[len(scene.views) - 1] = truth.depth
    step = max(1, len(frames) // PAIRS)
    stream = ((view, number) for number, view in enumerate(scene.views))
    for pair in pairs_of(stream, step):
        scene.pairs.append((pair.first, pair.second, pair.evidence))
        start = pair.first + (step + 1) // 2
        apart = pair.second - pair.first
        posed = scene.views[pair.first].world_from_camera is not None
        if posed and not scene.truths and start + apart < len(scene.views):
            points = by_recorded_poses(scene.views[start : start + apart + 1])
            if len(points) >= 60:
                scene.reference.append((start, points))
    return scene


def by_recorded_poses(views: list[View]) -> Any:
    """Triangulate with the recorded motion; the noise is measured across the epipolar lines."""
    first, second = views[0], views[-1]
    found, camera = matches(views), first.camera
    assert first.world_from_camera is not None
    assert second.world_from_camera is not None
    T = relative(first.world_from_camera, second.world_from_camera)
    metres = float(np.linalg.norm(T[:3, 3]))
    T[:3, 3] /= max(metres, 1e-9)
    lines = np.cross(T[:3, 3], camera_coordinates(found.first, camera) @ T[:3, :3].T)
    scale = np.hypot(lines[:, 0] / camera.fx, lines[:, 1] / camera.fy)
    distance = (camera_coordinates(found.second, camera) * lines).sum(1) / np.maximum(scale, 1e-12)
    noise = max(NORMAL * float(np.median(np.abs(distance))), 0.05) if len(found) else 1.0
    return triangulate(found, Motion(T, POSE_STD, noise), camera, metres)


# Networks


def trained(name: str) -> Network:
    """The network of a weights file or of a checkpoint of `depth-recog train`."""
    checkpoint = Path(name).suffix == ".pt"
    network, header = load_model("" if checkpoint else name, "depth")
    if checkpoint:
        assert isinstance(network, torch.nn.Module)
        state = torch.load(name, map_location="cpu", weights_only=True)["average"]
        own = {k.removeprefix("depth."): v for k, v in state.items() if k.startswith("depth.")}
        network.load_state_dict(own)
    return SizedDepth(network, header.size)


def with_noise(share: float, encoder_only: bool = False) -> Network:
    """The shipped network with noise in its weights, a share of each tensor's deviation."""
    network, header = load_model("", "depth")
    assert isinstance(network, torch.nn.Module)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if weights.ndim > 1 and (not encoder_only or name.startswith("encoder")):
                random = torch.randn(weights.shape, generator=noise) * weights.std()
                weights.copy_(weights + share * random if np.isfinite(share) else random)
    return SizedDepth(network, header.size)


def depths_of(network: Network, scene: Scene) -> Depths:
    """Depth of the frames that are judged, by their numbers."""
    needed = {number for first, second, _ in scene.pairs for number in (first, second)}
    needed |= {start for start, _ in scene.reference}
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        return {i: network(*scene.inputs[i])[0, 0].float().numpy() for i in sorted(needed)}


def blurred(depth: Depth, sigma: float) -> Depth:
    return np.exp(cv2.GaussianBlur(np.log(depth), (0, 0), sigma)).astype(np.float32)


def powered(depth: Depth, power: float) -> Depth:
    logs = np.log(depth)
    return np.exp(logs.mean() + power * (logs - logs.mean())).astype(np.float32)


def mean_rows(depth: Depth) -> Depth:
    return np.repeat(np.exp(np.log(depth).mean(1, keepdims=True)), depth.shape[1], 1)


def candidates(scene: Scene, weights: Sequence[str]) -> Iterator[tuple[str, Depths]]:
    """Depth of all frames by every network, one network after the other."""
    shipped = depths_of(trained(""), scene)
    yield "shipped", shipped
    for name in weights:
        yield Path(name).stem, depths_of(trained(name), scene)
    changes: dict[str, Callable[[Depth], Depth]] = {
        "in another unit (x 3)": lambda d: d * np.float32(3),
        "blurred by 4 px": lambda d: blurred(d, 4),
        "blurred by 12 px": lambda d: blurred(d, 12),
        "blurred by 30 px": lambda d: blurred(d, 30),
        "log depth x 0.85": lambda d: powered(d, 0.85),
        "log depth x 0.6": lambda d: powered(d, 0.6),
        "log depth x 1.3": lambda d: powered(d, 1.3),
        "its mean row": mean_rows,
        "mirrored": lambda d: d[:, ::-1].copy(),
        "upside down": lambda d: d[::-1].copy(),
        "constant": lambda d: np.full_like(d, 15),
    }
    for name, change in changes.items():
        yield name, {number: change(depth) for number, depth in shipped.items()}
    for share in (0.05, 0.1, 0.2):
        yield f"noise in its weights, {share:.0%}", depths_of(with_noise(share), scene)
    yield "random encoder", depths_of(with_noise(np.inf, encoder_only=True), scene)


# Judgement


def by_truth(scene: Scene, depths: Depths) -> float:
    """Median-scaled abs_rel against true depth, or against points by recorded poses."""
    errors = []
    for start, points in scene.reference:
        size = scene.views[start].camera.size
        found = compared(depth_at(depths[start], points.pixels, size), points.depth)
        errors.append(1.0 if found is None else found.abs_rel)
    for number, _, _ in scene.pairs:
        truth = scene.truths.get(number)
        judged = Protocol().judged(truth) if truth is not None else np.zeros(1, np.bool_)
        if truth is not None and judged.any():
            size = truth.shape[::-1]
            depth = cv2.resize(depths[number], size)[judged].astype(np.float64)
            values = truth[judged].astype(np.float64)
            scaled = depth * np.median(values) / np.median(depth)
            errors.append(figures(terms(scaled, values).sum(1))["abs_rel"])
    return float(np.mean(errors))


def judged(scene: Scene, name: str, depths: Depths) -> dict[str, Any]:
    """One row of the table."""
    collected = Collected()
    for first, second, evidence in scene.pairs:
        collected.add(first, measure(evidence, depths[first], depths[second]), evidence.why)
    found = collected.figures()
    triangulation, road = found["triangulation"], found["road"]
    row = {"network": name, "by truth": by_truth(scene, depths)}
    row |= {"triangulation": triangulation.get("value"), "+-": triangulation["standard_error"]}
    row |= {n: found[n].get("value") for n in ("flicker", "warp")}
    row |= {"road unevenness": road.get("unevenness"), "road height": road.get("height")}
    return row | {"height spread": road.get("height_spread"), "road frames": road["frames"]}


def spearman(one: Sequence[float], two: Sequence[float]) -> float:
    """Rank correlation; equal values share their mean rank."""

    def ranks(values: Sequence[float]) -> NDArray[np.float64]:
        array = np.array(values)
        return np.array([(array < v).sum() + ((array == v).sum() - 1) / 2 for v in array])

    return float(np.corrcoef(ranks(one), ranks(two))[0, 1])


def about_points(scene: Scene) -> dict[str, Any]:
    """The triangulated points beside true depth that is smooth around them."""
    errors, shares, points = [], [], []
    for first, _, evidence in scene.pairs:
        if evidence.points is None:
            continue
        points.append(len(evidence.points))
        truth = scene.truths.get(first)
        if truth is None:
            continue
        near, spread = nearest_truth(truth, evidence)
        known = np.isfinite(near) & (spread < 0.05)
        if known.sum() >= 8:
            log = np.log(evidence.points.depth[known] / near[known])
            log -= np.median(log)
            errors += list(np.abs(log))
            shares += list(np.abs(log) / evidence.points.std[known])
    row = {"pairs": len(scene.pairs), "with points": len(points), "points": np.median(points)}
    if errors:
        row |= {"compared": len(errors), "median |log ratio|": np.median(errors)}
        row |= {"mean |log ratio|": np.mean(errors), "beyond 0.2": np.mean(np.array(errors) > 0.2)}
        row |= {"error / std": NORMAL * np.median(shares)}
    return row


def nearest_truth(truth: Depth, evidence: Evidence) -> tuple[NDArray[np.float64], ...]:
    """Median of the true depths within 3 pixels of each point, and the spread of their logs."""
    assert evidence.points is not None
    height, width = truth.shape
    scale = np.array((width, height)) / evidence.first.camera.size
    places = np.rint((evidence.points.pixels + 0.5) * scale - 0.5).astype(int)
    middle, spread = np.full(len(places), np.nan), np.full(len(places), np.inf)
    for i, (u, v) in enumerate(places):
        patch = truth[max(v - 3, 0) : v + 4, max(u - 3, 0) : u + 4]
        values = patch[np.isfinite(patch) & (patch > 0)]
        if len(values) >= 2:
            middle[i], spread[i] = np.median(values), np.log(values.max() / values.min())
    return middle, spread


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("sources", nargs="+", metavar="SOURCE[@A:B]")
    parser.add_argument("--weights", nargs="*", default=[], metavar="PATH")
    options = parser.parse_args()
    tables: dict[str, list[dict[str, Any]]] = {}
    for source in options.sources:
        scene = scene_of(*recording(source))
        rows = [judged(scene, *item) for item in candidates(scene, options.weights)]
        rows.sort(key=lambda row: row["by truth"])
        truth = [row["by truth"] for row in rows]
        ranking: dict[str, Any] = {"networks": len(rows)}
        for name in ("triangulation", "flicker", "warp", "road unevenness"):
            known = [i for i, row in enumerate(rows) if row[name] is not None]
            ranking[name] = spearman([truth[i] for i in known], [rows[i][name] for i in known])
        label = label_of(source)
        tables[f"{label}: networks"] = rows
        tables[f"{label}: Spearman's rank correlation with the truth"] = [ranking]
        tables[f"{label}: points"] = [about_points(scene)]
    report(options, tables)


if __name__ == "__main__":
    main()
