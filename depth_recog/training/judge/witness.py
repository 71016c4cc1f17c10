# SPDX-License-Identifier: Apache-2.0
"""What a depth network shows on held-back frames and on anchors."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_recog.evaluation.without_truth.collected import Collected
from depth_recog.evaluation.without_truth.measures import measure
from depth_recog.evaluation.without_truth.points import Evidence
from depth_recog.method.masking import SKY, PresetRules
from depth_recog.training.data.batches import TrainingRecording
from depth_recog.training.data.points import evidence_in
from depth_recog.training.depth.contact import contact_error, contact_inverse
from depth_recog.training.depth.objective import FARTHEST_EXACT
from depth_recog.training.judge.anchors import AnchorFrames

_APART = 2
"""Frames between those that are judged: neighbours show nearly the same."""
_MOST_PAIRS = 64
"""Of one recording."""
_CHUNK = 12
"""Frames of one forward pass."""
_LEAST_PIXELS = 50
_FAINTEST = 1e-6

Inverse = NDArray[np.float32]


@dataclass
class Sight:
    """What one network shows.

    Attributes:
        collected: agreement with triangulated points, flicker, warped images, road.
        scales: length of the camera's motion in the depth's unit, by pair, to compare networks.
        sky: mean log inverse depth of the sky, by frame.
        contact: mean |log error| of objects that may move against the road where they stand.
        anchors: abs_rel of each anchor frame, without scaling.
        finite: whether all depth is positive and finite.
    """

    collected: Collected = field(default_factory=Collected)
    scales: dict[object, float] = field(default_factory=dict)
    sky: dict[object, float] = field(default_factory=dict)
    contact: dict[object, float] = field(default_factory=dict)
    anchors: dict[object, float] = field(default_factory=dict)
    finite: bool = True

    def add(self, other: Sight) -> None:
        """Add what the same network shows on other frames."""
        self.collected.pairs.update(other.collected.pairs)
        for mine, its in (
            (self.scales, other.scales),
            (self.sky, other.sky),
            (self.contact, other.contact),
            (self.anchors, other.anchors),
        ):
            mine.update(its)
        self.finite &= other.finite


class Witness:
    """Measures networks on the same frames.

    What does not depend on the network is found once for each recording: the triangulated points.
    What a network shows on a recording is found once too: networks must not change after that.

    Args:
        rules: say which classes could move.
        device: of the networks.
    """

    def __init__(self, rules: PresetRules, device: torch.device) -> None:
        self._rules, self._device = rules, device
        self._evidence: WeakKeyDictionary[TrainingRecording, list[tuple[int, int, Evidence]]]
        self._evidence = WeakKeyDictionary()
        self._shown: WeakKeyDictionary[nn.Module, WeakKeyDictionary[object, Sight]]
        self._shown = WeakKeyDictionary()

    def look(
        self, network: nn.Module, recordings: list[TrainingRecording], anchors: AnchorFrames
    ) -> Sight:
        """Measure a network on held-back recordings and on anchors."""
        everything = Sight()
        for recording in recordings:
            everything.add(self._at(network, recording))
        shown = self._shown.setdefault(network, WeakKeyDictionary())
        if anchors not in shown:
            shown[anchors] = self._on_anchors(network, anchors)
        everything.add(shown[anchors])
        return everything

    def disagreement(self, network: nn.Module, recording: TrainingRecording) -> float | None:
        """Mean |s d - z| / z over the triangulated points; None where there are too few."""
        found = self._at(network, recording).collected.pairs.values()
        values = [m.triangulation.abs_rel for m in found if m.triangulation is not None]
        return float(np.mean(values)) if values else None

    def _at(self, network: nn.Module, recording: TrainingRecording) -> Sight:
        shown = self._shown.setdefault(network, WeakKeyDictionary())
        if recording not in shown:
            shown[recording] = self._on_recording(network, recording)
        return shown[recording]

    def _on_anchors(self, network: nn.Module, anchors: AnchorFrames) -> Sight:
        sight = Sight()
        for index in range(len(anchors)):
            batch = anchors.batch([index])
            depth = self._inverse(network, batch.images, batch.focal).reciprocal()[0, 0]
            truth = batch.depth[0, 0]
            known = torch.isfinite(truth) & (truth < FARTHEST_EXACT)
            sight.anchors[index] = float(((depth - truth).abs() / truth)[known].mean())
            sight.finite &= bool(torch.isfinite(depth).all())
        return sight

    @torch.inference_mode()
    def _inverse(self, network: nn.Module, images: Tensor, focal: Tensor) -> Tensor:
        images = images.to(self._device).contiguous(memory_format=torch.channels_last)
        depth: Tensor = network(images, focal.to(self._device))[:, :1]
        return (1 / depth.float()).cpu()

    def _on_recording(self, network: nn.Module, recording: TrainingRecording) -> Sight:
        sight, pairs = Sight(), self._evidence_of(recording)
        needed = sorted({index for first, second, _ in pairs for index in (first, second)})
        inverse = self._inverses(network, recording, needed)
        for first, second, evidence in pairs:
            one, other = ((1 / inverse[index][0]).numpy() for index in (first, second))
            measures = measure(evidence, one, other)
            key = id(recording), first
            sight.collected.add(key, measures, evidence.why)
            if measures.triangulation is not None:
                sight.scales[key] = measures.triangulation.scale
            self._on_frame(recording, first, inverse[first], sight)
        return sight

    def _inverses(
        self, network: nn.Module, recording: TrainingRecording, needed: list[int]
    ) -> dict[int, Tensor]:
        """(1, H, W) inverse depth of the frames that are needed."""
        frames = recording.frames
        found: dict[int, Tensor] = {}
        for begin in range(0, len(needed), _CHUNK):
            part = needed[begin : begin + _CHUNK]
            images = torch.from_numpy(np.asarray(frames.images[part])).permute(0, 3, 1, 2)
            focal = torch.from_numpy(frames.intrinsics[part, 1, 1]).float()
            inverse = self._inverse(network, images.float() / 255, focal)
            found |= dict(zip(part, inverse, strict=True))
        return found

    def _on_frame(
        self, recording: TrainingRecording, index: int, inverse: Tensor, sight: Sight
    ) -> None:
        """What is expected of the sky, and of objects that may move."""
        sight.finite &= bool(torch.isfinite(inverse).all() and (inverse > 0).all())
        key = id(recording), index
        ids = np.array(recording.frames.labels[index])  # a copy: they are read-only
        may_move = self._rules.dynamic_pixels(ids)
        if recording.still is not None:
            may_move &= ~recording.still[index]
        labels = torch.from_numpy(ids)[None, None]
        excluded = torch.from_numpy(may_move)[None, None]
        sky = inverse[labels[0] == SKY]
        if len(sky) >= _LEAST_PIXELS:
            sight.sky[key] = float(sky.clamp(min=_FAINTEST).log().mean())
        target, known = contact_inverse(inverse[None], labels, excluded)
        if int(known.sum()) >= _LEAST_PIXELS:
            sight.contact[key] = float(contact_error(inverse[None], target)[known].mean())

    def _evidence_of(self, recording: TrainingRecording) -> list[tuple[int, int, Evidence]]:
        if recording not in self._evidence:
            self._evidence[recording] = self._found(recording)
        return self._evidence[recording]

    def _found(self, recording: TrainingRecording) -> list[tuple[int, int, Evidence]]:
        evidence_at = evidence_in(recording.frames, self._rules)
        last = len(recording.frames) - 1
        apart = max(_APART, -(-last // _MOST_PAIRS))
        found = []
        for first in range(0, last, apart):
            evidence = evidence_at(first)
            found.append((first, int(evidence.second.name), evidence))
        return found
