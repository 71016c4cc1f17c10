# SPDX-License-Identifier: Apache-2.0
"""What a trainer leaves on the disk, whole at any moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn


def save(network: nn.Module, step: int, report: dict[str, Any], out: Path) -> None:
    """Write a checkpoint and print its figures; an older one stays until the new one is whole."""
    print(step, json.dumps(report), flush=True)
    partial = out.with_suffix(".partial")
    torch.save({"network": network.state_dict(), "step": step, "report": report}, partial)
    partial.replace(out)
