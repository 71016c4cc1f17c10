# SPDX-License-Identifier: Apache-2.0
"""Fits the standard deviation of a depth network's log depth to its errors; the depth stays.

The errors are those of LiDAR or triangulated points, of exact depth, of the sky's depth, and of
images that are covered. Each kind, and each recording in its kind, counts alike however long it is,
which `depth-recog train --set trains=deviation` cannot do; and thousands of steps take a minute,
since the cues (networks/deviation.py) are computed once.

    python -m recipes.deviation SOURCE[@A:B]... --validate SOURCE[@A:B]... --out DIR
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.method.masking import SKY
from depth_recog.networks.deviation import STRIDE, cues
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.deviation import DeviationHead
from depth_recog.training.data.covers import covered, draw_cover
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.depth.deviation import (
    COVERED,
    Calibration,
    negative_log_likelihood,
)
from depth_recog.training.depth.objective import FARTHEST_EXACT
from depth_recog.training.depth.task import PROTOCOL
from depth_recog.training.initial import initial_network, with_deviation
from depth_recog.training.loop.run import origin
from depth_recog.training.result import DepthUnit, TrainedNetwork, export
from depth_recog.training.train import read_data_of_run
from recipes.start import make_parser, start

DEFAULTS: dict[str, Any] = {
    "trains": "deviation",
    "motion": "points",
    "gate": "off",
    "start": {"depth": "depth-street"},
    "steps": 1500,
    "rate": 0.01,
}
SHARES = {"lidar": 3.0, "points": 1.0, "exact": 0.3, "sky": 0.1, "covered": 0.2}
"""Of each kind of error in the loss. Exact depth is that of synthetic streets, where the network
errs less than on real ones."""
COVERS = 150
"""Number of images that are covered."""
_OF_A_FRAME = {"lidar": 1500, "exact": 1500, "sky": 200, "covered": 300}
_OF_A_STEP = 256
_FEWEST = 50

Numbers = NDArray[np.float32]


class Errors(NamedTuple):
    """Errors of one kind in one recording.

    Attributes:
        kind: a key of `SHARES`.
        cues: (N, C).
        errors: (N,) of log depth, without sign.
    """

    kind: str
    cues: Numbers
    errors: Numbers


def errors_of(frames: PreparedFrames, dice: np.random.Generator) -> list[Errors]:
    """The errors of the initial weights in a recording, without the factor of each whole image."""
    found: dict[str, list[tuple[Numbers, Numbers]]] = {}
    for index in range(len(frames)):
        depth = 1 / np.maximum(frames.anchor(index), 1e-4)
        seen = cues(np.ascontiguousarray(frames.images[index]), depth)

        def add(kind: str, rows: Any, columns: Any, errors: Any, seen: Numbers = seen) -> None:
            chosen = dice.permutation(len(errors))[: _OF_A_FRAME.get(kind)]
            at = seen[:, rows[chosen] // STRIDE, columns[chosen] // STRIDE]
            found.setdefault(kind, []).append((at.T, np.abs(errors[chosen]).astype(np.float32)))

        if frames.depths is not None:
            truth = np.asarray(frames.depths[index])
            use = np.isfinite(truth) & (truth < FARTHEST_EXACT)
            use &= True if frames.dense else PROTOCOL.judged(truth)
            rows, columns = np.nonzero(use)
            errors = np.log(depth[use] / truth[use])
        elif frames.points is not None:
            points = np.asarray(frames.points[index])
            points = points[np.isfinite(points).all(1) & (points[:, 2] > 0)]
            columns, rows = np.rint(points[:, :2].T).astype(int)
            errors = np.log(depth[rows, columns] / points[:, 2])
        else:
            continue
        if len(errors) >= _FEWEST:
            kind = "points" if frames.depths is None else "exact" if frames.dense else "lidar"
            add(kind, rows, columns, errors - np.median(errors))
        sky = np.asarray(frames.labels[index]) == SKY
        if sky.any():
            too_near = np.maximum(np.log(FARTHEST_EXACT / depth[sky]), 0)
            add("sky", *np.nonzero(sky), too_near)
    return [Errors(kind, *map(np.concatenate, zip(*p, strict=True))) for kind, p in found.items()]


@torch.inference_mode()
def errors_of_covers(
    network: DepthNetwork, recordings: list[PreparedFrames], dice: np.random.Generator
) -> Errors:
    """Covered pixels of images, which count as an error of `COVERED`."""
    found = []
    for number in range(COVERS):
        frames = recordings[number % len(recordings)]
        index = int(dice.integers(len(frames)))
        image = torch.from_numpy(np.array(frames.images[index])).permute(2, 0, 1)[None].float()
        cover = draw_cover(dice)
        while not cover.any():
            cover = draw_cover(dice)
        hiding, hidden = covered(image / 255, cover[None])
        focal = torch.tensor([frames.intrinsics[index][1, 1]]).float()
        depth = network(hiding, focal)[0, 0].numpy()
        picture = (hiding[0].permute(1, 2, 0) * 255).round().byte().numpy()
        seen = cues(np.ascontiguousarray(picture), depth)
        size = seen.shape[2], seen.shape[1]
        whole = cv2.resize(hidden[0, 0].float().numpy(), size, interpolation=cv2.INTER_AREA) > 0.99
        inside = seen[:, whole].T
        found.append(inside[dice.permutation(len(inside))[: _OF_A_FRAME["covered"]]])
    joined = np.concatenate(found)
    return Errors("covered", joined, np.full(len(joined), COVERED, np.float32))


def fit(head: DeviationHead, groups: list[Errors], steps: int, rate: float, seed: int) -> None:
    """Minimise the negative log-likelihood of all kinds by `SHARES`."""
    torch.manual_seed(seed)
    number = {kind: sum(group.kind == kind for group in groups) for kind in SHARES}
    tensors = [(torch.from_numpy(g.cues), torch.from_numpy(g.errors), g.kind) for g in groups]
    head.requires_grad_(True)
    optimizer = torch.optim.AdamW(head.parameters(), rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        loss: Tensor = torch.zeros(())
        for seen, errors, kind in tensors:
            chosen = torch.randint(len(seen), (_OF_A_STEP,))
            value = negative_log_likelihood(errors[chosen], head.log_std(seen[chosen])[:, 0])
            loss = loss + SHARES[kind] / number[kind] * value.mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    head.requires_grad_(False)


def calibration_of(head: DeviationHead, held_out: list[PreparedFrames]) -> Calibration:
    """Compare the errors of held-out frames, without each image's factor, with the deviation."""
    calibration = Calibration()
    for frames in held_out:
        known = head.in_numpy(frames.size)
        for index in range(len(frames) if frames.depths is not None else 0):
            assert frames.depths is not None
            truth = np.asarray(frames.depths[index])
            use = PROTOCOL.judged(truth)
            if not use.any():
                continue
            depth = 1 / np.maximum(frames.anchor(index), 1e-4)
            std = known(np.asarray(frames.images[index]), depth)
            calibration.add_image(depth, truth, std, use)
    return calibration


