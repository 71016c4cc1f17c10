# SPDX-License-Identifier: Apache-2.0
"""KITTI's tracklets as boxes: on files written here, and on the real drive if it is there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kitti_files import real, write_drive

from depth_recog.datasets.boxes import Box
from depth_recog.datasets.kitti.raw import KittiRaw
from depth_recog.errors import CalibrationError, SourceError
from depth_recog.method.geometry.camera import Camera

HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes" ?>\n<!DOCTYPE boost_serialization>\n'


def pose_xml(x: float, y: float, z: float, yaw: float, truncation: int = 0) -> str:
    return (
        f"<item><tx>{x}</tx><ty>{y}</ty><tz>{z}</tz><rx>0</rx><ry>0</ry><rz>{yaw}</rz>"
        f"<state>2</state><occlusion>0</occlusion><truncation>{truncation}</truncation></item>"
    )


def tracklet_xml(kind: str, first: int, *poses: str) -> str:
    return (
        f"<item><objectType>{kind}</objectType><h>1.5</h><w>1.8</w><l>4</l>"
        f"<first_frame>{first}</first_frame><poses><count>{len(poses)}</count>"
        f"{''.join(poses)}</poses><finished>1</finished></item>"
    )


def file_xml(*tracklets: str) -> str:
    return (
        f"{HEAD}<boost_serialization><tracklets><count>{len(tracklets)}</count>"
        f"{''.join(tracklets)}</tracklets></boost_serialization>"
    )


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """Three frames in 0.206 s, 1 m forward each; the LiDAR sits at the camera, 2 m above ground."""
    return write_drive(tmp_path)


def write(drive: Path, *tracklets: str) -> KittiRaw:
    (drive / "tracklet_labels.xml").write_text(file_xml(*tracklets))
    return KittiRaw(drive)


def test_position_and_axes_of_a_box(drive: Path) -> None:
    # 99 m ahead, 1 m to the left, on the ground, turned to the left by a quarter.
    sequence = write(drive, tracklet_xml("Car", 1, pose_xml(99, 1, -2, np.pi / 2)))
    assert sequence.truth(0).boxes == ()
    assert sequence.truth(2).boxes == ()
    (box,) = sequence.truth(1).boxes or ()
    assert (box.track, box.kind, box.size, box.truncated) == ("0", "car", (4.0, 1.8, 1.5), False)
    # Camera 2 sits 6 cm to the left of camera 0: P2's fourth column.
    offset = (44.85728 - 30 * 0.002745884) / 721.5
    centre = (-1 + offset, 2 - 0.75 + 0.00022, 99 + 0.0027)
    np.testing.assert_allclose(box.T_camera_from_box[:3, 3], centre, atol=1e-4)
    front, left, up = box.T_camera_from_box[:3, :3].T
    np.testing.assert_allclose((front, left, up), ((-1, 0, 0), (0, 0, -1), (0, -1, 0)), atol=1e-12)
    low, high = box.corners().min(0), box.corners().max(0)
    np.testing.assert_allclose(high - low, (4.0, 1.5, 1.8))
    assert high[1] == pytest.approx(2.0, abs=1e-3), "the ground"


def test_kinds(drive: Path) -> None:
    kinds = ("Van", "Truck", "Pedestrian", "Person (sitting)", "Cyclist", "Tram", "Misc")
    sequence = write(drive, *(tracklet_xml(kind, 0, pose_xml(20, 0, -1, 0)) for kind in kinds))
    boxes = sequence.truth(0).boxes or ()
    names = ["car", "truck", "person", "person", "rider", "train", "misc"]
    assert [box.kind for box in boxes] == names
    assert [box.track for box in boxes] == [str(i) for i in range(7)]


def test_only_boxes_within_the_image(drive: Path) -> None:
    places = [(50, 0, 0), (-20, 0, 0), (20, 15, 0), (20, 1, 0)]
    places += [(50, 0, truncation) for truncation in (1, 2, 3, 99)]
    poses = [pose_xml(x, y, -1, 0, truncation) for x, y, truncation in places]
    sequence = write(drive, *(tracklet_xml("Car", 0, pose) for pose in poses))
    boxes = {box.track: box.truncated for box in sequence.truth(0).boxes or ()}
    assert boxes == {"0": False, "3": True, "4": True, "7": False}


def long_drive(folder: Path, frames: int) -> Path:
    """The drive with more frames, a tenth of a second apart; its altitude is noise."""
    drive = write_drive(folder)
    record = (drive / "oxts/data/0000000000.txt").read_text().split()
    image = (drive / "image_02/data/0000000000.png").read_bytes()
    rng = np.random.default_rng(0)
    stamps = []
    for i in range(frames):
        record[0] = f"{49.0 + np.rad2deg(i / 6378137.0):.13f}"
        record[2] = f"{110 + rng.normal(0, 0.3):.6f}"
        (drive / f"oxts/data/{i:010d}.txt").write_text(" ".join(record))
        (drive / f"image_02/data/{i:010d}.png").write_bytes(image)
        stamps.append(f"2011-09-26 13:04:{32 + i // 10}.{i % 10}00000000")
    (drive / "image_02/timestamps.txt").write_text("\n".join(stamps) + "\n")
    return drive


def test_speed_is_that_in_the_world_over_a_second(tmp_path: Path) -> None:
    """The camera moves at 10 m/s: an object at rest in its frame has this speed too."""
    drive = long_drive(tmp_path, 24)
    # Accelerates: in frame n its distance to the camera has grown by 0.01 n^2 metres.
    rising = [pose_xml(30 + 0.01 * n**2, 0, -1, 0) for n in range(24)]
    sequence = write(
        drive,
        tracklet_xml("Van", 0, *[pose_xml(30, 1, -1, 0)] * 24),
        tracklet_xml("Car", 0, *(pose_xml(60 - n, 2, -1, 0) for n in range(24))),
        tracklet_xml("Car", 0, *rising),
        tracklet_xml("Car", 3, *[pose_xml(30, -1, -1, 0)] * 3),
        tracklet_xml("Car", 7, *[pose_xml(30, -1, -1, 0)] * 4),
    )
    speeds = [{b.track: b.speed for b in sequence.truth(i).boxes or ()} for i in range(24)]
    assert [s["0"] for s in speeds] == pytest.approx([10.0] * 24, abs=1e-3)
    assert [s["1"] for s in speeds] == pytest.approx([0.0] * 24, abs=1e-3)
    for n in range(24):
        first, last = max(n - 5, 0), min(n + 5, 23)
        assert speeds[n]["2"] == pytest.approx(10 + 0.1 * (first + last), abs=1e-3)
    assert np.isnan([speeds[n]["3"] for n in (3, 4, 5)]).all(), "0.2 s are too few"
    assert speeds[8]["4"] == pytest.approx(10, abs=1e-3), "0.3 s will do"
    assert sequence[0].stamp_ns == 1317042272_000000000


def test_without_poses_the_speed_is_not_known(drive: Path) -> None:
    for file in (drive / "oxts/data").iterdir():
        file.unlink()
    sequence = write(drive, tracklet_xml("Car", 0, *[pose_xml(30, 0, -1, 0)] * 3))
    (box,) = sequence.truth(1).boxes or ()
    assert np.isnan(box.speed)


def test_boxes_belong_to_frame_numbers(drive: Path) -> None:
    """The poses of a track at missing images are not used."""
    poses = [pose_xml(20 + n, 0, -1, 0) for n in range(3)]
    (drive / "image_02/data/0000000001.png").unlink()
    sequence = write(drive, tracklet_xml("Car", 0, *poses))
    depths = [(sequence.truth(i).boxes or ())[0].T_camera_from_box[2, 3] for i in range(2)]
    assert depths[1] - depths[0] == pytest.approx(2.0)


def test_boxes_without_a_file_and_with_an_empty_one(drive: Path) -> None:
    assert KittiRaw(drive).truth(0).boxes is None
    assert write(drive).truth(0).boxes == (), "a file without tracklets"


GOOD = tracklet_xml("Car", 0, pose_xml(20, 0, -1, 0))
WITH_ENTITY = file_xml(GOOD.replace("Car", "&a;")).replace(
    "<!DOCTYPE boost_serialization>", '<!DOCTYPE b [<!ENTITY a "Car">]>'
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no element found"),
        (file_xml(GOOD)[:-60], "no element found|unclosed"),
        (file_xml(GOOD).replace("<tracklets>", "<t>").replace("</tracklets>", "</t>"), "no trackl"),
        (file_xml(GOOD).replace("<count>1</count>", "<count>2</count>", 1), "counts 2.*has 1"),
        (file_xml(GOOD.replace("<count>1</count>", "<count>3</count>")), "tracklet 0 counts"),
        (file_xml(GOOD.replace("Car", "Spaceship")), "'Spaceship' is none of Car, Van"),
        (file_xml(GOOD.replace("<tx>20</tx>", "<tx>far</tx>")), "'far'"),
        (file_xml(GOOD.replace("<tx>20</tx>", "<tx>nan</tx>")), "tracklet 0 has.*cannot be"),
        (file_xml(GOOD.replace("<l>4</l>", "<l>-4</l>")), "tracklet 0 has.*cannot be"),
        (file_xml(GOOD.replace("<first_frame>0</first_frame>", "")), "no <first_frame>"),
        (WITH_ENTITY, "declares entities"),
        ("\xff\xfe\x00\x81", ""),
    ],
)
def test_a_damaged_file_is_named_with_a_remedy(drive: Path, text: str, expected: str) -> None:
    # Latin-1 writes the last case as bytes that are no UTF-8.
    (drive / "tracklet_labels.xml").write_text(text, encoding="latin-1")
    with pytest.raises(SourceError, match=f"tracklet_labels.xml.*({expected}).*unpack it again"):
        KittiRaw(drive).truth(0)


def test_tracklets_need_the_lidars_calibration(drive: Path) -> None:
    (drive.parent / "calib_velo_to_cam.txt").unlink()
    for file in (drive / "oxts/data").iterdir():
        file.unlink()
    sequence = write(drive, GOOD)
    with pytest.raises(CalibrationError, match=r"calib_velo_to_cam\.txt cannot be read: copy"):
        sequence.truth(0)


def test_seen_by_a_camera_agrees_with_its_pixels() -> None:
    """Compared with points in the box that are projected one by one."""
    camera = Camera(width=64, height=40, fx=60.0, fy=50.0, cx=30.0, cy=22.0)
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(300):
        transform = np.eye(4)
        transform[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        transform[:3, 3] = rng.uniform((-12, -8, -2), (12, 8, 14))
        box = Box("a", "car", transform, (3.0, 2.0, 1.0), 0.0)
        local = rng.uniform(-0.5, 0.5, (4000, 3)) * box.size
        x, y, z = (local @ transform[:3, :3].T + transform[:3, 3]).T
        u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        inside = (z > 0.1) & (np.abs(u - 31.5) < 32) & (np.abs(v - 19.5) < 20)
        found = box.seen_by(camera)
        if inside.any():
            assert found.truncated or inside.all()
            seen += 1
        elif found is not None:
            # Its corners are on different sides of the image: rare, and cut by the border.
            assert found.truncated
    assert 50 < seen < 250
    ahead = np.eye(4)
    ahead[2, 3] = 20
    for truncated in (False, True):  # the annotated value is kept
        found = Box("a", "car", ahead, (3.0, 2.0, 1.0), 0.0, truncated).seen_by(camera)
        assert found.truncated == truncated


def real_drive() -> KittiRaw:
    return KittiRaw(real("kitti_raw") / "2011_09_26/2011_09_26_drive_0005_sync")


def test_real_movers_and_parked_cars() -> None:
    """Five of fifteen objects move: a van, a cyclist, two pedestrians and a truncated car."""
    sequence = real_drive()
    speeds: dict[str, list[float]] = {}
    kinds = {}
    for i in range(len(sequence)):
        for box in sequence.truth(i).boxes or ():
            speeds.setdefault(box.track, []).append(box.speed)
            kinds[box.track] = box.kind
    assert len(speeds) == 15
    typical = {track: float(np.median(values)) for track, values in speeds.items()}
    movers = {track for track, speed in typical.items() if speed > 0.5}
    assert movers == {"0", "1", "2", "4", "12"}
    assert sorted(kinds[track] for track in movers) == ["car", "car", "person", "person", "rider"]
    assert max(speed for track, speed in typical.items() if track not in movers) < 0.3


def test_real_boxes_hold_the_lidars_points() -> None:
    """Most LiDAR points near a box are in it, and fewer after the box is moved."""
    sequence = real_drive()
    camera = sequence[0].camera
    moves = ((0, 0, 0), (-1, 0, 0), (1, 0, 0), (0, -0.75, 0), (0, 0.75, 0), (0, 0, -1.5))
    held: dict[str, list[list[int]]] = {}
    for i in range(0, len(sequence), 3):
        truth = sequence.truth(i)
        v, u = np.nonzero(np.isfinite(truth.depth))
        z = truth.depth[v, u]
        points = np.stack(((u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z), 1)
        for box in truth.boxes or ():
            large = replace(box, size=(box.size[0] * 1.5, box.size[1] * 1.5, box.size[2]))
            counts = [int(box.contains(points - move).sum()) for move in moves]
            held.setdefault(box.track, []).append([*counts, int(large.contains(points).sum())])
    sums = {track: np.sum(rows, axis=0) for track, rows in held.items()}
    for track, counts in sums.items():
        assert counts[0] > 0.75 * counts[-1], track
    inside, *moved, _ = np.sum(list(sums.values()), axis=0)
    # A moved box may contain the points of a neighbouring car, but not all moved boxes do.
    assert max(moved) < 0.75 * inside
