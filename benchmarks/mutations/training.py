# SPDX-License-Identifier: Apache-2.0
"""Mutants of training."""

from mutations.kinds import training

MUTANTS = (
    training("box filter: adjoint", "fused", "if adjoint else", "if not adjoint else", "loss"),
    training(
        "photometric gradient: sign",
        "fused",
        ".sub_((s / d1).mul_(my))",
        ".add_((s / d1).mul_(my))",
        "loss",
    ),
    training(
        "photometric gradient: alpha", "fused", "g, value=1 - ctx.alpha", "g, value=1.0", "loss"
    ),
    training("frame's mask ignored", "objective", "seen & ~masked[:, :, :1]", "seen", "loss"),
    training(
        "neighbour's mask is the frame's",
        "objective",
        "masked[:, :, 1].flat",
        "masked[:, :, 0].flat",
        "loss",
    ),
    training("no auto-mask", "objective", "found & (still[:, None] > error)", "found", "loss"),
    training("windows not whole", "objective", "valid = _whole_windows(valid)", "pass", "loss"),
    training("coarse scale as heavy", "objective", "(1.0, 0.5)", "(1.0, 1.0)", "loss"),
    training(
        "scale held where recorded", "objective", "unknown = ~torch", "unknown = torch", "loss"
    ),
    training(
        "network's motion not mirrored",
        "objective",
        "turned = batch.mirror[:, None] @ predicted.motions @ batch.mirror[:, None]",
        "turned = predicted.motions",
        "loss",
    ),
    training(
        "contact: above the foot", "contact", "b * (foot + 0.5)", "b * (foot - 1.5)", "contact"
    ),
    training("contact: not on the ground", "contact", "left_out & stands", "left_out", "contact"),
    training(
        "contact: near the horizon", "contact", "target > LEAST_RISE * b", "target > 0", "contact"
    ),
    training("contact: no tolerance", "contact", ".abs() - TOLERANCE)", ".abs())", "contact"),
    training(
        "contact: gradient into the road", "contact", "inverse = inverse.detach()", "", "contact"
    ),
    training("contact: a ceiling is a road", "contact", "& (plane[:, 1] > 0)", "", "contact"),
    training(
        "contact: plane not robust",
        "contact",
        "clamp(min=0).square()\n    enough",
        "clamp(min=1)\n    enough",
        "contact",
    ),
    training(
        "contact: of what is compared",
        "objective",
        "batch.masked[:, :, 0].all(1",
        "batch.masked[:, :, 1].all(1",
        "contact",
    ),
    training("zoom: half a pixel", "views", "(k[0, 2] + 0.5) * sx - 0.5", "k[0, 2] * sx", "data"),
    training(
        "flip: one pixel", "views", "self.width - 1 - k[0, 2]", "self.width - k[0, 2]", "data"
    ),
    training(
        "turning is parallax",
        "pairs",
        "matches.second - seen[:, :2] / seen[:, 2:]",
        "matches.second - matches.first",
        "data",
    ),
    training("pairs across cuts", "pairs", "_LEAST_FOUND = 0.15", "_LEAST_FOUND = 0.0", "data"),
    training("pairs across gaps", "pairs", "0 < apart <= longest_gap", "0 < apart", "data"),
    training("pairs at rest", "pairs", "LEAST = LEAST_MOTION / 2", "LEAST = 0", "data"),
    training("every step alike", "batches", "(self._seed, step))", "(self._seed, 0))", "data"),
    training(
        "every process alike",
        "batches",
        "range(rank * share, (rank + 1) * share)",
        "range(share)",
        "data",
    ),
    training("gate not heard", "batches", "masked &= lesson", "masked |= lesson", "data"),
    training("undecided is compared", "gating", "is not Motion.STILL", "is Motion.MOVING", "data"),
    training(
        "earlier neighbour's motion", "learner", "inverse(from_before)", "from_before", "parts"
    ),
    training("rate: no warm-up", "optimiser", "(step + 1) / rise", "1.0", "parts"),
    training(
        "metres without a witness",
        "train",
        "start.metric and config.loss.scale > 0",
        "start.metric",
        "parts",
    ),
    training(
        "checkpoints unpickled", "checkpoint", "weights_only=True", "weights_only=False", "run"
    ),
    training(
        "gradient not checked", "trainer", "if not torch.isfinite(gradient):", "if False:", "run"
    ),
    training(
        "optimizer forgotten",
        "trainer",
        'self._optimizer.load_state_dict(state["optimizer"])',
        "pass",
        "run",
    ),
    training(
        "counts of one process",
        "trainer",
        "if self._fabric.world_size == 1:\n            return values",
        "if True:\n            return values",
        "run",
    ),
    training(
        "workers heed the group's signals", "batches", "signal.SIG_IGN", "signal.SIG_DFL", "run"
    ),
)
