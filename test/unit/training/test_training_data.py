# SPDX-License-Identifier: Apache-2.0
"""What a trainer reads: prepared once, paired by parallax, and a function of (seed, step) alone."""

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

from training_runs import SIZE, STREET, blank_start, eyes, part, quick

from depth_recog.datasets.sources import open_source
from depth_recog.errors import ConfigurationError, TrainingError
from depth_recog.evaluation.splits import sha256_of
from depth_recog.method.masking import PresetRules
from depth_recog.training.batches import Lesson, Order, make_loader
from depth_recog.training.cache import Eyes, Part, prepare
from depth_recog.training.data import common_size, read_data, read_samples, split_off
from depth_recog.training.gating import GATES, still_pixels
from depth_recog.training.pairs import ALONE, LEAST, STILL, USED, choose_samples, motions
from depth_recog.training.prepared import Prepared
from depth_recog.training.views import MIRROR, View

RULES = PresetRules()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def config(folder: Path):
    return quick(blank_start(folder))


@pytest.fixture(scope="module")
def looking(config) -> Eyes:
    return eyes(config)


@pytest.fixture(scope="module")
def street(folder: Path, looking: Eyes) -> Prepared:
    return prepare(part(STREET), SIZE, looking, folder / "cache")


def test_frames_are_the_recording_s_and_its_truth_goes_with_them(street: Prepared) -> None:
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


def test_what_is_prepared_is_not_prepared_again(folder: Path, looking: Eyes) -> None:
    asked = []
    first = prepare(part(STREET), SIZE, looking, folder / "once", lambda: asked.append(1))
    count = len(asked)
    again = prepare(part(STREET), SIZE, looking, folder / "once", lambda: asked.append(1))
    assert count == len(first) == len(asked)
    assert np.array_equal(first.images, again.images)
    other = replace(looking, identity=("other masks", looking.identity[1]))
    prepare(part(f"{STREET}@0:3"), SIZE, other, folder / "once", lambda: asked.append(1))
    assert len(asked) == count + 3, "another network's labels are other labels"


class Pictures:
    """A recording of files without any truth."""

    kind, name, rate_hz, live = "folder", "pictures", 10.0, False

    def __init__(self, folder: Path, count: int) -> None:
        self._street = open_source(STREET)
        self._files = [folder / f"{i}.png" for i in range(count)]
        folder.mkdir(exist_ok=True)
        for i, file in enumerate(self._files):
            cv2.imwrite(str(file), self._street[i].image[..., ::-1])

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int):
        image = cv2.imread(str(self._files[index]))[..., ::-1]
        return replace(self._street[index], image=np.ascontiguousarray(image))

    def truth(self, index: int):
        return type(self._street.truth(index))()

    def file(self, index: int) -> Path:
        return self._files[index]


def test_without_truth_the_labels_are_the_network_s_and_files_are_listed(
    folder: Path, looking: Eyes
) -> None:
    root = folder / "drive"
    recording = Pictures(root, 3)
    one = Part("x", str(root), recording, range(3))
    found = prepare(one, SIZE, looking, folder / "plain")
    assert not found.posed
    assert found.depths is None
    image = torch.from_numpy(np.array(found.images[1])).permute(2, 0, 1)[None].float() / 255
    assert np.array_equal(found.labels[1], looking.scores(image).argmax(1)[0].numpy())
    assert found.files == [(sha256_of(root / f"{i}.png"), f"drive/{i}.png") for i in range(3)]
    before = sorted(p.name for p in (folder / "plain").iterdir())
    cv2.imwrite(str(root / "1.png"), np.zeros((64, 128, 3), np.uint8))
    changed = prepare(one, SIZE, looking, folder / "plain")
    assert not changed.images[1].any(), "a changed file is read again"
    assert len(list((folder / "plain").iterdir())) == len(before) + 1


