# SPDX-License-Identifier: Apache-2.0
"""The head for the standard deviation: the same in every backend, and the depth stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from deviation_weights import with_head, without_head
from safetensors.numpy import load_file, save_file

from depth_recog.datasets.street import SyntheticStreet
from depth_recog.errors import WeightsError
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.settings import Settings, Wanted
from depth_recog.networks import factory
from depth_recog.networks.architecture import check_architecture
from depth_recog.networks.backends import choice
from depth_recog.networks.deviation import DEVIATION_RANGE, cues
from depth_recog.networks.factory import Assembly, NetworkOptions
from depth_recog.networks.graphs import reference
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.deviation import DeviationHead
from depth_recog.networks.own.files import load_network
from depth_recog.networks.weights import header_of

BACKENDS = [name for name in choice.BACKENDS[1:] if choice.installed(name)]
SIZE = (192, 64)
CAMERA = Camera(*SIZE, 115.0, 115.0, 96.0, 32.0)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_head(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    image = SyntheticStreet(seed=0)[0].image
    return np.asarray(cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def made(backend: str, depth: str, precision: str = "float32") -> Assembly:
    options = NetworkOptions(depth, device="cpu", precision=precision, backend=backend)
    return factory.assemble(options, Settings(width=SIZE[0]))


def both(assembly: Assembly, picture: np.ndarray) -> np.ndarray:
    """(2, h, w) depth and its standard deviation."""
    frame = assembly.recognizer.step("0", 0, picture, CAMERA, Wanted.DEPTH).frame
    assert frame.deviation is not None
    return np.stack((frame.depth, frame.deviation))


@pytest.fixture(scope="module")
def expected(weights: Path, picture: np.ndarray) -> np.ndarray:
    """(2, h, w) by torch."""
    return both(made("torch", str(weights)), picture)


@pytest.mark.parametrize("backend", BACKENDS)
def test_depth_and_deviation_of_every_backend(
    backend: str, weights: Path, picture: np.ndarray, expected: np.ndarray
) -> None:
    assembly = made(backend, str(weights))
    assert assembly.depth.deviation
    got = assembly.recognizer.step("0", 0, picture, CAMERA, Wanted.DEPTH).frame
    assert got.deviation is not None
    assert got.deviation.dtype == np.float32
    assert got.deviation.shape == got.depth.shape == SIZE[::-1]
    assert got.deviation.std() > 0.02, "the test cannot fail where the deviation is flat"
    np.testing.assert_allclose(got.depth, expected[0], rtol=2e-3)
    np.testing.assert_allclose(got.deviation, expected[1], rtol=2e-2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_head_does_not_change_the_depth(
    backend: str, weights: Path, picture: np.ndarray
) -> None:
    plain = made(backend, str(without_head(weights.parent)))
    assert not plain.depth.deviation
    frame = plain.recognizer.step("0", 0, picture, CAMERA, Wanted.DEPTH).frame
    assert frame.deviation is None
    with_it = both(made(backend, str(weights)), picture)
    np.testing.assert_allclose(with_it[0], frame.depth, rtol=1e-6)


@pytest.mark.skipif("openvino" not in BACKENDS, reason="needs openvino")
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_bfloat16(backend: str, weights: Path, picture: np.ndarray, expected: np.ndarray) -> None:
    got = both(made(backend, str(weights), "bfloat16"), picture)
    for ours, theirs, most in zip(got, expected, (0.01, 0.02), strict=True):
        assert reference.relative_difference(ours, theirs) < most


def slow_cues(image: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """`cues`, cell by cell and pixel by pixel."""
    height, width = depth.shape
    log_depth = np.log(np.clip(depth.astype(float), 0.1, 1000))
    grey = np.round(image @ np.array([0.299, 0.587, 0.114]))

    def at(x: np.ndarray, row: int, column: int) -> float:
        return float(x[np.clip(row, 0, x.shape[0] - 1), np.clip(column, 0, x.shape[1] - 1)])

    def around(x: np.ndarray, row: int, column: int) -> float:
        near = [at(x, row + r, column + c) for r in (-1, 0, 1) for c in (-1, 0, 1)]
        return float(np.mean(near))

    def each(function: Any, shape: tuple[int, int]) -> np.ndarray:
        return np.array([[function(r, c) for c in range(shape[1])] for r in range(shape[0])])

    def cells(x: np.ndarray) -> np.ndarray:
        return x.reshape(height // 4, 4, width // 4, 4).mean((1, 3))

    def change(row: int, column: int) -> float:
        here = log_depth[row, column]
        right = abs(at(log_depth, row, column + 1) - here)
        return right + abs(at(log_depth, row + 1, column) - here)

    whole, small = (height, width), (height // 4, width // 4)
    edges = cells(each(change, whole))
    fine = cells(each(lambda r, c: abs(grey[r, c] - np.round(around(grey, r, c))), whole))
    bright = cells(grey)
    coarse = each(lambda r, c: abs(bright[r, c] - around(bright, r, c)), small)
    logs = [edges, each(lambda r, c: around(edges, r, c), small)]
    logs += [fine / 255, each(lambda r, c: around(coarse, r, c), small) / 255]
    deep = cells(log_depth) - 2.5
    last = bright / 127.5 - 1
    return np.stack([deep, deep**2 - 0.5, *(np.log(x + 0.01) + 3 for x in logs), last])


def test_cues_are_those_of_a_loop_over_pixels() -> None:
    dice = np.random.default_rng(0)
    image = cv2.GaussianBlur(dice.integers(0, 256, (32, 64, 3), np.uint8), (0, 0), 2)
    depth = cv2.GaussianBlur(dice.random((32, 64), np.float32), (0, 0), 3) * 60 + 1
    # The grey levels of OpenCV are rounded a little differently.
    np.testing.assert_allclose(cues(image, depth), slow_cues(image, depth), atol=0.03)


def test_the_module_that_learns_computes_what_inference_does(picture: np.ndarray) -> None:
    head, dice = DeviationHead(), np.random.default_rng(1)
    depth = (cv2.GaussianBlur(dice.random(SIZE[::-1], np.float32), (0, 0), 4) * 60 + 1).astype("f4")
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        wanted = head(image, torch.from_numpy(depth)[None, None])[0, 0].exp().numpy()
    got = head.in_numpy(SIZE)(picture, depth)
    assert got.std() > 0.02
    np.testing.assert_allclose(got, np.clip(wanted, *DEVIATION_RANGE), rtol=1e-3)


def test_the_deviation_does_not_depend_on_the_size_of_the_image() -> None:
    """Frames that are processed at a larger size than that of the training have larger edges."""
    image = SyntheticStreet(seed=0)[0].image
    truth = SyntheticStreet(seed=0).truth(0).depth
    depth = np.where(np.isfinite(truth), truth, 80).astype(np.float32)
    head = DeviationHead()
    torch.manual_seed(3)
    torch.nn.init.normal_(head.last.weight)
    known = head.in_numpy((320, 96))
    found = [
        known(cv2.resize(image, size), cv2.resize(depth, size))
        for size in ((320, 96), (640, 192), (1280, 384))
    ]
    for one in found[1:]:
        again = cv2.resize(one, found[0].shape[::-1], interpolation=cv2.INTER_AREA)
        assert np.median(np.abs(np.log(again / found[0]))) < 0.15


def test_the_deviation_keeps_within_its_range(picture: np.ndarray) -> None:
    depth = np.full(SIZE[::-1], 10, np.float32)
    head = DeviationHead()
    for bias, limit in ((-50.0, DEVIATION_RANGE[0]), (50.0, DEVIATION_RANGE[1])):
        torch.nn.init.constant_(head.last.bias, bias)
        np.testing.assert_allclose(head.in_numpy(SIZE)(picture, depth), limit, rtol=1e-6)


def test_no_gradient_of_the_deviation_reaches_the_depth() -> None:
    network = DepthNetwork("edgetpu", (96, 64, 48, 24), deviation=True).eval()
    image, focal = torch.rand(1, 3, 64, 64), torch.tensor([100.0])
    network.with_log_deviation(image, focal)[1].sum().backward()
    given = [n for n, p in network.named_parameters() if p.grad is not None and p.grad.any()]
    touched = {name.split(".")[0] for name in given}
    assert touched == {"deviation"}


def test_a_file_says_whether_the_head_is_there(weights: Path, tmp_path: Path) -> None:
    """A head without its entry, an entry without its head, and entries that make no network."""
    tensors, header = load_file(weights), header_of(str(weights), "depth")
    metadata = {
        "format": "depth_recog/1",
        "network": "depth",
        "size": "[416, 128]",
        "unit": "metres",
        "architecture": json.dumps({**header.architecture, "deviation": False}),
    }
    path = tmp_path / "w.safetensors"
    save_file(tensors, path, metadata)
    with pytest.raises(WeightsError, match=r"tensor deviation\.\S+ belongs to another network"):
        load_network(str(path), "depth")
    metadata["architecture"] = json.dumps(header.architecture)
    rest = {name: v for name, v in tensors.items() if name != "deviation.last.weight"}
    save_file(rest, path, metadata)
    for backend in BACKENDS:
        with pytest.raises(WeightsError, match=r"deviation\.last\.weight"):
            made(backend, str(path))
    with pytest.raises(ValueError, match="deviation is 1"):
        check_architecture("depth", {"deviation": 1})


def test_the_shipped_weights_are_uncertain_where_an_image_shows_nothing() -> None:
    recognizer = made(BACKENDS[-1], "depth-street").recognizer
    camera = Camera(416, 128, 240.0, 240.0, 208.0, 64.0)

    def deviation_of(picture: np.ndarray) -> np.ndarray:
        seen = recognizer.observe("0", 0, np.asarray(picture, np.uint8), camera).deviation
        assert seen is not None
        return seen

    image = cv2.resize(SyntheticStreet(seed=0)[0].image, (416, 128), interpolation=cv2.INTER_AREA)

    def typical(picture: np.ndarray) -> float:
        return float(np.median(deviation_of(picture)))

    street = typical(image)
    assert 0.03 < street < 0.3
    noise = np.random.default_rng(0).integers(0, 256, image.shape)
    for nothing in (np.zeros_like(image), np.full_like(image, 255), noise, image // 90):
        assert typical(nothing) > 2 * street
    half = image.copy()
    half[:, :200] = 0
    deviation = deviation_of(half)
    assert np.median(deviation[:, :180]) > 2 * np.median(deviation[:, 220:])
