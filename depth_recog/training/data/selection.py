# SPDX-License-Identifier: Apache-2.0
"""From the recordings that the user named to training and validation data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from depth_recog.errors import ConfigurationError, TrainingError, WeightsError
from depth_recog.method.geometry.viewport import network_size
from depth_recog.method.masking import PresetRules
from depth_recog.networks.models_in_torch import load_model
from depth_recog.networks.sized import SizedDepth
from depth_recog.training.config import TrainingConfig
from depth_recog.training.data.batches import TrainingRecording
from depth_recog.training.data.cache import (
    PseudoLabelNetworks,
    SourceFrames,
    first_frame,
    prepare,
)
from depth_recog.training.data.gating import exclusions_of, still_pixels
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.data.triplets import choose_triplets
from depth_recog.training.initial import InitialNetwork
from depth_recog.training.loop.run import RunControl


@dataclass(frozen=True)
class DataSplit:
    """The frames that the user named.

    Where `validation` is empty, the end of each training recording is held out.
    """

    training: list[SourceFrames]
    validation: list[SourceFrames]


@dataclass(frozen=True)
class TrainingData:
    """What a run reads.

    Attributes:
        recordings: to train on.
        held_out: frames to validate on.
        held_out_recordings: triplets of those frames, all dynamic pixels excluded.
        counts: for each source, how many frames were used or left out, by reason.
    """

    recordings: list[TrainingRecording]
    held_out: list[PreparedFrames]
    held_out_recordings: list[TrainingRecording]
    counts: dict[str, dict[str, int]]

    @property
    def files(self) -> list[tuple[str, str]]:
        """[sha256, path] of the files that are trained on."""
        return [file for one in self.recordings for file in one.frames.files]

    @property
    def posed(self) -> bool:
        """Whether the motion of every triplet is recorded."""
        return all(one.frames.posed for one in self.recordings)


def pseudo_label_networks(
    config: TrainingConfig, initial: InitialNetwork, device: torch.device
) -> PseudoLabelNetworks:
    """Load the networks that annotate frames while these are prepared.

    The anchor is the depth of the initial weights. A blank network has about the same depth
    everywhere, whatever the seed, so frames are prepared once for all seeds.

    Raises:
        WeightsError: a weights file cannot be used.
    """
    scores, masks = load_model(config.masks, "masks", device)
    anchor = "blank" if initial.blank else _fingerprint(initial.network)
    if config.start.scale is not None:
        anchor += f" times {config.start.scale}"
    identity: tuple[str, ...] = f"{masks.sha256} {masks.architecture}", anchor
    rules = PresetRules(masks.classes, ())
    teacher = None
    if config.teacher:
        try:
            model, header = load_model(config.teacher, "depth", device)
        except WeightsError as error:
            raise WeightsError(f"teacher: {error}") from error
        teacher = SizedDepth(model, header.size)
        identity = *identity, f"teacher {header.sha256}"
    network = initial.network.to(device)
    return PseudoLabelNetworks(scores, network, device, identity, rules, teacher)


def _fingerprint(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def hold_out(training: list[SourceFrames], share: float) -> DataSplit:
    """Hold out the end of each recording.

    Frames are not drawn at random for that: neighbours in time are too similar.
    """
    kept, held_out = [], []
    for one in training:
        cut = one.frames.stop - max(3, round(len(one.frames) * share))
        if cut - one.frames.start < 3:
            raise TrainingError(f"{one.text}: {len(one.frames)} frames are too few to train on")
        kept.append(replace(one, frames=range(one.frames.start, cut)))
        held_out.append(replace(one, frames=range(cut, one.frames.stop)))
    return DataSplit(kept, held_out)


def check_disjoint(split: DataSplit) -> None:
    """Check that no held-out frame is trained on.

    Raises:
        ConfigurationError: a frame is in both sets.
    """
    trained = {frame for one in split.training for frame in _identities(one)}
    for one in split.validation:
        both = sum(frame in trained for frame in _identities(one))
        if both:
            raise ConfigurationError(
                f"--validate {one.text}: {both} of its frames are to be trained on as well; "
                "choose the training frames with SOURCE@A:B, or others to validate on"
            )


def _identities(chosen: SourceFrames) -> list[tuple[object, int]]:
    """For every frame: its file, or the source where it has none, and its index."""
    return [(chosen.recording.file(i) or chosen.source, i) for i in chosen.frames]


def read_data(
    config: TrainingConfig,
    split: DataSplit,
    trained_size: tuple[int, int],
    networks: PseudoLabelNetworks,
    cache: Path,
    control: RunControl,
) -> TrainingData:
    """Prepare all recordings and choose triplets.

    Args:
        config: of the run.
        split: the frames that the user named.
        trained_size: (width, height) at which the initial weights were trained, pixels.
        networks: annotate the frames.
        cache: folder of prepared frames.
        control: takes lines for the user; can stop the preparation after every frame.

    Raises:
        KeyboardInterrupt: the user stopped the run.
        DepthRecogError: a recording cannot be used, or no frame of any can be trained on.
    """
    check_disjoint(split)
    if not split.validation:
        split = hold_out(split.training, config.validation.share)
    rules = PresetRules(dynamic=config.dynamic_classes)
    recordings, counts = [], {}
    for one in split.training:
        size = size_of(config, one, trained_size)
        points = rules if config.loss.points or config.teaches_deviation else None
        frames = prepare(one, size, networks, cache, control.stop, points)
        _check_motion(config, frames)
        triplets, found = choose_triplets(frames, rules, config.longest_gap)
        key = f"{one.source}, frames {one.frames.start} to {one.frames.stop - 1}"
        counts[key] = dict(found)
        listed = (f"{number} {reason}" for reason, number in found.items() if number)
        control.say(f"{key}: {', '.join(listed)}")
        if triplets:
            exclusions = exclusions_of(config.gate, frames, triplets, rules, networks)
            still = still_pixels(frames, rules, networks) if config.gate == "object" else None
            known = None if frames.points is None else frames.points[[t.index for t in triplets]]
            recording = TrainingRecording(frames, triplets, exclusions, still, points=known)
            recordings.append(recording)
    if not recordings:
        raise TrainingError(
            "no frame has neighbours with enough parallax on both sides: depth cannot be trained "
            "on a camera at rest, or on images that are not a sequence"
        )
    needs_pose_network = config.needs_pose_network(all(r.frames.posed for r in recordings))
    held_out = [
        prepare(one, size_of(config, one, trained_size), networks, cache, control.stop)
        for one in split.validation
    ]
    held_out_recordings = []
    for frames in held_out:
        triplets, _ = choose_triplets(frames, rules, config.longest_gap)
        if triplets and (needs_pose_network or frames.posed or config.motion == "points"):
            every = np.ones((len(triplets), 2), np.bool_)
            held_out_recordings.append(TrainingRecording(frames, triplets, every))
    return TrainingData(recordings, held_out, held_out_recordings, counts)


def size_of(
    config: TrainingConfig, chosen: SourceFrames, trained_size: tuple[int, int]
) -> tuple[int, int]:
    """(width, height) in pixels of a recording's frames: those that `run` would use."""
    return config.size or network_size(first_frame(chosen).camera.rectified(), trained_size)


def _check_motion(config: TrainingConfig, frames: PreparedFrames) -> None:
    if config.motion == "recorded" and not frames.posed:
        missing = int((~np.isfinite(frames.poses).all((1, 2))).sum())
        raise ConfigurationError(
            f"{frames.source}: motion is 'recorded', but {missing} of its {len(frames)} frames "
            "have no pose: use motion 'auto', 'network' or 'points'"
        )
