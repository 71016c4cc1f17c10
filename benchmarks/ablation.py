# SPDX-License-Identifier: Apache-2.0
"""How does masking what moves change the depth that a training ends with?

python benchmarks/ablation.py OUT --train SOURCE... --judge DRIVE --frames A:B --start WEIGHTS
                              [--steps 200] [--seeds 0 1 2] [--gates off all image object]
                              [--set KEY=VALUE] [--json FILE]

Runs `depth-recog train` once for each gate and seed, in OUT/GATE-SEED; runs that are complete are
not repeated. The weights of the last step are evaluated, not the best on held-out frames, since
those can be the start's. `depth-recog evaluate` gives abs_rel, median-scaled, in all pixels and by
the motion of the drive's boxes. Mean and standard deviation are over seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from common import parser_of, report

from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.files import save_network
from depth_recog.networks.weights import read_header
from depth_recog.training.depth.model import DepthModel
from depth_recog.training.initial import initial_network
from depth_recog.training.loop.run import load_checkpoint

COMMAND = [sys.executable, "-m", "depth_recog.cli.main"]
MOTIONS = ("moving", "parked", "background")


def trained(options: argparse.Namespace, gate: str, seed: int) -> Path:
    """The weights at the end of a run, which is made unless it exists."""
    folder = options.out / f"{gate}-{seed}"
    weights = folder / "last.safetensors"
    if weights.is_file():
        return weights
    settings = [
        f"gate={gate}",
        f"seed={seed}",
        f"steps={options.steps}",
        f"start.depth={options.start}",
        f"cache={options.out / 'frames'}",
        f"validation.every={options.steps}",
        *options.set,
    ]
    command = [*COMMAND, "train", *options.train, "--out", str(folder)]
    for setting in settings:
        command += ["--set", setting]
    if (folder / "config.yaml").is_file():
        command = [*COMMAND, "train", "--out", str(folder), "--resume"]
    subprocess.run(command, check=True, stdout=sys.stderr)
    start = initial_network(options.start, "depth")
    learner = DepthModel(cast(DepthNetwork, start.network), None)
    learner.load_state_dict(load_checkpoint(folder / "checkpoints" / "last.pt")["average"])
    size = read_header(folder / f"{folder.name}.safetensors").size
    save_network(learner.depth, weights, "depth", start.architecture, size, "metres")
    return weights


def evaluated(options: argparse.Namespace, weights: str) -> dict[str, float]:
    """Median-scaled abs_rel of all pixels and by motion, and the spread of the scale."""
    answer = options.out / f"{Path(weights).parent.name}.json"
    if not answer.is_file():
        command = [*COMMAND, "evaluate", options.judge, "--frames", options.frames]
        command += ["--weights", weights, "--gate", "off", "--json", str(answer)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    depth: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))["depth"]
    found = {kind: depth["by_motion"][kind]["median_scaled"]["abs_rel"] for kind in MOTIONS}
    return {
        "all": depth["median_scaled"]["abs_rel"],
        **found,
        "moving / parked": found["moving"] / found["parked"],
        "spread of the scale": depth["scale"]["spread"],
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", nargs="+", required=True, metavar="SOURCE[@A:B]")
    parser.add_argument("--judge", required=True, metavar="DRIVE")
    parser.add_argument("--frames", required=True, metavar="A:B")
    parser.add_argument("--start", required=True, metavar="WEIGHTS")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--gates", nargs="+", default=["off", "all", "image", "object"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results = {}
    if options.start.endswith(".safetensors"):
        results["start"] = [evaluated(options, options.start)]
    for gate in options.gates:
        weights = [str(trained(options, gate, seed)) for seed in options.seeds]
        results[gate] = [evaluated(options, one) for one in weights]
    rows = []
    for gate, found in results.items():
        row: dict[str, Any] = {"gate": gate, "runs": len(found)}
        for column in found[0]:
            values = [result[column] for result in found]
            row[column] = statistics.mean(values)
            row[f"{column} ±"] = statistics.stdev(values) if len(values) > 1 else None
        rows.append(row)
    report(options, rows)


if __name__ == "__main__":
    main()
