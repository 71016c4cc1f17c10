# SPDX-License-Identifier: Apache-2.0
"""Training data: prepared once, triplets by parallax, batches by (seed, step) alone."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")

from training_runs import SIZE, STREET, blank_weights, image_folder, networks_of, quick_config

from depth_recog.cli.train import chosen_frames
from depth_recog.datasets.sources import open_source
from depth_recog.errors import ConfigurationError, TrainingError
from depth_recog.evaluation.splits import sha256_of
from depth_recog.method.masking import PresetRules
from depth_recog.training.data.augmentation import MIRROR, Augmentation
from depth_recog.training.data.batches import TrainingRecording, TripletDataset
from depth_recog.training.data.cache import PseudoLabelNetworks, prepare
from depth_recog.training.data.gating import exclusions_of, still_pixels
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.data.selection import DataSplit, hold_out, read_data, size_of
from depth_recog.training.data.triplets import (
    ALONE,
    LEAST,
    STILL,
    USED,
    choose_triplets,
    parallax_table,
)
from depth_recog.training.loop.batches import StepSampler, make_loader
from depth_recog.training.loop.run import RunControl

RULES = PresetRules()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def config(folder):
    return quick_config(blank_weights(folder))


@pytest.fixture(scope="module")
def networks(config) -> PseudoLabelNetworks:
    return networks_of(config)


@pytest.fixture(scope="module")
def street(folder, networks) -> PreparedFrames:
    return prepare(chosen_frames(STREET), SIZE, networks, folder / "cache")


def test_prepared_frames_hold_images_and_ground_truth(street) -> None:
    recording = open_source(STREET)
    assert len(street) == len(recording)
    frame, truth = recording[7], recording.truth(7)
    assert np.array_equal(street.images[7], frame.image)
    assert np.array_equal(street.labels[7], truth.labels)
    assert np.array_equal(street.depths[7], truth.depth)
    np.testing.assert_allclose(street.poses[7], truth.world_from_camera)
    np.testing.assert_allclose(street.intrinsics[7], frame.camera.matrix)
    assert street.stamps[7] == frame.stamp_ns
    assert street.dense
    assert street.posed


def test_frames_are_prepared_once(folder, networks) -> None:
    calls = []
    text, cache = f"{STREET}@0:4", folder / "once"
    first = prepare(chosen_frames(text), SIZE, networks, cache, lambda: calls.append(1))
    count = len(calls)
    again = prepare(chosen_frames(text), SIZE, networks, cache, lambda: calls.append(1))
    assert count == len(first) == len(calls)
    assert np.array_equal(first.images, again.images)
    other = replace(networks, identity=("other masks", networks.identity[1]))
    prepare(chosen_frames(f"{STREET}@0:3"), SIZE, other, cache, lambda: calls.append(1))
    assert len(calls) == count + 3, "another network gives other labels"


def test_without_truth_the_network_labels_the_frames_and_files_are_listed(folder, networks) -> None:
    root = folder / "drive"
    one = chosen_frames(image_folder(root, 3))
    found = prepare(one, SIZE, networks, folder / "plain")
    assert not found.posed
    assert found.depths is None
    image = torch.from_numpy(np.array(found.images[1])).permute(2, 0, 1)[None].float() / 255
    assert np.array_equal(found.labels[1], networks.scores(image).argmax(1)[0].numpy())
    assert found.files == [(sha256_of(root / f"{i}.png"), f"drive/{i}.png") for i in range(3)]
    before = sorted(p.name for p in (folder / "plain").iterdir())
    cv2.imwrite(str(root / "1.png"), np.zeros((64, 128, 3), np.uint8))
    changed = prepare(one, SIZE, networks, folder / "plain")
    assert not changed.images[1].any(), "a changed file is read again"
    assert len(list((folder / "plain").iterdir())) == len(before) + 1


def test_neighbours_have_parallax_and_every_frame_is_counted(street) -> None:
    triplets, counts = choose_triplets(street, RULES, 0.5)
    table = parallax_table(street, RULES, 0.5)
    assert counts[USED] == len(triplets) > 8
    assert counts.total() == len(street)
    for t in triplets:
        assert t.before < t.index < t.after
        assert table[t.before, t.index] >= LEAST
        assert table[t.index, t.after] >= LEAST


def frames_of(frames, indices: list[int], **changes: object) -> PreparedFrames:
    """Some frames, in another order or more than once, with stamps as if they were a recording."""
    arrays = {
        name: np.array(getattr(frames, name)[indices])
        for name in ("images", "labels", "intrinsics", "poses", "anchors", "depths")
    }
    stamps = 100_000_000 * np.arange(len(indices))
    names = [frames.names[i] for i in indices]
    return replace(frames, **(arrays | {"stamps": stamps, "names": names} | changes))


def test_a_camera_at_rest_gives_no_triplets(street) -> None:
    triplets, counts = choose_triplets(frames_of(street, [4] * 6), RULES, 0.5)
    assert not triplets
    assert counts == Counter({USED: 0, STILL: 4, ALONE: 2})


def test_no_pair_spans_a_gap_in_time_a_cut_or_another_camera(street) -> None:
    every = list(range(10))
    gap = 100_000_000 * np.arange(10)
    gap[5:] += 2_000_000_000
    camera = np.array(street.intrinsics[every])
    camera[5:, 0, 0] += 1
    noise = np.array(street.images[every])
    noise[5:] = np.random.default_rng(0).integers(0, 255, noise[5:].shape)
    cut = {"images": noise, "poses": np.full((10, 4, 4), np.nan)}
    for change in ({"stamps": gap}, {"intrinsics": camera}, cut):
        pairs = parallax_table(frames_of(street, every, **change), RULES, 0.5)
        assert any(j < 5 for _, j in pairs)
        assert not any(i < 5 <= j for i, j in pairs)
    assert any(i < 5 <= j for i, j in parallax_table(frames_of(street, every), RULES, 0.5))


def test_rotation_is_no_parallax_where_poses_are_recorded(street) -> None:
    """One image rotated about the camera's centre: displaced everywhere, and without parallax."""
    k = street.intrinsics[0]
    images, poses = [], []
    for angle in 0.02 * np.arange(4):
        turn = cv2.Rodrigues(np.array([0.0, angle, 0.0]))[0]
        moved = k @ turn.T @ np.linalg.inv(k)
        images.append(cv2.warpPerspective(np.array(street.images[3]), moved, SIZE, borderMode=2))
        pose = np.eye(4)
        pose[:3, :3] = turn
        poses.append(pose)
    turned = frames_of(street, [3] * 4, images=np.stack(images), poses=np.stack(poses))
    without_poses = replace(turned, poses=np.full((4, 4, 4), np.nan))
    assert parallax_table(without_poses, RULES, 0.5)[0, 1] > LEAST
    assert parallax_table(turned, RULES, 0.5)[0, 1] < LEAST / 2


