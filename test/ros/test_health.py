# SPDX-License-Identifier: Apache-2.0
"""Health levels as functions of the counts; test_node_health.py tests them over DDS."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("rclpy")

from depth_recog.nodes.diagnostics import health
from depth_recog.nodes.diagnostics.health import ERROR, OK, WARN, InputState, Recent

FINE = InputState(
    topic="/cam/image",
    info_topic="/cam/camera_info",
    publishers=1,
    listening=True,
    heard=True,
    silence=0.1,
    timeout=2.0,
    mismatches=[],
    why="too dark",
)


def recent(**grown: int) -> Recent:
    """Return the growth of counts between two reports."""
    found = Recent()
    found.add(dict.fromkeys(grown, 7))
    found.add({key: 7 + value for key, value in grown.items()})
    return found


INPUTS = {
    "fine": (FINE, {"received": 9, "published": 9}, OK, "images per second"),
    "idle": (replace(FINE, listening=False, heard=False), {}, OK, "no output has a subscriber"),
    "just begun": (replace(FINE, heard=False, silence=0.3), {}, OK, "waiting"),
    "none yet": (replace(FINE, heard=False, silence=1.1), {}, WARN, "no image yet on /cam/image"),
    "none for long": (replace(FINE, heard=False, silence=2.1), {}, ERROR, "no image yet on /cam"),
    "no camera": (
        replace(FINE, heard=False, silence=9.0, publishers=0),
        {},
        ERROR,
        "/cam/image has no publisher",
    ),
    "silent": (replace(FINE, silence=2.1), {"received": 1}, ERROR, "no image for 2.1 s"),
    "not yet silent": (replace(FINE, silence=1.9), {"received": 1, "published": 1}, OK, ""),
    "some rejected": (FINE, {"rejected": 1, "published": 3}, WARN, "1 images were rejected"),
    "all rejected": (FINE, {"rejected": 4}, ERROR, "every image is rejected: too dark"),
    "losses": (FINE, {"published": 50, "lost": 3}, WARN, "3 messages of /cam/image or /cam/"),
    "no info": (FINE, {"unmatched": 4}, WARN, "no camera_info for the images: publish it on /cam"),
    "info late": (FINE, {"unmatched": 1, "published": 3}, OK, ""),
    "other qos": (replace(FINE, mismatches=["asks for more"]), {"rejected": 3}, WARN, "asks for"),
}


@pytest.mark.parametrize("case", INPUTS)
def test_input(case: str) -> None:
    known, grown, level, words = INPUTS[case]
    status = health.input_status(known, recent(**grown))
    assert (status.level, words in status.message) == (level, True), status


@pytest.mark.parametrize(
    ("alive", "mismatches", "grown", "level", "words"),
    [
        (True, [], {"published": 5, "dropped": 5}, OK, "per second"),
        (True, [], {"published": 5, "dropped": 6}, WARN, "6 of 11 images"),
        (True, ["a listener"], {"published": 5}, WARN, "a listener"),
        (False, ["a listener"], {"published": 5}, ERROR, "thread has ended"),
    ],
)
def test_depth(
    alive: bool, mismatches: list[str], grown: dict[str, int], level: bytes, words: str
) -> None:
    status = health.depth_status(alive, True, mismatches, recent(**grown))
    assert (status.level, words in status.message) == (level, True), status


def test_depth_status_without_subscribers() -> None:
    assert health.depth_status(True, False, [], recent()).message == "no output has a subscriber"


@pytest.mark.parametrize(
    ("state", "why", "level", "message"),
    [
        ("active", "", OK, "active"),
        ("loading", "x.safetensors", OK, "loading x.safetensors"),
        ("failed", "no tensor", WARN, "the previous networks stay in use: no tensor"),
        ("", "", OK, "not configured"),
    ],
)
def test_weights(state: str, why: str, level: bytes, message: str) -> None:
    status = health.weights_status(state, why)
    assert (status.level, status.message) == (level, message)


def test_gate() -> None:
    assert health.gate_status("image", {}) == health.HealthStatus(health.OK, "image")
    found = health.gate_status("object", {"moving": 1.0, "still": 4.25}).message
    assert found == "object: 1.0 moving, 4.2 still regions per frame"


def test_old_counts_are_forgotten() -> None:
    found = Recent()
    for rejected in (0, 3, 3, 3, 3, 3):
        found.add({"rejected": rejected})
        last = found.grown["rejected"]
    assert last == 3
    found.add({"rejected": 3})
    assert found.grown["rejected"] == 0
