# SPDX-License-Identifier: Apache-2.0
"""`depth-recog train --set motion=points`: images without poses or truth, and no pose network."""

from pathlib import Path

import cv2
import pytest

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

from camera_files import write_camera_yaml

from depth_recog.cli.main import main
from depth_recog.datasets.sources import open_source
from depth_recog.networks.weights import read_card


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and a calibration alone."""
    folder = tmp_path_factory.mktemp("images")
    street = open_source("synthetic:street?seed=3&width=416&height=128&frames=27")
    for number in range(len(street)):
        cv2.imwrite(str(folder / f"{number:03}.png"), street[number].image[..., ::-1])
    write_camera_yaml(folder / "camera.yaml", street[0].camera)
    return folder


def train(source: Path, out: Path, *more: str) -> int:
    settings = "motion=points", "steps=1", "batch=1", "workers=0", "licence=none", "device=cpu"
    words = [word for setting in (*settings, *more) for word in ("--set", setting)]
    return main(["train", str(source), "--out", str(out), *words])


def test_points_alone_teach_and_judge(images: Path, tmp_path: Path, capsys) -> None:
    more = "validation.share=0.5", "gate=object"
    assert train(images, tmp_path / "run", *more) == 0
    shown = capsys.readouterr().out
    assert "triangulation" in shown
    assert "photometric" not in shown, "no image was compared"
    card = read_card(tmp_path / "run" / "run.md")
    assert card["origin"] == "started from depth-street"
    assert card["unit"].startswith("metres: the scale of depth-street was kept")


def test_three_frames_without_motion_cannot_validate(images: Path, tmp_path: Path, capsys) -> None:
    assert train(Path(f"{images}@0:8"), tmp_path / "run", "gate=all") == 1
    error = capsys.readouterr().err
    assert "can be judged by nothing" in error
    assert "--validate" in error