def test_augmented_intrinsics_project_to_the_same_pixels() -> None:
    rng = np.random.default_rng(1)
    k = np.array([[90.0, 0, 60.3], [0, 80, 30.2], [0, 0, 1]])
    # Images whose value is the pixel's own coordinate.
    u, v = np.meshgrid(np.arange(SIZE[0], dtype=np.float32), np.arange(SIZE[1], dtype=np.float32))
    for _ in range(20):
        augmentation = Augmentation.draw(rng, SIZE, 1.5)
        point = np.array([0.1, -0.05, 1.0])
        mirrored = point * (-1 if augmentation.flip else 1, 1, 1)
        x, y = (augmentation.intrinsics(k) @ mirrored)[:2]
        if not (1 < x < SIZE[0] - 2 and 1 < y < SIZE[1] - 2):
            continue
        for values, expected in zip((u, v), (k @ point)[:2], strict=True):
            augmented = augmentation.apply(values, cv2.INTER_LINEAR)
            found = cv2.getRectSubPix(augmented, (1, 1), (x, y))
            assert found[0, 0] == pytest.approx(expected, abs=0.02)


@settings(max_examples=10)
@given(st.integers(0, 2**31 - 1))
def test_a_mirrored_motion_moves_mirrored_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    motion = np.eye(4)
    motion[:3, :3] = cv2.Rodrigues(rng.normal(size=3))[0]
    motion[:3, 3] = rng.normal(size=3)
    point = np.append(rng.normal(size=3), 1)
    mirrored = Augmentation(*SIZE, flip=True).motion(motion)
    np.testing.assert_allclose(mirrored @ MIRROR @ point, MIRROR @ motion @ point)


