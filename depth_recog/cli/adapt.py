# SPDX-License-Identifier: Apache-2.0
"""`depth-recog adapt`: adapt depth weights to recordings, as the trainer node does live."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from depth_recog.adaptation.adapter import Adapter
from depth_recog.adaptation.lineage import Lineage
from depth_recog.adaptation.session import Session
from depth_recog.adaptation.settings import AdaptationSettings
from depth_recog.adaptation.sources import live_frames
from depth_recog.adaptation.start import lineage_in_metres, scale_of_lineage
from depth_recog.cli.interrupt import Interrupt
from depth_recog.cli.options import integer
from depth_recog.cli.scale_options import add_scale_arguments, scale_of
from depth_recog.cli.start_scale import start_scale
from depth_recog.cli.train import chosen_frames
from depth_recog.datasets.sources import KINDS
from depth_recog.files import write_whole
from depth_recog.networks.device import choose_device
from depth_recog.networks.factory import NetworkOptions
from depth_recog.networks.weights import DEFAULT
from depth_recog.training.data.cache import SourceFrames


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.epilog = KINDS
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE[@A:B]",
        help="recordings in the order of time, each whole or frames A to B - 1",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the lineage; may exist"
    )
    parser.add_argument(
        "--weights", default="", metavar="NAME", help="depth weights of the start; default: shipped"
    )
    parser.add_argument(
        "--steps", type=integer(1), default=15, metavar="N", help="steps after 12 useful frames"
    )
    parser.add_argument("--seed", type=integer(0), default=0, metavar="N", help="of what is random")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N")
    add_scale_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Adapt; the accepted weights, and adapt.json, are in DIR."""
    device = choose_device(options.device)
    chosen = [chosen_frames(text) for text in options.sources]
    with Interrupt() as interrupt, ExitStack() as stack:
        try:
            opened = _lineage(options, chosen, lambda: interrupt.asked)
        except KeyboardInterrupt:
            print("interrupted before the first frame was learnt from", file=sys.stderr)
            return 0
        lineage = stack.enter_context(closing(opened))
        for problem in lineage.problems:
            print(problem, file=sys.stderr)
        settings = AdaptationSettings(seed=options.seed)
        adapter = Adapter(str(lineage.path_of(lineage.start)), settings, str(device))
        if lineage.active != lineage.start:
            adapter.restart_from(lineage.path_of(lineage.active))
        session = Session(
            adapter,
            lineage,
            options.steps,
            lambda line: print(line, flush=True),
            lambda: interrupt.asked,
        )
        for one in chosen:
            for frame in live_frames(one, adapter.size):
                if interrupt.asked:
                    break
                session.observe(frame)
            session.end()
        report = session.report() | {"interrupted": interrupt.asked}
        text = json.dumps(report, indent=2) + "\n"
        write_whole(options.out / "adapt.json", lambda p: p.write_text(text, encoding="utf-8"))
        learnt = lineage.active != lineage.start
    if interrupt.asked:
        print("interrupted; what was accepted until then is kept", file=sys.stderr)
    elif learnt:
        print(f"{options.out}: depth-recog run SOURCE --weights {options.out} --out RESULTS")
    else:
        print(f"{options.out}: nothing was better than the start, which stays active")
    return 0


def _lineage(
    options: argparse.Namespace, chosen: list[SourceFrames], asked: Callable[[], bool]
) -> Lineage:
    """The folder's lineage; where `--scale` is given, a new one begins in metres."""
    if options.scale == "none":
        scale_of(options)  # refuses arguments that need a mode
        return Lineage(options.out, options.weights)
    scale = scale_of_lineage(options.out)
    if scale is not None:
        print(f"{options.out}: goes on in the metres in which it began, {scale:.3f} per unit")
        return Lineage(options.out)
    networks = NetworkOptions(depth=options.weights, masks=AdaptationSettings().masks)
    scale = start_scale(options, networks, chosen, asked)
    assert scale is not None
    return lineage_in_metres(options.out, options.weights or DEFAULT["depth"], scale)
