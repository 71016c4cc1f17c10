# SPDX-License-Identifier: Apache-2.0
"""What is computed of a frame: once, and of its own pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from depth_recog.method import masking
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.observation import Observation
from depth_recog.method.tracking import tracks

ROAD, CAR = 0, 13
CAMERA = Camera(width=24, height=16, fx=20.0, fy=20.0, cx=11.5, cy=7.5)


def frame() -> Observation:
    rng = np.random.default_rng(0)
    return Observation(
        "frame",
        0,
        rng.integers(0, 256, (16, 24, 3), np.uint8),
        CAMERA,
        np.ones((16, 24), np.float32),
        np.where(rng.random((16, 24)) < 0.1, np.uint8(CAR), np.uint8(ROAD)),
    )


def test_each_margin_has_its_own_mask() -> None:
    seen = frame()
    for margin in (2, 0, 1, 2):
        np.testing.assert_array_equal(seen.near(margin), masking.dilated(seen.dynamic, margin))


def test_with_tracks_nothing_is_computed_again() -> None:
    seen = frame()
    grey, components, near = seen.grey, seen.components, seen.near(2)
    known = tracks.none_yet()
    other = seen.with_tracks(known)
    assert other.tracks is known
    assert seen.tracks is None, "the frame itself stays as it is"
    assert other.grey is grey
    assert other.components is components
    assert other.near(2) is near


def test_other_masks_have_components_of_their_own() -> None:
    """A frame that is shown other labels must not keep what was computed of the old ones."""
    seen = frame()
    assert seen.components.any()
    assert seen.near(1).any()
    blank = replace(seen, known_labels=np.full_like(seen.labels, ROAD))
    assert not blank.components.any()
    assert not blank.near(1).any()


def test_an_infinite_sky_does_not_change_the_gates_unit() -> None:
    depth = np.full((16, 24), 3.0, np.float32)
    depth[:12] = np.inf
    frozen = np.where(np.isfinite(depth), np.float32(2.0), depth)
    assert replace(frame(), known_depth=depth, known_frozen_depth=frozen).gate_unit == 1.5
    assert (
        replace(
            frame(), known_depth=depth, known_frozen_depth=np.full_like(depth, np.inf)
        ).gate_unit
        == 1.0
    )
