# SPDX-License-Identifier: Apache-2.0
"""The training loop: read a batch, compute the loss, step, and validate and save now and then."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Generic, Protocol, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_recog.errors import TrainingError
from depth_recog.training.loop.batches import StepDataset, StepSampler, TensorBatch, make_loader
from depth_recog.training.loop.optimiser import make_optimiser, set_rate, update_average
from depth_recog.training.loop.processes import first_alone
from depth_recog.training.loop.run import Curves, TrainingRun, load_checkpoint, save_checkpoint

EVERY = 25
"""Steps between two lines for the user."""

LARGEST_GRADIENT = 1.0

B = TypeVar("B", bound=TensorBatch)
InB = TypeVar("InB", bound=TensorBatch, contravariant=True)

Mean = Callable[[Tensor], Tensor]
"""Numbers of this process -> their means over all processes."""


@dataclass(frozen=True)
class ValidationResult:
    """Figures of a validation; that of `criterion` decides which weights are best: the least.

    Attributes:
        refused: why the weights may not be the best ones whatever their figures; "" if they may.
    """

    figures: dict[str, float]
    criterion: str
    refused: str = ""


class TrainingTask(Protocol[InB]):
    """A model, its loss and its validation."""

    @property
    def model(self) -> nn.Module:
        """The model, trained in place."""
        ...

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Its pretrained parameters, which get a smaller learning rate."""
        ...

    def losses(self, network: nn.Module, batch: InB, mean: Mean) -> dict[str, Tensor]:
        """The loss of a batch as "total", and its parts, all scalars.

        `network` is the model, wrapped for several processes.
        """
        ...

    def validate(self, model: nn.Module, device: torch.device) -> ValidationResult:
        """Evaluate a model on held-out frames."""
        ...

    def picture(self, model: nn.Module, device: torch.device) -> NDArray[np.uint8] | None:
        """A picture (H, W, 3) of a held-out frame, for TensorBoard."""
        ...


@dataclass
class Progress:
    """The state of a run.

    Attributes:
        step: number of steps that were done.
        best: least value of the criterion so far.
        best_step: its step.
        worse: validations since then.
        figures: of the best validation.
    """

    step: int = 0
    best: float = float("inf")
    best_step: int = 0
    worse: int = 0
    figures: dict[str, float] = field(default_factory=dict)


