# SPDX-License-Identifier: Apache-2.0
"""What a depth network shows on held-back frames and on anchors."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_recog.adaptation.anchors import AnchorFrames
from depth_recog.adaptation.memory import Block
from depth_recog.evaluation.without_truth.collected import Collected
from depth_recog.evaluation.without_truth.measures import measure
from depth_recog.evaluation.without_truth.points import Evidence, evidence_of
from depth_recog.evaluation.without_truth.views import View
from depth_recog.method.masking import SKY, PresetRules
from depth_recog.training.depth.contact import contact_error, contact_inverse
from depth_recog.training.depth.objective import FARTHEST_EXACT

_APART = 2
"""Frames between those that are judged: neighbours show nearly the same."""
_LONGEST = 6
"""Most frames between a frame and its partner."""
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

    What does not depend on the network is found once for each block: the triangulated points. What
    a network shows on a block is found once too: networks must not change after they were shown.

    Args:
        rules: say which classes could move.
        device: of the networks.
    """

    def __init__(self, rules: PresetRules, device: torch.device) -> None:
        self._rules, self._device = rules, device
        self._evidence: WeakKeyDictionary[Block, list[tuple[int, int, Evidence]]]
        self._evidence = WeakKeyDictionary()
        self._shown: WeakKeyDictionary[nn.Module, WeakKeyDictionary[object, Sight]]
        self._shown = WeakKeyDictionary()

    def look(self, network: nn.Module, blocks: list[Block], anchors: AnchorFrames) -> Sight:
        """Measure a network on held-back blocks and on anchors."""
        shown = self._shown.setdefault(network, WeakKeyDictionary())
        everything = Sight()
        for block in blocks:
            everything.add(self._at(network, block))
        if anchors not in shown:
            shown[anchors] = self._on_anchors(network, anchors)
        everything.add(shown[anchors])
        return everything

    def disagreement(self, network: nn.Module, block: Block) -> float | None:
        """Mean |s d - z| / z over a block's triangulated points; None where there are too few."""
        found = self._at(network, block).collected.pairs.values()
        values = [m.triangulation.abs_rel for m in found if m.triangulation is not None]
        return float(np.mean(values)) if values else None

    def _at(self, network: nn.Module, block: Block) -> Sight:
        shown = self._shown.setdefault(network, WeakKeyDictionary())
        if block not in shown:
            shown[block] = self._on_block(network, block)
        return shown[block]

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
        depth: Tensor = network(images, focal.to(self._device))
        return (1 / depth.float()).cpu()

    def _on_block(self, network: nn.Module, block: Block) -> Sight:
        frames, sight = block.frames, Sight()
        images = torch.from_numpy(np.asarray(frames.images)).permute(0, 3, 1, 2).float() / 255
        focal = torch.from_numpy(frames.intrinsics[:, 1, 1]).float()
        inverse = self._inverse(network, images, focal)
        sight.finite &= bool(torch.isfinite(inverse).all() and (inverse > 0).all())
        depths = (1 / inverse[:, 0]).numpy()
        for first, second, evidence in self._evidence_of(block):
            key = block.number, first
            measures = measure(evidence, depths[first], depths[second])
            sight.collected.add(key, measures, evidence.why)
            if measures.triangulation is not None:
                sight.scales[key] = measures.triangulation.scale
        labels = torch.from_numpy(np.asarray(frames.labels))[:, None]
        may_move = self._may_move(block)
        target, known = contact_inverse(inverse, labels, may_move)
        wrong = contact_error(inverse, target)
        for index in range(0, len(frames), _APART):
            key = block.number, index
            sky = inverse[index][labels[index] == SKY]
            if len(sky) >= _LEAST_PIXELS:
                sight.sky[key] = float(sky.clamp(min=_FAINTEST).log().mean())
            if int(known[index].sum()) >= _LEAST_PIXELS:
                sight.contact[key] = float(wrong[index][known[index]].mean())
        return sight

    def _may_move(self, block: Block) -> Tensor:
        dynamic = self._rules.dynamic_pixels(np.asarray(block.frames.labels))
        if block.recording.still is not None:
            dynamic = dynamic & ~block.recording.still
        return torch.from_numpy(dynamic)[:, None]

    def _evidence_of(self, block: Block) -> list[tuple[int, int, Evidence]]:
        if block not in self._evidence:
            self._evidence[block] = self._found(block)
        return self._evidence[block]

    def _found(self, block: Block) -> list[tuple[int, int, Evidence]]:
        frames = block.frames
        views = [
            View.of(
                name,
                int(frames.stamps[i]),
                np.asarray(frames.images[i]),
                block.camera,
                np.asarray(frames.labels[i]),
                self._rules,
            )
            for i, name in enumerate(frames.names)
        ]
        found = []
        for first in range(0, len(views) - 1, _APART):
            evidence = evidence_of(views[first : first + 1 + _LONGEST])
            second = frames.names.index(evidence.second.name)
            found.append((first, second, evidence))
        return found
