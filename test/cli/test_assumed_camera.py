# SPDX-License-Identifier: Apache-2.0
"""`--fov` and `--focal`: a source without calibration, in every verb that opens one."""

from __future__ import annotations

import json
from pathlib import Path

import bags
import cv2
import numpy as np
import pytest
from commands import command, fails, misused

from depth_recog.datasets.assumed import AssumedLens
from depth_recog.datasets.sources import open_source
from depth_recog.errors import UncalibratedError

STREET = "synthetic:street?frames=4&width=320&height=96"
FOV = 81.0


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive without calibration, as a phone records it."""
    path = tmp_path_factory.mktemp("phone") / "drive.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (320, 96))
    for frame in open_source(STREET):
        writer.write(np.ascontiguousarray(frame.image[..., ::-1]))
    writer.release()
    return path


@pytest.fixture(scope="module")
def run(video: Path) -> Path:
    out = video.parent / "out"
    result = command("run", video, "--out", out, "--fov", str(FOV))
    assert result.returncode == 0, result.stderr
    return out


def test_without_calibration_the_message_names_the_option(video: Path, tmp_path: Path) -> None:
    message = fails("run", video, "--out", tmp_path / "out")
    assert "--fov DEGREES" in message
    assert "fallback_fov" in message


def test_run_computes_depth_and_says_that_its_metres_are_a_guess(run: Path) -> None:
    report = json.loads((run / "run.json").read_text())["assumed_camera"]
    assert (report["fov"], report["focal"]) == (FOV, None)
    assert report["focal_pixels"] == pytest.approx(160 / np.tan(np.radians(FOV / 2)))
    assert "guess" in report["meaning"]
    depth = cv2.imread(str(next((run / "depth").iterdir())), cv2.IMREAD_UNCHANGED) / 256
    assert 2 < np.median(depth[depth > 0]) < 60


def test_a_calibrated_run_assumes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command("run", STREET, "--out", out, "--limit", "1", "--focal", "200").returncode == 0
    assert json.loads((out / "run.json").read_text())["assumed_camera"] is None


def test_evaluate_opens_the_source_of_such_a_run(run: Path) -> None:
    """It fails for lack of truth, not of a calibration."""
    assert "no truth to compare with" in fails("evaluate", run)


def test_placebos_open_such_a_source(video: Path) -> None:
    """Four frames are too few for placebos, which is said after they were read."""
    result = command("evaluate", video, "--placebos", "--fov", str(FOV))
    assert "placebos in 4 frames" in result.stderr


def test_a_recorded_bag_remembers_that_its_camera_is_a_guess(video: Path, tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    assert command("record", video, "--out", bag, "--focal", "150").returncode == 0
    camera = open_source(str(bag))[0].camera  # type: ignore[index]
    assert camera.assumed
    assert camera.fx == 150
    out = tmp_path / "out"
    assert command("run", bag, "--out", out, "--limit", "1").returncode == 0
    assert json.loads((out / "run.json").read_text())["assumed_camera"]["focal_pixels"] == 150


def test_train_keeps_what_it_assumes_in_its_config(tmp_path: Path) -> None:
    shown = command("train", "--print-config", "--fov", "70").stdout
    assert "\nfov: 70.0\n" in shown
    config = tmp_path / "config.yaml"
    config.write_text(shown)
    shown = command("train", "--print-config", "--config", config, "--focal", "500").stdout
    assert "\nfov: null\n" in shown
    assert "\nfocal: 500.0\n" in shown


@pytest.mark.parametrize("verb", ["run", "evaluate", "record", "train", "demo"])
def test_every_verb_with_a_source_has_the_options(verb: str) -> None:
    text = command(verb, "--help").stdout
    assert "--fov DEGREES" in text
    assert "--focal PIXELS" in text
    for bad in ("0", "180", "wide", "nan"):
        assert "--fov" in misused(verb, "synthetic", "--fov", bad)
    assert "not allowed with" in misused(verb, "synthetic", "--fov", "70", "--focal", "500")


@pytest.mark.parametrize("k0", [True, False])
def test_a_bag_without_calibration_or_with_k_zero(tmp_path: Path, k0: bool) -> None:
    messages = [m for m in bags.calibrated(3) if "camera_info" not in m[0]]
    if k0:
        zero = {"k": np.zeros(9), "p": np.zeros(12)}
        info = bags.info(bags.START)
        for name, value in zero.items():
            object.__setattr__(info, name, value)
        messages.insert(0, ("/cam/camera_info", bags.START, info))
    path = bags.write(tmp_path / "bag", messages)
    with pytest.raises(UncalibratedError, match="--fov DEGREES"):
        open_source(str(path))
    for frame in open_source(str(path), AssumedLens(fov=90.0)):
        assert frame.camera.assumed
        assert frame.camera.fx == pytest.approx(bags.SIZE[0] / 2)


@pytest.mark.parametrize("text", ["100000", "4097", "-5", "1.5", "1e9"])
def test_a_width_that_no_memory_holds_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    message = misused("run", STREET, "--out", tmp_path / "out", "--width", text)
    assert "from 0 to 4096" in message


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9.31 TiB for an array"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] can't allocate memory: you tried"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        cv2.error("(-4:Insufficient memory) Failed to allocate 30000000000 bytes"),
    ],
)
def test_exhausted_memory_is_one_line(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("depth_recog.cli.run.assembly_of", fail)
    assert "the memory is not enough" in fails("run", STREET, "--out", tmp_path / "out")
