# SPDX-License-Identifier: Apache-2.0
"""Cityscapes: the synthetic street is written in its layout and read back."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from street_files import assert_damage_is_named, assert_recording, read_all, write_png

from depth_recog.datasets.research.cityscapes.reader import Cityscapes
from depth_recog.datasets.sources import open_source
from depth_recog.datasets.street import SyntheticStreet
from depth_recog.errors import CalibrationError, SourceError

STREET = SyntheticStreet("street", seed=5, frames=3, width=128, height=64)
SCALE = 16  # of the full size, 2048x1024
BASELINE = 0.209313
SPEED, YAW_RATE = 9.0, 0.3
STAMPS = (0, 58_800_000, 117_700_000)
# labels.py of the data set's scripts: the ids of the classes that the street has.
IDS = {0: 7, 1: 8, 2: 11, 5: 17, 7: 20, 8: 21, 9: 22, 10: 23, 11: 24, 13: 26}


def camera_json() -> dict[str, dict[str, float]]:
    """The street's camera at the full size, mounted as on the data set's car."""
    k = STREET.camera.resized(2048, 1024)
    place = {"x": 1.7, "y": 0.1, "z": 1.22, "yaw": -0.0195, "pitch": 0.038, "roll": 0.01}
    return {
        "extrinsic": {"baseline": BASELINE, **place},
        "intrinsic": {"fx": k.fx, "fy": k.fy, "u0": k.cx, "v0": k.cy},
    }


def write_root(root: Path, first: int = 18) -> Path:
    """One snippet: frame 19 is annotated and has the calibration."""

    def place(package: str, number: int, suffix: str) -> Path:
        path = root / package / "train/aachen" / f"aachen_000003_{number:06d}_{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    place("camera", first + 1, "camera.json").write_text(json.dumps(camera_json()))
    for i, frame in enumerate(STREET):
        number, truth = first + i, STREET.truth(i)
        write_png(place("leftImg8bit_sequence", number, "leftImg8bit.png"), frame.image)
        place("timestamp_sequence", number, "timestamp.txt").write_text(f"{STAMPS[i]}\n")
        vehicle = {"gpsHeading": 281.0, "speed": SPEED, "yawRate": YAW_RATE}
        place("vehicle_sequence", number, "vehicle.json").write_text(json.dumps(vehicle))
        disparity = BASELINE * STREET.camera.fx * SCALE / truth.depth
        codes = np.where(np.isinf(truth.depth), 0, np.rint(disparity * 256 + 1))
        codes[0, :2] = (0, 1)  # unknown, and infinitely far
        write_png(place("disparity_sequence", number, "disparity.png"), codes.astype(np.uint16))
    labels = STREET.truth(1).labels
    ids = np.zeros(labels.shape, np.uint8)
    for train_id in np.unique(labels):
        ids[labels == train_id] = IDS[int(train_id)]
    ids[-4:] = 1  # ego vehicle
    ids[:2, :2] = ((0, 3), (29, 34))  # unlabelled, out of roi, caravan, what there is not
    write_png(place("gtFine", first + 1, "gtFine_labelIds.png"), ids)
    return root


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Read only."""
    return write_root(tmp_path_factory.mktemp("cityscapes"))


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A writable copy."""
    return Path(shutil.copytree(written, tmp_path / "cityscapes"))


@pytest.mark.parametrize(
    "path",
    [
        "{}?city=aachen&snippet=000003",
        "cityscapes:{}?city=aachen",
        "{}/leftImg8bit_sequence/train/aachen",
        "{}/leftImg8bit_sequence/train/aachen?snippet=000003_000018",
    ],
)
def test_frames(written: Path, path: str) -> None:
    """Stamps as written; intrinsics scaled from the full size."""
    sequence = open_source(path.format(written))
    assert_recording(sequence, "cityscapes", "aachen_000003_000018", 17.0, STAMPS)
    frame = sequence[1]
    assert frame.name == "aachen_000003_000019"
    np.testing.assert_array_equal(frame.image, STREET[1].image)
    np.testing.assert_allclose(frame.camera.matrix, STREET.camera.matrix, rtol=1e-12)
    images = written / "leftImg8bit_sequence/train/aachen"
    assert sequence.file(1) == images / "aachen_000003_000019_leftImg8bit.png"


@pytest.mark.parametrize("index", range(3))
def test_depth(written: Path, index: int) -> None:
    """Within the resolution of 1/256 pixel of disparity."""
    depth, street = Cityscapes(f"{written}?city=aachen").truth(index).depth, STREET.truth(index)
    unknown = np.isinf(street.depth)
    unknown[0, :2] = True
    np.testing.assert_array_equal(np.isnan(depth), unknown)
    near, far = depth[~unknown], street.depth[~unknown]
    step = far**2 / (BASELINE * STREET.camera.fx * SCALE) / 512
    assert (np.abs(near - far) < 1.1 * step + 1e-4).all()
    assert np.median(np.abs(near - far) / far) < 1e-3


def test_labels_of_the_annotated_frame(written: Path) -> None:
    """Train ids; other classes are unlabelled; other frames have no labels."""
    sequence = Cityscapes(f"{written}?city=aachen")
    expected = STREET.truth(1).labels.copy()
    expected[-4:] = 255
    expected[:2, :2] = 255
    np.testing.assert_array_equal(sequence.truth(1).labels, expected)
    assert sequence.truth(0).labels is None
    assert sequence.truth(2).labels is None


def test_every_label_id(root: Path) -> None:
    ids = np.zeros((64, 128), np.uint8)
    trained = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    ids[0, :40] = np.arange(40)
    write_png(root / "gtFine/train/aachen/aachen_000003_000019_gtFine_labelIds.png", ids)
    labels = Cityscapes(f"{root}?city=aachen").truth(1).labels
    np.testing.assert_array_equal(labels[0, trained], np.arange(19))
    assert (np.delete(labels[0, :40], trained) == 255).all()


def slowly_driven(seconds: float) -> NDArray[np.float64]:
    """(4, 4) start from vehicle of x forward, y left: a left turn in many small steps."""
    pose, steps = np.eye(4), 20_000
    turn, way = YAW_RATE * seconds / steps, SPEED * seconds / steps
    step = np.eye(4)
    step[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    step[0, 3] = way
    for _ in range(steps):
        pose = pose @ step
    return pose


def test_poses_follow_the_vehicle(written: Path) -> None:
    """In a left turn the camera moves forward and left and turns left."""
    poses = [Cityscapes(f"{written}?city=aachen").truth(i).world_from_camera for i in range(3)]
    np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-12)
    # The data set's own sensor_T_ISO_8855 of this mounting, but for its roll of zero.
    mounting = [
        [0.9990881051503779, -0.01948468779721943, -0.03799085532693703, -1.6501524664770573],
        [0.019498764210995674, 0.9998098810245096, 0.0, -0.1331288872611436],
        [0.03798363254444427, -0.0007407747301939942, 0.9992780868764849, -1.2836173638418473],
        [0, 0, 0, 1],
    ]
    roll = np.eye(4)
    roll[1:3, 1:3] = [[np.cos(0.01), np.sin(0.01)], [-np.sin(0.01), np.cos(0.01)]]
    optical = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    camera_from_vehicle = optical @ roll @ mounting
    for pose, stamp in zip(poses, STAMPS, strict=True):
        driven = slowly_driven(stamp * 1e-9)
        expected = camera_from_vehicle @ driven @ np.linalg.inv(camera_from_vehicle)
        np.testing.assert_allclose(pose, expected, atol=3e-5)
    assert poses[2][2, 3] > 1
    assert poses[2][0, 3] < -0.01
    assert poses[2][0, 2] < -0.03


def test_without_side_files(root: Path) -> None:
    """17 Hz by number and no ground truth; only the calibration is required."""
    for package in ("timestamp", "vehicle", "disparity"):
        shutil.rmtree(root / f"{package}_sequence")
    shutil.rmtree(root / "gtFine")
    sequence = Cityscapes(f"{root}?city=aachen")
    assert [frame.stamp_ns for frame in sequence] == [round(i * 1e9 / 17) for i in (18, 19, 20)]
    truth = sequence.truth(1)
    assert truth.depth is truth.labels is truth.world_from_camera is truth.boxes is None
    shutil.rmtree(root / "camera")
    with pytest.raises(CalibrationError, match=r"aachen_000003_\*_camera\.json: unpack camera"):
        Cityscapes(f"{root}?city=aachen")


def test_files_in_one_folder(root: Path, tmp_path: Path) -> None:
    """The other files may be beside the images."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in root.rglob("*_0000*"):
        shutil.copy(file, flat)
    truth, whole = Cityscapes(flat).truth(1), Cityscapes(f"{root}?city=aachen").truth(1)
    for name in ("depth", "labels", "world_from_camera"):
        np.testing.assert_array_equal(getattr(truth, name), getattr(whole, name))
    (root / "leftImg8bit_sequence").rename(root / "leftImg8bit")
    assert len(Cityscapes(f"{root}?city=aachen")) == 3


