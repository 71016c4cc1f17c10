# SPDX-License-Identifier: Apache-2.0
"""Videos whose container says less, or something else, than their frames."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import video_files
from camera_files import write_camera_yaml
from video_files import SIZE, brightness, matroska, mp4, picture

from depth_recog.datasets.assumed import AssumedLens
from depth_recog.datasets.media.video import Video
from depth_recog.errors import CalibrationError, SourceError
from depth_recog.method.geometry.camera import Camera

LENS = AssumedLens(fov=70.0)
VARIABLE = [0, 100, 233, 300, 433, 500, 600, 800, 900, 1000]


def stamps(video: Video) -> list[float]:
    return [frame.stamp_ns / 1e6 for frame in video]


def test_a_variable_rate_keeps_its_times_and_its_number_of_frames(tmp_path: Path, caplog) -> None:
    """The header says 30 Hz, so OpenCV counts 33 frames; the camera slowed down in the dark."""
    with caplog.at_level(logging.WARNING):
        video = Video(matroska(tmp_path / "v.mkv", VARIABLE, frame_ms=1000 / 30), LENS)
    assert "states 30 frames a second, its times" in caplog.text
    assert stamps(video) == VARIABLE
    assert video.rate_hz == pytest.approx(10, rel=0.1)
    assert len(video) == 10
    for index in (7, 2, 9, 0):
        assert brightness(video[index].image) == index
        assert video[index].stamp_ns == VARIABLE[index] * 10**6


@pytest.mark.parametrize("stream", [False, True])
def test_times_that_begin_late_begin_at_zero(tmp_path: Path, stream: bool) -> None:
    """The stated end counts from a start that the file does not have."""
    late = [5000 + time for time in VARIABLE]
    video = Video(matroska(tmp_path / "v.mkv", late, 1000 / 30, stream=stream), LENS)
    assert stamps(video) == VARIABLE
    assert len(video) == 10


def test_a_rate_that_no_camera_has_is_not_believed(tmp_path: Path) -> None:
    """Recordings of browsers state 1000 frames a second."""
    video = Video(matroska(tmp_path / "v.mkv", VARIABLE, frame_ms=0.1), LENS)
    assert video.rate_hz == pytest.approx(10, rel=0.1)
    assert stamps(video) == VARIABLE


def test_equal_times_are_spread(tmp_path: Path) -> None:
    video = Video(matroska(tmp_path / "v.mkv", [0, 100, 100, 100, 200, 300], 100), LENS)
    gaps = np.diff(stamps(video))
    assert (gaps >= 1).all(), gaps


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_a_matroska_file_that_was_cut_off_is_an_error_after_its_frames(
    tmp_path: Path, keep: float
) -> None:
    file = matroska(tmp_path / "v.mkv", VARIABLE)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * keep)])
    frames = []
    with pytest.raises(SourceError, match="cut off or damaged"):
        frames.extend(Video(file, LENS))


def test_a_recording_that_was_not_finished_names_its_missing_index(tmp_path: Path) -> None:
    """The battery of an action camera was empty: the index is at the file's end."""
    file = mp4(tmp_path / "GX010001.MP4")
    data = file.read_bytes()
    file.write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(SourceError, match=r"its index \(moov\) is missing"):
        Video(file, LENS)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_frames_and_calibration_are_turned_alike(
    tmp_path: Path, rotation: int, caplog: pytest.LogCaptureFixture
) -> None:
    """As phones store upright videos; the calibration is for the stored or the upright size."""
    stored = Camera(*SIZE, 60.0, 61.0, 30.0, 20.0)
    file = mp4(tmp_path / "v.mp4", rotation)
    write_camera_yaml(tmp_path / "v.yaml", stored)
    with caplog.at_level(logging.WARNING):
        frame = Video(file)[0]
    corner = {0: (0, 0), 90: (0, -1), 180: (-1, -1), 270: (-1, 0)}[rotation]
    assert frame.image[corner].mean() > 200
    assert frame.camera.size == frame.image.shape[1::-1]
    assert ("is turned upright" in caplog.text) == bool(rotation)
    w, h = SIZE
    expected = {
        0: stored,
        90: Camera(h, w, 61.0, 60.0, h - 1 - 20.0, 30.0),
        180: stored,  # which of both it is for cannot be told; tools show the upright image
        270: Camera(h, w, 61.0, 60.0, 20.0, w - 1 - 30.0),
    }[rotation]
    assert frame.camera == expected
    if rotation in (90, 270):
        upright = Camera(h, w, 55.0, 55.0, 24.0, 32.0)
        write_camera_yaml(tmp_path / "v.yaml", upright)
        assert Video(file)[0].camera == upright


def test_without_calibration_the_camera_is_assumed_and_marked(tmp_path: Path, caplog) -> None:
    file = mp4(tmp_path / "v.mp4")
    with pytest.raises(CalibrationError, match=r"v\.yaml"):
        Video(file)
    with caplog.at_level(logging.WARNING):
        camera = Video(file, AssumedLens(fov=90.0))[0].camera
    assert camera.fx == camera.fy == pytest.approx(32.0)
    assert (camera.cx, camera.cy, camera.assumed) == (31.5, 23.5, True)
    assert "metres are a guess" in caplog.text
    assert Video(file, AssumedLens(focal=50.0))[0].camera.fx == 50.0
    with pytest.raises(CalibrationError, match="not in millimetres"):
        Video(file, AssumedLens(focal=4.2))[0]
    write_camera_yaml(tmp_path / "v.yaml", Camera(*SIZE, 60.0, 60.0, 31.5, 23.5))
    with caplog.at_level(logging.WARNING):
        assert not Video(file, LENS)[0].camera.assumed
    assert "is not assumed" in caplog.text


def test_an_avi_without_an_index(tmp_path: Path) -> None:
    file = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 20, SIZE)
    for i in range(10):
        writer.write(picture(i))
    writer.release()
    data = file.read_bytes()
    file.write_bytes(data[: data.rindex(b"idx1")])
    video = Video(file, LENS)
    assert len(video) == len(list(video)) == 10
    assert video_files.brightness(video[9].image) == 9
