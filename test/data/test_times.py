# SPDX-License-Identifier: Apache-2.0
"""Times in text files and file names: unit, order, blank lines, and what no camera has."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_files import write_camera_yaml

from depth_recog.datasets.kitti.odometry import KittiOdometry
from depth_recog.datasets.media.folder import Folder
from depth_recog.datasets.side_files import read_stamps
from depth_recog.datasets.times import in_nanoseconds
from depth_recog.errors import SourceError
from depth_recog.method.geometry.camera import Camera

SIZE = (64, 48)
START = 1_526_177_052


def clip(tmp_path: Path, names: list[str], times: str = "") -> Path:
    """A folder of images whose brightness is their position in `names`."""
    for i, name in enumerate(names):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((48, 64, 3), 8 * i, np.uint8))
    write_camera_yaml(tmp_path / "camera.yaml", Camera(*SIZE, 60.0, 60.0, 31.5, 23.5))
    if times:
        (tmp_path / "timestamps.txt").write_text(times)
    return tmp_path


def order(folder: Folder) -> list[int]:
    return [int(frame.image[0, 0, 0]) // 8 for frame in folder]


@pytest.mark.parametrize("per_second", [10**9, 10**6, 10**3])
def test_the_size_of_a_number_tells_its_unit(tmp_path: Path, per_second: int, caplog) -> None:
    times = "\n".join(str(START * per_second + i * per_second // 10) for i in range(4))
    with caplog.at_level(logging.WARNING):
        folder = Folder(clip(tmp_path, list("abcd"), times))
    expected = [START * 10**9 + i * 10**8 for i in range(4)]
    assert [frame.stamp_ns for frame in folder] == expected
    assert ("is taken as" in caplog.text) == (per_second != 10**9)


@pytest.mark.parametrize(
    ("values", "ns"),
    [
        ([START + i for i in range(3)], 10**9),
        ([0, 10**8, 2 * 10**8], 1),
        ([3_600 * 10**9 + i * 10**8 for i in range(3)], 1),  # since the robot started
        ([1_500_000_000 * 10**6 + i * 10**8 for i in range(3)], 1),  # 17 days, also microseconds
        ([START * 10**6 + i * 10**6 for i in range(3)], 10**3),  # one image a second
        ([2 * 10**9 + i * 10**8 for i in range(3)], 1),  # 2 s, also seconds since 1970
    ],
)
def test_where_two_units_fit_the_usual_rate_decides(values: list[int], ns: int) -> None:
    assert in_nanoseconds(values, Path("t")) == [value * ns for value in values]


@pytest.mark.parametrize(
    "text", ["0\n1\n2\n3", "0\n100\n200\n300", "0\n100000\n200000\n300000", "0.0\n1e-4\n2e-4\n3e-4"]
)
def test_nothing_faster_than_a_kilohertz_is_believed(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match=r"timestamps\.txt.*(tell no unit|no camera has)"):
        Folder(clip(tmp_path, list("abcd"), text))


def test_seconds_with_a_decimal_point(tmp_path: Path) -> None:
    text = "1526177052.100000\r\n1526177052.200000\r\n1526177052.300000\r\n"
    (tmp_path / "t.txt").write_text(text)
    assert read_stamps(tmp_path / "t.txt") == [START * 10**9 + i * 10**8 for i in (1, 2, 3)]


@pytest.mark.parametrize(
    "names",
    [
        [f"{START + t}" for t in (0.1, 0.2004, 0.3, 0.45, 0.5, 0.61)],  # as Python's f-strings
        [f"{START}.{n}" for n in (2004, 30_000_000, 45_000_000, 500_000_000, 999_999_990)],
        [f"{START}.{n:09d}" for n in (2004, 30_000_000, 45_000_000, 500_000_000)],
        [f"{START}{n:03d}" for n in (5, 40, 300)],  # milliseconds
    ],
    ids=["zeros dropped at the end", "zeros dropped before", "padded", "milliseconds"],
)
def test_file_names_that_are_times(tmp_path: Path, names: list[str]) -> None:
    folder = Folder(clip(tmp_path, names))
    assert order(folder) == list(range(len(names)))
    stamps = [frame.stamp_ns for frame in folder]
    assert START * 10**9 < stamps[0] < stamps[-1] < (START + 1) * 10**9


def test_names_whose_order_is_not_clear_are_refused(tmp_path: Path) -> None:
    names = [f"{START}.{n}" for n in ("5", "123456789", "25")]
    with pytest.raises(SourceError, match=r"order of the images is not clear.*nine digits"):
        Folder(clip(tmp_path, names))


@pytest.mark.parametrize("names", [["frame1", "frame10"], ["0001", "0002"], ["1.5", "2.5"]])
def test_other_names_are_no_times(tmp_path: Path, names: list[str]) -> None:
    assert [frame.stamp_ns for frame in Folder(clip(tmp_path, names))] == [0, 10**8]


def test_blank_lines_keep_their_place(tmp_path: Path, caplog) -> None:
    """KITTI's files have them where a scan is missing; the image there gets a time between."""
    lines = [f"2011-09-26 13:04:32.{i}00000000" for i in range(1, 6)]
    text = "\n".join([*lines[:2], "", *lines[3:]]) + "\n\n"
    with caplog.at_level(logging.WARNING):
        folder = Folder(clip(tmp_path, list("abcde"), text))
    gaps = np.diff([frame.stamp_ns for frame in folder])
    assert gaps.tolist() == [10**8] * 4
    assert "1 lines are blank" in caplog.text


def test_lines_between_which_all_are_blank_are_only_spaced(tmp_path: Path) -> None:
    text = "100000000\n\n200000000\n\n300000000\n\n"
    folder = Folder(clip(tmp_path, list("abc"), text))
    assert [frame.stamp_ns for frame in folder] == [10**8, 2 * 10**8, 3 * 10**8]


def test_blank_lines_of_kittis_odometry(tmp_path: Path) -> None:
    path = tmp_path / "sequences" / "07"
    (path / "image_2").mkdir(parents=True)
    for i in range(4):
        image = np.zeros((40, 64, 3), np.uint8)
        cv2.imwrite(str(path / "image_2" / f"{i:06d}.png"), image)
    (path / "calib.txt").write_text("P2: 60 0 32 0 0 60 20 0 0 0 1 0\n")
    (path / "times.txt").write_text("0.0\n\n0.2\n0.4\n")
    assert [frame.stamp_ns for frame in KittiOdometry(path)] == [0, 10**8, 2 * 10**8, 4 * 10**8]
    (path / "times.txt").write_text("0\n100000000\n200000000\n300000000\n")
    with pytest.raises(SourceError, match=r"times\.txt.*no camera has: correct their unit"):
        KittiOdometry(path)
    (path / "times.txt").unlink()
    poses = tmp_path / "poses"
    poses.mkdir()
    row = "1 0 0 0 0 1 0 0 0 0 1 0\n"
    (poses / "07.txt").write_text(f"{row}\n{row}{row}")
    with pytest.raises(SourceError, match=r"07\.txt.*a line is blank"):
        KittiOdometry(path).truth(1)
