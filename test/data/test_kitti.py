# SPDX-License-Identifier: Apache-2.0
"""The KITTI readers on layouts written here, and every reader on the real data if it is there."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from kitti_files import P2, real, write_drive
from numpy.typing import NDArray
from street_files import assert_recording, write_or_remove

from depth_recog.datasets.kitti.odometry import KittiOdometry
from depth_recog.datasets.kitti.raw import KittiRaw
from depth_recog.datasets.media.folder import Folder
from depth_recog.datasets.research.seven_scenes import SevenScenes
from depth_recog.datasets.sequence import Recording
from depth_recog.datasets.sources import open_source
from depth_recog.errors import CalibrationError, SourceError

LIDAR = "proj_depth/velodyne_raw/image_02"
UNCALIBRATED = "S_rect_02: 64 40\nP_rect_02:" + " 0" * 12


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return write_drive(tmp_path)


@pytest.fixture
def odometry(tmp_path: Path) -> Path:
    """Three frames of 64x40 that move 1 m a frame along z."""
    path = tmp_path / "sequences" / "07"
    (path / "image_2").mkdir(parents=True)
    for i in range(3):
        cv2.imwrite(f"{path}/image_2/{i:06d}.png", np.full((40, 64, 3), 10 * i, np.uint8))
    (path / "calib.txt").write_text(f"P0: 1\nP2: {P2}\n")
    (path / "times.txt").write_text("0.000000e+00\n1.036224e-01\n2.072000e-01\n")
    (tmp_path / "poses").mkdir()
    poses = [f"1 0 0 0 0 1 0 0 0 0 1 {i}" for i in range(3)]
    (tmp_path / "poses/07.txt").write_text("\n".join(poses))
    return path


def test_raw_frames(drive: Path) -> None:
    """Names, stamps to the nanosecond, RGB, and K without P's fourth column."""
    sequence = open_source(str(drive))
    stamps = [1317042272_345808896 + i * 103_000_000 for i in range(3)]
    assert_recording(sequence, "kitti_raw", drive.name, 10.0, stamps)
    frame = sequence[1]
    assert frame.name == "0000000001"
    assert frame.image.shape == (40, 64, 3)
    assert frame.image.flags.c_contiguous
    assert (frame.camera.fx, frame.camera.cx, frame.camera.size) == (721.5, 30.0, (64, 40))


def test_raw_truth(drive: Path) -> None:
    """Depth in metres with NaN; forward motion is +z of the optical frame; frame 0 is the world."""
    sequence = KittiRaw(drive)
    depth = sequence.truth(0).depth
    assert depth.dtype == np.float32
    assert depth[5, 6] == 12.5
    assert np.isnan(depth).sum() == depth.size - 1
    pose = sequence.truth(2).world_from_camera
    np.testing.assert_allclose(pose[:3, 3], (0, 0, 2), atol=1e-5)
    np.testing.assert_allclose(sequence.truth(0).world_from_camera, np.eye(4), atol=1e-9)


def test_raw_turning_in_place_swings_the_camera(drive: Path) -> None:
    """Camera 2 is 6 cm left of the IMU: a left turn by 90 degrees moves it backwards."""
    record = (drive / "oxts/data/0000000000.txt").read_text().split()
    record[5] = f"{np.pi:.12f}"
    (drive / "oxts/data/0000000001.txt").write_text(" ".join(record))
    pose = KittiRaw(drive).truth(1).world_from_camera
    p2 = np.array(P2.split(), dtype=np.float64).reshape(3, 4)
    offset = np.linalg.solve(p2[:, :3], p2[:, 3])
    turn = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(pose[:3, :3], turn, atol=1e-9)
    # A camera at -offset from the axis of rotation, seen from where it was before.
    np.testing.assert_allclose(pose[:3, 3], offset - turn @ offset, atol=1e-9)
    assert pose[2, 3] == pytest.approx(-0.0621 + 0.0027, abs=2e-3)


def test_raw_date_folder_and_left_out_images(drive: Path) -> None:
    """The date folder of a single drive; line n of timestamps.txt belongs to image n."""
    stamp = KittiRaw(drive)[2].stamp_ns
    (drive / "image_02/data/0000000001.png").unlink()
    sequence = KittiRaw(drive.parent)
    assert [frame.name for frame in sequence] == ["0000000000", "0000000002"]
    assert sequence[1].stamp_ns == stamp
    shutil.copytree(drive, drive.parent / "2011_09_26_drive_0002_sync")
    with pytest.raises(SourceError, match=r"several drives: give one of .*0001_sync, .*0002_sync"):
        KittiRaw(drive.parent)


def test_raw_without_truth(drive: Path) -> None:
    shutil.rmtree(drive / "oxts")
    shutil.rmtree(drive / "proj_depth")
    truth = KittiRaw(drive).truth(0)
    assert truth.depth is None
    assert truth.world_from_camera is None


