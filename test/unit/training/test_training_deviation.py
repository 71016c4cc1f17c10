# SPDX-License-Identifier: Apache-2.0
"""The loss of the head for the standard deviation, and runs that train it alone or along."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

from training_runs import SIZE, STREET, batch_of, blank_weights

from depth_recog.cli.main import main
from depth_recog.networks.own.files import load_network
from depth_recog.networks.weights import read_card, read_header
from depth_recog.training.config import LossWeights
from depth_recog.training.data.covers import (
    BLURRED,
    FLAT,
    NOISE,
    covered,
    draw_cover,
    no_cover,
)
from depth_recog.training.depth.deviation import (
    COVERED,
    HALF_WIDTH,
    LEAST_ERROR,
    SHARES,
    WITHIN,
    Calibration,
    Doubt,
    deviation_loss,
    negative_log_likelihood,
)
from depth_recog.training.depth.model import DepthModel
from depth_recog.training.depth.task import DepthTask
from depth_recog.training.initial import initial_network, with_deviation

HEIGHT, WIDTH = 6, 8
SKY = 10


def itself(values: torch.Tensor) -> torch.Tensor:
    return values


def scene(recorded: bool = True) -> tuple[Doubt, object, torch.Tensor]:
    """Two images with exact depth, sky, points and covered pixels, in float64."""
    torch.manual_seed(0)
    truth = torch.rand(2, 1, HEIGHT, WIDTH, dtype=torch.float64) * 40 + 5
    truth[0, 0, 0] = torch.inf
    truth[0, 0, 1, 0] = 100.0
    truth[1] = torch.nan
    labels = torch.zeros(2, 1, HEIGHT, WIDTH, dtype=torch.uint8)
    labels[1, 0, 0] = SKY
    points = torch.rand(2, 7, 3, dtype=torch.float64) * torch.tensor([7.0, 5.0, 20.0]) + 0.5
    points[..., :2] = points[..., :2].clamp(max=4.9)
    weights = torch.rand(2, 7, dtype=torch.float64)
    weights[0] = 0
    weights[1] /= weights[1].sum()
    motions = torch.eye(4).repeat(2, 2, 1, 1) if recorded else torch.full((2, 2, 4, 4), torch.nan)
    frames = torch.zeros(2, 3, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    known = {"truth": truth, "labels": labels, "points": points, "weights": weights}
    batch = batch_of(frames, motions=motions, **known)
    hidden = torch.zeros(2, 1, HEIGHT, WIDTH, dtype=torch.bool)
    hidden[0, 0, 3:, :3] = True
    hidden[1, 0, :, 6:] = True
    inverse = torch.rand(2, 1, HEIGHT, WIDTH, dtype=torch.float64) / 10 + 0.005
    log_std = torch.randn(2, 1, HEIGHT, WIDTH, dtype=torch.float64) * 0.3 - 1
    return Doubt(inverse, log_std), batch, hidden


def bilinear(image: np.ndarray, x: float, y: float) -> float:
    left, top = int(x), int(y)
    a, b = x - left, y - top
    rows = image[top : top + 2, left : left + 2]
    return float((rows * np.outer((1 - b, b), (1 - a, a))).sum())


def slow_loss(doubt: Doubt, batch: object, hidden: torch.Tensor, recorded: bool) -> float:
    """The same pixel by pixel and point by point."""
    groups: list[list[float]] = [[], [], [], []]
    for n in range(2):
        parts: list[list[float]] = [[], [], []]
        depth, std = 1 / doubt.inverse[n, 0].numpy(), doubt.log_std[n, 0].exp().numpy()

        def nll(error: float, s: float) -> float:
            b = s / HALF_WIDTH  # of a Laplace distribution: exp(-e / b) / 2b
            return max(error, LEAST_ERROR) / b + math.log(b) + math.log(HALF_WIDTH)

        known = [
            math.log(t / d)
            for d, t, h in zip(
                depth.ravel(),
                batch.truth[n].numpy().ravel(),
                hidden[n].numpy().ravel(),
                strict=True,
            )
            if t < 80 and not h
        ]
        # Of an even number the lower one of the middle two, as torch has it.
        middle_of_image = sorted(known)[(len(known) - 1) // 2] if known else 0.0
        for row in range(HEIGHT):
            for column in range(WIDTH):
                d, s = depth[row, column], std[row, column]
                t = float(batch.truth[n, 0, row, column])
                sky = math.isinf(t) or (
                    math.isnan(t) and int(batch.labels[n, 0, row, column]) == SKY
                )
                if hidden[n, 0, row, column]:
                    parts[2].append(nll(COVERED, s))
                elif sky:
                    parts[1].append(nll(max(0.0, math.log(80 / d)), s))
                elif math.isfinite(t) and t < 80:
                    parts[0].append(nll(abs(math.log(t / d) - middle_of_image), s))
        for group, values in zip(groups, parts, strict=False):
            if values:
                group.append(float(np.mean(values)))
        errors, stds, shares = [], [], []
        log_inverse, log_std = np.log(1 / depth), np.log(std)
        for (x, y, z), weight in zip(
            batch.points[n].numpy(), batch.weights[n].numpy(), strict=True
        ):
            if weight > 0 and bilinear(hidden[n, 0].numpy().astype(float), x, y) == 0:
                errors.append(bilinear(log_inverse, x, y) + math.log(z))
                stds.append(math.exp(bilinear(log_std, x, y)))
                shares.append(weight)
        if errors:
            shares = np.array(shares) / sum(shares)
            order = np.argsort(errors)
            middle = order[np.searchsorted(np.cumsum(shares[order]), 0.5)]
            away = 0.0 if recorded else errors[middle]
            each = [nll(abs(e - away), s) for e, s in zip(errors, stds, strict=True)]
            groups[3].append(float(np.dot(each, shares)))
    return sum(s * float(np.mean(group)) for s, group in zip(SHARES, groups, strict=True))


@pytest.mark.parametrize("recorded", [True, False])
def test_the_loss_is_that_of_a_loop_over_pixels_and_points(recorded: bool) -> None:
    doubt, batch, hidden = scene(recorded)
    found = deviation_loss(doubt, batch, hidden, itself)
    assert float(found) == pytest.approx(slow_loss(doubt, batch, hidden, recorded), rel=1e-6)


def test_gradient_of_the_loss_and_none_for_the_depth() -> None:
    doubt, batch, hidden = scene()
    inverse = doubt.inverse.requires_grad_()
    log_std = doubt.log_std.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: deviation_loss(Doubt(inverse, x), batch, hidden, itself), log_std
    )
    deviation_loss(Doubt(inverse, log_std), batch, hidden, itself).backward()
    assert inverse.grad is None
    assert log_std.grad is not None


def test_a_batch_without_anything_known_has_no_loss() -> None:
    batch = batch_of(torch.zeros(1, 3, 3, HEIGHT, WIDTH, dtype=torch.uint8))
    log_std = torch.zeros(1, 1, HEIGHT, WIDTH, requires_grad=True)
    doubt = Doubt(torch.full((1, 1, HEIGHT, WIDTH), 0.1), log_std)
    hidden = torch.zeros(1, 1, HEIGHT, WIDTH, dtype=torch.bool)
    loss = deviation_loss(doubt, batch, hidden, itself)
    loss.backward()
    assert float(loss.detach()) == 0
    assert not log_std.grad.any()


def test_the_least_loss_is_where_68_percent_lie_within() -> None:
    torch.manual_seed(0)
    uniform = torch.rand(200_000, dtype=torch.float64)
    errors = -0.3 * uniform.log()  # |Laplace| with a mean of 0.3
    log_std = torch.linspace(-4, 0, 401, dtype=torch.float64)
    values = torch.stack([negative_log_likelihood(errors, s).mean() for s in log_std])
    best = float(log_std[values.argmin()].exp())
    assert float((errors < best).double().mean()) == pytest.approx(WITHIN, abs=0.005)


def test_pixels_without_any_error_do_not_promise_more_than_can_be_known() -> None:
    """Else one wrong pixel of the sky outweighs a batch."""
    log_std = torch.linspace(-8, 0, 801, dtype=torch.float64)
    none = torch.zeros((), dtype=torch.float64)
    best = log_std[negative_log_likelihood(none, log_std).argmin()]
    assert LEAST_ERROR < float(best.exp()) < 1.2 * LEAST_ERROR


def test_calibration_finds_the_factor() -> None:
    rng = np.random.default_rng(0)
    calibration = Calibration()
    assert (calibration.factor, calibration.figures) == (1.0, {})
    for _ in range(5):
        std = rng.uniform(0.05, 0.4, 3000)
        truth = rng.uniform(3, 60, 3000)
        calibration.add(truth * np.exp(rng.normal(0, 1, 3000) * std), truth, std / 2)
    assert calibration.factor == pytest.approx(2, rel=0.03)
    assert calibration.figures["within_one_deviation"] == pytest.approx(0.383, abs=0.02)


def test_covers_hide_what_they_say() -> None:
    images = torch.rand(4, 3, 20, 40)
    rows = [
        no_cover(),
        torch.tensor([FLAT, 0.0, 0.0, 1.0, 0.0, 1.0]),
        torch.tensor([BLURRED, 0.0, 0.5, 1.0, 0.0, 0.5]),
        torch.tensor([NOISE, 0.0, 0.25, 0.5, 0.0, 1.0]),
    ]
    hiding, hidden = covered(images, torch.stack(rows))
    assert hidden.float().mean((1, 2, 3)).tolist() == pytest.approx([0, 1, 0.25, 0.25])
    assert torch.equal(hiding[0], images[0])
    assert float(hiding[1].max()) < 0.05, "black, with the noise of a sensor"
    assert float(hiding[2, :, :10, 20:].std()) < 0.1 * float(images.std()), "blurred to nothing"
    assert torch.equal(
        hiding[2:][~hidden[2:].expand(-1, 3, -1, -1)], images[2:][~hidden[2:].expand(-1, 3, -1, -1)]
    )
    again, _ = covered(images, torch.stack(rows))
    assert torch.equal(hiding, again)
    rng = np.random.default_rng(0)
    drawn = torch.stack([draw_cover(rng) for _ in range(400)])
    assert 0.25 < float((drawn[:, 0] > 0).float().mean()) < 0.45
    assert {int(kind) for kind in drawn[:, 0]} == {0, FLAT, BLURRED, NOISE}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blank_weights(tmp_path_factory.mktemp("start"))


def train(start: Path, out: Path, *more: str) -> int:
    settings = (
        "steps=9",
        "batch=2",
        "workers=0",
        "licence=none",
        "device=cpu",
        "rate=0.005",
        f"size=[{SIZE[0]}, {SIZE[1]}]",
        f"start.depth={start}",
        "average=0.5",
        "validation.every=3",
        "validation.frames=3",
        f"cache={out.parent / 'data'}",
    )
    words = [word for setting in (*settings, *more) for word in ("--set", setting)]
    return main(["train", STREET, "--out", str(out), *words])


@pytest.fixture(scope="module")
def alone(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    more = "steps=80", "rate=0.03", "validation.every=20"
    assert train(start, out, "trains=deviation", *more) == 0
    return out / "run.safetensors"


def test_all_but_the_head_is_kept_bit_by_bit(start: Path, alone: Path) -> None:
    before, header = load_network(str(start), "depth")
    after, trained = load_network(str(alone), "depth")
    assert trained.architecture == {**header.architecture, "deviation": True}
    assert trained.size == header.size
    new = after.state_dict()
    for name, value in before.state_dict().items():
        assert value.numpy().tobytes() == new[name].numpy().tobytes(), name
    assert after.deviation.last.weight.any(), "the head was trained"
    card = read_card(alone.with_suffix(".md"))
    assert card["trains"] == "deviation"
    assert card["deviation_calibration"] > 0
    assert card["figures"]["within_one_deviation"] >= 0
    assert card["unit"] == "metres: the depth is that of blank"


def test_a_head_is_trained_on(alone: Path, tmp_path: Path) -> None:
    """It is not blank again."""
    kept = with_deviation(initial_network(str(alone), "depth"))
    assert kept.network.deviation.last.weight.any()
    assert read_header(alone).deviation


def test_along_with_the_depth(start: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert train(start, tmp_path / "run", "loss.deviation=0.1", "gate=all", "steps=2") == 0
    assert "within_one_deviation" in capsys.readouterr().out
    assert read_header(tmp_path / "run" / "run.safetensors").deviation


def test_the_deviation_does_not_change_what_the_depth_learns(start: Path) -> None:
    """Gradients of one step, after their norm was limited."""
    torch.manual_seed(0)
    frames = torch.randint(0, 255, (1, 3, 3, 64, 128), dtype=torch.uint8)
    batch = batch_of(frames, truth=torch.full((1, 1, 64, 128), 8.0))
    found = []
    for trains in ("depth", "both"):
        initial = with_deviation(initial_network(str(start), "depth"))
        weights = LossWeights(deviation=0.0 if trains == "depth" else 1.0)
        model = DepthModel(copy.deepcopy(initial.network), None, trains)
        task = DepthTask(model, weights, None, True)
        task.losses(model, batch, itself)["total"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        found.append({n: g for n, g in grads.items() if "deviation" not in n})
        assert ("depth.deviation.last.weight" in grads) == (trains == "both")
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-5, atol=0)


def test_frames_without_truth_do_not_judge_a_deviation(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from training_runs import image_folder

    source = image_folder(tmp_path / "images", 8)
    words = [
        "--set",
        "trains=deviation",
        "--set",
        f"start.depth={start}",
        "--set",
        "workers=0",
        "--set",
        "steps=1",
        "--set",
        "longest_gap=5",
    ]
    assert main(["train", source, "--out", str(tmp_path / "run"), *words]) == 1
    assert "true depth" in capsys.readouterr().err
