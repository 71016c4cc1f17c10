# SPDX-License-Identifier: Apache-2.0
"""The loss of training equals that of method.loss, and masked pixels do not influence it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

import training_runs

from depth_recog.method.geometry.se3_tensors import from_vector
from depth_recog.method.loss import photometric
from depth_recog.method.loss.edges import LARGEST_STEP, edge_error
from depth_recog.method.loss.fused import Reference, box, box_adjoint, photometric_errors
from depth_recog.method.loss.pair import (
    ImagePair,
    minimum_over_neighbours,
    pair_error,
    still_pixels,
)
from depth_recog.method.loss.photometric import masked_mean
from depth_recog.method.loss.smoothness import gradient_error
from depth_recog.training.config import LossWeights
from depth_recog.training.data.batches import TripletBatch
from depth_recog.training.depth.model import Prediction
from depth_recog.training.depth.objective import Neighbours, compare, objective

B, N, H, W = 2, 2, 20, 28
ROAD, BUILDING, SKY = 0, 2, 10


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smooth(*shape: int, seed: int = 0) -> torch.Tensor:
    """Images with structure wider than a pixel."""
    *lead, height, width = shape
    coarse = random(*lead, height // 4, width // 4, seed=seed)
    flat = coarse.reshape(-1, 1, height // 4, width // 4)
    return interpolate(flat, size=(height, width), mode="bicubic").clamp(0, 1).reshape(shape)


@settings(max_examples=20)
@given(st.integers(3, 9), st.integers(3, 9), st.integers(0, 99))
def test_the_box_filter_equals_average_pooling_and_has_its_adjoint(
    height: int, width: int, seed: int
) -> None:
    a, b = random(2, height, width, seed=seed), random(2, height, width, seed=seed + 1)
    padded = torch.nn.functional.pad(a[:, None], (1, 1, 1, 1), mode="reflect")
    torch.testing.assert_close(box(a), torch.nn.functional.avg_pool2d(padded, 3, 1)[:, 0])
    torch.testing.assert_close((box(a) * b).sum(), (a * box_adjoint(b)).sum())


@pytest.mark.parametrize("alpha", [0.0, 0.85, 1.0])
def test_the_explicit_gradient_is_that_of_autograd(alpha: float) -> None:
    first, images = random(B, 3, 8, 9), random(3, B, 3, 8, 9, seed=1).requires_grad_()
    plain = torch.stack([photometric.photometric_error(first, i, alpha)[:, 0] for i in images])
    fused = photometric_errors(Reference.of(first), images, alpha)
    torch.testing.assert_close(fused, plain)
    upstream = random(*plain.shape, seed=2)
    expected = torch.autograd.grad(plain, images, upstream)[0]
    torch.testing.assert_close(torch.autograd.grad(fused, images, upstream)[0], expected)


class Scene:
    """Two frames' comparison with two neighbours each, in float64."""

    def __init__(self, masks: bool) -> None:
        self.first = smooth(B, 3, H, W)
        self.seconds = smooth(N, B, 3, H, W, seed=1) * 0.3 + self.first * 0.7
        self.intrinsics = torch.tensor(
            [[25.0, 0, 13.2], [0, 24, 9.7], [0, 0, 1]], dtype=torch.float64
        ).expand(B, 3, 3)
        vectors = (random(N, B, 6, seed=3) - 0.5) * torch.tensor([0.05] * 3 + [0.4] * 3)
        self.motions = from_vector(vectors)
        self.masked = torch.zeros(N, B, 2, H, W, dtype=torch.bool)
        if masks:
            self.masked[0, :, 0, 3:9, 4:12] = True
            self.masked[1, 0, 1, 8:15, 10:20] = True
        self.inverses = [
            (0.1 + 0.3 * smooth(B, 1, H // s, W // s, seed=5 + s)).requires_grad_() for s in (1, 4)
        ]


@pytest.mark.parametrize("masks", [False, True])
def test_all_scales_and_neighbours_together_equal_single_pairs(masks: bool) -> None:
    scene = Scene(masks)
    neighbours = Neighbours(scene.seconds, scene.motions, scene.masked)
    found = compare(scene.first, neighbours, scene.inverses, scene.intrinsics, 0.85)
    assert found.valid.any()
    assert (found.seen & ~found.valid).any(), "auto-masking excluded nothing: it is not tested"
    for scale, inverse in enumerate(scene.inverses):
        enlarged = interpolate(inverse, size=(H, W), mode="bilinear", align_corners=False)
        pairs = []
        for second, mask, motion in zip(scene.seconds, scene.masked, scene.motions, strict=True):
            images = ImagePair(scene.first, second, mask[:, :1], mask[:, 1:])
            pairs.append(pair_error(images, 1 / enlarged, scene.intrinsics, motion))
        errors = [p.error for p in pairs], [p.valid for p in pairs]
        error, seen = minimum_over_neighbours(*errors)
        valid = seen & ~still_pixels(error, scene.first, list(scene.seconds))
        assert torch.equal(found.seen[scale], seen)
        assert torch.equal(found.valid[scale], valid)
        torch.testing.assert_close(found.error[scale][seen], error[seen])
        expected = torch.autograd.grad(masked_mean(error, valid)[0].sum(), inverse)[0]
        mean = masked_mean(found.error[scale], found.valid[scale])[0].sum()
        got = torch.autograd.grad(mean, inverse, retain_graph=True)[0]
        torch.testing.assert_close(got, expected)


def batch_of(scene: Scene, **changes: torch.Tensor) -> TripletBatch:
    frames = torch.cat((scene.first[:, None], scene.seconds.transpose(0, 1)), 1)
    values = {
        "frames": (frames * 255).round().to(torch.uint8),
        "masked": scene.masked.transpose(0, 1),
        "intrinsics": scene.intrinsics.float(),
        "motions": scene.motions.transpose(0, 1).float(),
    }
    return training_runs.batch_of(**(values | changes))


def predicted(scene: Scene, motions: torch.Tensor | None = None) -> Prediction:
    return Prediction([i.detach().float().requires_grad_() for i in scene.inverses], motions)


def itself(count: torch.Tensor) -> torch.Tensor:
    return count


def test_masked_pixels_do_not_change_the_gradient() -> None:
    """Masked pixels are painted white, in the frame or in a neighbour."""
    scene = Scene(True)
    region = torch.zeros(H, W, dtype=torch.bool)
    region[5:12, 6:18] = True
    scene.masked = region.expand(N, B, 2, H, W).clone()
    gradients = []
    for paint in (None, 0, 1):
        batch = batch_of(scene)
        if paint is not None:
            batch.frames[:, paint, :, 5:12, 6:18] = 255
        answer = predicted(scene)
        # The smoothness uses the edges of masked pixels too: it has no weight here.
        terms, _ = objective(batch, answer, LossWeights(smoothness=0, sky=0), itself)
        gradients.append(torch.autograd.grad(terms.total, answer.inverses))
    for painted in gradients[1:]:
        for a, b in zip(gradients[0], painted, strict=True):
            assert torch.equal(a, b)
    assert all((g != 0).any() for g in gradients[0]), "nothing outside is compared"


def test_the_total_is_the_sum_of_the_weighted_parts() -> None:
    scene = Scene(False)
    labels = torch.zeros(B, 1, H, W, dtype=torch.uint8)
    labels[0, :, :4] = SKY
    truth = torch.full((B, 1, H, W), 5.0)
    truth[:, :, :4] = torch.inf
    answer = predicted(scene)
    truth[1] = torch.nan
    weights = LossWeights(smoothness=0.1, exact=0.2, edges=0.6, sky=0.3, contact=0.4, start=0.5)
    batch = batch_of(scene, labels=labels, truth=truth)
    terms, compared = objective(batch, answer, weights, itself)
    torch.testing.assert_close(terms.total, sum(terms[1:]))
    both = zip(compared.error, compared.valid, strict=True)
    means = [masked_mean(error, valid)[0].mean() for error, valid in both]
    torch.testing.assert_close(terms.photometric, means[0] + 0.5 * means[1])
    first = scene.first.mul(255).round().div(255).float()
    small = [interpolate(first, size=i.shape[2:], mode="area") for i in answer.inverses]
    gradients = [gradient_error(i, s) for i, s in zip(answer.inverses, small, strict=True)]
    torch.testing.assert_close(terms.smoothness, 0.1 * (gradients[0] + 0.5 * gradients[1]))
    fine = answer.inverses[0]
    log_error = ((1 / fine).log() - torch.tensor(5.0).log())[:1, :, 4:]
    torch.testing.assert_close(terms.exact, 0.2 * log_error.abs().mean())
    edges = edge_error(log_error, torch.ones_like(log_error, dtype=torch.bool))[0]
    torch.testing.assert_close(terms.edges, 0.6 * edges[0])
    change = (fine[1] / batch.anchor[1]).log().abs().mean()
    torch.testing.assert_close(terms.start, 0.5 * change)
    torch.testing.assert_close(terms.sky, 0.3 * fine[0, :, :4].mean())
    assert terms.scale == 0, "recorded motion determines the scale"


def test_without_recorded_motion_only_the_scale_term_depends_on_the_scale() -> None:
    scene = Scene(False)
    unknown = torch.full((B, 2, 4, 4), torch.nan)
    motions = scene.motions.transpose(0, 1).float()
    anchor = scene.inverses[0].detach().float()
    labels = torch.full((B, 1, H, W), BUILDING, dtype=torch.uint8)
    labels[:, :, H // 2 :] = ROAD
    anchor[labels != ROAD] *= 3  # the ratio is measured on the road only
    batch = batch_of(scene, motions=unknown, anchor=anchor, labels=labels)
    weights = LossWeights(exact=0, sky=0)
    found = []
    for factor in (1.0, 1.5):
        inverses = [(i.detach().float() / factor).requires_grad_() for i in scene.inverses]
        terms, _ = objective(batch, Prediction(inverses, motions), weights, itself)
        slopes = torch.autograd.grad(terms.photometric, inverses)
        along = sum((i * g).sum() for i, g in zip(inverses, slopes, strict=True))
        across = sum((i * g).abs().sum() for i, g in zip(inverses, slopes, strict=True))
        assert abs(along) < 1e-4 * across, "the photometric error changes the scale"
        found.append(terms)
    torch.testing.assert_close(found[0].photometric, found[1].photometric, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[0].smoothness, found[1].smoothness)
    assert found[0].scale < 1e-9
    torch.testing.assert_close(found[1].scale, torch.tensor(1.5).log() ** 2)
    free, _ = objective(batch, Prediction(inverses, motions), LossWeights(scale=0), itself)
    assert not torch.isclose(free.photometric, found[0].photometric, rtol=1e-3)


def test_a_mirrored_sample_has_the_loss_of_the_original() -> None:
    scene = Scene(False)
    unknown = torch.full((B, 2, 4, 4), torch.nan)
    motions = scene.motions.transpose(0, 1).float()
    batch = batch_of(scene, motions=unknown)
    terms, _ = objective(batch, predicted(scene, motions), LossWeights(), itself)
    k = scene.intrinsics.float().clone()
    k[:, 0, 2] = W - 1 - k[:, 0, 2]
    flip = torch.diag(torch.tensor([-1.0, 1, 1, 1])).expand(B, 4, 4)
    frames = batch.frames.flip(-1)
    turned = batch_of(scene, motions=unknown, frames=frames, intrinsics=k, mirror=flip)
    answer = Prediction([i.detach().float().flip(-1) for i in scene.inverses], motions)
    mirrored, _ = objective(turned, answer, LossWeights(), itself)
    torch.testing.assert_close(mirrored.total, terms.total, atol=1e-5, rtol=1e-4)


def test_the_loss_of_a_fully_masked_batch_is_zero() -> None:
    scene = Scene(False)
    scene.masked[:] = True
    answer = predicted(scene)
    terms, _ = objective(batch_of(scene), answer, LossWeights(smoothness=0), itself)
    assert terms.total == 0
    for gradient in torch.autograd.grad(terms.total, answer.inverses):
        assert (gradient == 0).all()


@pytest.mark.parametrize("one_neighbour", [False, True])
def test_pairs_without_a_motion_are_not_compared(one_neighbour: bool) -> None:
    """With `motion: points` there is neither a recorded motion nor a pose network."""
    scene = Scene(False)
    motions = scene.motions.transpose(0, 1).float().clone()
    motions[:, 0] = torch.nan
    if not one_neighbour:
        motions[:] = torch.nan
    answer = predicted(scene)
    weights = LossWeights(smoothness=0, sky=0, scale=0)
    terms, _ = objective(batch_of(scene, motions=motions), answer, weights, itself)
    gradients = torch.autograd.grad(terms.total, answer.inverses)
    assert all(torch.isfinite(g).all() for g in gradients)
    assert bool(terms.photometric > 0) is one_neighbour
    excluded = scene.masked.clone()
    excluded[0] = True
    if one_neighbour:
        scene.masked = excluded
        expected, _ = objective(batch_of(scene), answer, weights, itself)
        torch.testing.assert_close(terms.photometric, expected.photometric)


def slow_edges(error: torch.Tensor, known: torch.Tensor) -> float:
    """One image, pixel by pixel."""
    total = 0.0
    for stride in (1, 2, 4):
        rows, columns = range(0, H, stride), range(0, W, stride)
        for down, right in ((stride, 0), (0, stride)):
            steps = [
                min(abs(float(error[r + down, c + right] - error[r, c])), LARGEST_STEP)
                for r in rows
                for c in columns
                if r + down < H and c + right < W and known[r, c] and known[r + down, c + right]
            ]
            total += sum(steps) / len(steps)
    return total


def test_the_error_of_edges_is_that_of_a_loop_over_the_pixels() -> None:
    error = (random(B, 1, H, W) * 4).requires_grad_()
    known = random(B, 1, H, W, seed=7) > 0.2
    found, count = edge_error(error, known)
    for one, result, mask in zip(error, found, known, strict=True):
        assert result.item() == pytest.approx(slow_edges(one[0].detach(), mask[0]))
    assert torch.equal(count, known.sum((1, 2, 3)))
    assert torch.autograd.gradcheck(lambda e: edge_error(e, known)[0], error)
    constant, _ = edge_error(torch.full_like(error, 3.0), known)
    assert not constant.any(), "a constant factor of the depth blurs no edge"