def test_raw_prefers_the_depth_benchmark(drive: Path) -> None:
    folder = drive / "proj_depth/groundtruth/image_02"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "0000000000.png"), np.full((40, 64), 512, np.uint16))
    sequence = KittiRaw(drive)
    assert np.all(sequence.truth(0).depth == 2.0)
    assert sequence.truth(1).depth is None


@pytest.mark.parametrize(
    ("file", "text", "error", "expected"),
    [
        ("../calib_cam_to_cam.txt", None, CalibrationError, "cannot be read: copy it"),
        ("../calib_cam_to_cam.txt", "S_rect_02: 64 40", CalibrationError, "'P_rect_02:' with 12"),
        ("../calib_cam_to_cam.txt", UNCALIBRATED, CalibrationError, "positive focal.*copy"),
        ("../calib_imu_to_velo.txt", "R: x", CalibrationError, "no line 'R:' with 9"),
        ("image_02/timestamps.txt", None, SourceError, "cannot be read as timestamps.*is needed"),
        ("image_02/timestamps.txt", "x\ny\nz", SourceError, "cannot be read as timestamps"),
        ("image_02/timestamps.txt", "1\n3\n2", SourceError, "stamp 3.*sort or correct"),
        ("image_02/timestamps.txt", "1000000\n2000000", SourceError, "has 2 lines.*restore"),
        ("oxts/data/0000000001.txt", "1 2", SourceError, "no OXTS record.*unpack"),
        ("oxts/data/0000000001.txt", "1 2 x", SourceError, "not a table of numbers.*restore"),
        ("oxts/data/0000000001.txt", "nan " * 30, SourceError, "not finite: restore"),
        ("image_02/data/0000000001.png", "text", SourceError, "no image.*restore or delete"),
        (f"{LIDAR}/0000000001.png", "text", SourceError, "no image.*restore or delete"),
    ],
)
def test_raw_errors(
    drive: Path, file: str, text: str | None, error: type[Exception], expected: str
) -> None:
    path = drive / file
    write_or_remove(path, text)
    with pytest.raises(error, match=f"{path.name}.*{expected}"):
        _ = [(KittiRaw(drive)[1], KittiRaw(drive).truth(1))]


