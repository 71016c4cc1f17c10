# SPDX-License-Identifier: Apache-2.0
"""Batches that are a function of (seed, step, place in the batch) alone.

So a resumed run gets the batches that it would have got without the interruption, and several
processes together read the same batch as one process.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import fields
from typing import Generic, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

Shape = tuple[int, int]
"""(width, height) in pixels."""

Key = tuple[int, int, int]
"""(step, place in the batch, index of the sample)."""


class TensorBatch:
    """Base of dataclasses whose fields are tensors with the batch as first dimension."""

    def to(self: B, device: torch.device) -> B:
        """The batch on a device."""
        moved = (getattr(self, f.name).to(device, non_blocking=True) for f in fields(self))  # type: ignore[arg-type]
        return type(self)(*moved)

    def pin_memory(self: B) -> B:
        """The batch in page-locked memory, from which copies to a GPU are asynchronous."""
        return type(self)(*(getattr(self, f.name).pin_memory() for f in fields(self)))  # type: ignore[arg-type]


B = TypeVar("B", bound=TensorBatch)


def collate(samples: list[B]) -> B:
    """Stack samples (without batch dimension) to a batch."""
    kind = type(samples[0])
    return kind(*(torch.stack([getattr(s, f.name) for s in samples]) for f in fields(kind)))  # type: ignore[arg-type]


class StepDataset(Dataset[B], Generic[B]):
    """Samples of several recordings, read by `Key`.

    Args:
        lengths: number of samples of each recording; at least one in all.
        seed: of everything that is drawn at random.
        shapes: of each recording's images: a batch holds images of one shape. None: all are alike.
    """

    def __init__(self, lengths: list[int], seed: int, shapes: list[Shape] | None = None) -> None:
        self._seed = seed
        self.index = [(k, n) for k, length in enumerate(lengths) for n in range(length)]
        # A recording is drawn in proportion to the square root of its length, so that short ones
        # have a part.
        counts = np.array([lengths[k] for k, _ in self.index], np.float64)
        self._shares = counts**-0.5 / (counts**-0.5).sum()
        own = [shapes[k] if shapes else (0, 0) for k, _ in self.index]
        self._alike = [
            np.array([n for n, one in enumerate(own) if one == shape], np.int64)
            for shape in dict.fromkeys(own)
        ]

    def __len__(self) -> int:
        return len(self.index)

    def drawn(self, step: int, count: int) -> NDArray[np.int64]:
        """Indices of a step's samples, all different as long as there are enough."""
        rng = np.random.default_rng((self._seed, step))
        which = 0
        if len(self._alike) > 1:
            which = rng.choice(len(self._alike), p=[self._shares[a].sum() for a in self._alike])
        alike = self._alike[which]
        shares = self._shares[alike] / self._shares[alike].sum()
        return alike[rng.choice(len(alike), count, replace=count > len(alike), p=shares)]

    def __getitem__(self, key: Key) -> B:
        step, place, index = key
        return self.read(step, index, np.random.default_rng((self._seed, step, place)))

    def read(self, step: int, index: int, rng: np.random.Generator) -> B:
        """Read a sample, without batch dimension; `rng` is its own."""
        raise NotImplementedError


class StepSampler(Sampler[list[Key]]):
    """The keys of each step's batch, for one of several processes.

    Args:
        dataset: the samples.
        steps: the steps to do.
        batch: samples of a step, of all processes together; a multiple of `world`.
        rank, world: number of this process, and of all processes.
    """

    def __init__(
        self, dataset: StepDataset[B], steps: range, batch: int, rank: int = 0, world: int = 1
    ) -> None:
        self._dataset, self._steps, self._batch = dataset, steps, batch
        share = batch // world
        self._places = range(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[Key]]:
        for step in self._steps:
            drawn = self._dataset.drawn(step, self._batch)
            yield [(step, place, int(drawn[place])) for place in self._places]


def _start_worker(number: int) -> None:
    cv2.setNumThreads(0)
    # Ctrl-C and scancel signal the whole process group; the trainer ends its workers after saving.
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)


def make_loader(
    dataset: StepDataset[B], sampler: StepSampler, workers: int, pin: bool
) -> DataLoader[B]:
    """Read batches ahead in `workers` processes; with 0, in this process when they are needed."""
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_start_worker,
    )