def main(arguments: list[str] | None = None) -> Path:
    """Fit, calibrate and export; the path of the weights."""
    options = make_parser(__doc__).parse_args(arguments)
    run, split = start(options, DEFAULTS)
    config = run.config
    initial = with_deviation(initial_network(config.start.depth, "depth"))
    network = cast(DepthNetwork, initial.network).eval().requires_grad_(False)
    data = read_data_of_run(run, split, initial)
    run.folder.write_manifest(data.files)
    head = network.deviation
    assert head is not None
    head.blank()
    dice = np.random.default_rng(config.seed)
    recordings = [one.frames for one in data.recordings]
    groups = [group for frames in recordings for group in errors_of(frames, dice)]
    groups.append(errors_of_covers(network, recordings, dice))
    fit(head, groups, config.steps, config.rate, config.seed)
    calibration = calibration_of(head, data.held_out)
    figures = calibration.figures
    network.deviation_times(calibration.factor)
    facts = {
        "origin": f"the depth of {initial.name}, with a standard deviation",
        "data": {"train": data.counts, "validation": [f.source for f in data.held_out]},
        "deviation_calibration": round(calibration.factor, 4),
        "figures": figures,
        **origin("python -m recipes.deviation"),
    }
    unit = DepthUnit("metres" if initial.metric else "relative", f"as of {initial.name}")
    trained = TrainedNetwork("depth", network, initial, initial.size, unit)
    path = export(run.folder, config, trained, facts)
    print(path)
    return path


if __name__ == "__main__":
    main()
