# SPDX-License-Identifier: Apache-2.0
"""The pseudo-label network: squares over a frame, its vote, its weights and its probabilities."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kitti_files import real

from depth_recog.datasets.sources import open_source
from depth_recog.errors import WeightsError
from depth_recog.networks.own.deeplab import RefinedDeepLab
from depth_recog.networks.tiling import tile_starts
from recipes.soft_teacher import SoftTeacher
from recipes.teacher import PASSES, Teacher, TeacherPass, with_gamma
from recipes.teacher_weights import load_teacher, read_convolutions

MODEL = "deeplab_mobilenet_edgetpu_slim_cityscapes_quant.tflite"
DRIVE = "kitti_raw/2011_09_26/2011_09_26_drive_0005_sync"


@pytest.fixture(scope="module")
def model() -> Path:
    pytest.importorskip("ai_edge_litert", reason="pip install ai-edge-litert")
    return real("weights") / MODEL


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    return open_source(str(real(DRIVE)))[60].image


class Reader(Teacher):
    """A teacher that reads labels 0 to 7 from the colours, at twice the square's size."""

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []

    def square(self, image: np.ndarray) -> np.ndarray:
        assert image.shape[0] == image.shape[1]
        self.images.append(image)
        labels = (image > 127) @ np.array([1, 2, 4])
        return labels.astype(np.uint8).repeat(2, 0).repeat(2, 1)


def painted(labels: np.ndarray) -> np.ndarray:
    """The image from which `Reader` reads them."""
    return ((labels[..., None] >> np.arange(3)) % 2 * 255).astype(np.uint8)


@given(st.integers(8, 40), st.integers(0, 100), st.floats(0, 0.8), st.integers(0, 3))
def test_squares_cover_the_width_and_overlap(
    height: int, extra: int, overlap: float, more: int
) -> None:
    starts = tile_starts(height + extra, height, overlap, more)
    assert starts[0] == 0
    assert starts[-1] == extra
    assert all(0 <= b - a <= height * (1 - overlap) + 1 for a, b in pairwise(starts))
    if extra:
        assert len(starts) == len(tile_starts(height + extra, height, overlap)) + more


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(4, 40))
def test_the_vote_of_passes_that_agree_is_their_labels(seed: int, height: int, more: int) -> None:
    """Every pass labels the pixels of the frame, also a mirrored one."""
    labels = np.random.default_rng(seed).integers(0, 8, (height, height + more))
    vote = Reader().vote(painted(labels))
    np.testing.assert_array_equal(vote.labels, labels)
    np.testing.assert_allclose(vote.share, 1, atol=1e-6)


def test_the_share_is_that_of_the_passes_that_agree() -> None:
    """The reader labels dark grey as black, except where the gamma brightens it."""
    image = np.full((10, 30, 3), 100, np.uint8)
    vote = Reader().vote(image, (TeacherPass(), TeacherPass(), TeacherPass(gamma=0.5)))
    assert not vote.labels.any()
    np.testing.assert_allclose(vote.share, 2 / 3, atol=1e-6)


def test_a_squares_border_counts_less_than_anothers_middle_but_not_at_the_frames_border() -> None:
    """Every square labels its outer columns 7: that remains at the border of the frame only."""

    class WrongAtBorders(Reader):
        def square(self, image: np.ndarray) -> np.ndarray:
            labels = super().square(image)
            labels[:, :4] = labels[:, -4:] = 7
            return labels

    labels = WrongAtBorders().vote(painted(np.ones((20, 60), int)), (TeacherPass(),)).labels
    assert (labels[:, :2] == 7).all()
    assert (labels[:, -2:] == 7).all()
    assert (labels[:, 2:-2] == 1).all()
    share = WrongAtBorders().vote(painted(np.ones((20, 24), int)), (TeacherPass(),)).share
    np.testing.assert_allclose(share, share[:, ::-1], atol=1e-6)
    assert 0.8 < share[0, 5] < 1, "the border of the second square has a small weight there"


def test_passes_give_the_teacher_different_images() -> None:
    reader = Reader()
    reader.vote(painted(np.arange(600).reshape(20, 30) % 8))
    assert len(reader.images) == sum(len(tile_starts(30, 20, more=one.more)) for one in PASSES)
    assert len({image.tobytes() for image in reader.images}) > len(PASSES)


def test_gamma_keeps_black_and_white_and_brightens_shadows() -> None:
    image = np.array([[[0, 100, 255]]], np.uint8)
    assert with_gamma(image, 1.0).tolist() == image.tolist()
    assert with_gamma(image, 0.6).tolist() == [[[0, round(255 * (100 / 255) ** 0.6), 255]]]


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="pip install ai-edge-litert")
    for make in (Teacher, SoftTeacher, read_convolutions):
        with pytest.raises(WeightsError, match=r"no\.tflite: no such file"):
            make(tmp_path / "no.tflite")
    (tmp_path / "text.tflite").write_text("not a model")
    with pytest.raises(WeightsError, match="not a TFLite model"):
        read_convolutions(tmp_path / "text.tflite")


@pytest.mark.data
def test_another_network_is_refused(model: Path) -> None:
    with pytest.raises(WeightsError, match="not the DeepLab"):
        load_teacher(RefinedDeepLab(classes=7), model)


@pytest.mark.data
def test_the_weights_are_those_that_the_interpreter_has(model: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    stored = {}
    for tensor in interpreter.get_tensor_details():
        if len(tensor["shape"]) == 4 and tensor["quantization"][0]:
            try:
                values = interpreter.get_tensor(tensor["index"]).astype(np.float64)
            except ValueError:  # an activation, not computed yet
                continue
            scale, zero = tensor["quantization"]
            stored.setdefault(values.size, []).append(np.sort(((values - zero) * scale).ravel()))
    found = read_convolutions(model)
    assert len(found) == 62
    for weight, bias in found:
        assert len(bias) == len(weight)
        mine = np.sort(weight.ravel().astype(np.float64))
        assert any(np.allclose(mine, other, atol=1e-5) for other in stored[weight.size])


@pytest.mark.data
def test_without_quantisation_the_labels_are_nearly_the_same(
    model: Path, frame: np.ndarray
) -> None:
    """LiteRT's own two sets of kernels differ by as much on these squares."""
    network = RefinedDeepLab().eval()
    load_teacher(network, model)
    teacher = Teacher(model, 1)
    for start in (0, 400):
        tile = np.ascontiguousarray(frame[:, start : start + 375])
        tile = cv2.resize(tile, (513, 513), interpolation=cv2.INTER_LINEAR)
        image = torch.from_numpy(tile).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            coarse = network.head(network.encoder(image)[-1])
            scores = torch.nn.functional.interpolate(
                coarse, size=(513, 513), mode="bilinear", align_corners=True
            )
        agree = (scores.argmax(1)[0].numpy() == teacher.square(tile)).mean()
        assert agree > 0.97


@pytest.mark.data
def test_probabilities_are_of_the_frames_pixels(model: Path, frame: np.ndarray) -> None:
    """Compared with a single pass of the quantised model: similar labels at the same pixels."""
    soft = SoftTeacher(model).probabilities(frame, 310, 94)
    assert soft.shape == (94, 310, 19)
    assert abs(soft.astype(int).sum(2) - 255).max() <= 10
    once = Teacher(model, 1).label(frame, 310, 94)
    agree = (soft.argmax(2) == once).mean()
    assert agree > 0.85
    assert (soft.argmax(2)[:, ::-1] == once).mean() < agree - 0.2
