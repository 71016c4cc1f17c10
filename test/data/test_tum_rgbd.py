# SPDX-License-Identifier: Apache-2.0
"""TUM RGB-D: the synthetic street is written in its layout and read back."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from camera_files import write_camera_yaml
from street_files import (
    assert_damage_is_named,
    assert_recording,
    read_all,
    write_or_remove,
    write_png,
)

from depth_recog.datasets.research.tum_rgbd import TumRgbd
from depth_recog.datasets.sources import open_source
from depth_recog.datasets.street import SyntheticStreet
from depth_recog.errors import CalibrationError, SourceError
from depth_recog.interfaces.pose import quaternion

STREET = SyntheticStreet("street", seed=7, frames=4, width=64, height=48, rate_hz=30.0)
START_US = 1305031102_175304  # microseconds: a float of seconds would not hold their nanoseconds
FAR = 65535 / 5000


def seconds(microseconds: int) -> str:
    """As the data set writes times."""
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"


def stamp_us(index: int) -> int:
    """When the image was taken."""
    return START_US + round(index * 1e6 / 30)


def write_sequence(root: Path) -> Path:
    """Depth 5 ms after each image, mocap at 100 Hz beginning 15 ms before the second image."""
    place = root / "rgbd_dataset_freiburg3_street"
    rgb, depth = ["# color images", "# timestamp filename"], ["# depth maps"]
    for i, frame in enumerate(STREET):
        name, later = seconds(stamp_us(i)), seconds(stamp_us(i) + 5000)
        write_png(place / f"rgb/{name}.png", frame.image)
        rgb.append(f"{name} rgb/{name}.png")
        metres = STREET.truth(i).depth
        codes = np.where(metres > FAR, 0, np.rint(metres * 5000)).astype(np.uint16)
        write_png(place / f"depth/{later}.png", codes)
        depth.append(f"{later} depth/{later}.png")
    truth = ["# ground truth trajectory", "# timestamp tx ty tz qx qy qz qw"]
    for step in range(12):
        time = stamp_us(1) - 15_000 + step * 10_000
        pose = STREET._drive.world_from_camera((time - START_US) * 1e-6)
        # Motion capture flips the quaternion's sign as it likes.
        values = (*pose[:3, 3], *((-1) ** step * np.array(quaternion(pose[:3, :3]))))
        truth.append(f"{seconds(time)} {' '.join(f'{value:.6f}' for value in values)}")
    for name, lines in {"rgb": rgb, "depth": depth, "groundtruth": truth}.items():
        (place / f"{name}.txt").write_text("\n".join(lines) + "\n")
    write_camera_yaml(place / "camera.yaml", STREET.camera)
    return place


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Read only."""
    return write_sequence(tmp_path_factory.mktemp("tum"))


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A writable copy."""
    return Path(shutil.copytree(written, tmp_path / written.name))


def test_frames(written: Path) -> None:
    """Stamps to the nanosecond; camera.yaml overrides the folder's name."""
    sequence = open_source(str(written))
    stamps = [stamp_us(i) * 1000 for i in range(4)]
    assert_recording(sequence, "tum_rgbd", "rgbd_dataset_freiburg3_street", 30.0, stamps)
    frame = sequence[1]
    assert frame.name == seconds(stamp_us(1))
    assert frame.camera == STREET.camera
    np.testing.assert_array_equal(frame.image, STREET[1].image)
    assert sequence.file(1) == written / f"rgb/{frame.name}.png"


@pytest.mark.parametrize("index", range(4))
def test_ground_truth(written: Path, index: int) -> None:
    """Depth to 0.2 mm; interpolated poses; None before the first pose."""
    truth, street = TumRgbd(written).truth(index), STREET.truth(index)
    known = street.depth <= FAR
    assert known.mean() > 0.2
    np.testing.assert_allclose(truth.depth[known], street.depth[known], atol=1.1e-4)
    assert np.isnan(truth.depth[~known]).all()
    if index == 0:
        assert truth.world_from_camera is None
        return
    np.testing.assert_allclose(truth.world_from_camera, street.world_from_camera, atol=5e-5)


def test_depth_is_associated_within_20_ms(folder: Path) -> None:
    lines = (folder / "depth.txt").read_text().splitlines()
    name = lines[2].split()[1]
    other = lines[3].split()[1]
    late, near = (seconds(stamp_us(1) + delay) for delay in (20_001, 8_000))
    (folder / "depth.txt").write_text(f"{late} {name}")
    assert TumRgbd(folder).truth(1).depth is None
    (folder / "depth.txt").write_text(f"{seconds(stamp_us(1) + 20_000)} {name}")
    assert TumRgbd(folder).truth(1).depth is not None
    known = STREET.truth(1).depth <= FAR
    for early, names in ((9_000, (other, name)), (7_000, (name, other))):
        before = seconds(stamp_us(1) - early)
        (folder / "depth.txt").write_text(f"{before} {names[0]}\n{near} {names[1]}")
        depth = TumRgbd(folder).truth(1).depth
        np.testing.assert_allclose(depth[known], STREET.truth(1).depth[known], atol=1.1e-4)


