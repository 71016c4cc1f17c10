# SPDX-License-Identifier: Apache-2.0
"""How long does a training step take, compared with a plain implementation of the same losses?

python benchmarks/training.py [--start depth-street] [--size 416 128] [--batch 6] [--rounds 7]
                              [--threads 1] [--device cpu] [--json FILE]

`plain` calls the reference functions of depth_recog/method/loss for each pair and each scale, under
autograd, in torch's default memory layout. `float32` and `bfloat16` are what `depth-recog train`
does. All get the same batch and take turns; the first round of each warms up. `gradient` is the
length of the difference between its gradient and the plain one, relative to the plain one's length.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import numpy as np
import torch
from common import parser_of, report
from torch import Tensor
from torch.nn.functional import interpolate

from depth_recog.method.loss.pair import (
    ImagePair,
    minimum_over_neighbours,
    pair_error,
    still_pixels,
)
from depth_recog.method.loss.photometric import masked_mean
from depth_recog.method.loss.smoothness import gradient_error
from depth_recog.method.masking import CITYSCAPES, SKY
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.training.config import LossWeights
from depth_recog.training.data.batches import TripletBatch
from depth_recog.training.data.covers import COLUMNS
from depth_recog.training.data.points import MOST
from depth_recog.training.depth.contact import contact_error, contact_inverse
from depth_recog.training.depth.model import SCALES, DepthModel, Prediction
from depth_recog.training.depth.objective import SCALE_WEIGHTS, objective
from depth_recog.training.initial import initial_network
from depth_recog.training.loop.optimiser import make_optimiser, update_average


def noise(batch: int, width: int, height: int) -> TripletBatch:
    """A batch of smooth noise that moves sideways; the images do not change the time of a step."""
    torch.manual_seed(0)
    coarse = torch.rand(batch, 3, height // 8, width // 8)
    first = interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    frames = torch.stack([first, *(torch.roll(first, s, 3) for s in (3, -3))], 1)
    masked = torch.zeros(batch, 2, 2, height, width, dtype=torch.bool)
    masked[..., height // 3 : height // 2, width // 4 : width // 3] = True
    labels = torch.zeros(batch, 1, height, width, dtype=torch.uint8)  # road
    labels[:, :, : height // 4] = SKY
    labels[masked[:, :1, 0]] = CITYSCAPES.index("car")
    k = torch.tensor([[0.58 * width, 0, width / 2], [0, 0.58 * width, height / 2], [0, 0, 1]])
    motions = torch.eye(4).repeat(batch, 2, 1, 1)
    motions[:, 0, 2, 3], motions[:, 1, 2, 3] = 0.8, -0.8
    return TripletBatch(
        (frames * 255).to(torch.uint8),
        masked,
        labels,
        k.expand(batch, 3, 3).contiguous(),
        motions,
        torch.full((batch, 1, height, width), 20.0),
        torch.ones(batch, 1, height, width),
        torch.ones(batch, 4),
        torch.zeros(batch, 0, dtype=torch.uint8),
        torch.eye(4).repeat(batch, 1, 1),
        torch.tensor([width / 2, height / 2, 20.0]).repeat(batch, MOST, 1),
        torch.full((batch, MOST), 1 / MOST),
        torch.zeros(batch, COLUMNS),
        torch.zeros(batch, 0, height, width),
    )


def plain_loss(network: DepthNetwork, batch: TripletBatch, weights: LossWeights) -> Tensor:
    """Block 108 in plain loops over scales and neighbours."""
    images = batch.frames.float() / 255
    first, seconds = images[:, 0], [images[:, 1], images[:, 2]]
    inverses = network.inverse_depths(first, batch.intrinsics[:, 1, 1])
    total = torch.zeros(())
    for scale, weight in zip(SCALES, SCALE_WEIGHTS, strict=True):
        inverse = inverses[scale]
        depth = 1 / interpolate(inverse, size=first.shape[2:], mode="bilinear")
        pairs = [
            pair_error(
                ImagePair(first, second, batch.masked[:, n, :1], batch.masked[:, n, 1:]),
                depth,
                batch.intrinsics,
                batch.motions[:, n],
                weights.alpha,
            )
            for n, second in enumerate(seconds)
        ]
        error, valid = minimum_over_neighbours([p.error for p in pairs], [p.valid for p in pairs])
        valid = valid & ~still_pixels(error, first, seconds, weights.alpha)
        means, counts = masked_mean(error, valid)
        edges = interpolate(first, size=inverse.shape[2:], mode="area")
        smooth = weights.smoothness * gradient_error(inverse, edges)
        total = total + weight * (means.sum() / (counts > 0).sum().clamp(min=1) + smooth)
    exact = (inverses[0].log() + batch.truth.log()).abs().mean()
    sky = masked_mean(inverses[0], batch.labels == SKY)[0].mean()
    left_out = batch.masked[:, :, 0].all(1, keepdim=True)
    feet, standing = contact_inverse(inverses[0], batch.labels, left_out)
    contact = masked_mean(contact_error(inverses[0], feet), standing)[0].mean()
    return total + weights.exact * exact + weights.contact * contact + weights.sky * sky


def fast_loss(learner: DepthModel, batch: TripletBatch, weights: LossWeights, half: bool) -> Tensor:
    image = (batch.frames[:, 0].float() / 255).contiguous(memory_format=torch.channels_last)
    with torch.autocast(image.device.type, torch.bfloat16, half):
        predicted = Prediction(*learner(image, batch.intrinsics[:, 1, 1], None))
    return objective(batch, predicted, weights, lambda count: count)[0].total


def stepper(learner: DepthModel, loss: Callable[[], Tensor]) -> Callable[[], None]:
    average = copy.deepcopy(learner)
    optimizer = make_optimiser(learner, learner.encoder_parameters(), 1e-9, 0.4)
    for group in optimizer.param_groups:
        group["lr"] = 1e-9

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        update_average(average, learner, 0.995)

    return step


def gradient(learner: DepthModel, loss: Callable[[], Tensor]) -> Tensor:
    learner.zero_grad(set_to_none=True)
    loss().backward()
    return torch.cat([p.grad.flatten() for p in learner.parameters() if p.grad is not None])


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--start", default="depth-street", help="as start.depth")
    parser.add_argument("--size", type=int, nargs=2, default=(416, 128), metavar=("W", "H"))
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batch, weights = noise(options.batch, *options.size).to(options.device), LossWeights(scale=0)

    def learner(layout: torch.memory_format) -> DepthModel:
        torch.manual_seed(0)  # the decoder of a blank start is drawn
        network = initial_network(options.start, "depth").network
        return DepthModel(network, None).to(device=options.device, memory_format=layout)

    plain = learner(torch.contiguous_format)
    fast, half = learner(torch.channels_last), learner(torch.channels_last)
    losses: dict[str, tuple[DepthModel, Callable[[], Tensor]]] = {
        "plain": (plain, lambda: plain_loss(plain.depth, batch, weights)),
        "float32": (fast, lambda: fast_loss(fast, batch, weights, half=False)),
        "bfloat16": (half, lambda: fast_loss(half, batch, weights, half=True)),
    }
    gradients = {name: gradient(*both) for name, both in losses.items()}
    length = gradients["plain"].norm()
    differences = {k: float((g - gradients["plain"]).norm() / length) for k, g in gradients.items()}
    steps = {name: stepper(*both) for name, both in losses.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds + 1):
        for name, step in steps.items():
            began = time.perf_counter(), time.process_time()
            step()
            if options.device != "cpu":
                torch.cuda.synchronize()
            ended = time.perf_counter(), time.process_time()
            times[name].append((ended[0] - began[0], ended[1] - began[1]))
    medians = {name: np.median(rows[1:], 0) for name, rows in times.items()}
    rows = [
        {
            "step": name,
            "s": wall,
            "s a sample": wall / options.batch,
            "CPU s": cpu,
            "plain takes": medians["plain"][0] / wall,
            "gradient": differences[name],
        }
        for name, (wall, cpu) in medians.items()
    ]
    report(options, rows)


if __name__ == "__main__":
    main()
