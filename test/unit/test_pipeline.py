# SPDX-License-Identifier: Apache-2.0
"""The stages around `Recognizer.step`: which image goes in, and at which size results come out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from depth_recog.datasets.sequence import Frame
from depth_recog.errors import CalibrationError
from depth_recog.evaluation.run_writer import RunWriter
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.geometry.viewport import Viewport
from depth_recog.method.masking import PresetRules
from depth_recog.method.observation import Observation
from depth_recog.method.pair import Step
from depth_recog.method.settings import Wanted
from depth_recog.networks.factory import Assembly
from depth_recog.pipeline import KEPT, Pipeline

CAMERA = Camera(128, 64, 100.0, 100.0, 64.0, 32.0)
SKY, CAR, ROAD = 10, 13, 0


class Columns:
    """A recognizer whose labels are sky, car and road from left to right, with depth in metres."""

    def __init__(self) -> None:
        self.seen: list[tuple[NDArray[np.uint8], Camera, Wanted]] = []
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def step(
        self,
        name: str,
        stamp_ns: int,
        image: NDArray[np.uint8],
        camera: Camera,
        wanted: Wanted,
        seen: NDArray[np.bool_] | None,
    ) -> Step:
        self.seen.append((image, camera, wanted))
        rules = PresetRules()
        labels = np.full(image.shape[:2], ROAD, np.uint8)
        labels[:, : camera.width // 4] = SKY
        labels[:, camera.width // 4 : camera.width // 2] = CAR
        depth = np.select([labels == SKY, labels == CAR], [50.0, 90.0], 0.01).astype(np.float32)
        frame = name, stamp_ns, image, camera, depth, labels, rules
        return Step(Observation(*frame, seen=seen), None)


class Networks:
    """An assembly without networks, whose images have this size."""

    def __init__(self, recognizer: Columns, size: tuple[int, int]) -> None:
        self.recognizer, self.size = recognizer, size

        self.prepared: list[tuple[int, int]] = []

    def network_size(self, camera: Camera) -> tuple[int, int]:
        return self.size

    def is_ready_for(self, size: tuple[int, int]) -> bool:
        return size in self.prepared

    def prepare(self, size: tuple[int, int]) -> None:
        self.prepared.append(size)


def pipeline_of(recognizer: Columns, size: tuple[int, int] = (64, 32)) -> Pipeline:
    return Pipeline(cast(Assembly, Networks(recognizer, size)))


def frame(camera: Camera = CAMERA) -> Frame:
    image = np.random.default_rng(1).integers(0, 255, (camera.height, camera.width, 3), np.uint8)
    return Frame("0", 7, image, camera)


def test_results_have_the_inputs_size_and_are_limited_there() -> None:
    recognizer = Columns()
    given = frame()
    processed = pipeline_of(recognizer).process(given)
    (image, camera, wanted), small = recognizer.seen[0], processed.at_network_size
    assert image.shape == (32, 64, 3)
    assert camera == CAMERA.resized(64, 32)
    assert wanted is Wanted.PAIR
    assert small.image is image
    assert small.camera == camera
    full = processed.at_input_size
    np.testing.assert_array_equal(full.image, given.image)
    assert full.camera == CAMERA
    for maps, width in ((full, 128), (small, 64)):
        quarter = width // 4
        depth = maps.depth()
        assert depth.shape == maps.labels.shape == maps.moving.shape == (width // 2, width)
        assert np.isposinf(depth[:, : quarter - 2]).all()  # sky, beyond half of the range
        assert np.isposinf(depth[:, quarter + 2 : 2 * quarter - 2]).all()  # beyond the range
        assert np.isneginf(depth[:, 2 * quarter + 2 :]).all()  # nearer than the range
        assert np.isfinite(maps.depth(0.001, 200.0)).all()
        np.testing.assert_array_equal(maps.dynamic, maps.labels == CAR)
        np.testing.assert_array_equal(maps.moving, maps.dynamic.astype(np.uint8))  # undecided
        assert np.isnan(maps.scores).all()  # without a pair nothing is known


def test_a_distorted_image_is_rectified_first() -> None:
    recognizer = Columns()
    distorted = replace(CAMERA, distortion=(-0.3, 0.1, 0.0, 0.0, 0.0))
    processed = pipeline_of(recognizer, CAMERA.size).process(frame(distorted))
    assert processed.at_input_size.camera == CAMERA
    assert (processed.at_input_size.image != frame(distorted).image).any()
    np.testing.assert_array_equal(recognizer.seen[0][0], processed.at_input_size.image)


@pytest.mark.parametrize("change", ["camera", "size"])
def test_another_camera_or_network_size_starts_a_new_buffer(change: str) -> None:
    recognizer = Columns()
    pipeline = pipeline_of(recognizer)
    for _ in range(2):
        pipeline.process(frame())
    assert recognizer.resets == 1
    if change == "camera":
        pipeline.process(frame(replace(CAMERA, fx=90.0, fy=90.0)))
    else:
        pipeline.use(cast(Assembly, Networks(recognizer, (96, 64))))
        assert pipeline.process(frame()).at_network_size.camera.size == (96, 64)
    assert recognizer.resets == 2


def test_a_calibration_with_its_own_rectification_and_no_pair() -> None:
    recognizer = Columns()
    pipeline = pipeline_of(recognizer)
    target = replace(CAMERA, fx=80.0, fy=80.0)
    pipeline.set_camera(CAMERA, target, np.eye(3))
    prepared = pipeline.prepare("0", 7, frame().image)
    processed = pipeline.recognize(prepared, Wanted.MASKS)
    assert processed.at_input_size.camera == target
    assert recognizer.seen[0][2] is Wanted.MASKS


def test_an_image_of_another_size_than_its_calibration_is_refused() -> None:
    with pytest.raises(CalibrationError, match=r"100x64.*calibration is for 128x64"):
        pipeline_of(Columns()).process(replace(frame(), image=np.zeros((64, 100, 3), np.uint8)))


PINCUSHION = replace(CAMERA, distortion=(0.6, 0.0, 0.0, 0.0))


def test_files_of_run_have_no_result_where_the_camera_has_seen_nothing(tmp_path: Path) -> None:
    processed = pipeline_of(Columns()).process(frame(PINCUSHION))
    unseen = ~processed.at_input_size.seen
    writer = RunWriter(tmp_path)
    writer.write(processed)
    writer.close()
    for folder, value in (("depth", 0), ("mask", 255), ("moving", 0)):
        pixels = cv2.imread(str(tmp_path / folder / "0.png"), cv2.IMREAD_UNCHANGED)
        assert (pixels[unseen] == value).all(), folder
        assert (pixels[~unseen] != value).any(), folder


@pytest.mark.parametrize("size", ["input", "network"])
def test_where_the_camera_has_seen_nothing_there_is_no_result(size: str) -> None:
    """NaN in depth and scores, unlabelled and not dynamic in masks, black in the image."""
    recognizer = Columns()
    given = replace(frame(PINCUSHION), image=np.full((64, 128, 3), 200, np.uint8))
    processed = pipeline_of(recognizer).process(given)
    maps = processed.at_input_size if size == "input" else processed.at_network_size
    assert maps.seen is not None
    unseen = ~maps.seen
    assert 0.05 < unseen.mean() < 0.5
    assert np.isnan(maps.depth(0.001, 200.0)[unseen]).all()
    assert np.isfinite(maps.depth(0.001, 200.0)[maps.seen]).all()
    assert (maps.labels[unseen] == 255).all()
    assert not maps.dynamic[unseen].any()
    assert not maps.moving[unseen].any()
    assert np.isnan(maps.scores[unseen]).all()
    assert not maps.image[unseen].any()
    assert (maps.image[maps.seen] == 200).all()
    # The networks see the mirror image of the scene there, not black.
    assert (recognizer.seen[0][0] == 200).all()


LENS = replace(CAMERA, distortion=(-0.2, 0.05, 0.0, 0.0))


def image_of(camera: Camera) -> NDArray[np.uint8]:
    return np.zeros((camera.height, camera.width, 3), np.uint8)


def test_no_maps_are_made_for_a_size_that_no_image_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of 30000x30000 pixels take 6 GB."""
    monkeypatch.setattr(Viewport, "of", None)
    pipeline = pipeline_of(Columns())
    pipeline.set_camera(LENS.resized(30_000, 15_000))
    with pytest.raises(CalibrationError, match="1x1 pixels, its calibration is for 30000x15000"):
        pipeline.prepare("giant", 0, np.zeros((1, 1, 3), np.uint8))


