# SPDX-License-Identifier: Apache-2.0
"""Helpers for the tests of the readers: the street's car, and damaged files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Recording, Truth
from depth_recog.datasets.street import SyntheticStreet
from depth_recog.datasets.street.actors import RigidPart, Traffic
from depth_recog.datasets.street.mesh import Mesh
from depth_recog.datasets.street.scene import scene
from depth_recog.datasets.street.view import REACH
from depth_recog.errors import DepthRecogError
from depth_recog.method.geometry.camera import Camera


def lead_car(street: SyntheticStreet, index: int) -> RigidPart:
    """The only vehicle of the scene lead_car."""
    traffic = Traffic(scene("lead_car"), street._seed, street._drive, REACH)
    time, then = index / street.rate_hz, (index + 1) / street.rate_hz
    pose = street._drive.world_from_camera(time)
    (actor,) = traffic.cast(time, then, np.linalg.inv(pose))
    (part,) = actor.parts
    return part


def extent(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the minimum and maximum coordinates of a mesh in its own frame."""
    reach = np.linalg.norm(np.linalg.inv(mesh.axes), axis=2)
    points = np.concatenate((mesh.corners.reshape(-1, 3), mesh.centre - reach, mesh.centre + reach))
    return points.min(0), points.max(0)


def write_png(path: Path, image: NDArray[np.generic]) -> None:
    """Write an RGB or grey image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image if image.ndim == 2 else image[..., ::-1])


def unproject(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float64]:
    """Return (H, W, 3) points in the camera frame, metres; not finite for the sky."""
    v, u = np.mgrid[: camera.height, : camera.width].astype(np.float64)
    rays = np.stack(((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)), -1)
    with np.errstate(invalid="ignore"):
        return np.asarray(rays * depth[..., None].astype(np.float64))


def assert_same_truth(one: Truth, two: Truth, digits: float = 1e-12) -> None:
    """Assert that the truth of two frames is equal: maps exactly, poses to `digits`."""
    for name in ("depth", "labels", "moving"):
        a, b = getattr(one, name), getattr(two, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    assert (one.world_from_camera is None) == (two.world_from_camera is None)
    if one.world_from_camera is not None:
        np.testing.assert_allclose(one.world_from_camera, two.world_from_camera, 0, digits)
    assert (one.boxes is None) == (two.boxes is None)
    for a, b in zip(one.boxes or (), two.boxes or (), strict=True):
        assert (a.track, a.kind, a.size, a.truncated) == (b.track, b.kind, b.size, b.truncated)
        np.testing.assert_equal(a.speed, b.speed)
        np.testing.assert_allclose(a.T_camera_from_box, b.T_camera_from_box, 0, digits)


def assert_recording(
    sequence: Recording, kind: str, name: str, rate_hz: float, stamps_ns: Sequence[int]
) -> None:
    """Assert a recording's description and its frames' stamps, and that nothing follows them."""
    assert isinstance(sequence, Recording)
    assert (sequence.kind, sequence.name, sequence.live) == (kind, name, False)
    assert sequence.rate_hz == pytest.approx(rate_hz)
    assert [frame.stamp_ns for frame in sequence] == list(stamps_ns)
    count = len(sequence)
    assert count == len(stamps_ns)
    assert sequence[-1].stamp_ns == stamps_ns[-1]
    for read in (sequence.__getitem__, sequence.truth, sequence.file):
        for index in (count, -count - 1):
            with pytest.raises(IndexError):
                read(index)


def read_all(sequence: Recording) -> None:
    """Reads every frame and its ground truth; unlike iteration, it leaves no frame out."""
    for i in range(len(sequence)):
        sequence[i]
        sequence.truth(i)


def write_or_remove(path: Path, text: str | None) -> None:
    """Replaces a file's content; removes the file if `text` is None."""
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


def assert_damage_is_named(root: Path, spare: Path, read: Callable[[], None], least: int) -> None:
    """Call `read` with each file below `root` removed, emptied, truncated and scrambled in turn.

    More than `least` calls must fail, each with a DepthRecogError that names a path in `root`.
    """
    messages = []
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        shutil.copy(file, spare)
        data = file.read_bytes()
        half = data[: len(data) // 2]
        for content in (None, b"", half, data[::-1], b"\xff\xfe\x00" + data[3:]):
            if content is None:
                file.unlink()
            else:
                file.write_bytes(content)
            try:
                read()
            except DepthRecogError as error:
                messages.append(str(error))
        shutil.copy(spare, file)
    read()
    assert len(messages) > least
    assert all(str(root) in message for message in messages)
