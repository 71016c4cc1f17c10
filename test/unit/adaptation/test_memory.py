# SPDX-License-Identifier: Apache-2.0
"""The replay memory: bounded in bytes, and as diverse as what it was given."""

from __future__ import annotations

import numpy as np

from depth_recog.adaptation.memory import Block, ReplayMemory, descriptor_of
from depth_recog.training.data.batches import TrainingRecording
from depth_recog.training.data.prepared import PreparedFrames

COUNT, WIDTH, HEIGHT = 6, 64, 32


def block(number: int, picture: int = 0, speed: float = 5.0, place: float = 0.0) -> Block:
    rng = np.random.default_rng(picture)
    image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    poses = np.stack([np.eye(4)] * COUNT)
    poses[:, 2, 3] = speed * 0.1 * np.arange(COUNT)
    frames = PreparedFrames(
        "camera",
        [str(i) for i in range(COUNT)],
        [],
        np.stack([image] * COUNT),
        np.zeros((COUNT, HEIGHT, WIDTH), np.uint8),
        np.stack([np.eye(3)] * COUNT),
        (1e8 * np.arange(COUNT)).astype(np.int64),
        poses,
        anchors=np.ones((COUNT, HEIGHT, WIDTH), np.float16),
    )
    still = np.zeros((COUNT, HEIGHT, WIDTH), np.bool_)
    recording = TrainingRecording(frames, [], np.ones((0, 2), np.bool_), still)
    return Block(recording, descriptor_of(frames, np.array((place, 0.0, 0.0))), number)


SIZE = COUNT * HEIGHT * WIDTH * (3 + 1 + 2 + 1)


def test_a_block_knows_its_size() -> None:
    assert block(1).nbytes == SIZE


def test_the_memory_is_bounded_in_bytes() -> None:
    memory = ReplayMemory(3.5 * SIZE)
    for number in range(20):
        memory.add(block(number, picture=number))
        assert memory.nbytes <= 3.5 * SIZE
    assert len(memory.blocks) == 3
    assert memory.dropped == 17


def test_a_block_larger_than_the_memory_is_not_kept() -> None:
    memory = ReplayMemory(SIZE / 2)
    memory.add(block(1))
    assert not memory.blocks


def test_the_older_of_two_alike_is_dropped() -> None:
    memory = ReplayMemory(3 * SIZE)
    for number, picture in enumerate((1, 2, 3)):
        memory.add(block(number, picture))
    memory.add(block(9, picture=2))
    assert [b.number for b in memory.blocks] == [0, 2, 9]


def test_an_hour_on_one_road_does_not_push_out_another() -> None:
    memory = ReplayMemory(4 * SIZE)
    memory.add(block(0, picture=77))
    for number in range(1, 50):
        memory.add(block(number, picture=5, speed=5 + 0.01 * number))
    assert memory.blocks[0].number == 0


def test_motion_and_place_tell_blocks_apart() -> None:
    still, fast = block(1, speed=1.0), block(2, speed=15.0)
    here, there = block(3), block(4, place=100.0)
    assert np.linalg.norm(still.descriptor - fast.descriptor) > 1
    assert np.linalg.norm(here.descriptor - there.descriptor) > 1
