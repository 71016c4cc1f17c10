# SPDX-License-Identifier: Apache-2.0
"""The masks' network: its grid, its correction, its width."""

import numpy as np
import pytest
import torch

from depth_recog.networks.own.deeplab import RefinedDeepLab, centred, enlarge
from depth_recog.networks.own.edgetpu import CHANNELS, EdgeTpuEncoder

SKIPS = ((CHANNELS[1], 4), (CHANNELS[2], 8))


def interpolated(x: np.ndarray, factor: int) -> np.ndarray:
    """Slow reference: samples of one channel at the pixels 0, factor, ..., linear between them."""
    height, width = x.shape
    out = np.empty((height * factor, width * factor))
    for v in range(out.shape[0]):
        for u in range(out.shape[1]):
            i, a = divmod(v, factor)
            j, b = divmod(u, factor)
            a, b = a / factor, b / factor
            i2, j2 = min(i + 1, height - 1), min(j + 1, width - 1)
            upper = (1 - b) * x[i, j] + b * x[i, j2]
            lower = (1 - b) * x[i2, j] + b * x[i2, j2]
            out[v, u] = (1 - a) * upper + a * lower
    return out


@pytest.mark.parametrize("factor", [2, 4])
def test_enlarge_keeps_the_positions_of_samples(factor: int) -> None:
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    got = enlarge(x, factor)
    assert got.shape == (2, 3, 4 * factor, 5 * factor)
    wanted = interpolated(x[1, 2].numpy(), factor)
    np.testing.assert_allclose(got[1, 2].numpy(), wanted, atol=1e-12)


def test_centred_moves_samples_to_the_centre_of_a_cell() -> None:
    v, u = torch.meshgrid(torch.arange(0.0, 20, 4), torch.arange(0.0, 32, 4), indexing="ij")
    ramps = torch.stack((u, v))[None]
    moved = centred(ramps)
    torch.testing.assert_close(moved[:, :, :-1, :-1], ramps[:, :, :-1, :-1] + 1.5)
    torch.testing.assert_close(moved[0, 0, :, -1], ramps[0, 0, :, -1])
    torch.testing.assert_close(moved[0, 1, -1], ramps[0, 1, -1])


@pytest.mark.parametrize("enlargement", [1, 1.5])
def test_scores_are_aligned_with_the_image(enlargement: float) -> None:
    """The scores' centre of mass for a bright disc is near the disc's centre."""
    network = RefinedDeepLab(classes=1, enlargement=enlargement).eval()
    network.head = torch.nn.Conv2d(1, 1, 1, bias=False)
    torch.nn.init.ones_(network.head.weight)

    class Samples(torch.nn.Module):
        """An encoder that takes every sixteenth pixel of a blurred image."""

        def forward(self, image):
            blurred = torch.nn.functional.avg_pool2d(image[:, :1], 33, 1, 16)
            rest = [torch.zeros(1, c, *(s // r for s in image.shape[2:])) for c, r in SKIPS]
            return [rest[0], rest[0], rest[1], blurred[:, :, ::16, ::16]]

    network.encoder = Samples()
    network.eighth.coarse = torch.nn.Conv2d(1, 64, 1)
    v, u = torch.meshgrid(torch.arange(128.0), torch.arange(192.0), indexing="ij")
    image = (((u - 90) ** 2 + (v - 61) ** 2) < 400).float().expand(1, 3, 128, 192)
    answer = network(image)[0, 0].detach()
    mass = answer / answer.sum()
    assert float((mass * u).sum()) == pytest.approx(90, abs=0.6)
    assert float((mass * v).sum()) == pytest.approx(61, abs=0.6)


def test_features_are_at_strides_two_to_sixteen() -> None:
    maps = EdgeTpuEncoder().eval()(torch.rand(2, 3, 64, 96))
    assert [m.shape[1] for m in maps] == list(CHANNELS)
    assert [tuple(m.shape[2:]) for m in maps] == [(64 // s, 96 // s) for s in (2, 4, 8, 16)]


def test_the_correction_is_initialised_to_zero() -> None:
    network, image = RefinedDeepLab(enlargement=1).eval(), torch.rand(1, 3, 64, 96)
    coarse = centred(enlarge(network.head(network.encoder(image)[-1]), 4))
    wanted = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear")
    torch.testing.assert_close(network(image), wanted)
    torch.nn.init.ones_(network.correction.bias)
    torch.testing.assert_close(network(image), wanted + 1)


def test_every_parameter_gets_a_gradient() -> None:
    network = RefinedDeepLab()
    torch.nn.init.normal_(network.correction.weight)
    network(torch.rand(1, 3, 64, 96)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_temperature_divides_and_changes_no_label() -> None:
    hot, image = RefinedDeepLab(temperature=2.5).eval(), torch.rand(1, 3, 32, 64)
    plain = RefinedDeepLab().eval()
    plain.load_state_dict(hot.state_dict())
    torch.testing.assert_close(hot(image) * 2.5, plain(image))
    assert torch.equal(hot(image).argmax(1), plain(image).argmax(1))


def test_a_wide_frame_is_not_resized() -> None:
    """Apart from the image pooling, the left part of a frame does not depend on the rest."""
    network = RefinedDeepLab().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):  # the default's signal dies on the way
            torch.nn.init.kaiming_normal_(module.weight)
    torch.nn.init.zeros_(network.encoder.pooled.weight)
    frame = torch.rand(1, 3, 64, 1536)
    with torch.inference_mode():
        whole, part = network(frame), network(frame[..., :1024])
        other = network(frame.flip(3))
    torch.testing.assert_close(whole[..., :512], part[..., :512], atol=1e-3, rtol=1e-3)
    assert (whole[..., :512] - other[..., :512]).abs().mean() > 0.1
