# SPDX-License-Identifier: Apache-2.0
"""Makes a depth model of recordings, from the first file to the exported weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric

from depth_recog.errors import ConfigurationError, DeviceError, TrainingError
from depth_recog.networks.hf.depth import HfDepth
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.training.align import align
from depth_recog.training.cache import Part
from depth_recog.training.config import Config
from depth_recog.training.data import Data, anchor_eyes, read_data, read_samples
from depth_recog.training.gating import gate_for
from depth_recog.training.learner import Learner, Start, start_network
from depth_recog.training.processes import first_alone
from depth_recog.training.result import export
from depth_recog.training.run_folder import Curves, RunFolder, load_last, origin
from depth_recog.training.trainer import Trainer
from depth_recog.training.validation import Examiner


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        why: "steps", "patience" or "asked".
        step: how many steps were done.
        weights: the exported file; None where the run was asked to stop.
    """

    why: str
    step: int
    weights: Path | None


def make_fabric(config: Config) -> Fabric:
    """Processes and devices; torchrun and SLURM are recognised.

    Raises:
        ConfigurationError: the batch cannot be shared out.
        DeviceError: the device is not there.
    """
    world = config.devices * config.machines
    if config.batch % world:
        raise ConfigurationError(
            f"batch: {config.batch} cannot be shared out to {world} devices evenly"
        )
    seen = torch.cuda.device_count()
    if config.device == "gpu" and seen < config.devices:
        raise DeviceError(
            f"device gpu: {seen} CUDA devices are visible to torch, {config.devices} are needed: "
            "use device cpu, fewer devices, or a CUDA build of torch"
        )
    accelerator = {"auto": "auto", "cpu": "cpu", "gpu": "cuda"}[config.device]
    precision = {"float32": "32-true", "bfloat16": "bf16-mixed"}[config.precision]
    try:
        return Fabric(
            accelerator=accelerator,
            strategy="ddp" if world > 1 else "auto",
            devices=config.devices,
            num_nodes=config.machines,
            precision=precision,  # type: ignore[arg-type]
        )
    except Exception as error:  # Fabric has many for a device that is not there
        raise DeviceError(f"device {config.device}: {str(error).splitlines()[0]}") from error


def train(
    config: Config,
    parts: list[Part],
    held: list[Part],
    folder: RunFolder,
    resume: bool,
    stop: Callable[[], bool],
    say: Callable[[str], object],
) -> Outcome:
    """Train a depth network.

    Args:
        config: of the run; that of the folder where `resume`.
        parts: recordings to train on.
        held: recordings to validate on; where empty, the end of each part is held back.
        folder: of the run; new unless `resume`.
        resume: go on from the last checkpoint.
        stop: asked after every step; True ends the run with everything saved.
        say: takes lines for the user.

    Raises:
        KeyboardInterrupt: it was asked to stop before the first step.
        DepthRecogError: anything that a user can mend.
    """
    fabric = make_fabric(config)
    fabric.launch()
    first = fabric.is_global_zero
    tell = say if first else _silent
    torch.manual_seed(config.seed)
    if not resume:
        first_alone(fabric, lambda: folder.create(config))
    depth = start_network(config.start.depth, "depth")
    config = config.model_copy(update={"gate": gate_for(config.gate, depth)})
    data = _data(fabric, config, parts, held, folder, depth, tell, stop)
    networked = config.motion == "network" or not data.posed
    unit, why_unit = unit_of(config, data, depth)
    pose = start_network(config.start.pose, "pose") if networked else None
    sees = cast(DepthNetwork | HfDepth, depth.network)
    learner = Learner(sees, cast(PoseNetwork, pose.network) if pose else None)
    facts = origin() | {"unit": unit, "gate": config.gate, "frames": data.counts}
    first_alone(fabric, lambda: folder.write_manifest(data.files))
    facts = first_alone(fabric, lambda: folder.write_facts(facts)) or facts
    samples = read_samples(config, data.lessons, networked)
    still = read_samples(config, data.held_lessons, networked)
    examiner = Examiner(data.held, still, config.validation.frames, unit == "metres", config.loss)
    if not examiner.possible:
        raise TrainingError(
            "the held-out frames have neither true depth nor neighbours with parallax: name others "
            "with --validate, or a larger validation.share"
        )
    if isinstance(sees, HfDepth) and not sees.scaled and not networked:
        median = align(sees, samples, config.loss, fabric.device)
        tell(
            f"scale of the start: the recorded motion fits best at a median depth of {median:.1f} m"
        )
    trainer = Trainer(config, fabric, learner, samples, examiner, folder, tell)
    state = load_last(folder) if resume else None
    if state is not None:
        trainer.load(state)
        tell(f"goes on after step {trainer.progress.step}")
    curves = Curves(folder.path, trainer.progress.step + 1) if first else None
    try:
        why = trainer.run(curves, stop)
    finally:
        if curves is not None:
            curves.close()
    if why == "asked":
        return Outcome(why, trainer.progress.step, None)
    weights = None
    if first:
        trainer.load_best()
        size = data.lessons[0].frames.size
        card = _facts_of_card(config, data, facts, depth, pose, trainer, why)
        weights = export(folder, config, trainer.average.depth, depth, size, unit, why_unit, card)
    return Outcome(why, trainer.progress.step, weights)


def _silent(line: str) -> None:
    """Processes after the first say nothing."""


def _data(
    fabric: Fabric,
    config: Config,
    parts: list[Part],
    held: list[Part],
    folder: RunFolder,
    start: Start,
    say: Callable[[str], object],
    stop: Callable[[], bool],
) -> Data:
    """The first process prepares, the others find everything prepared."""
    cache = Path(config.cache).expanduser() if config.cache else folder.data
    eyes = anchor_eyes(config, start, fabric.device)

    def read() -> Data:
        return read_data(config, parts, held, start.size, eyes, cache, say, stop)

    return first_alone(fabric, read) or read()


def unit_of(config: Config, data: Data, start: Start) -> tuple[str, str]:
    """The unit: "metres" where something witnesses the scale, else "relative"; and the reason."""
    recorded = config.motion != "network" and any(one.frames.posed for one in data.lessons)
    exact = config.loss.exact > 0 and any(one.frames.dense for one in data.lessons)
    if recorded:
        return "metres", "by the recorded motion of the camera"
    if exact:
        return "metres", "by exact depth"
    if start.metric and config.loss.scale > 0:
        return "metres", f"as {start.name} had it; the scale was held, not measured"
    return "relative", "nothing that was trained on knows a metre"


def _facts_of_card(
    config: Config,
    data: Data,
    facts: dict[str, Any],
    depth: Start,
    pose: Start | None,
    trainer: Trainer,
    why: str,
) -> dict[str, Any]:
    ended = {"steps": "all steps were done", "patience": "held-out frames got no better"}
    return {
        "origin": f"started from {depth.name}" + (f" and {pose.name}" if pose else ""),
        "data": {"train": data.counts, "validation": [frames.source for frames in data.held]},
        "command": facts["command"],
        "commit": facts["commit"],
        **({"resumed": facts["resumed"]} if "resumed" in facts else {}),
        "versions": {"depth_recog": facts["depth_recog"], "torch": facts["torch"]},
        "seed": config.seed,
        "gate": config.gate,
        "steps": trainer.progress.step,
        "best_step": trainer.progress.best_step,
        "ended": ended[why],
        "figures": trainer.progress.figures,
    }
