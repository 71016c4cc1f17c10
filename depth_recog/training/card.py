# SPDX-License-Identifier: Apache-2.0
"""The card beside a weights file: Markdown with a YAML front matter, as model cards have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from depth_recog.networks.weights import file_sha256


def card(weights: Path, facts: dict[str, Any], text: str, sha256: str = "") -> str:
    """The card of weights.

    Args:
        weights: NAME.safetensors.
        facts: the front matter, in order.
        text: for people.
        sha256: of the weights; "" for that of the file, which must be there.
    """
    content = {"name": weights.stem, "sha256": sha256 or file_sha256(weights), **facts}
    front = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=96)
    return f"---\n{front}---\n\n# {weights.stem}\n\n{text.strip()}\n"
