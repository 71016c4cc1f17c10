# SPDX-License-Identifier: Apache-2.0
"""`depth-recog train` with a directory of transformers as initial weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="pip install '.[hf]'")
pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

from hf_models import depth_anything
from training_runs import SIZE, STREET, networks_of, quick_config

from depth_recog.cli.main import main
from depth_recog.cli.train import chosen_frames
from depth_recog.evaluation.splits import trained_on
from depth_recog.method.loss.photometric import masked_mean
from depth_recog.networks.models_in_torch import load_model
from depth_recog.networks.weights import read_card
from depth_recog.training.config import write_config
from depth_recog.training.data.batches import TripletDataset
from depth_recog.training.data.selection import DataSplit, read_data
from depth_recog.training.depth.initial_scale import MEDIANS, find_scale
from depth_recog.training.depth.model import Prediction
from depth_recog.training.depth.objective import compare_batch
from depth_recog.training.loop.run import RunControl, load_checkpoint


@pytest.fixture(scope="module")
def relative(tmp_path_factory) -> Path:
    return depth_anything(tmp_path_factory.mktemp("hf") / "theirs")


def trained(folder: Path, start: Path, name: str) -> Path:
    validation = {"every": 6, "frames": 2}
    changes = {"batch": 2, "rate": 1e-3, "average": 0.5, "loss": {"exact": 0}}
    config = quick_config(start, steps=12, validation=validation, **changes)
    file, out = folder / f"{name}.yaml", folder / name
    file.write_text(write_config(config))
    assert main(["train", STREET, "--config", str(file), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def run(relative: Path, tmp_path_factory) -> Path:
    return trained(tmp_path_factory.mktemp("run"), relative, "mine")


def test_the_result_is_a_directory_that_can_be_run(run: Path, tmp_path: Path) -> None:
    made = run / "mine"
    network, header = load_model(str(made), "depth")
    assert (header.unit, header.size) == ("metres", SIZE)
    card = read_card(made / "README.md")
    assert card["sha256"] == header.sha256
    assert card["licence"] == "none: drawn by computation"
    assert card["origin"].startswith("started from theirs")
    assert card["unit"].startswith("metres: by the recorded motion")
    assert card["train_files"].startswith("not known"), "the initial weights have no list"
    assert trained_on(header) is None
    best = load_checkpoint(run / "checkpoints" / "best.pt")["average"]
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, best[f"depth.{key}"], rtol=1e-6, atol=0)
    assert not list(run.glob("*.partial"))
    assert not list(run.glob("*.safetensors"))
    out = tmp_path / "out"
    arguments = ["run", STREET, "--weights", str(made), "--limit", "1", "--out", str(out)]
    assert main([*arguments, "--device", "cpu"]) == 0
    assert json.loads((out / "run.json").read_text())["unit"] == "metres"


def test_a_damaged_result_is_detected(run: Path, tmp_path: Path, capsys) -> None:
    copy = Path(shutil.copytree(run / "mine", tmp_path / "copy"))
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert main(["weights", "verify", str(run / "mine")]) == 0
    assert "ok     mine: sha256 " in capsys.readouterr().out
    run_with = ["run", STREET, "--out", str(tmp_path / "out"), "--weights"]
    for command in (run_with, ["weights", "verify"]):
        assert main([*command, str(copy)]) == 1
        assert "README.md" in capsys.readouterr().err


def test_its_weights_are_trained(relative: Path, run: Path) -> None:
    """The weights change, and not only the scale."""
    before = load_model(str(relative), "depth")[0].model.state_dict()
    last = load_checkpoint(run / "checkpoints" / "last.pt")["model"]
    changed = [k for k, v in before.items() if not torch.equal(v, last[f"depth.model.{k}"])]
    assert len(changed) > len(before) / 2


def test_the_result_can_be_trained_further(run: Path, tmp_path: Path) -> None:
    """Its training files are listed, and its scale is kept."""
    made = run / "mine"
    (made / "train.sha256").write_text(f"{'a' * 64}  drive/0000000001.jpg\n")
    again = trained(tmp_path, made, "again")
    network, header = load_model(str(again / "again"), "depth")
    assert trained_on(header) == {"a" * 16: "drive/0000000001.jpg"}
    first = load_model(str(made), "depth")[0]
    assert float(network.log_scale) == pytest.approx(float(first.log_scale), abs=0.1)
    assert abs(float(first.log_scale)) > 0.5
    assert read_card(again / "again" / "README.md")["train_files"] == "train.sha256"


def test_the_initial_scale_has_the_least_photometric_error(relative: Path, tmp_path: Path) -> None:
    config = quick_config(relative, gate="all")
    split = DataSplit([chosen_frames(STREET)], [])
    data = read_data(config, split, SIZE, networks_of(config), tmp_path, RunControl(print))
    dataset = TripletDataset(data.recordings, config, False)
    network, _ = load_model(str(relative), "depth")
    assert not network.scaled
    unscaled = network.inverse_depths
    batches = [dataset.unchanged(i) for i in (0, len(dataset) - 1)]

    def error(factor: float) -> float:
        total = 0.0
        for batch in batches:
            image = batch.frames[:, 0].float() / 255
            inverse = unscaled(image, batch.intrinsics[:, 1, 1])[0] * factor
            compared = compare_batch(batch, Prediction([inverse], None), config.loss)
            total += float(masked_mean(compared.error[0], compared.seen[0])[0].sum())
        return total

    with torch.no_grad():
        before = error(1.0)
        median = find_scale(network, dataset, config.loss, torch.device("cpu"))
        assert median in MEDIANS
        image = dataset.unchanged(0).frames[:, 0].float() / 255
        depth = network(image, torch.tensor([100.0]))
        # The street is some metres to some tens of metres away; the initial scale is centimetres.
        assert 2 < float(depth.median()) < 60
        after = error(1.0)
        assert after < before
        assert all(after <= error(f) * 1.05 for f in np.geomspace(0.01, 100, 9))
