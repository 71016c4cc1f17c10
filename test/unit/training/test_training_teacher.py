# SPDX-License-Identifier: Apache-2.0
"""A teacher that is affine in inverse depth, fitted to points or to the start, teaches the rest."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from training_runs import SIZE, STREET, batch_of, image_folder, networks_of, quick_config

from depth_recog.cli.main import main
from depth_recog.cli.train import chosen_frames
from depth_recog.datasets.sources import open_source
from depth_recog.method.masking import SKY
from depth_recog.networks.weights import read_card
from depth_recog.training.config import LossWeights, write_config
from depth_recog.training.data.batches import TripletDataset
from depth_recog.training.data.points import MOST
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.data.selection import DataSplit, read_data
from depth_recog.training.data.teacher import teacher_depth
from depth_recog.training.depth.model import Prediction
from depth_recog.training.depth.objective import objective
from depth_recog.training.loop.run import RunControl

HEIGHT, WIDTH = 32, 64
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
INVERSE = 0.02 + 0.3 * ROWS / HEIGHT + 0.1 * (COLUMNS > 40)
UNIT = 0.5
"""Length of a unit of the points that have none, metres."""


def prepared(recorded: bool = True) -> PreparedFrames:
    """One frame: the teacher is exactly affine, the start is flat and 20 % too near."""
    pose = np.eye(4) if recorded else np.full((4, 4), np.nan)
    start = 1.2 * INVERSE.mean() * np.exp(0.3 * np.log(INVERSE / INVERSE.mean()))
    return PreparedFrames(
        "street",
        ["0"],
        [],
        np.zeros((1, HEIGHT, WIDTH, 3), np.uint8),
        np.zeros((1, HEIGHT, WIDTH), np.uint8),
        np.eye(3)[None],
        np.zeros(1, np.int64),
        pose[None],
        anchors=start.astype(np.float16)[None],
        teachers=(7 * INVERSE + 0.6).astype(np.float32)[None],
    )


def points(unit: float = 1.0, count: int = 80) -> np.ndarray:
    """Points on the left half alone."""
    table = np.zeros((MOST, 3), np.float32)
    rng = np.random.default_rng(1)
    table[:count, 0] = rng.integers(0, 30, count)
    table[:count, 1] = rng.integers(0, HEIGHT, count)
    at = INVERSE[table[:count, 1].astype(int), table[:count, 0].astype(int)]
    table[:count, 2] = 1 / at / unit
    return table


def test_points_in_metres_fit_it_exactly() -> None:
    found = teacher_depth(prepared(), 0, points())
    np.testing.assert_allclose(found, INVERSE, rtol=1e-3)


def test_points_without_a_unit_get_that_of_the_start() -> None:
    frames = prepared(recorded=False)
    found = teacher_depth(frames, 0, points(UNIT))
    ratio = found / INVERSE
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-3)
    left = frames.anchor(0)[:, :30] / INVERSE[:, :30]
    assert ratio[0, 0] == pytest.approx(np.median(left), rel=0.2)


def test_without_points_it_is_fitted_to_the_start() -> None:
    frames = prepared()
    for none in (None, points(count=5)):
        found = teacher_depth(frames, 0, none)
        error = np.abs(np.log(found[found > 0] / frames.anchor(0)[found > 0]))
        assert np.median(error) < 0.1


def test_it_improves_where_the_points_have_none() -> None:
    """A free inverse depth learns from points on the left, and from the teacher on the right."""
    table = torch.from_numpy(points()[None])
    taught = torch.from_numpy(teacher_depth(prepared(), 0, points()))[None, None]
    true = torch.from_numpy(INVERSE)[None, None].float()
    wrong = {}
    for weight in (0.0, 0.5):
        weights = LossWeights(points=0.3, teacher=weight, contact=0, sky=0, scale=0, smoothness=0)
        free = torch.full((1, 1, HEIGHT, WIDTH), -2.0, requires_grad=True)
        known = {"points": table, "weights": (table[..., 2] > 0).float() / 80, "teacher": taught}
        batch = batch_of(torch.zeros(1, 3, 3, HEIGHT, WIDTH, dtype=torch.uint8), **known)
        optimiser = torch.optim.Adam([free], lr=0.05)
        for _ in range(60):
            optimiser.zero_grad()
            inverse = free.exp()
            terms, _ = objective(batch, Prediction([inverse], None), weights, lambda counts: counts)
            terms.total.backward()
            optimiser.step()
        error = (free.detach() - true.log()).abs()
        wrong[weight] = float(error[..., 40:].mean())
    assert wrong[0.5] < 0.15
    assert wrong[0.0] > 3 * wrong[0.5]


def test_it_teaches_only_where_motion_shows_nothing() -> None:
    """There the images fit no better than at rest, and no triangulated point is near."""
    rng = np.random.default_rng(2)
    image = rng.integers(0, 255, (3, HEIGHT, WIDTH)).astype(np.uint8)
    image[:, :, WIDTH // 2 :] = 128  # no texture on the right
    frames = np.stack((image, np.roll(image, 2, 2), np.roll(image, -2, 2)))
    motions = torch.eye(4).repeat(1, 2, 1, 1)
    motions[0, :, 0, 3] = torch.tensor((2.0, -2.0))  # by 2 pixels at depth 1
    table = torch.zeros(1, MOST, 3)
    table[0, 0] = torch.tensor((50.0, 10.0, 1.0))
    known = {"motions": motions, "points": table, "weights": (table[..., 2] > 0).float()}
    known["teacher"] = torch.full((1, 1, HEIGHT, WIDTH), 3.0)
    batch = batch_of(torch.from_numpy(frames)[None], **known)
    inverse = torch.ones(1, 1, HEIGHT, WIDTH, requires_grad=True)
    prediction = Prediction([inverse], None)
    terms, compared = objective(batch, prediction, LossWeights(), lambda counts: counts)
    terms.teacher.backward()
    taught = inverse.grad[0, 0] != 0
    seen = compared.valid[0, 0, 0]
    assert 0.3 < seen.float().mean() < 0.6
    assert not taught[8:13, 48:53].any(), "near the point"
    taught[8:13, 48:53] = ~seen[8:13, 48:53]
    assert torch.equal(taught, ~seen)


def test_the_sky_and_dense_truth_are_not_taught() -> None:
    shape = (1, 1, HEIGHT, WIDTH)
    taught = torch.full(shape, 0.2)
    predicted = Prediction([torch.full(shape, 0.1)], None)
    frames = torch.zeros(1, 3, 3, HEIGHT, WIDTH, dtype=torch.uint8)

    def term(**known: torch.Tensor) -> float:
        batch = batch_of(frames, teacher=taught, **known)
        return float(objective(batch, predicted, LossWeights(), lambda counts: counts)[0].teacher)

    assert term() == pytest.approx(LossWeights().teacher * np.log(2), rel=1e-4)
    assert term(labels=torch.full(shape, SKY, dtype=torch.uint8)) == 0
    assert term(truth=torch.full(shape, 10.0)) == 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of the real class that is affine in the inverse depth of `STREET`."""
    pytest.importorskip("transformers", reason="pip install '.[hf]'")
    import affine_network
    from hf_models import depth_anything

    from depth_recog.networks.hf.depth import HfDepth

    folder = depth_anything(tmp_path / "theirs")
    size = {"width": SIZE[0], "height": SIZE[1]}
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": size}))
    answer = affine_network.Answer.to(open_source(STREET), 8)
    monkeypatch.setattr(HfDepth, "_answer", lambda self, image: answer(image))
    return folder


