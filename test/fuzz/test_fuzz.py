# SPDX-License-Identifier: Apache-2.0
"""Mutated files through every door; benchmarks/fuzz.py does the same at length."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rosbags")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("transformers")
pytest.importorskip("lightning_fabric")
pytest.importorskip("pydantic")
pytest.importorskip("rclpy", reason="the sections of parameter files are the nodes'")

from fuzz import motion, networks, sources
from fuzz.running import put, run, tried

DOORS = {door.name: door for door in (*sources.DOORS, *motion.DOORS, *networks.DOORS)}
SEED = 17
INPUTS = 200
SECONDS = 1.0
"""For each door, whichever comes first."""


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", DOORS)
def test_every_answer_is_a_result_or_an_error_of_ours(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    door = DOORS[name]
    good = door.corpus(tmp_path / "good")
    for files in good:
        put(files, tmp_path / "input")
        if tried(door, tmp_path / "input").answer == "read":
            break
    else:
        raise AssertionError(f"{name}: no input of the corpus can be read")
    end = time.process_time() + SECONDS
    outcomes = run(door, tmp_path, SEED, range(INPUTS), lambda: time.process_time() > end)
    failed = [outcome for outcome, _ in outcomes if outcome.failed]
    assert not failed, failed[0]
