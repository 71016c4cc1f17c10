# SPDX-License-Identifier: Apache-2.0
"""Turns a checkpoint into a weights file and its card.

Run as `python -m depth_recog.training.export --help`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
import yaml

from depth_recog.networks.weights import NETWORKS, save_network

_PURPOSE = {
    "depth": "Depth of a street from one image, in metres along the optical axis.",
    "masks": "The 19 Cityscapes classes of a street, by pixel.",
    "pose": "Motion of the camera between two frames: rotation vector and translation in metres.",
}


def card(facts: dict[str, Any], text: str) -> str:
    """Markdown with a YAML front matter, as model cards have it."""
    front = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=96)
    return f"---\n{front}---\n{text}"


def main() -> None:
    """Export one network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--network", required=True, choices=sorted(NETWORKS))
    parser.add_argument("--out", type=Path, required=True, help="NAME.safetensors")
    parser.add_argument("--size", type=int, nargs=2, default=(416, 128), metavar=("W", "H"))
    parser.add_argument("--facts", type=Path, required=True, help="YAML: licence, data, commands")
    options = parser.parse_args()
    state = torch.load(options.checkpoint, weights_only=True)
    network = NETWORKS[options.network]()
    network.load_state_dict(state["network"])
    size = (options.size[0], options.size[1])
    sha256 = save_network(network, options.out, options.network, {}, size, "metres")
    facts: dict[str, Any] = {
        "name": options.out.stem,
        "sha256": sha256,
        "network": options.network,
        "parameters": sum(p.numel() for p in network.parameters()),
        "size": list(size),
        **yaml.safe_load(options.facts.read_text(encoding="utf-8")),
        "steps_of_last_run": state["step"],
        "figures": state["report"],
    }
    notes = str(facts.pop("notes", "")).strip()
    text = f"\n# {options.out.stem}\n\n{_PURPOSE[options.network]}\n\n{notes}\n"
    options.out.with_suffix(".md").write_text(card(facts, text), encoding="utf-8")
    print(f"{options.out}: sha256 {sha256}")


if __name__ == "__main__":
    main()
