# SPDX-License-Identifier: Apache-2.0
"""Depth is learnt from images and motion alone, and only with the right geometry."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

from training_runs import SIZE, STREET, blank_weights, networks_of, quick_config

from depth_recog.cli.train import chosen_frames
from depth_recog.method.masking import PresetRules
from depth_recog.training.data.batches import TrainingRecording, TripletDataset
from depth_recog.training.data.cache import prepare
from depth_recog.training.data.gating import exclusions_of
from depth_recog.training.data.triplets import Triplet, choose_triplets
from depth_recog.training.depth.model import DepthModel
from depth_recog.training.depth.task import DepthTask, HeldOutFrames
from depth_recog.training.initial import initial_network
from depth_recog.training.loop.run import RunControl, TrainingRunFolder, start_run
from depth_recog.training.loop.trainer import Trainer

STEPS = 64
RULES = PresetRules()


class Experiment:
    """A street, and what a blank network learns from it when its data are falsified."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        weights = blank_weights(folder)
        self.config = quick_config(weights, steps=STEPS, rate=5e-4, augment={"zoom": 1})
        networks = networks_of(self.config)
        self.street, self.elsewhere = (
            prepare(chosen_frames(text), SIZE, networks, folder / "cache")
            for text in (STREET, STREET.replace("seed=3", "seed=9"))
        )
        triplets, _ = choose_triplets(self.street, RULES, 0.5)
        exclusions = exclusions_of("all", self.street, triplets, RULES, networks)
        self.recording = TrainingRecording(self.street, triplets, exclusions)

    def learn(
        self, recording: TrainingRecording, name: str
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Figures on the true street before and after the training."""
        config = self.config
        run = start_run(config, TrainingRunFolder(self.folder / name), RunControl(print))
        true = TripletDataset([self.recording], config, False)
        held_out = HeldOutFrames([self.street], true, 6)
        torch.manual_seed(0)
        model = DepthModel(initial_network(config.start.depth, "depth").network, None)
        task = DepthTask(model, config.loss, held_out, False)
        trainer = Trainer(run, task, TripletDataset([recording], config, False))
        before = task.validate(trainer.average, run.fabric.device).figures
        assert trainer.run() == "steps"
        return before, task.validate(trainer.average, run.fabric.device).figures


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Experiment:
    return Experiment(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def right(experiment: Experiment) -> tuple[dict[str, float], dict[str, float]]:
    return experiment.learn(experiment.recording, "right")


def test_training_lowers_the_loss_and_the_error(right) -> None:
    before, after = right
    assert after["photometric"] < before["photometric"] / 2
    assert after["abs_rel_median_scaled"] < 0.65 * before["abs_rel_median_scaled"]
    assert after["abs_rel"] < 0.85 * before["abs_rel"], "in metres: the recorded motion is metric"


SEEN = ("images", "labels", "intrinsics", "anchors")


def with_neighbours(experiment: Experiment, seen: dict[str, np.ndarray]) -> TrainingRecording:
    """The recording with other images of the neighbours; their motion stays."""
    street, count = experiment.street, len(experiment.street)
    arrays = {name: np.concatenate((getattr(street, name), seen[name])) for name in SEEN}
    poses = np.concatenate((street.poses, street.poses))
    frames = replace(street, **arrays, poses=poses, depths=None, dense=False)
    true = experiment.recording
    triplets = [Triplet(t.index, t.before + count, t.after + count) for t in true.triplets]
    return TrainingRecording(frames, triplets, true.exclusions)


def shuffled(experiment: Experiment) -> TrainingRecording:
    """Neighbours from other moments."""
    order = np.random.default_rng(0).permutation(len(experiment.street))
    seen = {name: getattr(experiment.street, name)[order] for name in SEEN}
    return with_neighbours(experiment, seen)


def wrong_intrinsics(experiment: Experiment) -> TrainingRecording:
    """A principal point that is wrong by a quarter of the width."""
    k = experiment.street.intrinsics.copy()
    k[:, 0, 2] += SIZE[0] / 4
    return replace(experiment.recording, frames=replace(experiment.street, intrinsics=k))


def other_camera(experiment: Experiment) -> TrainingRecording:
    """Neighbours that another camera took in another street."""
    seen = {name: getattr(experiment.elsewhere, name) for name in SEEN}
    return with_neighbours(experiment, seen)


@pytest.mark.parametrize("falsify", [shuffled, wrong_intrinsics, other_camera])
def test_wrong_geometry_makes_the_depth_worse(experiment: Experiment, right, falsify) -> None:
    _, good = right
    _, bad = experiment.learn(falsify(experiment), falsify.__name__)
    assert bad["abs_rel_median_scaled"] > 1.3 * good["abs_rel_median_scaled"]
    assert bad["photometric"] > 1.2 * good["photometric"]