def test_neighbours_have_parallax_and_every_frame_is_accounted_for(street: Prepared) -> None:
    samples, counts = choose_samples(street, RULES, 0.5)
    table = motions(street, RULES, 0.5)
    assert counts[USED] == len(samples) > 8
    assert counts.total() == len(street)
    for s in samples:
        assert s.before < s.index < s.after
        assert table[s.before, s.index] >= LEAST
        assert table[s.index, s.after] >= LEAST


def part_of(frames: Prepared, indices: list[int], **changes: object) -> Prepared:
    """Some frames, in another order or more than once, with stamps as if they were a recording."""
    chosen = {
        name: np.array(getattr(frames, name)[indices])
        for name in ("images", "labels", "intrinsics", "poses", "anchors", "depths")
    }
    stamps = 100_000_000 * np.arange(len(indices))
    names = [frames.names[i] for i in indices]
    return replace(frames, **(chosen | {"stamps": stamps, "names": names} | changes))


def test_a_camera_at_rest_teaches_nothing(street: Prepared) -> None:
    samples, counts = choose_samples(part_of(street, [4] * 6), RULES, 0.5)
    assert not samples
    assert counts == Counter({USED: 0, STILL: 4, ALONE: 2})


def test_no_pair_spans_a_gap_in_time_a_cut_or_another_camera(street: Prepared) -> None:
    every = list(range(10))
    gap = 100_000_000 * np.arange(10)
    gap[5:] += 2_000_000_000
    camera = np.array(street.intrinsics[every])
    camera[5:, 0, 0] += 1
    black = np.array(street.images[every])
    black[5:] = np.random.default_rng(0).integers(0, 255, black[5:].shape)
    nowhere = np.full((10, 4, 4), np.nan)
    for changed in (
        part_of(street, every, stamps=gap),
        part_of(street, every, intrinsics=camera),
        part_of(street, every, images=black, poses=nowhere),
    ):
        pairs = motions(changed, RULES, 0.5)
        assert any(j < 5 for _, j in pairs)
        assert not any(i < 5 <= j for i, j in pairs)
    assert any(i < 5 <= j for i, j in motions(part_of(street, every), RULES, 0.5))


def test_turning_is_no_parallax_where_the_poses_tell_it_apart(street: Prepared) -> None:
    """The same picture turned about the camera's centre: displaced everywhere, and useless."""
    k = street.intrinsics[0]
    images, poses = [], []
    for angle in 0.02 * np.arange(4):
        turn = cv2.Rodrigues(np.array([0.0, angle, 0.0]))[0]
        moved = k @ turn.T @ np.linalg.inv(k)
        images.append(cv2.warpPerspective(np.array(street.images[3]), moved, SIZE, borderMode=2))
        pose = np.eye(4)
        pose[:3, :3] = turn
        poses.append(pose)
    turned = part_of(street, [3] * 4, images=np.stack(images), poses=np.stack(poses))
    blind = replace(turned, poses=np.full((4, 4, 4), np.nan))
    assert motions(blind, RULES, 0.5)[0, 1] > LEAST
    assert motions(turned, RULES, 0.5)[0, 1] < LEAST / 2


def test_a_view_shows_the_same_points_with_its_own_intrinsics() -> None:
    rng = np.random.default_rng(1)
    k = np.array([[90.0, 0, 60.3], [0, 80, 30.2], [0, 0, 1]])
    # A picture whose value says where it was taken from.
    u, v = np.meshgrid(np.arange(SIZE[0], dtype=np.float32), np.arange(SIZE[1], dtype=np.float32))
    for _ in range(20):
        view = View.draw(rng, SIZE, 1.5)
        seen = view.intrinsics(k)
        point = np.array([0.1, -0.05, 1.0])
        mirrored = point * (-1 if view.flip else 1, 1, 1)
        x, y = (seen @ mirrored)[:2]
        if not (1 < x < SIZE[0] - 2 and 1 < y < SIZE[1] - 2):
            continue
        was = (k @ point)[:2]
        for values, expected in zip((u, v), was, strict=True):
            patch = cv2.getRectSubPix(view.frame(values, cv2.INTER_LINEAR), (1, 1), (x, y))
            assert patch[0, 0] == pytest.approx(expected, abs=0.02)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_a_mirrored_motion_moves_mirrored_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    motion = np.eye(4)
    motion[:3, :3] = cv2.Rodrigues(rng.normal(size=3))[0]
    motion[:3, 3] = rng.normal(size=3)
    point = np.append(rng.normal(size=3), 1)
    view = View(*SIZE, 1.0, 0, 0, True)
    np.testing.assert_allclose(view.motion(motion) @ MIRROR @ point, MIRROR @ motion @ point)