def recording_of(frames, gate: str, networks) -> TrainingRecording:
    triplets, _ = choose_triplets(frames, RULES, 0.5)
    still = still_pixels(frames, RULES, networks) if gate == "object" else None
    exclusions = exclusions_of(gate, frames, triplets, RULES, networks)
    return TrainingRecording(frames, triplets, exclusions, still)


@pytest.fixture(scope="module")
def recording(street, networks) -> TrainingRecording:
    return recording_of(street, "all", networks)


def test_a_batch_depends_on_seed_and_step_and_not_on_the_processes(recording, config) -> None:
    dataset = TripletDataset([recording], config, True)
    whole = list(make_loader(dataset, StepSampler(dataset, range(2, 5), 4), 0, False))
    halves = [
        list(make_loader(dataset, StepSampler(dataset, range(2, 5), 4, rank, 2), workers, False))
        for rank, workers in ((0, 0), (1, 1))
    ]
    for step, batch in enumerate(whole):
        for name in vars(batch):
            both = torch.cat([getattr(half[step], name) for half in halves])
            assert torch.equal(both.nan_to_num(-9), getattr(batch, name).nan_to_num(-9)), name
    assert not torch.equal(whole[0].frames, whole[1].frames)


def test_recordings_are_drawn_by_the_root_of_their_length_without_repetition(
    recording, config
) -> None:
    short = replace(recording, triplets=recording.triplets[:3], exclusions=recording.exclusions[:3])
    dataset = TripletDataset([short, recording], config, False)
    drawn = np.concatenate([dataset.drawn(step, 2) for step in range(400)])
    count = len(recording.triplets)
    expected = 3**0.5 / (3**0.5 + count**0.5)
    assert (drawn < 3).mean() == pytest.approx(expected, abs=0.06)
    assert all(len(set(dataset.drawn(step, 6))) == 6 for step in range(20))


def test_gates_exclude_no_dynamic_pixels_all_or_some(street, config, networks) -> None:
    masks = {}
    for gate in ("off", "all", "image", "object"):
        recording = recording_of(street, gate, networks)
        assert recording.exclusions.shape == (len(recording.triplets), 2)
        dataset = TripletDataset([recording], config, False)
        masks[gate] = [dataset.unchanged(i).masked[0] for i in range(len(dataset))]
    assert not any(m.any() for m in masks["off"])
    assert any(m.any() for m in masks["all"])
    for gate in ("image", "object"):
        for found, most in zip(masks[gate], masks["all"], strict=True):
            assert not (found & ~most).any()


def test_anchor_and_labels_are_augmented_with_the_frame(recording, config, networks) -> None:
    dataset = TripletDataset([recording], config, True)
    index, frames = recording.triplets[3].index, recording.frames
    batch = dataset.unchanged(3)
    image = torch.from_numpy(np.array(frames.images[index])).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        depth = networks.anchor(image, batch.intrinsics[:, 1, 1])
    torch.testing.assert_close(batch.anchor, 1 / depth, rtol=2e-3, atol=1e-4)
    assert np.array_equal(batch.labels[0, 0].numpy(), frames.labels[index])
    flipped = dataset.augmented(3, Augmentation(*SIZE, flip=True), torch.ones(4))
    torch.testing.assert_close(flipped.anchor, batch.anchor[0].flip(-1))