class StepClock:
    """Measures the time of the steps, from its creation."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._waited = 0.0
        self._steps = 0

    def step(self, waited: float) -> None:
        """Count a step that waited for its data for so many seconds."""
        self._waited += waited
        self._steps += 1

    @property
    def figures(self) -> dict[str, float]:
        """Seconds per step, and the share of the time in which data was waited for."""
        seconds = time.perf_counter() - self._began
        steps = max(1, self._steps)
        return {"seconds_per_step": seconds / steps, "waiting_for_data": self._waited / seconds}


class Trainer(Generic[B]):
    """The loop of a run.

    Args:
        run: settings, processes, folder and user.
        task: the model before any step, its loss and its validation.
        dataset: what is read.
    """

    def __init__(self, run: TrainingRun, task: TrainingTask[B], dataset: StepDataset[B]) -> None:
        self._config, self._fabric, self._folder = run.config, run.fabric, run.folder
        self._control, self._task, self._dataset = run.control, task, dataset
        model = task.model
        model.to(device=run.fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = model
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.progress = Progress()
        self._saved_step = 0
        rates = run.config.rate, run.config.encoder_rate
        optimiser = make_optimiser(model, task.encoder_parameters(), *rates)
        wrapped = cast(nn.Module, torch.compile(model)) if run.config.compile else model
        self._network, self._optimiser = run.fabric.setup(wrapped, optimiser)

    def resume(self) -> None:
        """Continue from the last checkpoint, if there is one. Raises WeightsError."""
        if not self._folder.last.is_file():
            return
        state = load_checkpoint(self._folder.last)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        self._saved_step = self.progress.step
        torch.set_rng_state(state["random"])
        self._control.say(f"continues after step {self.progress.step}")

    def load_best(self) -> None:
        """Set the average to that of the best validation. Raises WeightsError."""
        if self._folder.best.is_file():
            self.average.load_state_dict(load_checkpoint(self._folder.best)["average"])

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimiser.state_dict(),
            "progress": asdict(self.progress),
            "random": torch.get_rng_state(),
        }
        first_alone(self._fabric, lambda: save_checkpoint(state, self._folder.last))
        self._saved_step = self.progress.step

    def run(self) -> str:
        """Train until all steps are done, validation gets no better, or the user stops the run.

        The first process writes curves to the run's folder.

        Returns:
            Why it ended: "steps", "patience" or "stopped".

        Raises:
            TrainingError: the gradient is not finite, or a process that reads data was killed;
                the last checkpoint stays.
            OutputError: the disk is full; the last checkpoint stays.
        """
        first = self._fabric.is_global_zero
        curves = Curves(self._folder.path, self.progress.step + 1) if first else None
        try:
            return self._run(curves)
        except RuntimeError as error:
            if "DataLoader worker (pid" not in str(error):
                raise
            raise TrainingError(
                f"a process that reads frames was killed ({error}): continue with --resume from "
                f"step {self._saved_step} ({self._folder.last}); if memory is short, set fewer "
                "workers"
            ) from error
        finally:
            if curves is not None:
                curves.close()

    def _run(self, curves: Curves | None) -> str:
        config, fabric = self._config, self._fabric
        if self._out_of_patience:
            return "patience"
        if not self.progress.step:
            self._validate(curves)  # so that the result is never worse than the initial weights
        steps = range(self.progress.step, config.steps)
        sampler = StepSampler(
            self._dataset, steps, config.batch, fabric.global_rank, fabric.world_size
        )
        loader = make_loader(self._dataset, sampler, config.workers, fabric.device.type == "cuda")
        clock = StepClock()
        asked_for = time.perf_counter()
        for step, batch in zip(steps, loader, strict=True):
            waited = time.perf_counter() - asked_for
            losses = self._step(step, batch.to(fabric.device))
            clock.step(waited)
            self.progress.step = step + 1
            self._report(curves, losses, clock)
            if self._on_any_process(self._control.stop()):
                self._save()
                return "stopped"
            if self.progress.step % config.validation.every == 0:
                self._validate(curves)
                clock = StepClock()
                if self._out_of_patience:
                    return "patience"
            asked_for = time.perf_counter()
        if self.progress.step % config.validation.every:
            self._validate(curves)
        return "steps"

    @property
    def _out_of_patience(self) -> bool:
        return self.progress.worse >= self._config.validation.patience

    def _step(self, step: int, batch: B) -> dict[str, float]:
        config, optimiser = self._config, self._optimiser
        rate = set_rate(optimiser, config.rate, step, config.steps)
        losses = self._task.losses(self._network, batch, self._mean)
        optimiser.zero_grad(set_to_none=True)
        self._fabric.backward(losses["total"])
        gradient = self._fabric.clip_gradients(
            self._network, optimiser, max_norm=LARGEST_GRADIENT, error_if_nonfinite=False
        )
        assert gradient is not None
        values = torch.stack([self._mean(loss.detach()) for loss in losses.values()]).tolist()
        named = dict(zip(losses, values, strict=True))
        # All processes have the same gradient, so all of them end here, or none.
        if not torch.isfinite(gradient):
            raise TrainingError(
                f"step {step + 1}: the gradient is not finite (loss {named['total']}); "
                f"{self._folder.last} holds the state of step {self._saved_step}: lower rate, "
                "or look for damaged images"
            )
        optimiser.step()
        share = min(config.average, (1 + step) / (10 + step))  # little weight on the first steps
        update_average(self.average, self.model, share)
        return named | {"gradient": float(gradient), "rate": rate}

    def _mean(self, values: Tensor) -> Tensor:
        """Means over all processes."""
        if self._fabric.world_size == 1:
            return values
        result = self._fabric.all_reduce(values, reduce_op="mean")
        assert isinstance(result, Tensor)
        return result

    def _on_any_process(self, stop: bool) -> bool:
        if self._fabric.world_size == 1:
            return stop
        return bool(self._mean(torch.tensor(float(stop), device=self._fabric.device)) > 0)

    def _report(self, curves: Curves | None, losses: dict[str, float], clock: StepClock) -> None:
        step = self.progress.step
        if curves is None:
            return
        curves.scalars("loss", losses, step)
        if step % EVERY == 0:
            times = clock.figures
            curves.scalars("time", times, step)
            self._control.say(
                f"step {step} of {self._config.steps}: loss {losses['total']:.4f}, "
                f"{times['seconds_per_step']:.2f} s per step, "
                f"{times['waiting_for_data']:.0%} of it waiting for data"
            )

    def _validate(self, curves: Curves | None) -> None:
        fabric = self._fabric
        first_alone(fabric, lambda: self._validate_alone(curves))
        # All processes must agree on when to end.
        self.progress = Progress(**fabric.broadcast(asdict(self.progress)))
        self._save()

    def _validate_alone(self, curves: Curves | None) -> None:
        progress, device = self.progress, self._fabric.device
        result = self._task.validate(self.average, device)
        progress.worse += 1
        if not result.refused and result.figures[result.criterion] < progress.best:
            progress.best, progress.best_step = result.figures[result.criterion], progress.step
            progress.worse, progress.figures = 0, result.figures
            save_checkpoint({"average": self.average.state_dict()}, self._folder.best)
        shown = ", ".join(f"{name} {value:.4f}" for name, value in result.figures.items())
        mark = "; the best so far" if not progress.worse else ""
        mark = f"; refused: {result.refused}" if result.refused else mark
        self._control.say(f"step {progress.step}, validation: {shown}{mark}")
        if curves is not None:
            picture = self._task.picture(self.average, device)
            curves.validation(result.figures, picture, progress.step)