def lesson_of(frames: Prepared, gate: str, looking: Eyes) -> Lesson:
    samples, _ = choose_samples(frames, RULES, 0.5)
    still = still_pixels(frames, RULES, looking) if gate == "object" else None
    return Lesson(frames, samples, GATES[gate](frames, samples, RULES, looking), still)


def test_a_batch_is_a_function_of_seed_and_step_whoever_reads_it(
    street: Prepared, config, looking: Eyes
) -> None:
    samples = read_samples(config, [lesson_of(street, "all", looking)], True)
    whole = list(make_loader(samples, Order(samples, range(2, 5), 4, 0, 1), 0, False))
    halves = [
        list(make_loader(samples, Order(samples, range(2, 5), 4, rank, 2), workers, False))
        for rank, workers in ((0, 0), (1, 1))
    ]
    for step, batch in enumerate(whole):
        for name in vars(batch):
            both = torch.cat([getattr(half[step], name) for half in halves])
            assert torch.equal(both.nan_to_num(-9), getattr(batch, name).nan_to_num(-9)), name
    assert not torch.equal(whole[0].frames, whole[1].frames)


def test_short_recordings_are_not_drowned_and_no_sample_comes_twice(
    street: Prepared, config, looking: Eyes
) -> None:
    long = lesson_of(street, "off", looking)
    short = replace(long, samples=long.samples[:3], moving=long.moving[:3])
    samples = read_samples(config, [short, long], False)
    drawn = np.concatenate([samples.drawn(step, 2) for step in range(400)])
    share = (drawn < 3).mean()
    count = len(long.samples)
    expected = 3**0.5 / (3**0.5 + count**0.5)
    assert share == pytest.approx(expected, abs=0.06)
    assert all(len(set(samples.drawn(step, 6))) == 6 for step in range(20))


def test_gates_leave_out_nothing_everything_or_what_they_are_told(
    street: Prepared, config, looking: Eyes
) -> None:
    masks = {}
    for gate in GATES:
        lesson = lesson_of(street, gate, looking)
        assert lesson.moving.shape == (len(lesson.samples), 2)
        samples = read_samples(config, [lesson], False)
        masks[gate] = [samples.still(i).masked[0] for i in range(len(samples))]
        assert lesson.moving.any() or gate != "all"
    dynamic = [RULES.dynamic_pixels(np.array(street.labels[i])).any() for i in range(len(street))]
    assert any(dynamic)
    assert not any(m.any() for m in masks["off"])
    assert any(m.any() for m in masks["all"])
    for gate in ("image", "object"):
        for found, most in zip(masks[gate], masks["all"], strict=True):
            assert not (found & ~most).any()


def test_the_anchor_and_the_labels_are_the_frame_s_in_the_view(
    street: Prepared, config, looking: Eyes
) -> None:
    samples = read_samples(config, [lesson_of(street, "all", looking)], True)
    index = lesson_of(street, "all", looking).samples[3].index
    batch = samples.still(3)
    image = torch.from_numpy(np.array(street.images[index])).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        depth = looking.anchor(image, batch.intrinsics[:, 1, 1])
    torch.testing.assert_close(batch.anchor, 1 / depth, rtol=2e-3, atol=1e-4)
    assert np.array_equal(batch.labels[0, 0].numpy(), street.labels[index])
    flipped = samples.read(3, View(*SIZE, 1.0, 0, 0, True), torch.ones(4))
    torch.testing.assert_close(flipped.anchor, batch.anchor[0].flip(-1))