def test_the_end_is_held_out_and_too_short_a_recording_is_refused() -> None:
    split = hold_out([chosen_frames(STREET)], 0.25)
    assert split.training[0].frames == range(12)
    assert split.validation[0].frames == range(12, 16)
    with pytest.raises(TrainingError, match="too few"):
        hold_out([chosen_frames(f"{STREET}@0:5")], 0.25)


def test_frames_keep_the_shape_of_their_source_unless_a_size_is_given(config) -> None:
    square = chosen_frames("synthetic:street?width=64&height=64&frames=4")
    free = config.model_copy(update={"size": None})
    assert size_of(free, chosen_frames(STREET), SIZE) == SIZE
    assert size_of(free, square, SIZE)[0] == size_of(free, square, SIZE)[1]
    assert size_of(config, square, SIZE) == SIZE


def test_a_batch_holds_images_of_one_shape(recording, config) -> None:
    frames = recording.frames
    turned = {
        name: np.asarray(getattr(frames, name)).swapaxes(1, 2)
        for name in ("images", "labels", "depths", "anchors")
    }
    other = replace(recording, frames=replace(frames, **turned))
    dataset = TripletDataset([recording, other], config, False)
    tall, count = 0, len(recording.triplets)
    for step in range(200):
        drawn = dataset.drawn(step, 4)
        assert len({n < count for n in drawn}) == 1
        tall += drawn[0] >= count
    assert 70 < tall < 130
    batch = next(iter(make_loader(dataset, StepSampler(dataset, range(1), 3), 0, False)))
    assert batch.truth.shape[0] == 3


def test_an_interrupt_during_the_preparation_leaves_no_partial_folder(
    folder, networks, config
) -> None:
    answers = iter([False, False, True])
    cache = folder / "interrupted"
    control = RunControl(print, lambda: next(answers))
    with pytest.raises(KeyboardInterrupt):
        read_data(config, DataSplit([chosen_frames(STREET)], []), SIZE, networks, cache, control)
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    ("training", "validation", "motion", "message"),
    [
        ("0:5", "5:8", "recorded", "5 of its 5 frames have no pose"),
        ("0:3", "2:4", "auto", "--validate .*@2:4: 1 of its frames are to be trained on"),
    ],
)
def test_recordings_that_cannot_be_used_are_refused(
    tmp_path, networks, config, training, validation, motion, message
) -> None:
    images = image_folder(tmp_path / "images", 8)
    split = DataSplit(*([chosen_frames(f"{images}@{frames}")] for frames in (training, validation)))
    config = config.model_copy(update={"motion": motion})
    with pytest.raises(ConfigurationError, match=message):
        read_data(config, split, SIZE, networks, tmp_path / "cache", RunControl(print))


def test_the_gate_by_image_excludes_what_it_cannot_decide(street, networks) -> None:
    """A car of 9 pixels has no pose of its own: undecided. Without a dynamic pixel: still."""
    empty = np.zeros((10, *street.labels.shape[1:]), np.uint8)
    tiny = empty.copy()
    tiny[:, 30:33, 60:63] = 13
    for labels, expected in ((empty, False), (tiny, True)):
        frames = frames_of(street, list(range(10)), labels=labels)
        exclusions = recording_of(frames, "image", networks).exclusions
        assert exclusions.size
        assert (exclusions == expected).all()


def test_the_gate_by_object_decides_each_object_separately(networks, folder) -> None:
    """Parked and oncoming cars in one image: only the parked ones are compared."""
    source = chosen_frames("synthetic:oncoming?seed=1&frames=30")
    frames = prepare(source, (416, 128), networks, folder / "oncoming")
    exact = replace(frames, anchors=(1 / np.array(frames.depths)).astype(np.float16))
    still = still_pixels(exact, RULES, networks)
    dynamic = RULES.dynamic_pixels(np.array(frames.labels))
    moving = np.stack([source.recording.truth(i).moving for i in range(30)]) & dynamic
    assert not (still & ~dynamic).any()
    later = np.s_[10:]
    assert still[later][moving[later]].mean() < 0.35
    assert still[later][(dynamic & ~moving)[later]].mean() > 0.7
