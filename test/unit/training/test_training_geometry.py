# SPDX-License-Identifier: Apache-2.0
"""Geometry is what is learnt: from a blank depth, by images and motion alone, against the truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

from training_runs import SIZE, STREET, blank_start, eyes, part, quick

from depth_recog.method.masking import PresetRules
from depth_recog.training.batches import Lesson
from depth_recog.training.cache import prepare
from depth_recog.training.data import read_samples
from depth_recog.training.gating import everything
from depth_recog.training.learner import Learner, start_network
from depth_recog.training.pairs import Sample, choose_samples
from depth_recog.training.run_folder import RunFolder
from depth_recog.training.train import make_fabric
from depth_recog.training.trainer import Trainer
from depth_recog.training.validation import Examiner

STEPS = 48
RULES = PresetRules()


class School:
    """A street, and what a blank network learns of it when a lesson is tampered with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = quick(blank_start(folder), steps=STEPS, rate=5e-4, augment={"zoom": 1})
        looking = eyes(self.config)
        self.street = prepare(part(STREET), SIZE, looking, folder / "cache")
        self.elsewhere = prepare(
            part(STREET.replace("seed=3", "seed=9")), SIZE, looking, folder / "cache"
        )
        samples, _ = choose_samples(self.street, RULES, 0.5)
        moving = everything(self.street, samples, RULES, looking)
        self.lesson = Lesson(self.street, samples, moving)

    def learn(self, lesson: Lesson, name: str) -> tuple[dict[str, float], dict[str, float]]:
        """Figures on the true street before and after."""
        config = self.config
        fabric = make_fabric(config)
        fabric.launch()
        examiner = Examiner(
            [self.street], read_samples(config, [self.lesson], False), 6, False, config.loss
        )
        torch.manual_seed(0)
        learner = Learner(start_network(config.start.depth, "depth").network, None)
        run = RunFolder(self.folder / name)
        (run.path / "checkpoints").mkdir(parents=True)
        samples = read_samples(config, [lesson], False)
        trainer = Trainer(config, fabric, learner, samples, examiner, run, lambda line: None)
        before = examiner.judge(trainer.average, fabric.device).figures
        assert trainer.run(None, lambda: False) == "steps"
        return before, examiner.judge(trainer.average, fabric.device).figures


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> School:
    return School(tmp_path_factory.mktemp("school"))


@pytest.fixture(scope="module")
def right(school: School) -> tuple[dict[str, float], dict[str, float]]:
    return school.learn(school.lesson, "right")


def test_training_lowers_the_loss_and_the_error(right) -> None:
    before, after = right
    assert after["photometric"] < before["photometric"] / 2
    assert after["abs_rel_median_scaled"] < 0.65 * before["abs_rel_median_scaled"]
    assert after["abs_rel"] < 0.85 * before["abs_rel"], "in metres: the recorded motion is metric"


def shuffled(school: School) -> Lesson:
    """Every frame beside pictures of other moments than its neighbours' motion is of."""
    order = np.random.default_rng(0).permutation(len(school.street))
    return beside(school, {name: getattr(school.street, name)[order] for name in SEEN})


def wrong_intrinsics(school: School) -> Lesson:
    """A principal point that is a quarter of the width away."""
    k = school.street.intrinsics.copy()
    k[:, 0, 2] += SIZE[0] / 4
    return replace(school.lesson, frames=replace(school.street, intrinsics=k))


def other_camera(school: School) -> Lesson:
    """Neighbours that another camera took in another street."""
    return beside(school, {name: getattr(school.elsewhere, name) for name in SEEN})


SEEN = ("images", "labels", "intrinsics", "anchors")


def beside(school: School, seen: dict[str, np.ndarray]) -> Lesson:
    """The lesson with neighbours that saw something else; their motion is what it was."""
    street, count = school.street, len(school.street)
    arrays = {name: np.concatenate((getattr(street, name), seen[name])) for name in SEEN}
    poses = np.concatenate((street.poses, street.poses))
    frames = replace(street, **arrays, poses=poses, depths=None, dense=False)
    samples = [Sample(s.index, s.before + count, s.after + count) for s in school.lesson.samples]
    return Lesson(frames, samples, school.lesson.moving)


@pytest.mark.parametrize("tamper", [shuffled, wrong_intrinsics, other_camera])
def test_wrong_geometry_makes_it_visibly_worse(school: School, right, tamper) -> None:
    _, good = right
    _, bad = school.learn(tamper(school), tamper.__name__)
    assert bad["abs_rel_median_scaled"] > 1.3 * good["abs_rel_median_scaled"]
    assert bad["photometric"] > 1.2 * good["photometric"]
