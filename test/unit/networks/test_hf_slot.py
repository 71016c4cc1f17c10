# SPDX-License-Identifier: Apache-2.0
"""Networks of other people: metres of an affine answer, what is refused, names on the hub."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("transformers", reason="pip install '.[hf]'")

import affine_network
from camera_files import write_camera_yaml
from hf_models import depth_anything

from depth_recog.cli.main import main
from depth_recog.errors import ConfigurationError, WeightsError
from depth_recog.method.scale.estimator import ScaleSettings
from depth_recog.method.settings import Settings
from depth_recog.networks.factory import NetworkOptions, assemble, check_weights
from depth_recog.networks.hf.depth import HfDepth
from depth_recog.networks.models import header_of
from depth_recog.networks.models_in_torch import load_model


@pytest.fixture(scope="module")
def relative(tmp_path_factory) -> Path:
    return depth_anything(tmp_path_factory.mktemp("hf") / "Depth-Anything-V2-Tiny-hf")


def test_scale_and_shift_are_found_from_motion_and_the_camera_height(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that is exactly affine in inverse depth gives metres, and none at standstill."""
    copy = affine_network.directory(tmp_path / "affine")
    answer = affine_network.Answer.of(copy)
    monkeypatch.setattr(HfDepth, "_answer", lambda self, image: answer(image))
    out = tmp_path / "out"
    metres = ["--scale", "camera_height", "--camera-height", "1.65", "--device", "cpu"]
    network = ["--weights", str(copy), *metres, "--gate", "off"]
    assert main(["run", affine_network.SOURCE, *network, "--out", str(out)]) == 0
    report = json.loads((out / "run.json").read_text())
    assert report["scale"]["state"] == "locked", report["scale"]
    for number in (0, 15, 29):
        name = out / "depth" / f"{number:010d}.png"
        depth = cv2.imread(str(name), cv2.IMREAD_UNCHANGED) / 256
        truth = affine_network.frames()[number][1]
        use = (depth > 0) & (truth < 40)
        ratios = depth[use] / truth[use]
        assert abs(np.median(ratios) - 1) < 0.1, "an exact network without shift gets within 0.04"
        assert np.quantile(np.abs(ratios / np.median(ratios) - 1), 0.9) < 0.08, "it is bent"
    (tmp_path / "still").mkdir()
    first = affine_network.frames()[0][0]
    for number in range(5):
        image = first.image[..., ::-1]
        cv2.imwrite(str(tmp_path / "still" / f"{number:03d}.png"), image)
    write_camera_yaml(tmp_path / "still" / "camera.yaml", first.camera)
    assert main(["run", str(tmp_path / "still"), *network, "--out", str(tmp_path / "none")]) == 0
    report = json.loads((tmp_path / "none" / "run.json").read_text())
    assert report["scale"]["state"] == "acquiring"
    assert "scale and shift" in report["scale"]["why"]
    for name in (tmp_path / "none" / "depth").iterdir():
        assert not cv2.imread(str(name), cv2.IMREAD_UNCHANGED).any(), "nothing is called metres"


def test_a_constant_factor_is_refused_where_the_shift_is_unknown(relative: Path) -> None:
    settings = Settings(scale=ScaleSettings("constant", 2.0))
    with pytest.raises(ConfigurationError, match="use scale camera_height, odometry or auto"):
        assemble(NetworkOptions(depth=str(relative), device="cpu"), settings)


def test_a_gate_network_with_a_scale_and_shift_of_its_own_is_refused(
    relative: Path, tmp_path: Path
) -> None:
    other = str(depth_anything(tmp_path / "other", max_depth=2))
    ours = str(relative)
    for options in (NetworkOptions(depth=ours, gate=other), NetworkOptions(depth="", gate=ours)):
        with pytest.raises(WeightsError, match="use the same weights for depth and gate"):
            check_weights(options)
    check_weights(NetworkOptions(depth=ours, gate=ours))


COMMIT = "5" * 40


def test_a_name_on_the_hub_stands_for_what_was_downloaded(
    relative: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    name = "somebody/Depth-Anything-V9-Tiny-hf"
    for missing in (name, f"{name}@v1"):
        with pytest.raises(WeightsError, match="hf download somebody/Depth-Anything-V9-Tiny-hf"):
            header_of(missing, "depth")
    cached = tmp_path / "models--somebody--Depth-Anything-V9-Tiny-hf"
    shutil.copytree(relative, cached / "snapshots" / COMMIT)
    for revision in ("main", "v1"):
        (cached / "refs").mkdir(exist_ok=True)
        (cached / "refs" / revision).write_text(COMMIT)
    ours = header_of(str(relative), "depth").sha256
    for known in (name, f"{name}@v1", f"{name}@{COMMIT}"):
        assert load_model(known, "depth")[1].sha256 == ours
    assert main(["weights", "verify", name]) == 1
    assert f"{COMMIT}/README.md: no such card" in capsys.readouterr().err
    for unknown in (f"{name}@v2", f"{name}@{'6' * 40}", "some body/x", "../x", "a/b/c"):
        with pytest.raises(WeightsError):
            header_of(unknown, "depth")
