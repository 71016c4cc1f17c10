# SPDX-License-Identifier: Apache-2.0
"""Batches of triplets: a frame with its earlier and its later neighbour."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.method.masking import PresetRules, dilated
from depth_recog.training.config import TrainingConfig
from depth_recog.training.data.augmentation import MIRROR, Augmentation, draw_colours
from depth_recog.training.data.covers import draw_cover, no_cover
from depth_recog.training.data.gating import Exclusions
from depth_recog.training.data.points import MOST, in_crop
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.data.teacher import teacher_depth
from depth_recog.training.data.triplets import Triplet
from depth_recog.training.loop.batches import StepDataset, TensorBatch, collate

MARGIN = 2
"""Pixels by which dynamic masks are dilated, since their borders are not exact."""


@dataclass
class TripletBatch(TensorBatch):
    """Triplets of frames: the frame, its earlier and its later neighbour.

    Attributes:
        frames: (B, 3, 3, H, W) uint8: triplet, channel, row, column.
        masked: (B, 2, 2, H, W) bool, excluded pixels: for each neighbour those of the frame, then
            those of the neighbour.
        labels: (B, 1, H, W) uint8, train ids of the frame.
        intrinsics: (B, 3, 3) float32, pixels.
        motions: (B, 2, 4, 4) float32, T_neighbour_from_frame in metres; NaN where not recorded.
        truth: (B, 1, H, W) float32, depth in metres, NaN where unknown; sparse only where the
            deviation alone is trained.
        anchor: (B, 1, H, W) float32, inverse depth of the frame by the initial weights.
        colours: (B, 4) float32, factors for `coloured`.
        plain: (B, 3, 3, H, W) uint8, `frames` before zoom and flip; empty where not needed.
        mirror: (B, 4, 4) float32, `MIRROR` where the sample is flipped, else identity.
        points: (B, N, 3) float32, column and row in pixels, and depth of triangulated points.
        weights: (B, N) float32 of these points, with the sum 1, or 0 where there are too few.
        covers: (B, C) float32, how the image is covered for the deviation; see `covers`.
        teacher: (B, 1, H, W) float32, inverse depth by the teacher, 0 where it is not known;
            (B, 0, H, W) without a teacher.
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
    points: Tensor
    weights: Tensor
    covers: Tensor
    teacher: Tensor


@dataclass(frozen=True, eq=False)
class TrainingRecording:
    """A recording, its triplets, and the pixels that are excluded.

    Attributes:
        exclusions: (triplets, 2), see `gating`.
        still: (N, H, W) bool, dynamic pixels that are compared nevertheless; None for none.
        seen: (H, W) bool, pixels that the camera has seen in all frames; None for all. The others
            are never compared.
        points: (triplets, N, 3), see `points_of`; None for none.
    """

    frames: PreparedFrames
    triplets: list[Triplet]
    exclusions: Exclusions
    still: NDArray[np.bool_] | None = None
    seen: NDArray[np.bool_] | None = None
    points: NDArray[np.float32] | None = None


