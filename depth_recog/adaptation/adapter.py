# SPDX-License-Identifier: Apache-2.0
"""Learning on a stream: frames in, steps when there is time, and judged weights out.

No ROS, no threads, no files but the start's: the caller decides when to observe, to step and to
judge, and stores what was accepted.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from depth_recog.adaptation.frame import KEPT, LiveFrame, Observed
from depth_recog.adaptation.learner import Learner
from depth_recog.adaptation.memory import Block, ReplayMemory
from depth_recog.adaptation.settings import AdaptationSettings
from depth_recog.adaptation.stream import BlockBuilder
from depth_recog.errors import WeightsError
from depth_recog.method.masking import PresetRules
from depth_recog.method.networks import Networks
from depth_recog.method.pose.pnp import PnpEstimator
from depth_recog.method.recognizer import Recognizer
from depth_recog.method.settings import Settings
from depth_recog.networks.backends.choice import TORCH, Place
from depth_recog.networks.backends.in_torch import TorchDepth, TorchLabels
from depth_recog.networks.device import Device
from depth_recog.networks.models_in_torch import load_model
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.files import load_network
from depth_recog.training.initial import InitialNetwork, initial_network
from depth_recog.training.judge.anchors import AnchorFrames, judged_anchors, learnt_anchors
from depth_recog.training.judge.judge import Judge
from depth_recog.training.judge.judgement import Judgement
from depth_recog.training.judge.witness import Witness

SHARES = (0.25, 0.15)
"""Parts of the way from the start to what was learnt at which a candidate is judged. What is gained
grows with the share, what is lost on other roads with its square: so the learner goes far, and a
small part of its way is taken (docs/results.md)."""


@dataclass(frozen=True)
class StepResult:
    """An optimiser step.

    Attributes:
        step: number of steps since the candidate began.
        losses: "total" and its parts.
        seconds: duration.
    """

    step: int
    losses: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class NothingToLearn:
    """Why no step was taken."""

    reason: str


class Adapter:
    """Adapts depth weights to a stream.

    The start's weights stay as they are: they annotate the frames, and the gate sees their depth.

    Args:
        start: depth weights, a shipped name or a path.
        settings: None for the defaults.
        device: of the computation.

    Raises:
        WeightsError: weights cannot be used.
    """

    def __init__(
        self,
        start: str = "depth-street",
        settings: AdaptationSettings | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.settings = settings or AdaptationSettings()
        self._device = torch.device(device)
        self.start: InitialNetwork = initial_network(start, "depth")
        if not isinstance(self.start.network, DepthNetwork) or self.start.header is None:
            raise WeightsError(
                f"{start}: weights of depth_recog are needed, which `depth-recog train` writes"
            )
        self._frozen = self.start.network.requires_grad_(False).to(self._device)
        scores, masks = load_model(self.settings.masks, "masks", self._device)
        rules = PresetRules(masks.classes, self.settings.dynamic_classes)
        gate = Settings(rules, "object", longest_gap_s=self.settings.longest_gap)
        place = Place(TORCH, Device(self._device.type, self._device.index), "float32")
        networks = Networks(
            TorchDepth(self._frozen, self.start.size, place), TorchLabels(scores, place)
        )
        recognizer = Recognizer(networks, PnpEstimator(), gate)
        settings = self.settings
        self._stream = BlockBuilder(
            recognizer, settings.block, settings.longest_gap, settings.loss.points > 0
        )
        self._learnt = ReplayMemory(self.settings.memory)
        self._held_back = ReplayMemory(self.settings.memory / 2)
        self._anchors: AnchorFrames | None = None
        self.active: nn.Module = copy.deepcopy(self._frozen)
        self._parent: nn.Module | None = None
        self._learner = Learner(self.active, self.settings, self._device)
        self._candidate: nn.Module | None = None
        self._witness = Witness(rules, self._device)
        self._judge = Judge(self._witness, self._frozen)
        self._newest: Block | None = None
        self._fixed: AnchorFrames | None = None
        self.counts: Counter[str] = Counter()
        self.steps = 0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the start's training images; see `network_size` for live frames."""
        return self.start.size

    @property
    def candidate(self) -> nn.Module:
        """What was judged last, else what learns now; to be saved where it was accepted."""
        return self._candidate or self._learner.network

    @property
    def memory_bytes(self) -> int:
        """Size of all frames that are kept."""
        anchors = self._anchors.nbytes if self._anchors else 0
        return self._learnt.nbytes + self._held_back.nbytes + anchors

    def observe(self, frame: LiveFrame) -> Observed:
        """Take the next frame of the stream; most cost an optical flow alone."""
        outcome, restarted, block = self._stream.observe(frame)
        self.counts[outcome] += 1
        if restarted:
            self.counts[f"new stream: {restarted}"] += 1
        return Observed(outcome, restarted, self._keep(block))

    def end_stream(self) -> Observed:
        """Use the frames of a block that is not complete; the next frame begins a new stream."""
        return Observed(KEPT, "the end of the stream", self._keep(self._stream.restart()))

    def _keep(self, block: Block | None) -> str:
        if block is None:
            return ""
        others = self._learnt.blocks + self._held_back.blocks
        if any(other.frames.size != block.frames.size for other in others):
            self._learnt.clear()
            self._held_back.clear()
        period = self.settings.hold_back
        use = "judge" if block.number % period == 2 % period else "learn"
        (self._held_back if use == "judge" else self._learnt).add(block)
        self.counts[f"blocks to {use}"] += 1
        self._newest = block
        return use

    def newest_block(self) -> tuple[float | None, float | None]:
        """Disagreement of the newest block's triangulated points with the start and the active.

        Both are means of |s d - z| / z; None where there are too few points.
        """
        if self._newest is None:
            return None, None
        networks = self._frozen, self.active
        start, active = (self._witness.disagreement(n, self._newest.recording) for n in networks)
        return start, active

    def step(self) -> StepResult | NothingToLearn:
        """Take one optimiser step on the replay memory and the anchors."""
        if not self._learnt.blocks:
            return NothingToLearn("no frames with parallax yet")
        began = time.perf_counter()
        live = [block.recording for block in self._learnt.blocks]
        size = live[0].frames.size
        if self._anchors is None or self._anchors.size != size:
            self._anchors = learnt_anchors(size)
        losses = self._learner.step(live, self._anchors)
        self.steps += 1
        return StepResult(self._learner.steps, losses, time.perf_counter() - began)

    def judge(self) -> Judgement:
        """Compare the candidate with the active weights; `candidate` is then what was judged.

        The candidate is part of the way from the start to what was learnt, however long it learnt.
        """
        tried: list[Judgement] = []
        for share in SHARES:
            self._candidate = interpolated(self._frozen, self._learner.network, share)
            tried.append(replace(self._compared(self.active, self._candidate), share=share))
            if tried[-1].accepted or tried[-1].gain <= 0:
                break
        return tried[-1] if tried[-1].accepted else tried[0]

    def judge_network(self, network: nn.Module) -> Judgement:
        """Compare a network from elsewhere with the active weights; it becomes `candidate`."""
        self._candidate = interpolated(self.active, network.to(self._device), 1.0)
        return self._compared(self.active, self._candidate)

    def _compared(self, active: nn.Module, candidate: nn.Module, better: bool = True) -> Judgement:
        blocks = self._held_back.blocks
        if not blocks:
            return Judgement(False, "no frames are held back yet: nothing can be compared")
        if self._fixed is None or self._fixed.size != blocks[0].frames.size:
            self._fixed = judged_anchors(blocks[0].frames.size)
        held_back = [block.recording for block in blocks]
        return self._judge.compare(active, candidate, held_back, self._fixed, better)

    def adopt(self) -> None:
        """Make the candidate active; the learner goes on."""
        self._parent, self.active = self.active, copy.deepcopy(self.candidate)
        self._candidate = None

    def discard(self) -> None:
        """Drop what was learnt since the active weights; the optimiser begins anew."""
        self._restart()

    def recheck(self) -> Judgement:
        """Compare the active weights with their parent; not accepted: a rollback is due."""
        if self._parent is None:
            return Judgement(True, "the active weights have no parent")
        return self._compared(self._parent, self.active, False)

    def restart_from(self, weights: Path, parent: Path | None = None) -> None:
        """Make other weights of the same network active, after a rollback or a restart.

        Args:
            weights: the file of the active weights.
            parent: that of their parent, for `recheck`.

        Raises:
            WeightsError: they cannot be used, or are of another architecture or unit.
        """
        active = self._loaded(weights)
        self._parent = None if parent is None else self._loaded(parent)
        self.active = active
        self._restart()

    def _loaded(self, weights: Path) -> nn.Module:
        network, header = load_network(str(weights), "depth", self._device)
        own = self.start.header
        assert own is not None
        if (header.architecture, header.unit) != (own.architecture, own.unit):
            raise WeightsError(f"{weights}: of another network or unit than {own.path.stem}")
        return network

    def _restart(self) -> None:
        self._candidate = None
        # The active weights are part of the way to what was learnt: go on from its end.
        self._learner.restart(interpolated(self._frozen, self.active, 1 / SHARES[0]))


def interpolated(start: nn.Module, learnt: nn.Module, share: float) -> nn.Module:
    """A network between two in weight space, with tensors as precise as a weights file stores them.

    Args:
        start: at share 0.
        learnt: at share 1.
        share: of the way.

    Source: Wortsman et al., "Robust fine-tuning of zero-shot models", 2022.
    """
    network = copy.deepcopy(start)
    other = learnt.state_dict()
    state = {}
    for key, value in start.state_dict().items():
        mixed = value
        if value.is_floating_point():
            mixed = torch.lerp(value, other[key], share)
            mixed = mixed if key.endswith("running_var") else mixed.half().float()
        state[key] = mixed
    network.load_state_dict(state)
    return network
