# SPDX-License-Identifier: Apache-2.0
"""What a step reads. Everything in it is a function of (seed, step, place in the batch) alone.

So a run that was interrupted goes on with the very batches it would have had, and the same batch is
read whether one process reads it or several share it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from depth_recog.method.masking import PresetRules, dilated
from depth_recog.training.gating import Decisions
from depth_recog.training.pairs import Sample
from depth_recog.training.prepared import Prepared
from depth_recog.training.views import MIRROR, View, draw_colours

MARGIN = 2
"""Masks are grown by so many pixels: their borders are never exact."""


@dataclass
class Batch:
    """Tensors of one step; of every sample the frame, and its earlier and its later neighbour.

    Attributes:
        frames: (B, 3, 3, H, W) uint8: which frame, channel, row, column.
        masked: (B, 2, 2, H, W) bool: which neighbour, in the frame or in the neighbour; left out.
        labels: (B, 1, H, W) uint8, train ids of the frame.
        intrinsics: (B, 3, 3) float32, pixels.
        motions: (B, 2, 4, 4) float32, T_neighbour_from_frame in metres; NaN where not recorded.
        truth: (B, 1, H, W) float32 metres, NaN where unknown.
        anchor: (B, 1, H, W) float32, inverse depth of the frame as the start's weights see it.
        colours: (B, 4) float32, see `views.coloured`.
        plain: (B, 3, 3, H, W) uint8, `frames` before zoom and flip; empty where motion is recorded.
        mirror: (B, 4, 4) float32, identity where the view is not flipped.
    """

    frames: Tensor
    masked: Tensor
    labels: Tensor
    intrinsics: Tensor
    motions: Tensor
    truth: Tensor
    anchor: Tensor
    colours: Tensor
    plain: Tensor
    mirror: Tensor

    def to(self, device: torch.device) -> Batch:
        """On a device."""
        moved = (getattr(self, f.name).to(device, non_blocking=True) for f in fields(self))
        return Batch(*moved)

    def pin_memory(self) -> Batch:
        """In memory from which a GPU copies by itself."""
        return Batch(*(getattr(self, f.name).pin_memory() for f in fields(self)))


def collate(samples: list[Batch]) -> Batch:
    """One batch of many samples."""
    return Batch(*(torch.stack([getattr(s, f.name) for s in samples]) for f in fields(Batch)))


@dataclass(frozen=True)
class Lesson:
    """A recording's frames, which of them teach, and what is left out.

    Attributes:
        frames: prepared.
        samples: which frames, with which neighbours.
        moving: (samples, 2), see `gating`.
        still: (frames, H, W), pixels that stay in although they could move; None for none.
    """

    frames: Prepared
    samples: list[Sample]
    moving: Decisions
    still: NDArray[np.bool_] | None = None


class Samples(Dataset[Batch]):
    """Reads samples by (step, place).

    Args:
        lessons: at least one sample among them.
        rules: what can move.
        seed: of views and colours.
        zoom: largest zoom.
        colour: strength of the colour changes.
        recorded: the recorded motion is used.
        plain: the pose network needs the frames before zoom and flip.
    """

    def __init__(
        self,
        lessons: list[Lesson],
        rules: PresetRules,
        seed: int,
        zoom: float,
        colour: float,
        recorded: bool,
        plain: bool,
    ) -> None:
        self._lessons, self._rules, self._seed = lessons, rules, seed
        self._zoom, self._colour = zoom, colour
        self._recorded, self._plain = recorded, plain
        self._index = [(k, n) for k, one in enumerate(lessons) for n in range(len(one.samples))]
        # By the root of its length, so that a short recording is not drowned.
        counts = np.array([len(lessons[k].samples) for k, _ in self._index], np.float64)
        self._shares = counts**-0.5 / (counts**-0.5).sum()

    def __len__(self) -> int:
        return len(self._index)

    def drawn(self, step: int, count: int) -> NDArray[np.int64]:
        """Which samples a step takes; all different as long as there are enough."""
        rng = np.random.default_rng((self._seed, step))
        again = count > len(self._index)
        return rng.choice(len(self._index), count, replace=again, p=self._shares)

    def __getitem__(self, key: tuple[int, int, int]) -> Batch:
        """The sample of (step, place in the batch, index)."""
        step, place, index = key
        rng = np.random.default_rng((self._seed, step, place))
        size = self._lessons[0].frames.size
        view = View.draw(rng, size, self._zoom)
        return self.read(index, view, draw_colours(rng, 1, self._colour)[0])

    def still(self, index: int) -> Batch:
        """A sample as it was taken: no zoom, no flip, no colours. A batch of one."""
        view = View(*self._lessons[0].frames.size, 1.0, 0, 0, False)
        return collate([self.read(index, view, torch.ones(4))])

    def read(self, index: int, view: View, colours: Tensor) -> Batch:
        """A sample in a view. Batch dimensions are missing."""
        which, number = self._index[index]
        lesson = self._lessons[which]
        frames, sample = lesson.frames, lesson.samples[number]
        indices = (sample.index, sample.before, sample.after)
        originals = [np.asarray(frames.images[i]) for i in indices]
        images = [view.frame(image, cv2.INTER_LINEAR) for image in originals]
        labels = [view.frame(np.asarray(frames.labels[i]), cv2.INTER_NEAREST) for i in indices]
        dynamic = [
            dilated(self._left_out(lesson, i, view, label), MARGIN)
            for i, label in zip(indices, labels, strict=True)
        ]
        masked = np.stack([np.stack((dynamic[0], dynamic[n])) for n in (1, 2)])
        masked &= lesson.moving[number][:, None, None, None]
        motions = np.full((2, 4, 4), np.nan)
        if self._recorded:
            neighbours = (sample.before, sample.after)
            motions = np.stack([view.motion(frames.motion(sample.index, n)) for n in neighbours])
        truth = np.full(images[0].shape[:2], np.nan, np.float32)
        if frames.dense and frames.depths is not None:
            truth = view.frame(np.array(frames.depths[sample.index]), cv2.INTER_NEAREST)
        anchor = np.array(frames.anchors[sample.index], np.float32)
        plain = np.zeros((0,), np.uint8)
        if self._plain:
            plain = np.stack(originals).transpose(0, 3, 1, 2)
        return Batch(
            torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)),
            torch.from_numpy(masked),
            torch.from_numpy(np.array(labels[0]))[None],
            torch.from_numpy(view.intrinsics(frames.intrinsics[sample.index])).float(),
            torch.from_numpy(motions).float(),
            torch.from_numpy(truth)[None],
            torch.from_numpy(view.frame(anchor, cv2.INTER_LINEAR))[None],
            colours,
            torch.from_numpy(plain),
            torch.from_numpy(MIRROR if view.flip else np.eye(4)).float(),
        )

    def _left_out(
        self, lesson: Lesson, index: int, view: View, labels: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """(H, W) of the view: what can move, without what the gate by object calls still."""
        dynamic = self._rules.dynamic_pixels(labels)
        if lesson.still is None:
            return dynamic
        still = view.frame(lesson.still[index].astype(np.uint8), cv2.INTER_NEAREST)
        kept: NDArray[np.bool_] = np.logical_and(dynamic, still == 0)
        return kept


class Order(Sampler[list[tuple[int, int, int]]]):
    """The keys of each step's batch, for one of several processes.

    Args:
        samples: what is read.
        steps: which.
        batch: samples of a step, of all processes together; a multiple of `world`.
        rank: which process.
        world: how many there are.
    """

    def __init__(self, samples: Samples, steps: range, batch: int, rank: int, world: int) -> None:
        self._samples, self._steps, self._batch = samples, steps, batch
        share = batch // world
        self._places = range(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        for step in self._steps:
            drawn = self._samples.drawn(step, self._batch)
            yield [(step, place, int(drawn[place])) for place in self._places]


def _start_worker(number: int) -> None:
    cv2.setNumThreads(0)
    # Ctrl-C and scancel reach the whole group: the trainer ends its workers when all is saved.
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)


def make_loader(samples: Samples, order: Order, workers: int, pin: bool) -> DataLoader[Batch]:
    """Reads ahead in `workers` processes; 0 reads when asked."""
    return DataLoader(
        samples,
        batch_sampler=order,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_start_worker,
    )