def test_a_directory_teaches_after_it_was_aligned(folder: Path, tmp_path: Path) -> None:
    """Its depth reaches the batch in the unit of the start, and its name the card."""
    source, out = image_folder(tmp_path / "images", 8), tmp_path / "out"
    config = quick_config(Path("depth-street"), steps=1, batch=1, validation={"frames": 1})
    (tmp_path / "c.yaml").write_text(write_config(config))
    arguments = ["train", source, "--config", str(tmp_path / "c.yaml"), "--out", str(out)]
    assert main([*arguments, "--teacher", str(folder)]) == 0
    assert read_card(out / "out.md")["origin"].endswith(", taught by theirs")
    config = config.model_copy(update={"teacher": str(folder)})
    split = DataSplit([chosen_frames(source)], [])
    data = read_data(config, split, SIZE, networks_of(config), tmp_path, RunControl(print))
    batch = TripletDataset(data.recordings, config, False).unchanged(0)
    frame = data.recordings[0].triplets[0].index
    truth = open_source(STREET).truth(frame).depth
    ratio = batch.teacher[0, 0].numpy() * truth
    use = (batch.teacher[0, 0].numpy() > 0) & (truth < 40)
    assert use.mean() > 0.5
    assert np.median(np.abs(np.log(ratio[use] / np.median(ratio[use])))) < 0.1, "it is bent"
    start = batch.anchor[0, 0].numpy() / batch.teacher[0, 0].numpy()
    assert abs(np.log(np.median(start[use]))) < 0.2


BAD = {
    "nowhere": "no such weights file",
    "empty": "without config.json",
    "someone/model": "hf download someone/model",
    "masks-street": "a depth network is needed",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_teacher_is_refused_before_anything_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    source = image_folder(tmp_path / "images", 8)
    assert main(["train", source, "--teacher", name, "--out", "out", "--set", "device=cpu"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("depth-recog train: teacher: ")
    assert BAD[name] in line
    assert not (tmp_path / "out").exists()