class TripletDataset(StepDataset[TripletBatch]):
    """Reads triplets.

    Args:
        recordings: with at least one triplet among them.
        config: seed, augmentation, dynamic classes, and whether recorded motion is used.
        plain: whether frames are needed without zoom and flip too (by the pose network).
    """

    def __init__(
        self, recordings: list[TrainingRecording], config: TrainingConfig, plain: bool
    ) -> None:
        lengths = [len(one.triplets) for one in recordings]
        super().__init__(lengths, config.seed, [one.frames.size for one in recordings])
        self._recordings, self._plain = recordings, plain
        self._rules = PresetRules(dynamic=config.dynamic_classes)
        self._augment = config.augment
        self._recorded = config.motion != "network"
        self._covers = config.teaches_deviation
        self._depth_stays = config.trains == "deviation"

    def read(self, step: int, index: int, rng: np.random.Generator) -> TripletBatch:
        """A triplet with random augmentation."""
        augmentation = Augmentation.draw(rng, self._size_of(index), self._augment.zoom)
        colours = draw_colours(rng, 1, self._augment.colour)[0]
        cover = draw_cover(rng) if self._covers else None
        return self.augmented(index, augmentation, colours, cover)

    def unchanged(self, index: int) -> TripletBatch:
        """A batch of one triplet without augmentation."""
        return collate([self.augmented(index, Augmentation(*self._size_of(index)), torch.ones(4))])

    def _size_of(self, index: int) -> tuple[int, int]:
        return self._recordings[self.index[index][0]].frames.size

    def augmented(
        self, index: int, augmentation: Augmentation, colours: Tensor, cover: Tensor | None = None
    ) -> TripletBatch:
        """A triplet with a given augmentation, without batch dimension."""
        which, number = self.index[index]
        recording = self._recordings[which]
        frames, triplet = recording.frames, recording.triplets[number]
        indices = (triplet.index, triplet.before, triplet.after)
        originals = [np.asarray(frames.images[i]) for i in indices]
        images = [augmentation.apply(image, cv2.INTER_LINEAR) for image in originals]
        labels = [np.asarray(frames.labels[i]) for i in indices]
        labels = [augmentation.apply(label, cv2.INTER_NEAREST) for label in labels]
        dynamic = [self._rules.dynamic_pixels(label) for label in labels]
        if recording.still is not None:
            still = [recording.still[i].astype(np.uint8) for i in indices]
            still = [augmentation.apply(one, cv2.INTER_NEAREST) for one in still]
            dynamic = [moves & (stands == 0) for moves, stands in zip(dynamic, still, strict=True)]
        dynamic = [dilated(one, MARGIN) for one in dynamic]
        masked = np.stack([np.stack((dynamic[0], dynamic[n])) for n in (1, 2)])
        masked &= recording.exclusions[number][:, None, None, None]
        if recording.seen is not None:
            # A pixel that is partly unseen after the zoom counts as unseen.
            whole = np.where(recording.seen, np.uint8(255), np.uint8(0))
            masked |= augmentation.apply(whole, cv2.INTER_LINEAR) < 255
        motions = np.full((2, 4, 4), np.nan)
        if self._recorded:
            recorded = [frames.motion(triplet.index, n) for n in indices[1:]]
            motions = np.stack([augmentation.motion(motion) for motion in recorded])
        truth = np.full(images[0].shape[:2], np.nan, np.float32)
        # Sparse truth (LiDAR) tells the errors of a depth that stays; it does not teach the depth.
        if (frames.dense or self._depth_stays) and frames.depths is not None:
            truth = augmentation.apply(np.array(frames.depths[triplet.index]), cv2.INTER_NEAREST)
        anchor = augmentation.apply(frames.anchor(triplet.index), cv2.INTER_LINEAR)
        plain = np.zeros((0,), np.uint8)
        if self._plain:
            plain = np.stack(originals).transpose(0, 3, 1, 2)
        known = np.zeros((MOST, 3), np.float32)
        if recording.points is not None:
            known = recording.points[number]
        points, weights = in_crop(known, augmentation)
        taught = np.zeros((0, *images[0].shape[:2]), np.float32)
        if frames.teachers is not None:
            whole = teacher_depth(frames, triplet.index, known)
            if recording.seen is not None:
                whole = np.where(recording.seen, whole, np.float32(0))
            taught = augmentation.apply(whole, cv2.INTER_NEAREST)[None]
        return TripletBatch(
            torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)),
            torch.from_numpy(masked),
            torch.from_numpy(np.array(labels[0]))[None],
            torch.from_numpy(augmentation.intrinsics(frames.intrinsics[triplet.index])).float(),
            torch.from_numpy(motions).float(),
            torch.from_numpy(truth)[None],
            torch.from_numpy(anchor)[None],
            colours,
            torch.from_numpy(plain),
            torch.from_numpy(MIRROR if augmentation.flip else np.eye(4)).float(),
            torch.from_numpy(points),
            torch.from_numpy(weights),
            no_cover() if cover is None else cover,
            torch.from_numpy(taught),
        )
