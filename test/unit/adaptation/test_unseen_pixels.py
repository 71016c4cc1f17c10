# SPDX-License-Identifier: Apache-2.0
"""Nothing is learnt from pixels that the camera has not seen, and nothing judged by them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")
pytest.importorskip("pydantic")

from depth_recog.adaptation.adapter import Adapter
from depth_recog.adaptation.frame import LiveFrame
from depth_recog.adaptation.memory import Block
from depth_recog.adaptation.settings import AdaptationSettings
from depth_recog.adaptation.sources import live_frames
from depth_recog.datasets.sequence import Frame
from depth_recog.datasets.street.street import SyntheticStreet
from depth_recog.evaluation.without_truth.views import View
from depth_recog.method.masking import UNLABELLED, PresetRules
from depth_recog.networks.factory import Assembly
from depth_recog.pipeline import Pipeline
from depth_recog.training.config import LossWeights, TrainingConfig
from depth_recog.training.data.augmentation import Augmentation
from depth_recog.training.data.batches import TrainingRecording, TripletDataset
from depth_recog.training.data.cache import SourceFrames
from depth_recog.training.data.triplets import choose_triplets
from depth_recog.training.depth.model import Prediction
from depth_recog.training.depth.objective import objective
from depth_recog.training.judge.witness import Witness
from depth_recog.training.loop.batches import collate

COUNT = 5
PINCUSHION = (0.15, 0.0, 0.0, 0.0, 0.0)


class StreetThroughALens(SyntheticStreet):
    """The synthetic street, seen through a lens whose images are smaller than the rectified."""

    def __getitem__(self, index: int) -> Frame:
        frame = super().__getitem__(index)
        camera = replace(frame.camera, distortion=PINCUSHION)
        pixels = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), -1)
        lens = camera.matrix, np.array(PINCUSHION)
        straight = cv2.undistortPoints(
            pixels.reshape(-1, 1, 2).astype(np.float32), *lens, P=camera.matrix
        )
        u, v = straight.reshape(*pixels.shape).astype(np.float32).transpose(2, 0, 1)
        image = np.asarray(cv2.remap(frame.image, u, v, cv2.INTER_LINEAR), np.uint8)
        return replace(frame, image=image, camera=camera)


STREET = StreetThroughALens("oncoming", 3, COUNT)
SOURCE = SourceFrames("street", "street", STREET, range(COUNT))


@pytest.fixture(scope="module")
def adapter() -> Adapter:
    return Adapter(settings=AdaptationSettings(block=COUNT, batch=1, anchors=1))


@pytest.fixture(scope="module")
def frames(adapter: Adapter) -> list[LiveFrame]:
    return list(live_frames(SOURCE, adapter.size))


@pytest.fixture(scope="module")
def block(adapter: Adapter, frames: list[LiveFrame]) -> Block:
    found = [adapter._stream.observe(frame)[2] for frame in frames][-1]
    assert found is not None
    return found


@pytest.fixture(scope="module")
def unseen(frames: list[LiveFrame]) -> NDArray[np.bool_]:
    assert frames[0].seen is not None
    return ~frames[0].seen


def test_recorded_frames_are_prepared_as_by_the_pipeline(frames: list[LiveFrame]) -> None:
    recognizer = SimpleNamespace(reset=lambda: None)
    networks = SimpleNamespace(
        recognizer=recognizer,
        network_size=lambda camera: (416, 128),
        is_ready_for=lambda size: True,
        prepare=lambda size: None,
    )
    prepared = Pipeline(cast(Assembly, networks)).prepare_frame(STREET[0])
    seen = prepared.view.network_seen
    assert seen is not None
    assert 0.05 < (~seen).mean() < 0.4
    np.testing.assert_array_equal(frames[0].seen, seen)
    np.testing.assert_array_equal(frames[0].image, prepared.image)
    assert (frames[0].image[~seen] > 0).any(1).mean() > 0.95, "mirrored, not black"


def test_all_is_seen_without_distortion(adapter: Adapter) -> None:
    street = SyntheticStreet("oncoming", 3, 1)
    (frame,) = live_frames(SourceFrames("street", "street", street, range(1)), adapter.size)
    assert frame.seen is None


def with_noise(recording: TrainingRecording, unseen: NDArray[np.bool_]) -> TrainingRecording:
    images = np.array(recording.frames.images)
    shape = len(images), int(unseen.sum()), 3
    images[:, unseen] = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    return replace(recording, frames=replace(recording.frames, images=images))


@pytest.mark.parametrize(
    "augmentation",
    [Augmentation(416, 128), Augmentation(416, 128, 1.13, 0, 0), Augmentation(416, 128, flip=True)],
    ids=["plain", "zoom", "flip"],
)
def test_what_unseen_pixels_show_is_not_learnt(
    block: Block, unseen: NDArray[np.bool_], augmentation: Augmentation
) -> None:
    def photometric(recording: TrainingRecording) -> float:
        dataset = TripletDataset([recording], TrainingConfig(), False)
        batch = collate([dataset.augmented(0, augmentation, torch.ones(4))])
        predicted = Prediction([batch.anchor], None)
        terms, compared = objective(batch, predicted, LossWeights(), lambda values: values)
        assert compared.valid.float().mean() > 0.1
        return float(terms.photometric)

    assert photometric(block.recording) > 0
    assert photometric(with_noise(block.recording, unseen)) == photometric(block.recording)


def test_parallax_is_measured_on_what_was_seen(block: Block) -> None:
    frames, rules = block.frames, PresetRules()
    assert choose_triplets(frames, rules, 0.5, block.recording.seen)[0]
    assert not choose_triplets(frames, rules, 0.5, np.zeros(frames.size[::-1], np.bool_))[0]


def test_unseen_pixels_are_no_evidence(block: Block, unseen: NDArray[np.bool_]) -> None:
    assert (np.asarray(block.frames.labels)[:, unseen] == UNLABELLED).all()
    found = Witness(PresetRules(), torch.device("cpu"))._evidence_of(block.recording)
    views: list[View] = [view for _, _, e in found for view in (e.first, e.second)]
    assert views
    for view in views:
        assert not view.static[unseen].any()
        assert not view.road[unseen].any()
        assert view.static.any()
    assert any(evidence.points is not None for _, _, evidence in found)


def test_another_lens_with_the_same_intrinsics_begins_a_new_stream(
    adapter: Adapter, frames: list[LiveFrame], block: Block
) -> None:
    adapter._stream.restart()
    adapter.observe(frames[0])
    assert "calibration" in adapter.observe(replace(frames[1], seen=None)).restarted


def test_features_of_the_stream_are_where_the_camera_has_seen(
    adapter: Adapter, frames: list[LiveFrame], block: Block, unseen: NDArray[np.bool_]
) -> None:
    adapter._stream.restart()
    blank = np.where(unseen[..., None], frames[0].image, np.uint8(90))
    assert adapter.observe(replace(frames[0], image=blank)).outcome.startswith("too few features")
    adapter.observe(frames[0])
    u, v = adapter._stream._features.astype(int).T
    assert len(u)
    assert not unseen[v, u].any()
