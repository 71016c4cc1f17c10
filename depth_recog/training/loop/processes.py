# SPDX-License-Identifier: Apache-2.0
"""The processes of a run: one for each device, started by Lightning Fabric, torchrun or SLURM."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from lightning_fabric import Fabric

from depth_recog.errors import ConfigurationError, DepthRecogError, DeviceError, TrainingError
from depth_recog.training.config import TrainingConfig

T = TypeVar("T")


def make_fabric(config: TrainingConfig) -> Fabric:
    """Choose processes, devices and precision.

    Raises:
        ConfigurationError: the batch is not a multiple of the number of devices.
        DeviceError: the device does not exist.
    """
    world = config.devices * config.machines
    if config.batch % world:
        raise ConfigurationError(
            f"batch: {config.batch} samples cannot be divided evenly among {world} devices"
        )
    seen = torch.cuda.device_count()
    if config.device == "gpu" and seen < config.devices:
        raise DeviceError(
            f"device gpu: {seen} CUDA devices are visible to torch, {config.devices} are needed: "
            "use device cpu, fewer devices, or a CUDA build of torch"
        )
    try:
        return Fabric(
            accelerator="cuda" if config.device == "gpu" else config.device,
            strategy="ddp" if world > 1 else "auto",
            devices=config.devices,
            num_nodes=config.machines,
            precision="bf16-mixed" if config.precision == "bfloat16" else "32-true",
        )
    except Exception as error:  # Fabric raises many types where a device does not exist
        raise DeviceError(f"device {config.device}: {str(error).splitlines()[0]}") from error


def first_alone(fabric: Fabric, work: Callable[[], T]) -> T | None:
    """Do something on the first process while the others wait.

    Args:
        fabric: after its launch.
        work: what the first process does.

    Returns:
        The result on the first process, None on the others.

    Raises:
        KeyboardInterrupt: the work was interrupted; on all processes.
        DepthRecogError: the work failed; the other processes raise a `TrainingError`, so that they
            end too instead of waiting for the first.
    """
    result: T | None = None
    failure: DepthRecogError | KeyboardInterrupt | None = None
    if fabric.is_global_zero:
        try:
            result = work()
        except (DepthRecogError, KeyboardInterrupt) as error:
            failure = error
    interrupted = isinstance(failure, KeyboardInterrupt)
    failed, interrupted = fabric.broadcast((failure is not None, interrupted))
    if failure is not None:
        raise failure
    if interrupted:
        raise KeyboardInterrupt
    if failed:
        raise TrainingError("ended because the first process failed; see its message")
    return result
