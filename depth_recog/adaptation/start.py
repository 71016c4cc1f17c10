# SPDX-License-Identifier: Apache-2.0
"""A lineage whose depth is in metres: it begins with a start that was multiplied by a factor."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from depth_recog.adaptation.folder import save_like
from depth_recog.adaptation.lineage import Lineage
from depth_recog.errors import ConfigurationError, WeightsError
from depth_recog.files import user_path
from depth_recog.networks.family import is_lineage, read_family
from depth_recog.networks.weights import file_sha256, read_card
from depth_recog.training.initial import in_metres, initial_network
from depth_recog.training.result import card

_SCALE = "start_scale"
_TEXT = "Depth from one image, along the optical axis. The start of a lineage, put into metres."


def scale_of_lineage(folder: Path) -> float | None:
    """The factor with which the lineage in a folder began; None where there is no lineage.

    Raises:
        ConfigurationError: it began without one, and two units do not mix.
        WeightsError: its list is damaged.
    """
    folder = user_path(folder)
    if not is_lineage(folder):
        return None
    start = read_family(folder).start
    scale: object = None
    with contextlib.suppress(WeightsError):
        scale = read_card(folder / f"{start.name}.md").get(_SCALE)
    if not isinstance(scale, float):
        raise ConfigurationError(
            f"{folder}: the lineage in this folder began without --scale, in another unit; name "
            "another folder, or leave --scale out"
        )
    return scale


def lineage_in_metres(folder: Path, weights: str, scale: float) -> Lineage:
    """Begin a lineage with weights whose depth is multiplied by a factor.

    Args:
        folder: has no lineage yet.
        weights: depth weights of depth_recog, a shipped name or a file.
        scale: metres per unit of their depth.

    Raises:
        DepthRecogError: the weights or the folder cannot be used.
    """
    before = initial_network(weights, "depth")
    start = in_metres(before, scale)
    header = before.header
    assert header is not None  # of all weights but ImageNet's, which give no depth
    inherited: dict[str, Any] = {}
    with contextlib.suppress(WeightsError):
        inherited = read_card(header.path.with_suffix(".md"))
    content = {
        "network": "depth",
        "licence": inherited.get("licence", f"not stated by {before.name}"),
        "unit": f"metres: {scale:.4g} times the depth of {before.name}",
        "train_files": f"not listed here: those of {before.name}",
        _SCALE: scale,
        "from": header.sha256,
    }
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / f"{before.name}-in-metres.safetensors"
        like = replace(header, architecture=start.architecture, unit="metres")
        save_like(start.network, like, path)
        text = card(path, content, _TEXT, file_sha256(path))
        path.with_suffix(".md").write_text(text, encoding="utf-8")
        return Lineage(folder, str(path))
