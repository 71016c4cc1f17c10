# SPDX-License-Identifier: Apache-2.0
"""From what the user named to what is read: recordings, held-out frames, samples."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from depth_recog.errors import ConfigurationError, TrainingError
from depth_recog.method.masking import PresetRules
from depth_recog.networks.models import load_model
from depth_recog.training.batches import Lesson, Samples
from depth_recog.training.cache import Eyes, Part, prepare, training_size
from depth_recog.training.config import Config
from depth_recog.training.gating import GATES, everything, still_pixels
from depth_recog.training.learner import Start
from depth_recog.training.pairs import choose_samples
from depth_recog.training.prepared import Prepared


@dataclass(frozen=True)
class Data:
    """What a run reads.

    Attributes:
        lessons: to train on.
        held: held-out recordings.
        held_lessons: samples of them, with all that can move left out.
        counts: of each source, how many frames were used, and why others were not.
    """

    lessons: list[Lesson]
    held: list[Prepared]
    held_lessons: list[Lesson]
    counts: dict[str, dict[str, int]]

    @property
    def files(self) -> list[tuple[str, str]]:
        """[sha256, path] of what is trained on."""
        return [file for lesson in self.lessons for file in lesson.frames.files]

    @property
    def posed(self) -> bool:
        """Whether the motion of every sample was recorded."""
        return all(lesson.frames.posed for lesson in self.lessons)


def anchor_eyes(config: Config, start: Start, device: torch.device) -> Eyes:
    """The networks that look at the frames while they are prepared.

    The anchor is the start's own depth. A blank start's is about the same everywhere, whatever
    chance put into it: the frames are prepared once for all seeds.

    Raises:
        WeightsError: a file that cannot be used.
    """
    scores, masks = load_model(config.masks, "masks", device)
    seen = "blank" if start.blank else _fingerprint(start.network)
    identity = f"{masks.sha256} {masks.architecture}", seen
    anchor = start.network.to(device)
    return Eyes(scores, anchor, device, identity, PresetRules(masks.classes, ()))


def _fingerprint(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def split_off(parts: list[Part], share: float) -> tuple[list[Part], list[Part]]:
    """Hold back the end of each part: neighbours in time are too alike to be drawn by chance."""
    kept, held = [], []
    for part in parts:
        cut = part.frames.stop - max(3, round(len(part.frames) * share))
        if cut - part.frames.start < 3:
            raise TrainingError(f"{part.text}: {len(part.frames)} frames are too few to train on")
        kept.append(Part(part.text, part.source, part.recording, range(part.frames.start, cut)))
        held.append(Part(part.text, part.source, part.recording, range(cut, part.frames.stop)))
    return kept, held


def check_apart(parts: list[Part], held: list[Part]) -> None:
    """Nobody is judged on what it was taught.

    Raises:
        ConfigurationError: a frame that is to be held out is to be trained on as well.
    """
    taught = {frame for part in parts for frame in _identities(part)}
    for part in held:
        both = sum(frame in taught for frame in _identities(part))
        if both:
            raise ConfigurationError(
                f"--validate {part.text}: {both} of its frames are to be trained on as well; "
                "choose the training frames with SOURCE@A:B, or others to validate on"
            )


def _identities(part: Part) -> list[tuple[object, int]]:
    """Of every frame: its file, or the source where it has none, and its place in it."""
    return [(part.recording.file(i) or part.source, i) for i in part.frames]


def read_data(
    config: Config,
    parts: list[Part],
    held: list[Part],
    trained: tuple[int, int],
    eyes: Eyes,
    cache: Path,
    say: Callable[[str], object],
    stop: Callable[[], bool],
) -> Data:
    """Prepare all recordings and choose samples.

    Args:
        config: of the run.
        parts: to train on.
        held: to validate on; where empty, the end of each part is held back.
        trained: (width, height) of the start's weights.
        eyes: networks that look at the frames.
        cache: folder of prepared frames.
        say: takes lines for the user.
        stop: asked after every frame.

    Raises:
        KeyboardInterrupt: it was asked to stop.
        DepthRecogError: a recording cannot be used, or there is nothing to learn from.
    """
    check_apart(parts, held)
    if not held:
        parts, held = split_off(parts, config.validation.share)
    size = common_size(config, [*parts, *held], trained)
    rules = PresetRules(dynamic=config.dynamic_classes)
    lessons, counts = [], {}
    for part in parts:
        frames = _prepared(part, size, eyes, cache, stop)
        _check_motion(config, frames)
        samples, found = choose_samples(frames, rules, config.longest_gap)
        key = f"{part.source}, frames {part.frames.start} to {part.frames.stop - 1}"
        counts[key] = dict(found)
        say(f"{key}: {_sentence(found)}")
        if samples:
            moving = GATES[config.gate](frames, samples, rules, eyes)
            still = still_pixels(frames, rules, eyes) if config.gate == "object" else None
            lessons.append(Lesson(frames, samples, moving, still))
    if not lessons:
        raise TrainingError(
            "no frame has neighbours with enough parallax on both sides: nothing can be learnt "
            "from a camera at rest, or from pictures that are not a sequence"
        )
    networked = config.motion == "network" or not all(one.frames.posed for one in lessons)
    judged = [_prepared(part, size, eyes, cache, stop) for part in held]
    held_lessons = []
    for frames in judged:
        samples, _ = choose_samples(frames, rules, config.longest_gap)
        if samples and (networked or frames.posed):
            held_lessons.append(Lesson(frames, samples, everything(frames, samples, rules, eyes)))
    return Data(lessons, judged, held_lessons, counts)


def common_size(config: Config, parts: list[Part], trained: tuple[int, int]) -> tuple[int, int]:
    """The size that all recordings share. Raises ConfigurationError where they do not."""
    sizes = {
        part.text: training_size(part.recording[part.frames.start].camera, trained, config.size)
        for part in parts
    }
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{w}x{h} for {text}" for text, (w, h) in sizes.items())
        raise ConfigurationError(
            f"the sources have different shapes ({listed}): train on those of one shape, or set "
            "size, which squeezes the others into it"
        )
    return next(iter(sizes.values()))


def read_samples(config: Config, lessons: list[Lesson], plain: bool) -> Samples:
    """What the trainer draws from, as configured."""
    rules = PresetRules(dynamic=config.dynamic_classes)
    recorded = config.motion != "network"
    zoom, colour = config.augment.zoom, config.augment.colour
    return Samples(lessons, rules, config.seed, zoom, colour, recorded, plain)


def _prepared(
    part: Part, size: tuple[int, int], eyes: Eyes, cache: Path, stop: Callable[[], bool]
) -> Prepared:
    with tqdm(total=len(part.frames), unit="frame", disable=None, desc=part.text) as bar:

        def progress() -> None:
            bar.update()
            if stop():
                raise KeyboardInterrupt

        return prepare(part, size, eyes, cache, progress)


def _check_motion(config: Config, frames: Prepared) -> None:
    if config.motion == "recorded" and not frames.posed:
        missing = int((~np.isfinite(frames.poses).all((1, 2))).sum())
        raise ConfigurationError(
            f"{frames.source}: motion is 'recorded', but {missing} of its {len(frames)} frames "
            "have no pose: use motion 'auto' or 'network'"
        )


def _sentence(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in counts.items() if number)
