# SPDX-License-Identifier: Apache-2.0
"""Depth of several networks on recordings of other cameras, without truth.

Each network is compared with points that two frames triangulate, beside a quadratic fit of the
image row to the same points. `--picture` shows one frame of each recording.

    python benchmarks/other_cameras.py SOURCE... --weights OLD NEW --picture FILE
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import label_of, parser_of, recording, report
from without_truth import Depths, Scene, depths_of, scene_of, trained

from depth_recog.evaluation.without_truth.collected import Collected
from depth_recog.evaluation.without_truth.measures import measure
from depth_recog.pictures import captioned, depth_colors

WIDTH = 416
"""Of a picture's columns, pixels."""


def errors(scene: Scene, depths: Depths) -> dict[str, Any]:
    """abs_rel against the points, by the network and by the row fit; the height of the camera."""
    collected = Collected()
    for first, second, evidence in scene.pairs:
        collected.add((first, second), measure(evidence, depths[first], depths[second]))
    figures = collected.figures()
    return {"triangulation": figures["triangulation"], "road": figures["road"]}


def row_of_pictures(scene: Scene, depths: dict[str, Depths]) -> np.ndarray:
    """One frame, and its depth by every network, side by side."""
    middle = scene.pairs[len(scene.pairs) // 2][0]
    image = scene.views[middle].image
    height = round(WIDTH * image.shape[0] / image.shape[1])
    tiles = [captioned(cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA), "")]
    for name, found in depths.items():
        # Without a known scale each depth is brought to the same median.
        scaled = found[middle] * np.float32(12 / np.median(found[middle]))
        resized = cv2.resize(scaled, (WIDTH, height), interpolation=cv2.INTER_LINEAR)
        tiles.append(captioned(depth_colors(resized), name))
    return np.concatenate(tiles, 1)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("sources", nargs="+", metavar="SOURCE[@A:B]")
    parser.add_argument("--weights", nargs="+", default=["depth-street"], metavar="WEIGHTS")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write a picture")
    options = parser.parse_args()
    networks = {Path(name).stem: trained(name) for name in options.weights}
    rows, pictures = [], []
    for source in options.sources:
        scene = scene_of(*recording(source))
        depths = {name: depths_of(network, scene) for name, network in networks.items()}
        row: dict[str, Any] = {"recording": label_of(source), "pairs": len(scene.pairs)}
        for name, found in depths.items():
            judged = errors(scene, found)
            row["row fit"] = round(judged["triangulation"].get("row_fit", np.nan), 3)
            row[name] = round(judged["triangulation"].get("value", np.nan), 3)
            row[f"{name}: height, m"] = round(judged["road"].get("height", np.nan), 2)
        rows.append(row)
        if scene.pairs:
            pictures.append(row_of_pictures(scene, depths))
        print(row, flush=True)
    report(options, rows)
    if options.picture is not None:
        cv2.imwrite(str(options.picture), np.concatenate(pictures)[..., ::-1])


if __name__ == "__main__":
    main()