def test_raw_images_of_another_size(drive: Path) -> None:
    """Scaled images scale K; cropped images and depth of another size are errors."""
    for i in range(3):
        cv2.imwrite(f"{drive}/image_02/data/{i:010d}.png", np.zeros((20, 32, 3), np.uint8))
    sequence = KittiRaw(drive)
    assert sequence[0].camera.cx == 30.5 / 2 - 0.5
    with pytest.raises(SourceError, match=r"0000000000\.png is 64x40, its image 32x20.*resize"):
        sequence.truth(0)
    cv2.imwrite(f"{drive}/image_02/data/0000000000.png", np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(CalibrationError, match=r"0000000000\.png is 32x32.*write a calibration"):
        sequence[0]


def test_raw_without_images_or_folder(drive: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere does not exist.*KITTI raw drive"):
        KittiRaw(drive / "nowhere")
    with pytest.raises(SourceError, match=r"oxts has no image_02/data: give a KITTI raw"):
        KittiRaw(drive / "oxts")
    shutil.rmtree(drive / "image_02/data")
    (drive / "image_02/data").mkdir()
    with pytest.raises(SourceError, match="holds no images: unpack"):
        KittiRaw(drive)


def test_odometry(odometry: Path) -> None:
    """Times in seconds, K from P2, poses moved from camera 0 to camera 2."""
    sequence = open_source(str(odometry))
    assert_recording(sequence, "kitti_odometry", "07", 10.0, [0, 103622400, 207200000])
    assert sequence[2].image[0, 0].tolist() == [20, 20, 20]
    assert sequence[0].camera.size == (64, 40)
    pose = sequence.truth(2).world_from_camera
    x = (44.85728 - 30 * 0.002745884) / 721.5
    np.testing.assert_allclose(pose[:3, 3], (-x, -0.00022, 2 - 0.0027), atol=1e-4)


def test_odometry_without_poses_and_times(odometry: Path) -> None:
    """Sequences 11 to 21 have no poses; without times the rate is 10 Hz."""
    (odometry / "times.txt").unlink()
    shutil.rmtree(odometry.parent.parent / "poses")
    sequence = KittiOdometry(odometry)
    assert [frame.stamp_ns for frame in sequence] == [0, 100_000_000, 200_000_000]
    assert sequence.truth(2).world_from_camera is None


@pytest.mark.parametrize(
    ("file", "text", "error", "expected"),
    [
        ("calib.txt", None, CalibrationError, "cannot be read: copy"),
        ("calib.txt", "P0: 1", CalibrationError, "no line 'P2:' with 12 numbers: copy"),
        ("calib.txt", "P2: 721 0 609 0 0 721 172 0 0 0 1 0", CalibrationError, "64x40: scale"),
        ("times.txt", "0\n1", SourceError, "has 2 lines, 000002.png needs line 3: restore"),
        ("times.txt", "0\n1\n1", SourceError, "stamp 3.*sort or correct"),
        ("times.txt", "", SourceError, "holds no times: restore"),
        ("../../poses/07.txt", "1 2 3", SourceError, "does not hold 12 numbers a line: restore"),
        ("../../poses/07.txt", "1 " * 12, SourceError, "has 1 lines, 000001.png needs line 2"),
        ("image_2/000001.png", "text", SourceError, "no image.*restore or delete"),
    ],
)
def test_odometry_errors(
    odometry: Path, file: str, text: str | None, error: type[Exception], expected: str
) -> None:
    path = odometry / file
    write_or_remove(path, text)
    with pytest.raises(error, match=f"{path.name}.*{expected}"):
        _ = [(KittiOdometry(odometry)[1], KittiOdometry(odometry).truth(1))]


def test_odometry_without_colour_images(odometry: Path) -> None:
    shutil.rmtree(odometry / "image_2")
    with pytest.raises(SourceError, match=r"image_2 holds no images: give.*colour images"):
        KittiOdometry(odometry)


def depth_errors(
    sequence: Recording, i: int, j: int, known_pose: bool = True
) -> NDArray[np.float64]:
    """Relative errors (N,) of frame i's depth, transformed to frame j, against j's depth."""
    a, b, camera = sequence.truth(i), sequence.truth(j), sequence[i].camera
    b_from_a = np.linalg.inv(b.world_from_camera) @ a.world_from_camera if known_pose else np.eye(4)
    v, u = np.nonzero(np.isfinite(a.depth))
    rays = np.stack((u, v, np.ones_like(u))).astype(np.float64)
    points = b_from_a[:3, :3] @ (np.linalg.solve(camera.matrix, rays) * a.depth[v, u])
    points += b_from_a[:3, 3:]
    points = points[:, points[2] > 1e-3]
    x, y, _ = np.rint(camera.matrix @ points / points[2]).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height)
    seen = b.depth[y[inside], x[inside]]
    return np.asarray((np.abs(points[2][inside] - seen) / seen)[np.isfinite(seen)])


def relative(sequence: Recording, i: int, j: int) -> NDArray[np.float64]:
    """Pose of camera j in camera i, (4, 4) float64."""
    a, b = sequence.truth(i).world_from_camera, sequence.truth(j).world_from_camera
    return np.asarray(np.linalg.inv(a) @ b)


def test_real_raw_poses_fit_the_lidar() -> None:
    """LiDAR points transformed by OXTS poses match the next scans; without poses they do not."""
    sequence = KittiRaw(real("kitti_raw") / "2011_09_26/2011_09_26_drive_0005_sync")
    assert len(sequence) == 154
    starts = range(0, 150, 5)
    medians = np.array([np.median(depth_errors(sequence, i, i + 1)) for i in starts])
    # Not every pair: of all 153, three reach 2.0 to 2.7 % (23, 44, 45), where OXTS altitude drifts
    # by 2 to 5 cm a frame while its own vertical speed stays 0. That is the data, not the reader.
    assert np.median(medians) < 0.01
    assert np.mean(medians < 0.02) > 0.9
    carried = [np.median(depth_errors(sequence, i, i + 2)) for i in starts]
    still = [np.median(depth_errors(sequence, i, i + 2, known_pose=False)) for i in starts]
    assert np.median(carried) < 0.02
    assert np.median(still) > 2 * np.median(carried)


def test_real_raw_drives_forward() -> None:
    """The first step is along +z and agrees with the measured speed (3.5 m/s)."""
    step = relative(KittiRaw(real("kitti_raw") / "2011_09_26"), 0, 1)[:3, 3]
    assert step[2] > 0.95 * np.linalg.norm(step)
    assert 0.3 < step[2] < 0.4


def test_real_kitchen_poses_fit_the_depth() -> None:
    sequence = SevenScenes(real("seven_scenes/redkitchen"))
    assert len(sequence) == 100
    for i, j in ((0, 1), (0, 20), (50, 60)):
        assert np.median(depth_errors(sequence, i, j)) < 0.01
    assert np.median(depth_errors(sequence, 50, 60, known_pose=False)) > 0.02


def test_real_odometry() -> None:
    """1018 frames with poses; the car drives forward."""
    sequence = KittiOdometry(real("kitti_odometry/sequences/00"))
    assert len(sequence) == 1018
    assert sequence[1017].camera.size == (416, 128)
    step = relative(sequence, 0, 1)[:3, 3]
    assert step[2] > 0.95 * np.linalg.norm(step)
    assert 0.4 < step[2] < 1.5
    assert sequence.truth(1017).world_from_camera is not None


def test_real_folder() -> None:
    """The clip is found in its sub-folder, with the YAML beside it."""
    sequence = Folder(real("folder_clip"))
    assert len(sequence) == 91
    assert sequence[90].camera.fx == 483.348926