def test_snippets(root: Path) -> None:
    """Several snippets are listed; a gap of a second begins a new one."""
    images = root / "leftImg8bit_sequence/train/aachen"
    first = images / "aachen_000003_000018_leftImg8bit.png"
    for stem in ("000003_000036", "000003_000100", "000007_000000"):
        shutil.copy(first, images / f"aachen_{stem}_leftImg8bit.png")
    listed = "one of 000003_000018, 000003_000100, 000007_000000"
    with pytest.raises(SourceError, match=rf"several snippets: add \?snippet= and {listed}"):
        Cityscapes(images)
    with pytest.raises(SourceError, match="one of 000003_000018, 000003_000100"):
        Cityscapes(f"{images}?snippet=000003")
    with pytest.raises(SourceError, match="no snippet '000009': add"):
        Cityscapes(f"{images}?snippet=000009")
    with pytest.raises(SourceError, match=r"no aachen_000003_000036_timestamp\.txt, but others"):
        Cityscapes(f"{images}?snippet=000003_000018")
    shutil.rmtree(root / "timestamp_sequence")
    assert len(Cityscapes(f"{images}?snippet=000003_000018")) == 4
    assert len(Cityscapes(f"{images}?snippet=000003_000100")) == 1
    with pytest.raises(CalibrationError, match=r"aachen_000007_\*_camera"):
        Cityscapes(f"{images}?snippet=000007")


