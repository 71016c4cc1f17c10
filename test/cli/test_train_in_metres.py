# SPDX-License-Identifier: Apache-2.0
"""`--scale` of train and adapt: the start is put into metres, which the training keeps."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

from commands import command, fails

from depth_recog.cli import start_scale
from depth_recog.cli.scale_options import add_scale_arguments
from depth_recog.documents import read_yaml
from depth_recog.errors import ConfigurationError
from depth_recog.method.scale.measurement import Scale, ScaleState
from depth_recog.networks.factory import NetworkOptions
from depth_recog.networks.weights import Header, header_of, read_card
from depth_recog.training.initial import in_metres, initial_network
from depth_recog.training.judge import anchors

STREET = "synthetic:street?width=128&height=64&frames=40&speed=8"
FOCAL = 244.0


def depth_of(weights: str) -> np.ndarray:
    import torch

    network = initial_network(weights, "depth").network
    image = torch.linspace(0, 1, 3 * 64 * 128).view(1, 3, 64, 128)
    with torch.inference_mode():
        return network(image, torch.tensor([100.0]))[0, 0].numpy()


def canonical(header: Header) -> float:
    return float(header.architecture["canonical_focal"])


def test_the_depth_of_the_start_is_multiplied() -> None:
    import torch

    before = initial_network("depth-street", "depth")
    after = in_metres(before, 1.25)
    image, focal = torch.rand(1, 3, 64, 128), torch.tensor([100.0])
    with torch.inference_mode():
        ratio = after.network(image, focal) / before.network(image, focal)
    assert torch.allclose(ratio, torch.full_like(ratio, 1.25), rtol=1e-5)
    with pytest.raises(ConfigurationError, match="leave --scale"):
        in_metres(initial_network("masks-street", "depth"), 1.25)


def test_train_measures_the_start_and_keeps_its_metres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchors, "JUDGED", ("street",))
    out = tmp_path / "run"
    settings = (
        "steps=1", "batch=1", "workers=0", "rate=1e-7", "average=0", "motion=network",
        "loss.exact=0", "validation.frames=2", "device=cpu",
    )  # fmt: skip
    words = [word for setting in settings for word in ("--set", setting)]
    # The street is driven at 8 m/s: odometry of twice that makes twice the factor.
    motion = "--scale", "odometry", "--speed", "16"
    result = command("train", STREET, "--out", out, *motion, *words)
    assert result.returncode == 0, result.stderr
    scale = read_yaml(out / "config.yaml")["start"]["scale"]
    assert f"{scale:.3f} metres per unit of the start" in result.stdout
    trained = header_of(str(out / "run.safetensors"), "depth")
    assert canonical(trained) == pytest.approx(FOCAL / scale)
    card = read_card(out / "run.md")
    assert card["unit"].startswith(f"metres: {scale:.4g} times the depth of depth-street")
    assert card["gate"] == "object"
    # By the network's own unit the street is 0.8 times as deep as by exact depth.
    assert 1.3 < scale < 2.3
    again = fails("train", "--out", out, "--resume", *motion)
    assert "--scale out" in again


def test_adapt_begins_in_metres_and_goes_on(tmp_path: Path) -> None:
    source, out = "synthetic:street?frames=2&width=128&height=64", tmp_path / "lineage"
    first = command("adapt", source, "--out", out, "--scale", "1.5")
    assert first.returncode == 0, first.stderr
    start = header_of(str(out), "depth")
    assert (canonical(start), start.unit) == (pytest.approx(FOCAL / 1.5), "metres")
    assert np.allclose(depth_of(str(start.path)), 1.5 * depth_of("depth-street"), rtol=1e-5)
    again = command("adapt", source, "--out", out, "--scale", "camera_height", "--camera-height", 2)
    assert again.returncode == 0, again.stderr
    assert "goes on in the metres in which it began, 1.500" in again.stdout
    assert header_of(str(out), "depth").sha256 == start.sha256
    plain = tmp_path / "plain"
    assert command("adapt", source, "--out", plain).returncode == 0
    assert "began without --scale" in fails("adapt", source, "--out", plain, "--scale", "1.5")


@pytest.mark.parametrize("verb", ["train", "adapt"])
def test_a_recording_that_shows_no_metres_is_refused(verb: str, tmp_path: Path) -> None:
    short = "synthetic:street?frames=3&width=128&height=64"
    words = "--scale", "camera_height", "--camera-height", "1.65"
    error = fails(verb, short, "--out", tmp_path / "out", *words)
    assert "--scale camera_height finds no metres: only" in error or "little" in error
    assert not (tmp_path / "out").exists()
    assert "needs --camera-height" in fails(verb, short, "--out", tmp_path / "out", *words[:2])


class _Measured:
    """In place of `Pipeline`: a recording whose every frame shows one factor."""

    def __init__(self, factor: float) -> None:
        self.scale = Scale(factor, 0.05, ScaleState.LOCKED)

    def prepare_frame(self, frame: object) -> object:
        return frame

    def recognize(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("factors", "found"), [((1.0, 1.1), 1.049), ((1.0, 1.3), None)])
def test_one_factor_serves_all_recordings_or_none(
    factors: tuple[float, float], found: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = list(factors)
    monkeypatch.setattr(start_scale, "assemble", lambda *_, **__: None)
    monkeypatch.setattr(start_scale, "Pipeline", lambda _: _Measured(left.pop(0)))
    monkeypatch.setattr(start_scale, "readable", lambda _, frames: ((i, None) for i in frames))
    parser = argparse.ArgumentParser()
    add_scale_arguments(parser)
    options = parser.parse_args(["--scale", "camera_height", "--camera-height", "1.65"])
    chosen = [SimpleNamespace(text=t, recording=None, frames=range(3)) for t in ("one", "two")]

    def measure(asked: bool) -> float | None:
        return start_scale.start_scale(options, NetworkOptions(), chosen, lambda: asked)

    if found is None:
        with pytest.raises(ConfigurationError, match=r"1\.000 m on one, and 1\.300 m on two"):
            measure(False)
        return
    assert measure(False) == pytest.approx(found, abs=1e-3)
    left[:] = factors
    with pytest.raises(KeyboardInterrupt):
        measure(True)
