# SPDX-License-Identifier: Apache-2.0
"""The loop: read, predict, compare, step; validate and save now and then."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from depth_recog.errors import TrainingError
from depth_recog.training import checkpoint
from depth_recog.training.batches import Batch, Order, Samples, make_loader
from depth_recog.training.config import Config
from depth_recog.training.learner import Learner, Prediction
from depth_recog.training.objective import Terms, objective
from depth_recog.training.optimiser import make_optimizer, set_rate, update_average
from depth_recog.training.processes import first_alone
from depth_recog.training.run_folder import Curves, RunFolder
from depth_recog.training.validation import Examiner
from depth_recog.training.views import coloured

EVERY = 25
"""Steps between two lines for the user."""

LARGEST_GRADIENT = 1.0


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: how many steps were done.
        best: least decisive figure so far.
        best_step: when.
        worse: validations since.
        figures: of the best validation.
    """

    step: int = 0
    best: float = float("inf")
    best_step: int = 0
    worse: int = 0
    figures: dict[str, float] = field(default_factory=dict)


class Clock:
    """Where the time of the steps goes."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin a new count."""
        self._began = time.perf_counter()
        self._waited = 0.0
        self._steps = 0

    def step(self, waited: float) -> None:
        """A step was done, which waited so many seconds for its data."""
        self._waited += waited
        self._steps += 1

    @property
    def figures(self) -> dict[str, float]:
        """Seconds per step, and the share of them in which data was waited for."""
        seconds = time.perf_counter() - self._began
        steps = max(1, self._steps)
        return {"seconds_per_step": seconds / steps, "waiting_for_data": self._waited / seconds}