def test_cities(root: Path) -> None:
    """The root needs a city; the error lists the known ones."""
    images = root / "leftImg8bit_sequence"
    shutil.copytree(images / "train/aachen", images / "val/ulm")
    with pytest.raises(SourceError, match=r"several cities: add \?city= and one of aachen, ulm"):
        Cityscapes(root)
    with pytest.raises(SourceError, match=r"no city 'bonn'.*one of aachen, ulm"):
        Cityscapes(f"{root}?city=bonn")
    with pytest.raises(SourceError, match="no images of ulm: it has one of aachen"):
        Cityscapes(f"{root}/leftImg8bit_sequence/train/aachen?city=ulm")
    with pytest.raises(SourceError, match=r"no \*_leftImg8bit\.png and no leftImg8bit_sequence"):
        Cityscapes(root / "camera")


def test_the_nearest_calibration(root: Path) -> None:
    """A sequence with several snippets has several calibrations."""
    content = camera_json()
    content["intrinsic"]["fx"] *= 2
    other = root / "camera/train/aachen/aachen_000003_000500_camera.json"
    other.write_text(json.dumps(content))
    camera = Cityscapes(f"{root}?city=aachen")[0].camera
    assert camera.fx == pytest.approx(STREET.camera.fx)


@pytest.mark.parametrize(
    ("block", "key", "value", "expected"),
    [
        ("intrinsic", "fx", None, r"intrinsic\.fx is None, no finite number"),
        ("intrinsic", "fx", "x", "'x', no finite number"),
        ("intrinsic", "fx", 0, "uncalibrated"),
        ("intrinsic", "u0", float("nan"), "nan, no finite number"),
        ("extrinsic", "yaw", 10**400, "a number of 401 digits"),
        ("extrinsic", "baseline", 0, "baseline is 0.0, not positive"),
        ("extrinsic", "baseline", True, "True, no finite number"),
    ],
)
def test_calibration_errors(root: Path, block: str, key: str, value: object, expected: str) -> None:
    (file,) = (root / "camera/train/aachen").iterdir()
    content: dict[str, dict[str, object]] = {k: dict(v) for k, v in camera_json().items()}
    content[block][key] = value
    file.write_text(json.dumps(content))
    with pytest.raises(CalibrationError, match=rf"camera\.json.*{expected}"):
        Cityscapes(f"{root}?city=aachen")


def test_images_of_another_shape(root: Path) -> None:
    for file in (root / "leftImg8bit_sequence/train/aachen").iterdir():
        write_png(file, np.zeros((48, 128, 3), np.uint8))
    sequence = Cityscapes(f"{root}?city=aachen")
    with pytest.raises(CalibrationError, match=r"is 128x48.*is for 2048x1024"):
        sequence[0]
    with pytest.raises(SourceError, match=r"disparity\.png is 128x64, its image 128x48"):
        sequence.truth(0)


@pytest.mark.parametrize(
    ("text", "expected"), [("1000000\n2000000", "holds 2 stamps"), ("58", "not later")]
)
def test_timestamp_errors(root: Path, text: str, expected: str) -> None:
    """One stamp a file, and stamps must increase."""
    stamps = root / "timestamp_sequence/train/aachen"
    (stamps / "aachen_000003_000020_timestamp.txt").write_text(text)
    with pytest.raises(SourceError, match=expected):
        Cityscapes(f"{root}?city=aachen")


def test_damaged_files_are_named(root: Path, tmp_path: Path) -> None:
    path = f"{root}?city=aachen"
    assert_damage_is_named(root, tmp_path / "spare", lambda: read_all(Cityscapes(path)), 50)