def test_the_end_is_held_back_and_too_short_a_recording_is_refused() -> None:
    kept, held = split_off([part(STREET)], 0.25)
    assert (kept[0].frames, held[0].frames) == (range(12), range(12, 16))
    with pytest.raises(TrainingError, match="too few"):
        split_off([part(f"{STREET}@0:5")], 0.25)


def test_sources_of_different_shapes_are_refused_unless_a_size_is_given(config) -> None:
    parts = [part(STREET), part("synthetic:street?width=64&height=64&frames=4")]
    with pytest.raises(ConfigurationError, match="different shapes"):
        common_size(config.model_copy(update={"size": None}), parts, SIZE)
    assert common_size(config, parts, SIZE) == SIZE


def test_an_interrupt_while_frames_are_prepared_leaves_nothing_half_done(
    folder: Path, looking: Eyes, config
) -> None:
    asked = iter([False, False, True])
    cache = folder / "interrupted"
    with pytest.raises(KeyboardInterrupt):
        read_data(config, [part(STREET)], [], SIZE, looking, cache, print, lambda: next(asked))
    assert not list(cache.iterdir())


def test_recorded_motion_is_asked_for_where_there_is_none(
    folder: Path, looking: Eyes, config
) -> None:
    pictures = Pictures(folder / "poseless", 8)
    one, rest = (
        Part("here", str(folder / "poseless"), pictures, r) for r in (range(5), range(5, 8))
    )
    wanted = config.model_copy(update={"motion": "recorded"})
    with pytest.raises(ConfigurationError, match="5 of its 5 frames have no pose"):
        read_data(wanted, [one], [rest], SIZE, looking, folder / "posed", print, bool)


def test_held_out_frames_are_not_trained_on(folder: Path, looking: Eyes, config) -> None:
    pictures = Pictures(folder / "both", 8)
    taught, held = (Part("here@2:4", "here", pictures, r) for r in (range(3), range(2, 4)))
    with pytest.raises(ConfigurationError, match="--validate here@2:4: 1 of its frames are to be"):
        read_data(config, [taught], [held], SIZE, looking, folder / "cache", print, bool)


def test_the_literal_gate_leaves_out_what_it_cannot_decide(street: Prepared, looking: Eyes) -> None:
    """A speck of a car has no pose of its own: undecided. Without a pixel that can move: still."""
    empty = np.zeros((10, *street.labels.shape[1:]), np.uint8)
    speck = empty.copy()
    speck[:, 30:33, 60:63] = 13
    for labels, expected in ((empty, False), (speck, True)):
        lesson = lesson_of(part_of(street, list(range(10)), labels=labels), "image", looking)
        assert lesson.moving.size
        assert (lesson.moving == expected).all()


def test_the_gate_by_object_leaves_out_each_thing_by_itself(looking: Eyes, folder: Path) -> None:
    """Parked and oncoming cars in one picture: the parked ones teach, the others do not."""
    source = part("synthetic:oncoming?seed=1&frames=50")
    frames = prepare(source, (416, 128), looking, folder / "oncoming")
    assert frames.depths is not None
    exact = replace(frames, anchors=(1 / np.array(frames.depths)).astype(np.float16))
    still = still_pixels(exact, RULES, looking)
    dynamic = RULES.dynamic_pixels(np.array(frames.labels))
    truth = np.stack([source.recording.truth(i).moving for i in range(50)]) & dynamic
    assert not (still & ~dynamic).any()
    later = np.s_[10:]
    assert still[later][truth[later]].mean() < 0.35
    assert still[later][(dynamic & ~truth)[later]].mean() > 0.7