class Trainer:
    """A run.

    Args:
        config: of the run.
        fabric: launched.
        learner: the networks, before any step.
        samples: what is read.
        examiner: judges.
        folder: of the run.
        say: takes lines for the user; called on the first process only.
    """

    def __init__(
        self,
        config: Config,
        fabric: Fabric,
        learner: Learner,
        samples: Samples,
        examiner: Examiner,
        folder: RunFolder,
        say: Callable[[str], object],
    ) -> None:
        self._config, self._fabric, self._folder, self._say = config, fabric, folder, say
        self._samples, self._examiner = samples, examiner
        learner.to(device=fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learner = learner
        self.average = copy.deepcopy(learner).requires_grad_(False)
        self.progress = Progress()
        self._saved_step = 0
        optimizer = make_optimizer(
            learner.encoders(), learner.others(), config.rate, config.encoder_rate
        )
        wrapped = cast(nn.Module, torch.compile(learner)) if config.compile else learner
        self._network, self._optimizer = fabric.setup(wrapped, optimizer)

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.learner.load_state_dict(state["learner"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        self._saved_step = self.progress.step
        torch.set_rng_state(state["random"])

    def load_best(self) -> None:
        """Make the average that of the best validation."""
        if self._folder.best.is_file():
            self.average.load_state_dict(checkpoint.load(self._folder.best)["average"])

    def _save(self) -> None:
        state = {
            "learner": self.learner.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "progress": asdict(self.progress),
            "random": torch.get_rng_state(),
        }
        first_alone(self._fabric, lambda: checkpoint.save(state, self._folder.last))
        self._saved_step = self.progress.step

    def run(self, curves: Curves | None, stop: Callable[[], bool]) -> str:
        """Train to the end, until nothing gets better, or until it is asked to stop.

        Args:
            curves: on the first process.
            stop: asked after every step.

        Returns:
            Why it ended: "steps", "patience" or "asked".

        Raises:
            TrainingError: the loss or the gradient is not finite, or a process that reads was
                killed; the last checkpoint stays.
            OutputError: the disk is full; likewise.
        """
        try:
            return self._run(curves, stop)
        except RuntimeError as error:
            if "DataLoader worker (pid" not in str(error):
                raise
            raise TrainingError(
                f"a process that reads frames was killed ({error}): {self._folder.last} holds the "
                f"state of step {self._saved_step}, go on with --resume; where memory is short, "
                "fewer workers need less"
            ) from error

    def _run(self, curves: Curves | None, stop: Callable[[], bool]) -> str:
        config, fabric = self._config, self._fabric
        if self._worn_out:
            return "patience"
        if not self.progress.step:
            self._validate(curves)  # the start: what comes out is never worse on held-out frames
        steps = range(self.progress.step, config.steps)
        order = Order(self._samples, steps, config.batch, fabric.global_rank, fabric.world_size)
        loader = make_loader(self._samples, order, config.workers, fabric.device.type == "cuda")
        clock = Clock()
        asked_for = time.perf_counter()
        for step, batch in zip(steps, loader, strict=True):
            waited = time.perf_counter() - asked_for
            terms = self._step(step, batch.to(fabric.device))
            clock.step(waited)
            self.progress.step = step + 1
            self._report(curves, terms, clock)
            if self._together(stop()):
                self._save()
                return "asked"
            if self.progress.step % config.validation.every == 0:
                self._validate(curves)
                clock.restart()
                if self._worn_out:
                    return "patience"
            asked_for = time.perf_counter()
        if self.progress.step % config.validation.every:
            self._validate(curves)
        return "steps"

    @property
    def _worn_out(self) -> bool:
        return self.progress.worse >= self._config.validation.patience

    def _step(self, step: int, batch: Batch) -> dict[str, float]:
        config, optimizer = self._config, self._optimizer
        rate = set_rate(optimizer, config.rate, step, config.steps)
        image = coloured(batch.frames[:, 0].float() / 255, batch.colours)
        image = image.contiguous(memory_format=torch.channels_last)
        plain = batch.plain.float() / 255 if batch.plain.numel() else None
        predicted = Prediction(*self._network(image, batch.intrinsics[:, 1, 1], plain))
        terms, _ = objective(batch, predicted, config.loss, self._mean)
        optimizer.zero_grad(set_to_none=True)
        self._fabric.backward(terms.total)
        gradient = self._fabric.clip_gradients(
            self._network, optimizer, max_norm=LARGEST_GRADIENT, error_if_nonfinite=False
        )
        assert gradient is not None
        values = torch.stack([self._mean(t.detach()) for t in terms]).tolist()
        # The gradient is common to all processes: they all end here, or none does.
        if not torch.isfinite(gradient):
            raise TrainingError(
                f"step {step + 1}: the gradient is not finite (loss {values[0]}); the run ends, "
                f"{self._folder.last} holds the state of step {self._saved_step}: lower rate, "
                "or look for damaged images"
            )
        optimizer.step()
        share = min(config.average, (1 + step) / (10 + step))  # the first steps say little
        update_average(self.average, self.learner, share)
        named = dict(zip(Terms._fields, values, strict=True))
        return named | {"gradient": float(gradient), "rate": rate}

    def _mean(self, values: Tensor) -> Tensor:
        """Means over all processes."""
        if self._fabric.world_size == 1:
            return values
        result = self._fabric.all_reduce(values, reduce_op="mean")
        assert isinstance(result, Tensor)
        return result

    def _together(self, asked: bool) -> bool:
        """Whether any process was asked to stop."""
        if self._fabric.world_size == 1:
            return asked
        return bool(self._mean(torch.tensor(float(asked), device=self._fabric.device)) > 0)

    def _report(self, curves: Curves | None, terms: dict[str, float], clock: Clock) -> None:
        step = self.progress.step
        if curves is None:
            return
        curves.scalars("loss", terms, step)
        if step % EVERY == 0:
            times = clock.figures
            curves.scalars("time", times, step)
            self._say(
                f"step {step} of {self._config.steps}: loss {terms['total']:.4f}, "
                f"{times['seconds_per_step']:.2f} s a step, "
                f"{times['waiting_for_data']:.0%} of it waiting for data"
            )

    def _validate(self, curves: Curves | None) -> None:
        fabric = self._fabric
        first_alone(fabric, lambda: self._judge(curves))
        # What decides about the end must be the same everywhere.
        self.progress = Progress(**fabric.broadcast(asdict(self.progress)))
        self._save()

    def _judge(self, curves: Curves | None) -> None:
        progress, device = self.progress, self._fabric.device
        judged = self._examiner.judge(self.average, device)
        progress.worse += 1
        if judged.decisive < progress.best:
            progress.best, progress.best_step = judged.decisive, progress.step
            progress.worse, progress.figures = 0, judged.figures
            checkpoint.save({"average": self.average.state_dict()}, self._folder.best)
        shown = ", ".join(f"{name} {value:.4f}" for name, value in judged.figures.items())
        mark = "; the best so far" if not progress.worse else ""
        self._say(f"step {progress.step}, held-out frames: {shown}{mark}")
        if curves is not None:
            curves.scalars("held out", judged.figures, progress.step)
            picture = self._examiner.picture(self.average, device)
            if picture is not None:
                curves.picture(picture, progress.step)
            curves.flush()
