# SPDX-License-Identifier: Apache-2.0
"""RGB-D recordings in the layout of 7-Scenes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_files import BLUE
from street_files import assert_recording, write_or_remove

from depth_recog.datasets.research.seven_scenes import SevenScenes
from depth_recog.datasets.sources import open_source
from depth_recog.errors import CalibrationError, SourceError


def test_seven_scenes(scenes: Path) -> None:
    """Depth in metres, NaN for both invalid values; the pose is None if tracking was lost."""
    sequence = open_source(str(scenes))
    assert_recording(sequence, "seven_scenes", "kitchen", 30.0, [0, 33_333_333])
    assert [f.name for f in sequence] == ["frame-000000", "frame-000001"]
    assert sequence[0].image[0, 0].tolist() == [20, 10, 250]
    truth = sequence.truth(0)
    assert np.isnan(truth.depth[0, :2]).all()
    assert truth.depth[1, 1] == 1.5
    assert truth.world_from_camera is not None
    assert sequence.truth(1).world_from_camera is None
    (scenes / "camera-intrinsics.txt").rename(scenes.parent / "camera-intrinsics.txt")
    (scenes / "frame-000001.depth.png").unlink()
    (scenes / "frame-000001.pose.txt").unlink()
    sequence = SevenScenes(scenes)
    assert sequence[1].camera.fx == 60.0
    assert sequence.truth(1).depth is None


@pytest.mark.parametrize(
    ("file", "text", "error", "expected"),
    [
        ("camera-intrinsics.txt", None, CalibrationError, "write there the colour camera"),
        ("camera-intrinsics.txt", "1 2 3", CalibrationError, "3 lines of 3 numbers"),
        ("camera-intrinsics.txt", "0 0 0\n" * 3, CalibrationError, "uncalibrated.*calibrate it"),
        ("camera-intrinsics.txt", "585 0 320\n0 585 240\n0 0 1", CalibrationError, "64x48: scale"),
        ("frame-000000.pose.txt", "1 0 0 0", SourceError, "not a 4x4 matrix: restore"),
        ("frame-000000.depth.png", "text", SourceError, "no image.*restore or delete"),
    ],
)
def test_seven_scenes_errors(
    scenes: Path, file: str, text: str | None, error: type[Exception], expected: str
) -> None:
    path = scenes / file
    write_or_remove(path, text)
    with pytest.raises(error, match=f"{path.name}.*{expected}"):
        _ = [(SevenScenes(scenes)[0], SevenScenes(scenes).truth(0))]


def test_depth_must_be_16_bit(scenes: Path) -> None:
    """An 8-bit image is an error."""
    cv2.imwrite(str(scenes / "frame-000000.depth.png"), BLUE)
    with pytest.raises(SourceError, match=r"depth\.png is uint8.*16-bit PNG.*fetch the file"):
        SevenScenes(scenes).truth(0)
    with pytest.raises(SourceError, match=r"holds no frame-\*\.color\.png"):
        SevenScenes(scenes.parent)
