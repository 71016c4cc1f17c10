# SPDX-License-Identifier: Apache-2.0
"""Trains the pose network of blocks 104 and 105 on recorded ego-motion.

In half of the pairs the dynamic pixels are masked, since the network is used on masked images too.

    python -m recipes.pose SOURCE[@A:B]... --validate SOURCE[@A:B] --start IMAGENET.pth --out DIR
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from depth_recog.method.geometry.se3 import inverse_matrix, rotation_angle, rotation_vector
from depth_recog.method.geometry.se3_tensors import from_vector
from depth_recog.networks.own.designs import POSE_UNIT
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.training.data.augmentation import coloured
from depth_recog.training.data.batches import TripletBatch, TripletDataset
from depth_recog.training.data.prepared import PreparedFrames
from depth_recog.training.initial import initial_network
from depth_recog.training.loop.run import origin
from depth_recog.training.loop.trainer import Mean, Trainer, ValidationResult
from depth_recog.training.result import DepthUnit, TrainedNetwork, export, facts_of_run
from depth_recog.training.train import read_data_of_run
from recipes.start import make_parser, start

DEFAULTS: dict[str, Any] = {
    "steps": 1200,
    "batch": 12,
    "rate": 5e-4,
    "encoder_rate": 1.0,
    "average": 0.99,
    "gate": "all",
    "motion": "recorded",
    "augment": {"zoom": 1.0},  # with zoom, the network could not know the focal length
    "validation": {"every": 300},
}

MASKED = 0.5
"""Share of the pairs whose dynamic pixels are masked."""


class PoseTask:
    """Trains a pose network.

    Args:
        model: before any step.
        held_out: held-out frames with poses.
    """

    def __init__(self, model: PoseNetwork, held_out: list[PreparedFrames]) -> None:
        self.model = model
        self._held_out = held_out

    def encoder_parameters(self) -> list[nn.Parameter]:
        """See `TrainingTask`."""
        return list(self.model.encoder.parameters())

    def losses(self, network: nn.Module, batch: TripletBatch, mean: Mean) -> dict[str, Tensor]:
        """The absolute error of the six numbers, each in the network's own unit.

        The pairs are in the order of time, as at inference.
        """
        size = len(batch.frames)
        images = batch.frames.flatten(0, 1).float() / 255
        images = coloured(images, batch.colours.repeat_interleave(3, 0))
        this, before, after = images.view_as(batch.frames).unbind(1)
        hidden = torch.rand(2 * size, 1, 1, 1, device=this.device) < MASKED
        masked = batch.masked  # (B, neighbour, in the frame or in the neighbour, H, W)
        first = torch.cat((before, this)) * ~(
            hidden & torch.cat((masked[:, 0, 1], masked[:, 1, 0]))[:, None]
        )
        second = torch.cat((this, after)) * ~(
            hidden & torch.cat((masked[:, 0, 0], masked[:, 1, 1]))[:, None]
        )
        motions = batch.motions.double().cpu().numpy()
        forward = [*(inverse_matrix(m) for m in motions[:, 0]), *motions[:, 1]]
        target = torch.tensor(
            np.stack([np.append(rotation_vector(m), m[:3, 3]) for m in forward]),
            dtype=torch.float32,
            device=this.device,
        )
        error = (network(first, second) - target).abs() / torch.tensor(
            POSE_UNIT, device=this.device
        )
        return {"total": error.sum(1).mean()}

    @torch.inference_mode()
    def validate(self, model: nn.Module, device: torch.device) -> ValidationResult:
        """Median errors of the motion between successive held-out frames."""
        rotations, translations = [], []
        for frames in self._held_out:
            images = torch.from_numpy(np.array(frames.images)).permute(0, 3, 1, 2)
            for i in range(len(frames) - 1):
                first, second = (images[k : k + 1].to(device).float() / 255 for k in (i, i + 1))
                found = from_vector(model(first, second)[0].double()).cpu().numpy()
                truth = frames.motion(i, i + 1)
                rotations.append(np.degrees(rotation_angle(found @ inverse_matrix(truth))))
                length = np.linalg.norm(truth[:3, 3])
                translations.append(np.linalg.norm(found[:3, 3] - truth[:3, 3]) / length)
        figures = {
            "rotation_degrees": float(np.median(rotations)),
            "translation_percent": 100 * float(np.median(translations)),
        }
        return ValidationResult(figures, "translation_percent")

    def picture(self, model: nn.Module, device: torch.device) -> None:
        """None: there is no picture for poses."""


def main(arguments: list[str] | None = None) -> Path:
    """Train and export; the path of the weights."""
    parser = make_parser(__doc__)
    parser.add_argument("--start", default="pose-street", help="ImageNet's .pth, or pose weights")
    options = parser.parse_args(arguments)
    run, split = start(options, DEFAULTS)
    initial = initial_network(options.start, "pose")
    data = read_data_of_run(run, split, initial_network(run.config.start.depth, "depth"))
    run.folder.write_manifest(data.files)
    task = PoseTask(cast(PoseNetwork, initial.network), data.held_out)
    trainer = Trainer(run, task, TripletDataset(data.recordings, run.config, False))
    if options.resume:
        trainer.resume()
    why = trainer.run()
    trainer.load_best()
    facts = {
        "origin": f"started from {initial.name}",
        "data": {"train": data.counts, "validation": [f.source for f in data.held_out]},
        **facts_of_run(run.config, origin("python -m recipes.pose"), trainer.progress, why),
    }
    unit = DepthUnit("metres", "by the recorded motion of the camera")
    size = data.recordings[0].frames.size
    trained = TrainedNetwork("pose", trainer.average, initial, size, unit)
    path = export(run.folder, run.config, trained, facts)
    print(path)
    return path


if __name__ == "__main__":
    main()