def test_no_pose_across_a_gap(folder: Path) -> None:
    file = folder / "groundtruth.txt"
    lines = file.read_text().splitlines()
    start, end = lines[2], lines[-1]  # 110 ms apart, around the images 1 to 3
    file.write_text(f"{start}\n{end}\n")
    assert TumRgbd(folder).truth(2).world_from_camera is None
    file.write_text("\n".join((start, lines[-2])))  # 100 ms
    assert TumRgbd(folder).truth(2).world_from_camera is not None
    exact = " ".join((seconds(stamp_us(2)), *lines[5].split()[1:]))
    file.write_text(exact)
    assert TumRgbd(folder).truth(2).world_from_camera is not None


def test_half_way_between_two_rotations(folder: Path) -> None:
    """Between the identity and 90 degrees about y: 45 degrees and the mean position."""
    before, after = (seconds(stamp_us(2) + delay) for delay in (-50_000, 50_000))
    half = np.sqrt(0.5)
    (folder / "groundtruth.txt").write_text(
        f"{before} 0 0 0 0 0 0 1\n{after} 2 4 -6 0 {half:.9f} 0 {half:.9f}"
    )
    pose = TumRgbd(folder).truth(2).world_from_camera
    np.testing.assert_allclose(pose[:3, 3], (1, 2, -3), atol=1e-9)
    turned = [[half, 0, half], [0, 1, 0], [-half, 0, half]]
    np.testing.assert_allclose(pose[:3, :3], turned, atol=1e-8)


def test_without_truth(folder: Path) -> None:
    (folder / "depth.txt").unlink()
    (folder / "groundtruth.txt").unlink()
    truth = TumRgbd(folder).truth(1)
    assert truth.depth is truth.world_from_camera is truth.labels is None


@pytest.mark.parametrize(
    ("number", "k", "distortion"),
    [
        (1, (517.3, 516.5, 318.6, 255.3), (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
        (2, (520.9, 521.0, 325.1, 249.7), (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
        (3, (535.4, 539.2, 320.1, 247.6), ()),
    ],
)
def test_the_benchmarks_own_cameras(
    folder: Path, number: int, k: tuple[float, ...], distortion: tuple[float, ...]
) -> None:
    """By the folder's name, for 640x480 and sizes of the same aspect ratio."""
    (folder / "camera.yaml").unlink()
    place = folder.rename(folder.parent / f"rgbd_dataset_freiburg{number}_desk")
    camera = TumRgbd(place)[0].camera
    assert camera.distortion == distortion
    assert (camera.fx * 10, camera.fy * 10) == pytest.approx(k[:2])
    assert ((camera.cx + 0.5) * 10 - 0.5, (camera.cy + 0.5) * 10 - 0.5) == pytest.approx(k[2:])
    write_png(TumRgbd(place).file(0), np.zeros((48, 48, 3), np.uint8))
    with pytest.raises(CalibrationError, match=r"is 48x48.*640x480"):
        TumRgbd(place)[0]


def test_an_unknown_camera(folder: Path) -> None:
    """An error that shows what to write, and the benchmark's default."""
    (folder / "camera.yaml").unlink()
    place = folder.rename(folder.parent / "kitchen")
    with pytest.raises(CalibrationError, match=r"write .*kitchen/camera\.yaml .*525"):
        TumRgbd(place)


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("rgb.txt", None, r"has no rgb\.txt: give a sequence of the TUM"),
        ("rgb.txt", "# nothing", "names no images"),
        ("rgb.txt", "1.0", "line 1: a time in seconds and a file's name"),
        ("rgb.txt", "# x\nnoon rgb/a.png", "line 2: a time in seconds"),
        ("rgb.txt", "inf rgb/a.png", "line 1: a time in seconds"),
        ("rgb.txt", "2.0 rgb/a.png\n1.0 rgb/b.png", "stamp 2 .*sort or correct"),
        ("rgb.txt", "1.0 rgb/a.png\n2.0 rgb/a.png", "names an image twice"),
        ("rgb.txt", "1.0 rgb/a.png", r"a\.png cannot be read"),
        ("depth.txt", "1.0", "line 1: a time"),
        ("depth.txt", f"{seconds(stamp_us(0))} depth/a.png", r"a\.png cannot be read"),
        ("groundtruth.txt", "# nothing", "holds no poses"),
        ("groundtruth.txt", "1.0 0 0 0 0 0 0", "line 1: 7 values where 8 are needed"),
        ("groundtruth.txt", "1.0 0 0 0 0 0 0 x", "line 1: could not convert"),
        ("groundtruth.txt", "1.0 0 0 0 0 0 0 2", "quaternion has not length 1"),
        ("groundtruth.txt", "1.0 nan 0 0 0 0 0 1", "not finite"),
        ("groundtruth.txt", "2 0 0 0 0 0 0 1\n1 0 0 0 0 0 0 1", "time goes back; sort"),
    ],
)
def test_errors(folder: Path, file: str, text: str | None, expected: str) -> None:
    write_or_remove(folder / file, text)
    with pytest.raises(SourceError, match=expected):
        read_all(TumRgbd(folder))


def test_damaged_files_are_named(folder: Path, tmp_path: Path) -> None:
    assert_damage_is_named(folder, tmp_path / "spare", lambda: read_all(TumRgbd(folder)), 40)
