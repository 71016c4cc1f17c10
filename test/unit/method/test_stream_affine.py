# SPDX-License-Identifier: Apache-2.0
"""Scale and shift of a network that is affine in inverse depth, in a corridor computed exactly."""

import numpy as np
import pytest

from depth_recog.method.affine import Affine, AffineFit, fit_affine
from depth_recog.method.geometry import se3
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.observation import Observation
from depth_recog.method.scale.measurement import Refusal
from depth_recog.method.static_points import StaticPoints, static_points, triangulated
from depth_recog.method.stream_affine import AffineFilter
from depth_recog.method.tracking.tracks import Correspondences, Tracks

CAMERA = Camera(416, 128, 240.0, 240.0, 208.0, 50.0)
STEP_M, STEP_S = 0.8, 0.1
ROWS, COLUMNS = np.mgrid[0:128, 0:416]


def corridor(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Inverse depth of a road 1.65 m below the camera, and of houses 6 m to the left and right."""
    x, y = CAMERA.rays(columns.astype(float), rows.astype(float))
    return np.maximum(np.maximum(y / 1.65, np.abs(x) / 6), 1 / 90)


INVERSE = corridor(COLUMNS, ROWS)


def network(number: int, jitter: float = 0.0) -> Affine:
    """From the true inverse depth to that of the network, which differs from frame to frame."""
    scale = 3 * np.exp(0.1 * np.sin(number / 15) + jitter * (-1) ** number)
    return Affine(scale, scale * 0.05 * (1 + 0.2 * np.sin(number / 20)))


class Drive:
    """Frames of the corridor, each compared with the one before."""

    def __init__(self, noise: float = 0.1) -> None:
        self.filter, self._noise = AffineFilter(), noise
        self._rng = np.random.default_rng(3)
        self._before: Observation | None = None
        self._number = 0
        self._pixels = self._rng.uniform((0, 0), (415, 127), (300, 2))

    def step(self, metres: float = STEP_M, answer: np.ndarray | None = None) -> np.ndarray:
        """Move, and return the relative error of the depth in each pixel, up to its unit."""
        number, self._number = self._number, self._number + 1
        if answer is None:
            answer = network(number).inverse(INVERSE)
        raw = (1 / answer).astype(np.float32)
        first, second = self._moved(metres)
        ids = np.arange(len(first)) + 1000 * number
        T = np.eye(4)
        T[2, 3] = -metres
        categories = np.zeros(len(ids), np.uint8)
        tracks = Tracks(ids, second.astype(np.float32), categories, int(ids[-1]) + 1)
        trusted = self.filter.now is not None
        image, labels = np.zeros((128, 416, 3), np.uint8), np.zeros((128, 416), np.uint8)
        stamp = round(number * STEP_S * 1e9)

        def depth() -> np.ndarray:
            return self.filter.applied(raw) if trusted else raw

        frame = Observation(str(number), stamp, image, CAMERA, depth, labels, tracks=tracks)
        if self._before is not None:
            found = Correspondences(*(p.astype(np.float32) for p in (first, second)), 300, ids)
            static = triangulated(found, T, CAMERA)
            before = self._before
            self.filter.add((before, before), frame, static, raw, standing=metres == 0)
        self._before = frame
        return frame.depth * INVERSE

    def _moved(self, metres: float) -> tuple[np.ndarray, np.ndarray]:
        depth = 1 / corridor(*self._pixels.T)
        centre = np.array((CAMERA.cx, CAMERA.cy))
        second = centre + (self._pixels - centre) * (depth / (depth - metres))[:, None]
        seen = (depth > 2 * metres) & (second >= 0).all(1) & (second <= (415, 127)).all(1)
        noise = self._rng.normal(0, self._noise, second.shape)
        return self._pixels[seen], np.clip(second + noise, 0, (415, 127))[seen]


def driven() -> Drive:
    """After 30 frames."""
    drive = Drive()
    for _ in range(30):
        drive.step()
    assert drive.filter.now is not None
    return drive


def test_a_drive_shows_scale_and_shift_and_the_unit_stays() -> None:
    drive = Drive()
    errors = [drive.step() for _ in range(90)]
    assert drive.filter.settled
    ratios = np.array([np.median(error) for error in errors[25:]])
    assert np.abs(ratios / ratios[0] - 1).max() < 0.05, "the unit drifts"
    for error, ratio in zip(errors[25:], ratios, strict=True):
        for farthest, most in ((25, 0.04), (60, 0.08)):
            wrong = np.abs(error[1 / farthest < INVERSE] / ratio - 1).max()
            assert wrong < most, "the depth is bent"
    bent = errors[0] / np.median(errors[0])
    assert np.abs(bent - 1).max() > 0.5, "the network alone is far from it"


def test_a_camera_at_rest_shows_nothing() -> None:
    drive = Drive()
    for _ in range(40):
        error = drive.step(0.0)
    assert drive.filter.now is None
    assert not drive.filter.settled
    assert "does not move" in drive.filter.why
    np.testing.assert_allclose(error, INVERSE / network(39).inverse(INVERSE), rtol=1e-5)


@pytest.mark.parametrize(("change", "kept"), [(1.0, True), (1.02, True), (1.2, False)])
def test_a_stop_keeps_what_is_known_as_long_as_the_answer_stays(change: float, kept: bool) -> None:
    drive = driven()
    known = drive.filter.now
    for _ in range(10):
        drive.step(0.0, answer=change * network(29).inverse(INVERSE))
    assert drive.filter.now == (known if kept else None)
    assert drive.filter.settled == kept


def test_nan_of_the_network_stays_where_it_is() -> None:
    """Neither the map nor other pixels suffer, and an image without any answer changes nothing."""
    drive = driven()
    answer = network(30).inverse(INVERSE)
    hole = np.zeros(INVERSE.shape, bool)
    hole[60:, 100:140] = True
    error = drive.step(answer=np.where(hole, np.nan, answer))
    assert np.array_equal(np.isnan(error), hole)
    near = ~hole & (INVERSE > 1 / 25)
    assert np.abs(error[near] / np.median(error[near]) - 1).max() < 0.05
    before = drive.filter.now
    for nothing in (np.nan, np.inf):
        drive.step(answer=np.full(INVERSE.shape, nothing))
        assert drive.filter.now == before
    for _ in range(2):  # the first has no depth before it
        drive.step()
    assert drive.filter.now not in (None, before)


def test_what_no_frame_confirms_is_forgotten() -> None:
    drive = driven()
    noise = np.random.default_rng(0).uniform(0.1, 1, INVERSE.shape)
    for _ in range(4):
        drive.step(answer=noise)
    assert drive.filter.now is not None, "a few frames do not count"
    for _ in range(6):
        drive.step(answer=noise)
    assert drive.filter.now is None
    assert "not known" in drive.filter.why


NUMBERS = np.random.default_rng(5).uniform(0.02, 0.4, 200)
NOT_AFFINE = {
    "equally far": (NUMBERS, np.full(200, 0.1), "equally far"),
    "constant": (np.full(200, 0.1), NUMBERS, "the same everywhere"),
    "reversed": (0.5 - NUMBERS, NUMBERS, "does not grow"),
    "random": (NUMBERS[::-1], NUMBERS, ""),
    "few": (NUMBERS[:9], NUMBERS[:9], "9 static points"),
}


@pytest.mark.parametrize("case", NOT_AFFINE)
def test_refused(case: str) -> None:
    inverse, wanted, why = NOT_AFFINE[case]
    found = fit_affine(inverse, wanted, np.full(len(inverse), 0.003))
    assert isinstance(found, Refusal)
    assert why in found.why


def test_a_quarter_of_wrong_points_does_not_count() -> None:
    wanted = 0.5 * NUMBERS - 0.005
    wanted[::4] = 0.3
    found = fit_affine(NUMBERS, wanted, np.full(200, 0.002))
    assert isinstance(found, AffineFit)
    np.testing.assert_allclose(found.affine, (0.5, -0.005), rtol=0.05)


def test_far_points_are_not_biased() -> None:
    """Their inverse depths scatter evenly, so that none has to be left out."""
    drive = Drive(noise=0.3)
    T = np.eye(4)
    T[2, 3] = -STEP_M
    first, second = drive._moved(STEP_M)
    pixels = (p.astype(np.float32) for p in (first, second))
    points = triangulated(Correspondences(*pixels, 300, np.arange(len(first))), T, CAMERA)
    assert isinstance(points, StaticPoints)
    true = corridor(*points.first.T) * STEP_M
    far = true < np.quantile(true, 0.3)
    error = (points.first_inverse - true)[far] / points.std[far]
    assert abs(error.mean()) < 0.3


def test_the_motion_is_found_from_the_points_alone() -> None:
    """A camera at rest, and one that only turns, show none."""
    drive = Drive(noise=0.1)
    first, second = drive._moved(STEP_M)
    ids = np.arange(len(first))
    found = Correspondences(*(p.astype(np.float32) for p in (first, second)), len(ids), ids)
    points = static_points(found, CAMERA)
    assert isinstance(points, StaticPoints)
    true = corridor(*points.first.T) * STEP_M
    error = (points.first_inverse - true)[points.sure] / true[points.sure]
    assert abs(np.median(error)) < 0.02
    rays = np.stack((*CAMERA.rays(*first.T), np.ones(len(ids))))
    turned = se3.exp_twist(np.array((0.003, 0.02, 0, 0, 0, 0)))[:3, :3] @ rays
    aside = (turned[:2] / turned[2]).T * (CAMERA.fx, CAMERA.fy) + (CAMERA.cx, CAMERA.cy)
    noise = np.random.default_rng(0).normal(0, 0.1, first.shape)
    for same in (first + noise, aside + noise):
        pixels = (p.astype(np.float32) for p in (first, same))
        assert isinstance(static_points(Correspondences(*pixels, len(ids), ids), CAMERA), Refusal)