def test_cameras_that_take_turns_are_prepared_once() -> None:
    entered: list[int] = []

    @contextmanager
    def costly() -> Iterator[None]:
        entered.append(1)
        yield

    networks = Networks(Columns(), (64, 32))
    pipeline = Pipeline(cast(Assembly, networks), costly)
    cameras = [replace(LENS, fx=LENS.fx + n) for n in range(KEPT + 1)]

    def turn(camera: Camera) -> Viewport:
        pipeline.set_camera(camera)
        return pipeline.prepare("turn", 0, image_of(camera)).view

    first = [turn(camera) for camera in cameras[:KEPT]]
    for _ in range(3):
        assert all(turn(c) is view for c, view in zip(cameras, first, strict=False))
    assert len(entered) == KEPT
    assert networks.recognizer.resets == 4 * KEPT
    # Only so many are kept: the one that was not used for the longest time is made again.
    turn(cameras[KEPT])
    assert turn(cameras[KEPT - 1]) is first[KEPT - 1]
    assert turn(cameras[0]) is not first[0]
    # Networks that have forgotten the size are made ready again, within the same limit.
    networks.prepared.clear()
    turn(cameras[KEPT])
    assert len(entered) == KEPT + 3


def test_a_preparation_that_is_refused_changes_nothing() -> None:
    @contextmanager
    def costly() -> Iterator[None]:
        if refusing:
            raise CalibrationError("too often")
        yield

    refusing: list[int] = []
    pipeline = Pipeline(cast(Assembly, Networks(Columns(), (64, 32))), costly)
    pipeline.set_camera(CAMERA)
    pipeline.prepare("good", 0, image_of(CAMERA))
    refusing.append(1)
    pipeline.set_camera(LENS)
    with pytest.raises(CalibrationError, match="too often"):
        pipeline.prepare("other", 1, image_of(LENS))
    pipeline.set_camera(CAMERA)
    pipeline.prepare("good", 2, image_of(CAMERA))
