# SPDX-License-Identifier: Apache-2.0
"""Video files: order, seeking, times, calibration, damage."""

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from camera_files import CAMERA, write_camera_yaml
from street_files import assert_recording

from depth_recog.datasets.media.video import Video
from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.errors import CalibrationError, SourceError
from depth_recog.method.geometry.camera import Camera


def brightness(sequence: Recording, index: int) -> int:
    """The number of a frame of `film`, from its brightness."""
    return round(float(sequence[index].image.mean()) / 8)


def test_video_in_order_and_by_seeking(film: Path) -> None:
    """Iteration and indexing give the same frames; stamps are the container's."""
    sequence = open_source(str(film))
    assert_recording(sequence, "video", "film", 20.0, [i * 50_000_000 for i in range(30)])
    frames = list(sequence)
    assert [frame.name for frame in frames] == [f"{i:010d}" for i in range(30)]
    assert frames[0].camera == CAMERA
    for index in (20, 3, 4, 29, 0, 13):
        assert brightness(sequence, index) == index
        assert sequence[index].stamp_ns == frames[index].stamp_ns
    assert brightness(sequence, -1) == 29
    assert sequence.truth(29).depth is None


def test_video_iterators_do_not_disturb_each_other(film: Path) -> None:
    """Two iterators over one video, and an access by index in between."""
    sequence = Video(film)
    pairs = list(zip(sequence, sequence, strict=True))
    assert all(np.array_equal(a.image, b.image) for a, b in pairs)
    assert len(pairs) == 30


def test_video_without_times(film: Path, monkeypatch) -> None:
    """A container that reports no times gets index / fps."""
    real = cv2.VideoCapture

    class Timeless:
        def __init__(self, *arguments: Any) -> None:
            self.capture = real(*arguments)

        def get(self, prop: int) -> float:
            return 0.0 if prop == cv2.CAP_PROP_POS_MSEC else self.capture.get(prop)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.capture, name)

    monkeypatch.setattr(cv2, "VideoCapture", Timeless)
    assert [frame.stamp_ns for frame in Video(film)] == [i * 50_000_000 for i in range(30)]


def test_video_in_another_process_and_of_unknown_length(film: Path) -> None:
    sequence = Video(film)
    assert len(pickle.loads(pickle.dumps(sequence))) == 30
    sequence._stated = 0
    assert len(sequence) == 30


def test_video_calibration(film: Path) -> None:
    """The video's YAML, else camera.yaml, else an error with the remedy."""
    film.with_suffix(".yaml").rename(film.parent / "camera.yaml")
    assert Video(film)[0].camera == CAMERA
    write_camera_yaml(film.parent / "camera.yaml", Camera(64, 64, 60.0, 60.0, 31.5, 31.5))
    with pytest.raises(CalibrationError, match=rf"{film.name} is 64x48.*write a calibration"):
        Video(film)[0]
    (film.parent / "camera.yaml").unlink()
    with pytest.raises(CalibrationError, match=r"write .*film\.yaml.*image_width: 640"):
        Video(film)


def test_damaged_videos(film: Path) -> None:
    """A file that is no video, a missing file, and a video shorter than its stated length."""
    sequence = Video(film)
    if film.suffix != ".mkv":  # there the number is an estimate
        sequence._stated = 300
        with pytest.raises(SourceError, match=rf"{film.name} ends at frame 30 of 300.*copy it "):
            list(sequence)
    with pytest.raises(IndexError):
        sequence[200]
    film.write_text("no video")
    with pytest.raises(SourceError, match=rf"{film.name} is no video.*convert it with ffmpeg"):
        Video(film)
    with pytest.raises(SourceError, match=r"gone\.mp4 is not a file: give a video"):
        Video(film.parent / "gone.mp4")
