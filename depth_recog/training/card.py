# SPDX-License-Identifier: Apache-2.0
"""The card beside a weights file: Markdown with a YAML front matter, as model cards have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from depth_recog.networks.weights import file_sha256


def card(weights: Path, facts: dict[str, Any], text: str) -> str:
    """The card of a weights file, which must be there: its sha256 is the card's.

    Args:
        weights: NAME.safetensors.
        facts: the front matter, in order.
        text: for people.
    """
    content = {"name": weights.stem, "sha256": file_sha256(weights), **facts}
    front = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=96)
    return f"---\n{front}---\n\n# {weights.stem}\n\n{text.strip()}\n"
