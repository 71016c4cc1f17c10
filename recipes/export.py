# SPDX-License-Identifier: Apache-2.0
"""Turns a checkpoint into a weights file and its card.

Run as `python -m recipes.export --help`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from depth_recog.networks.weights import NETWORKS, save_network
from depth_recog.training import checkpoint
from depth_recog.training.card import card

_PURPOSE = {
    "depth": "Depth of a street from one image, in metres along the optical axis.",
    "masks": "The 19 Cityscapes classes of a street, by pixel.",
    "pose": "Motion of the camera between two frames: rotation vector and translation in metres.",
}


def main() -> None:
    """Export one network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--network", required=True, choices=sorted(NETWORKS))
    parser.add_argument("--out", type=Path, required=True, help="NAME.safetensors")
    parser.add_argument("--size", type=int, nargs=2, default=(416, 128), metavar=("W", "H"))
    parser.add_argument("--facts", type=Path, required=True, help="YAML: licence, data, commands")
    options = parser.parse_args()
    state = checkpoint.load(options.checkpoint)
    architecture = state.get("architecture", {})
    network = NETWORKS[options.network](**architecture)
    network.load_state_dict(state["network"])
    size = (options.size[0], options.size[1])
    save_network(network, options.out, options.network, architecture, size, "metres")
    facts: dict[str, Any] = {
        "network": options.network,
        "parameters": sum(p.numel() for p in network.parameters()),
        "size": list(size),
        **yaml.safe_load(options.facts.read_text(encoding="utf-8")),
        "steps_of_last_run": state["step"],
        "figures": state["report"],
    }
    text = f"{_PURPOSE[options.network]}\n\n{str(facts.pop('notes', '')).strip()}"
    options.out.with_suffix(".md").write_text(card(options.out, facts, text), encoding="utf-8")
    print(options.out)


if __name__ == "__main__":
    main()
