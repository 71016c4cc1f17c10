# SPDX-License-Identifier: Apache-2.0
"""A training run of depth, from the recordings to the exported weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from depth_recog.errors import TrainingError
from depth_recog.method.masking import PresetRules
from depth_recog.networks.hf.depth import HfDepth
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.training.config import TrainingConfig
from depth_recog.training.data.batches import TripletBatch, TripletDataset
from depth_recog.training.data.gating import gate_for
from depth_recog.training.data.selection import (
    DataSplit,
    TrainingData,
    pseudo_label_networks,
    read_data,
)
from depth_recog.training.depth.initial_scale import find_scale
from depth_recog.training.depth.model import DepthModel
from depth_recog.training.depth.task import DepthTask, HeldOutFrames
from depth_recog.training.initial import InitialNetwork, in_metres, initial_network, with_deviation
from depth_recog.training.judge.referee import referee_of
from depth_recog.training.loop.processes import first_alone
from depth_recog.training.loop.run import (
    RunControl,
    TrainingRun,
    TrainingRunFolder,
    origin,
    start_run,
)
from depth_recog.training.loop.trainer import Trainer
from depth_recog.training.result import DepthUnit, TrainedNetwork, export, facts_of_run


@dataclass(frozen=True)
class TrainingOutcome:
    """How a run ended: "steps", "patience" or "stopped", and after which step.

    `weights` is the exported file; None where the user stopped the run.
    """

    why: str
    step: int
    weights: Path | None


def train(
    config: TrainingConfig,
    split: DataSplit,
    folder: TrainingRunFolder,
    control: RunControl,
    resume: bool = False,
) -> TrainingOutcome:
    """Train a depth network.

    Args:
        config: of the run; with `resume`, that of the folder.
        split: frames to train and to validate on.
        folder: of the run; new unless `resume`.
        control: takes lines for the user, and can stop the run.
        resume: continue from the last checkpoint.

    Raises:
        KeyboardInterrupt: the user stopped the run before the first step.
        DepthRecogError: anything that the user can correct.
    """
    run = start_run(config, folder, control, resume)
    depth = initial_network(config.start.depth, "depth")
    if config.start.scale is not None:
        depth = in_metres(depth, config.start.scale)
    alone = config.trains == "deviation"
    if config.teaches_deviation:
        depth = with_deviation(depth)
    # The gate says which images are compared: none, where the depth stays.
    gate = "off" if alone else gate_for(config.gate, depth)
    config = config.model_copy(update={"gate": gate})
    run = TrainingRun(config, run.fabric, folder, run.control)
    data = read_data_of_run(run, split, depth)
    needs_pose_network = config.needs_pose_network(data.posed)
    unit = unit_of(config, data, depth) if not alone else _kept_unit(depth)
    pose = initial_network(config.start.pose, "pose") if needs_pose_network else None
    depth_network = cast(DepthNetwork | HfDepth, depth.network)
    trains = "deviation" if alone else "both" if config.teaches_deviation else "depth"
    model = DepthModel(depth_network, cast(PoseNetwork, pose.network) if pose else None, trains)
    facts = origin() | {"unit": unit.unit, "gate": config.gate, "frames": data.counts}
    first_alone(run.fabric, lambda: folder.write_manifest(data.files))
    facts = first_alone(run.fabric, lambda: folder.write_facts(facts)) or facts
    dataset = TripletDataset(data.recordings, config, needs_pose_network)
    triplets = TripletDataset(data.held_out_recordings, config, needs_pose_network)
    held_out = HeldOutFrames(data.held_out, triplets, config.validation.frames)
    if not held_out.usable:
        raise TrainingError(
            "the held-out frames have neither true depth nor neighbours with parallax: name others "
            "with --validate, or a larger validation.share"
        )
    if isinstance(depth_network, HfDepth) and not depth_network.scaled and not needs_pose_network:
        median = find_scale(depth_network, dataset, config.loss, run.fabric.device)
        run.control.say(f"initial scale: recorded motion fits best at a median of {median:.1f} m")
    referee = None
    if not depth.blank and data.held_out_recordings and not alone:
        rules = PresetRules(dynamic=config.dynamic_classes)
        judged, device = data.held_out_recordings, run.fabric.device
        referee = referee_of(depth_network, judged, rules, device, needs_pose_network)
    task = DepthTask(model, config.loss, held_out, unit.unit == "metres", referee, alone)
    trainer = Trainer[TripletBatch](run, task, dataset)
    if resume:
        trainer.resume()
    why = trainer.run()
    weights = None
    if run.fabric.is_global_zero and why != "stopped":
        trainer.load_best()
        about: dict[str, Any] = {}
        if config.teaches_deviation:
            factor = task.calibrate(trainer.average, run.fabric.device)
            run.control.say(f"standard deviation: times {factor:.3f}, by the held-out frames")
            about = {"trains": config.trains, "deviation_calibration": round(factor, 4)}
        sizes = {one.frames.size for one in data.recordings}
        size = sizes.pop() if len(sizes) == 1 and not alone else depth.size
        network = cast(DepthModel, trainer.average).depth
        trained = TrainedNetwork("depth", network, depth, size, unit)
        facts = {
            "origin": f"started from {depth.name}"
            + (f" and {pose.name}" if pose else "")
            + (f", taught by {Path(config.teacher).name}" if config.teacher else ""),
            "data": {"train": data.counts, "validation": [f.source for f in data.held_out]},
            **about,
            **facts_of_run(config, facts, trainer.progress, why),
        }
        weights = export(folder, config, trained, facts)
    return TrainingOutcome(why, trainer.progress.step, weights)


def read_data_of_run(run: TrainingRun, split: DataSplit, depth: InitialNetwork) -> TrainingData:
    """`read_data` into the run's cache: the first process prepares, the others find it prepared."""
    networks = pseudo_label_networks(run.config, depth, run.fabric.device)

    def read() -> TrainingData:
        return read_data(run.config, split, depth.size, networks, run.cache, run.control)

    return first_alone(run.fabric, read) or read()


def _kept_unit(initial: InitialNetwork) -> DepthUnit:
    unit = "metres" if initial.metric else "relative"
    return DepthUnit(unit, f"the depth is that of {initial.name}")


def unit_of(config: TrainingConfig, data: TrainingData, initial: InitialNetwork) -> DepthUnit:
    """The unit of the trained depth: metres only where something determines the scale."""
    if config.motion != "network" and any(one.frames.posed for one in data.recordings):
        return DepthUnit("metres", "by the recorded motion of the camera")
    if config.loss.exact > 0 and any(one.frames.dense for one in data.recordings):
        return DepthUnit("metres", "by exact depth")
    if config.start.scale is not None and config.loss.scale > 0:
        times = f"{config.start.scale:.4g} times the depth of {initial.name}"
        return DepthUnit("metres", f"{times}, a scale that was kept")
    if initial.metric and config.loss.scale > 0:
        return DepthUnit("metres", f"the scale of {initial.name} was kept, not measured")
    return DepthUnit("relative", "the training data have no metric scale")
